#pragma once

// A process variable as the server has it: its value, what it tells about it, and who watches it.
//
// Any thread changes it; the serving thread tells the watchers, by way of Updates. Between two looks of that thread a PV keeps so many samples as a
// monitor's queue may have; then a newer one takes the place of the newest.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <unordered_set>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "catools/alarm.h"
#include "catools/server/access_rights.h"
#include "catools/server/internal/cells.h"
#include "catools/server/internal/dbr.h"
#include "mothreads/signal.h"

namespace catools::inline v0::internal {

class ServedPv;
class Updates;

// A queue of samples of a monitor keeps no more than these: a number of them, and of bytes unless it is one sample alone.
struct QueueLimit {
  std::size_t samples = 100;
  std::size_t bytes = std::size_t{1} << 20;
};

// Samples in their order. Full, it takes a new one in the place of its newest, so the last always arrives.
class SampleQueue {
 public:
  // True when a sample was dropped for it. Without memory it throws, and the queue is as before.
  bool push(SamplePtr sample, const QueueLimit& limit);
  SamplePtr pop() noexcept;
  // Only the newest stays.
  void keep_newest() noexcept;
  void clear() noexcept;
  bool empty() const { return samples_.empty(); }
  std::size_t size() const { return samples_.size(); }

 private:
  std::deque<SamplePtr> samples_;
  std::size_t bytes_ = 0;
};

// A channel of a client; told on the serving thread. A watcher without memory for an update deals with that itself: the others are told, too.
class PvWatcher {
 public:
  virtual ~PvWatcher() = default;
  virtual void has_new(const SamplePtr& sample) noexcept = 0;
  virtual void has_other_rights() noexcept = 0;
  // The PV is served no more, and forgets the watcher.
  virtual void is_gone() noexcept = 0;
};

// An alarm and a time that come with a value; what is not given is made of the limits and the clock.
struct Stamp {
  std::optional<Severity> severity = std::nullopt;
  std::optional<Condition> condition = std::nullopt;
  std::optional<absl::Time> time = std::nullopt;
};

// Gives what is to be stored. An exception refuses the put.
struct PutFunction {
  absl::AnyInvocable<Cells(Cells&& cells, const mothreads::Signal& please_stop)> call = nullptr;
  bool takes_please_stop = false;  // it ends by that; else a stop cancels its fiber
};

struct PvSetup {
  std::string name;
  Cells initial;
  bool is_array = false;
  std::size_t max_count = 1;
  std::shared_ptr<const Properties> properties = {};
  AccessRights rights = AccessRights::read_write;
  bool posts_every_set = false;  // also one that changes neither the value nor the alarm
  QueueLimit queue = {};
  PutFunction on_put = {};
};

// A put that a client asked for.
struct Put {
  Cells cells;
  std::string client;
  // Told on the serving thread how it ended: an empty text when the value was stored, or why not.
  absl::AnyInvocable<void(const std::string& refusal)> ended;
};

class ServedPv final : public std::enable_shared_from_this<ServedPv> {
 public:
  ServedPv(PvSetup setup, std::shared_ptr<Updates> updates);
  ~ServedPv();
  ServedPv(const ServedPv&) = delete;
  ServedPv& operator=(const ServedPv&) = delete;

  const std::string& name() const { return name_; }
  CellType type() const { return type_; }
  std::size_t max_count() const { return max_count_; }
  const QueueLimit& queue_limit() const { return queue_limit_; }

  // --- any thread: what finds no memory has changed nothing -----------------------------------------------------------------

  // Throws std::invalid_argument for cells that it cannot hold, and mothreads::Misuse for a condition without a severity.
  void set(Cells cells, const Stamp& stamp);
  SamplePtr sample() const;
  // `change` is called with the mutex held, and does nothing but change them.
  void change_properties(absl::FunctionRef<void(Properties&)> change);
  void set_rights(AccessRights rights);
  AccessRights rights() const { return rights_.load(std::memory_order_relaxed); }  // only the number itself is looked at
  void acknowledge(Severity severity);
  void acknowledge_transient(bool on);
  // False when it was removed before.
  bool remove();
  bool is_removed() const;

  // --- the serving thread ---------------------------------------------------------------------------------------------------

  // False for a PV that was removed before: then the watcher is told nothing.
  bool add_watcher(PvWatcher& watcher);
  void remove_watcher(PvWatcher& watcher) noexcept;
  // From now on samples are kept until they have been told.
  void begin_monitoring();
  void end_monitoring();
  // Tells the watchers what is new.
  void tell() noexcept;

  bool has_handler() const { return static_cast<bool>(on_put_.call); }
  PutFunction& on_put() { return on_put_; }
  // The puts that wait for the handler, which is called for one after the other.
  std::deque<Put>& puts() { return puts_; }

 private:
  friend class Updates;

  bool add_sample(std::shared_ptr<Sample> next);
  bool has_to_note() noexcept;
  SamplePtr next_untold() noexcept;
  std::pair<Severity, Condition> alarm_of(const Cells& cells, const Properties& properties) const;
  void check(const Cells& cells, const Properties& properties) const;

  const std::string name_;
  const CellType type_;
  const bool is_array_;
  const std::size_t max_count_;
  const bool posts_every_set_;
  const QueueLimit queue_limit_;
  PutFunction on_put_;
  const std::shared_ptr<Updates> updates_;
  std::atomic<AccessRights> rights_;

  mutable std::mutex mutex_;  // guards what follows, up to the watchers
  SamplePtr last_;
  SampleQueue untold_;
  bool is_noted_ = false;    // in Updates, from which the serving thread takes it before it tells
  bool is_watched_ = false;  // nobody else has to be told
  bool has_other_rights_ = false;
  bool is_removed_ = false;
  std::size_t monitors_ = 0;

  std::unordered_set<PvWatcher*> watchers_;
  std::deque<Put> puts_;

  ServedPv* previous_noted_ = nullptr;  // under the mutex of Updates
  ServedPv* next_noted_ = nullptr;
};

// Throws mothreads::Misuse for units that are too long to be sent.
void check_units(std::string_view name, std::string_view units);

}  // namespace catools::inline v0::internal
