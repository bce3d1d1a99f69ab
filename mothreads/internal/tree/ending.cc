#include "mothreads/internal/tree/ending.h"

#include <string>

namespace mothreads::inline v0::internal {

void Ending::begin(Instant now, bool may_be_lost, std::string_view name) {
  began_ = now;
  if (may_be_lost) lost_.emplace(SignalState::make_owned("loss of " + std::string(name), "call stop() to ask for the end"), kAccess);
}

bool Ending::note_loss(const EndRecord& record) {
  if (!lost_) return false;
  TinyLock lock(mutex_);
  if (record_) return false;
  record_ = record;
  was_noted_lost_ = true;
  return true;
}

bool Ending::was_noted_lost() const {
  TinyLock lock(mutex_);
  return was_noted_lost_;
}

void Ending::publish(const EndRecord& record) {
  std::optional<EndRecord> before;  // its exception goes without the mutex
  TinyLock lock(mutex_);
  record_.swap(before);
  record_ = record;
  is_over_ = true;
}

bool Ending::is_over() const {
  TinyLock lock(mutex_);
  return is_over_;
}

std::optional<EndRecord> Ending::record() const {
  TinyLock lock(mutex_);
  return record_;
}

}  // namespace mothreads::internal
