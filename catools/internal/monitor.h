#pragma once

// The side of a Subscription that libca calls, and the values that wait for the user.
//
//     a thread of libca: connected() makes libca's subscription, of the type that the variable has then
//                        on_value() puts the value in the queue, and wakes one that waits, or the Delivery of its thread
//     the user's side:   next() takes it; next_call() does so for a function
//     any thread:        close()
//
// After a restart with another type the subscription is made anew; with the same type libca resumes it. Without `all_updates` at most one value and
// one notice wait: a later value takes the place of the one before, and counts it.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "catools/internal/wire.h"
#include "catools/value.h"
#include "mothreads/internal/base/linked_list.h"
#include "mothreads/internal/base/tiny_mutex.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/internal/wait/wait_list.h"
#include "mothreads/limit.h"
#include "mothreads/result.h"
#include "mothreads/until.h"

struct oldChannelNotify;
struct oldSubscription;
struct event_handler_args;

namespace catools::inline v0::internal {

class Channel;
class Delivery;

struct MonitorPlan {
  GetPlan get;
  unsigned events = 0;
  bool all_updates = false;
  bool notify_disconnect = false;
  bool keeps_latest = false;  // for latest()
  absl::Duration connect_limit = absl::InfiniteDuration();
  bool watches_channel = false;  // it asks for no value: a notice comes with each change of the channel
};

// For lists of subscriptions.
struct MonitorLook {
  std::uint64_t updates = 0;  // that came
  std::uint64_t dropped = 0;  // that a later one took the place of
  std::size_t waiting = 0;
  bool is_closed = false;
  std::string last_error;
};

class Monitor : public std::enable_shared_from_this<Monitor> {
 public:
  Monitor(std::shared_ptr<Channel> channel, const MonitorPlan& plan);
  ~Monitor();
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  const std::shared_ptr<Channel>& channel() const noexcept { return channel_; }
  MonitorLook look() const;
  bool watches_channel() const noexcept { return plan_.watches_channel; }

  // The oldest that waits.
  mothreads::Result<Value> next(mothreads::Limit limit);

  // The newest that came, whether it was taken or not; waits for the first.
  mothreads::Result<Value> latest(mothreads::Limit limit);
  std::optional<Value> latest_now() const;
  // Those that wait are as if they had been taken.
  void drop_waiting() noexcept;

  // No value comes any more, those that wait are dropped, and who waits is told. Once more changes nothing.
  void close() noexcept;
  bool is_closed() const noexcept;
  // Why the user's function was left.
  void note_error(std::string text) noexcept;

  // For a subscription with a function, whose fiber runs on the thread of the Delivery; before it is added to the channel.
  void deliver_by(std::shared_ptr<Delivery> delivery) noexcept { delivery_ = std::move(delivery); }
  // Ends the call that was, waits for the next update, and begins its call: the function runs until next_call() or end_call() is called again, in the
  // context that calls these. The update is valid until then. Null when it is closed.
  const Value* next_call();
  void end_call() noexcept;
  // Makes the one go on that waits for an update, if there is one. For the Delivery.
  void wake() noexcept;
  // Has the processor fetch what wake() and its fiber need: first of the monitor, then, when that is there, of the fiber.
  void prefetch() const noexcept;
  void prefetch_waiter() const noexcept;
  // Until the function does not run, but from inside it.
  void await_call();

  // For the channel, in a Section.
  void connected(const Connection& connection) noexcept;
  void disconnected() noexcept;
  void channel_changed() noexcept;  // also its rights, and at the beginning
  void refused(Code code, std::string text) noexcept;
  void ended() noexcept;  // libca's part is over
  void unsubscribe() noexcept;  // at the end of the context, in a thread that belongs to it

 private:
  struct Subscribed {
    oldSubscription* id = nullptr;
    long type = -1;
    unsigned long count = 0;
  };
  // An update is made, filled and freed outside the mutex, which covers its linking alone: a large value takes long.
  struct Update {
    explicit Update(Value its_value) : value(std::move(its_value)) {}
    Value value;
    bool is_notice = false;
    Update* previous = nullptr;
    Update* next = nullptr;
  };
  using Updates = mothreads::internal::LinkedList<Update, &Update::previous, &Update::next>;
  // Taken out of such a list all at once; frees them.
  struct Dropped {
    Update* first = nullptr;
    Dropped() = default;
    Dropped(const Dropped&) = delete;
    Dropped& operator=(const Dropped&) = delete;
    ~Dropped();
  };
  enum class Found : std::uint8_t { update, closed, nothing };

  static void on_value(event_handler_args args) noexcept;
  void subscribe(const Connection& connection) noexcept;
  void decode_and_add(const event_handler_args& args);
  std::unique_ptr<Update> blank();
  void add(std::unique_ptr<Update> update) noexcept;
  void add_notice(Value notice) noexcept;
  std::unique_ptr<Update> merge(Update& update) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Found take(std::unique_ptr<Update>& update, mothreads::internal::WaitNode* node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Found turn(mothreads::internal::WaitNode* node) noexcept;
  mothreads::internal::Claimed stop_calling() noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void leave(mothreads::internal::WaitNode& node) noexcept;
  void recycle(std::unique_ptr<Update> update) noexcept;
  Value notice(Code code, std::string text) const;
  mothreads::Why park(mothreads::internal::Wait& wait, mothreads::Limit limit);

  const std::shared_ptr<Channel> channel_;
  const MonitorPlan plan_;

  // Members that each update needs stand together: three lines of the cache. Another thread has each of the lines in between.
  alignas(64) mutable mothreads::internal::TinyMutex mutex_;
  const std::uint32_t kept_name_;  // the channel's
  bool is_closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool has_ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_at_delivery_ ABSL_GUARDED_BY(mutex_) = false;
  bool has_more_ = false;  // read by the fiber that runs the function: as it was when the fiber took its update
  // Both are written before libca calls with a value of that connection: libca's own locks order them, so relaxed.
  std::atomic<bool> as_text_{false};
  // relaxed: false when there is none any more; who sees true looks under the mutex.
  std::atomic<bool> may_wait_to_connect_;
  Updates pending_ ABSL_GUARDED_BY(mutex_);
  std::size_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;  // so many are pending
  std::uint64_t updates_ ABSL_GUARDED_BY(mutex_) = 0;
  mothreads::internal::WaitList waiters_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<Delivery> delivery_;
  mothreads::internal::Context* caller_ ABSL_GUARDED_BY(mutex_) = nullptr;  // in the user's function
  mothreads::internal::WaitList call_waiters_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Update> called_;  // belongs to the fiber that runs the function
  // An update that the function has had, for the next value. acq_rel: the thread that takes the update out sees it as it was put in.
  std::atomic<Update*> spare_{nullptr};
  std::atomic<std::size_t> element_count_{0};                 // as as_text_
  // The waiting fiber's place on its stack and its context; and the newest update. relaxed: only to be fetched early, they may be gone.
  std::atomic<const void*> waits_at_{nullptr};
  std::atomic<const void*> context_at_{nullptr};
  std::atomic<const void*> newest_at_{nullptr};
  mothreads::internal::WaitList latest_waiters_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const Value> latest_ ABSL_GUARDED_BY(mutex_);  // never changed

  bool is_subscribing_ ABSL_GUARDED_BY(mutex_) = false;
  std::uint64_t connection_ ABSL_GUARDED_BY(mutex_) = 0;     // the number of the newest that it has heard of
  std::optional<Connection> newer_ ABSL_GUARDED_BY(mutex_);  // came while it was subscribing
  Subscribed subscribed_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<Monitor> keeps_ ABSL_GUARDED_BY(mutex_);  // while libca knows it
  std::uint64_t dropped_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string last_error_ ABSL_GUARDED_BY(mutex_);
  // Until it has been connected, or the notice that it has not has come. A time alone.
  std::optional<mothreads::Limit> connect_limit_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace catools::inline v0::internal
