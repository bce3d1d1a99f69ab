#include "catools/server/internal/updates.h"

#include <utility>

#include "catools/server/internal/served_pv.h"
#include "cooperative/sleep.h"

namespace catools::inline v0::internal {

void Updates::note(const std::shared_ptr<ServedPv>& pv) {
  std::optional<cooperative::Scheduler> scheduler;
  {
    std::lock_guard held(mutex_);
    if (has_ended_) return;
    noted_.push_back(pv);
    if (scheduler_ && !std::exchange(is_posted_, true)) scheduler = scheduler_;
  }
  if (scheduler) post(*scheduler);
}

void Updates::begin(const cooperative::Scheduler& scheduler) {
  {
    std::lock_guard held(mutex_);
    scheduler_ = scheduler;
    if (noted_.empty() || std::exchange(is_posted_, true)) return;
  }
  post(scheduler);
}

void Updates::post(const cooperative::Scheduler& scheduler) {
  if (scheduler.callback([self = shared_from_this()] { self->tell(); })) return;
  std::lock_guard held(mutex_);
  is_posted_ = false;
  noted_.clear();
}

void Updates::tell() {
  std::vector<std::weak_ptr<ServedPv>> noted;
  {
    std::lock_guard held(mutex_);
    is_posted_ = false;
    noted.swap(noted_);
  }
  for (const std::weak_ptr<ServedPv>& one : noted) {
    if (const std::shared_ptr<ServedPv> pv = one.lock()) pv->tell();
  }
}

void Updates::drop() {
  std::lock_guard held(mutex_);
  scheduler_.reset();
  has_ended_ = true;
  noted_.clear();
}

void Updates::end() {
  drop();
  const auto is_posted = [this] {
    std::lock_guard held(mutex_);
    return is_posted_;
  };
  while (is_posted()) cooperative::yield();
}

}  // namespace catools::inline v0::internal
