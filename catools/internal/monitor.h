#pragma once

// The side of a Subscription that libca calls, and the values that wait for the user.
//
//     a thread of libca: connected() makes libca's subscription, of the type that the variable has then
//                        on_value() puts the value in the queue, and wakes one that waits
//     the user's side:   next() takes it
//     any thread:        close()
//
// After a restart with another type the subscription is made anew; with the same type libca resumes it. Without `all_updates` at most one value and
// one notice wait: a later value takes the place of the one before, and counts it.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "catools/internal/wire.h"
#include "catools/value.h"
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
  Monitor(std::shared_ptr<Channel> channel, const MonitorPlan& plan)
      : channel_(std::move(channel)), plan_(plan), connect_limit_(mothreads::Until(plan.connect_limit)) {}
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

  // The function of a subscription runs in [begin_call(), end_call()], in the context that calls these. False when it is closed.
  bool begin_call() noexcept;
  void end_call() noexcept;
  // Until the function does not run, but from inside it.
  void await_call();

  // For the channel, in a Section.
  void connected(oldChannelNotify* channel, const Native& native) noexcept;
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
  struct Pending {
    Value value;
    bool is_notice;
  };

  static void on_value(event_handler_args args) noexcept;
  void subscribe(oldChannelNotify* channel, const Native& native) noexcept;
  void add(Value value, bool is_notice) noexcept;
  void merge(Value value, bool is_notice) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Value notice(Code code, std::string text) const;
  mothreads::Why park(mothreads::internal::Wait& wait, mothreads::Limit limit);

  const std::shared_ptr<Channel> channel_;
  const MonitorPlan plan_;

  mutable mothreads::internal::TinyMutex mutex_;
  bool is_closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool has_ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_subscribing_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<Native> newer_ ABSL_GUARDED_BY(mutex_);  // came while it was subscribing
  Subscribed subscribed_ ABSL_GUARDED_BY(mutex_);
  bool as_text_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<Monitor> keeps_ ABSL_GUARDED_BY(mutex_);  // while libca knows it
  std::deque<Pending> pending_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t updates_ ABSL_GUARDED_BY(mutex_) = 0;
  std::uint64_t dropped_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string last_error_ ABSL_GUARDED_BY(mutex_);
  mothreads::internal::WaitList waiters_ ABSL_GUARDED_BY(mutex_);

  // Until it has been connected, or the notice that it has not has come. A time alone.
  std::optional<mothreads::Limit> connect_limit_ ABSL_GUARDED_BY(mutex_);

  std::optional<Value> latest_ ABSL_GUARDED_BY(mutex_);
  mothreads::internal::WaitList latest_waiters_ ABSL_GUARDED_BY(mutex_);

  mothreads::internal::Context* caller_ ABSL_GUARDED_BY(mutex_) = nullptr;  // in the user's function
  mothreads::internal::WaitList call_waiters_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace catools::inline v0::internal
