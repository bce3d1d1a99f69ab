#include "catools/internal/monitor.h"

#include <cadef.h>

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "catools/internal/channel.h"
#include "catools/internal/context.h"
#include "mothreads/foreign_thread.h"
#include "mothreads/internal/wait/wait.h"

namespace catools::inline v0::internal {

using mothreads::Result;
using mothreads::Why;
using mothreads::internal::TinyLock;
using mothreads::internal::Wait;
using mothreads::internal::WaitNode;

// --- with libca ------------------------------------------------------------------------------------------------------------------------

void Monitor::connected(oldChannelNotify* channel, const Native& native) noexcept {
  if (plan_.watches_channel) return channel_changed();
  std::optional<Native> next = native;
  {
    const TinyLock lock(mutex_);
    connect_limit_.reset();
    if (is_subscribing_) {
      newer_ = native;  // the other thread goes on with it
      return;
    }
    is_subscribing_ = true;
  }
  while (next) {
    subscribe(channel, *next);
    const TinyLock lock(mutex_);
    next = std::exchange(newer_, std::nullopt);
    if (!next) is_subscribing_ = false;
  }
}

// One at a time. No lock is held where libca may wait for a callback.
void Monitor::subscribe(oldChannelNotify* channel, const Native& native) noexcept {
  const Asked asked = asked_for(plan_.get, native, *channel_->name());
  Subscribed before;
  {
    const TinyLock lock(mutex_);
    if (is_closed_ || has_ended_) return;
    // libca resumes it by itself.
    if (subscribed_.id != nullptr && subscribed_.type == asked.type && subscribed_.count == asked.count && as_text_ == asked.as_text) return;
    before = std::exchange(subscribed_, {});
    as_text_ = asked.as_text;
    keeps_ = shared_from_this();
  }
  if (before.id != nullptr) ca_clear_subscription(before.id);
  Subscribed now{.id = nullptr, .type = asked.type, .count = asked.count};
  const int status = ca_create_subscription(asked.type, asked.count, channel, plan_.events, on_value, this, &now.id);
  std::shared_ptr<Monitor> kept;
  bool is_too_late = false;
  {
    const TinyLock lock(mutex_);
    is_too_late = is_closed_;
    if (is_too_late || status != ECA_NORMAL) kept = std::move(keeps_);
    if (!is_too_late && status == ECA_NORMAL) subscribed_ = now;
  }
  if (is_too_late && status == ECA_NORMAL) ca_clear_subscription(now.id);
  // The connection was lost meanwhile: the next connection makes another subscription.
  if (status != ECA_NORMAL && status != ECA_DISCONN) refused(static_cast<Code>(status), text_of(static_cast<Code>(status)));
}

void Monitor::on_value(event_handler_args args) noexcept {
  const mothreads::ForeignThread here(kThreadName);
  auto& monitor = *static_cast<Monitor*>(args.usr);
  try {
    if (args.status != ECA_NORMAL || args.dbr == nullptr) {
      const Code code = args.status == ECA_NORMAL ? Code::get_failed : static_cast<Code>(args.status);
      monitor.refused(code, text_of(code));
      return;
    }
    bool as_text = false;
    {
      const TinyLock lock(monitor.mutex_);
      if (monitor.is_closed_) return;
      as_text = monitor.as_text_;
    }
    monitor.add(Value(decode(monitor.channel_->name(), ca_element_count(args.chid), as_text, args.type, args.count, args.dbr)), false);
  } catch (...) {
    monitor.refused(Code::no_memory, {});
  }
}

void Monitor::channel_changed() noexcept {
  if (plan_.watches_channel) add(notice(Code::normal, {}), true);
}

void Monitor::disconnected() noexcept {
  channel_changed();
  if (plan_.notify_disconnect) add(notice(Code::disconnected, text_of(Code::disconnected)), true);
}

void Monitor::refused(Code code, std::string text) noexcept {
  {
    std::string copy = text;
    const TinyLock lock(mutex_);
    last_error_.swap(copy);
  }
  add(notice(code, std::move(text)), true);
}

void Monitor::ended() noexcept {
  mothreads::internal::Claimed waiting;
  {
    const TinyLock lock(mutex_);
    has_ended_ = true;
    waiting = waiters_.take_claimed();
    mothreads::internal::Claimed others = latest_waiters_.take_claimed();
    waiting = std::move(others);  // adds them
  }
  waiting.finish_all(Why::closed);
}

void Monitor::unsubscribe() noexcept {
  Subscribed before;
  std::shared_ptr<Monitor> kept;
  {
    const TinyLock lock(mutex_);
    before = std::exchange(subscribed_, {});
    kept = std::move(keeps_);
  }
  if (before.id != nullptr) ca_clear_subscription(before.id);
}

Value Monitor::notice(Code code, std::string text) const {
  ValueParts parts;
  parts.name = channel_->name();
  parts.code = code;
  parts.text = std::move(text);
  return Value(std::move(parts));
}

// --- the queue -------------------------------------------------------------------------------------------------------------------------

void Monitor::add(Value value, bool is_notice) noexcept {
  WaitNode* waiter = nullptr;
  mothreads::internal::Claimed waiting;
  {
    const TinyLock lock(mutex_);
    if (is_closed_) return;
    ++updates_;
    if (plan_.keeps_latest && !is_notice) {
      latest_ = value;
      waiting = latest_waiters_.take_claimed();
    }
    if (plan_.all_updates) {
      pending_.push_back({std::move(value), is_notice});
    } else {
      merge(std::move(value), is_notice);
    }
    waiter = waiters_.claim_front();
  }
  if (waiter != nullptr) waiter->finish(Why::ready);
  waiting.finish_all(Why::ready);
}

// The newest entry stands last. A notice never takes the place of a value, nor a value that of a notice.
void Monitor::merge(Value value, bool is_notice) {
  const auto same = std::find_if(pending_.begin(), pending_.end(), [&](const Pending& one) { return one.is_notice == is_notice; });
  if (same != pending_.end()) {
    ++dropped_;
    value.count_merged(same->value.update_count());
    pending_.erase(same);
  }
  pending_.push_back({std::move(value), is_notice});
}

Result<Value> Monitor::next(mothreads::Limit limit) {
  mothreads::internal::Context::spend_act();
  for (;;) {
    Wait wait({.verb = "waits for the next update of", .kept_name = channel_->kept_name()});
    WaitNode node(wait, Why::ready);
    {
      const TinyLock lock(mutex_);
      if (!pending_.empty() && !is_closed_) {
        Result<Value> taken(std::in_place, std::move(pending_.front().value));
        pending_.pop_front();
        return taken;
      }
      if (is_closed_ || has_ended_) return Result<Value>(Why::closed, *channel_->name());
      waiters_.push_back(node);
    }
    absl::Cleanup unlink = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      const TinyLock lock(mutex_);
      waiters_.remove(node);
    };
    const Why why = park(wait, limit);
    if (why != Why::ready) return Result<Value>(why, *channel_->name());
    // Another may have been quicker: then this one waits on.
  }
}

// For a value, or for the end of the time to connect, whose notice is there then.
Why Monitor::park(Wait& wait, mothreads::Limit limit) {
  std::optional<mothreads::Limit> to_connect;
  {
    const TinyLock lock(mutex_);
    to_connect = connect_limit_;
  }
  if (!to_connect || !to_connect->time()) return wait.park(limit);
  const Why why = wait.park(limit.sooner(*to_connect->time()));
  if (why != Why::timed_out || !to_connect->has_come()) return why;
  {
    const TinyLock lock(mutex_);
    if (!connect_limit_) return limit.has_come() ? why : Why::ready;  // connected meanwhile, or another has told it
    connect_limit_.reset();
  }
  add(notice(Code::disconnected, "no server answered in time"), true);
  return Why::ready;
}

Result<Value> Monitor::latest(mothreads::Limit limit) {
  mothreads::internal::Context::spend_act();
  for (;;) {
    Wait wait({.verb = "waits for the first value of", .kept_name = channel_->kept_name()});
    WaitNode node(wait, Why::ready);
    {
      const TinyLock lock(mutex_);
      if (latest_) return Result<Value>(std::in_place, *latest_);
      if (is_closed_ || has_ended_) return Result<Value>(Why::closed, *channel_->name());
      latest_waiters_.push_back(node);
    }
    absl::Cleanup unlink = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      const TinyLock lock(mutex_);
      latest_waiters_.remove(node);
    };
    const Why why = wait.park(limit);
    if (why != Why::ready) return Result<Value>(why, *channel_->name());
  }
}

std::optional<Value> Monitor::latest_now() const {
  const TinyLock lock(mutex_);
  return latest_;
}

void Monitor::drop_waiting() noexcept {
  std::deque<Pending> dropped;  // goes outside the lock
  const TinyLock lock(mutex_);
  dropped.swap(pending_);
}

// --- the user's side -------------------------------------------------------------------------------------------------------------------

MonitorLook Monitor::look() const {
  const TinyLock lock(mutex_);
  return {.updates = updates_, .dropped = dropped_, .waiting = pending_.size(), .is_closed = is_closed_, .last_error = last_error_};
}

bool Monitor::is_closed() const noexcept {
  const TinyLock lock(mutex_);
  return is_closed_;
}

void Monitor::note_error(std::string text) noexcept {
  const TinyLock lock(mutex_);
  last_error_.swap(text);
}

void Monitor::close() noexcept {
  mothreads::internal::Claimed waiting;
  std::deque<Pending> dropped;
  Subscribed before;
  std::shared_ptr<Monitor> kept;
  // Without one libca may call this monitor until Context has cleared its channel: it stays there, and keeps itself.
  Section section(channel_->context());
  {
    const TinyLock lock(mutex_);
    if (is_closed_) return;
    is_closed_ = true;
    if (section) {
      before = std::exchange(subscribed_, {});
      if (before.id != nullptr) kept = std::move(keeps_);  // else whoever is subscribing lets go
    }
    dropped.swap(pending_);
    waiting = waiters_.take_claimed();
    mothreads::internal::Claimed others = latest_waiters_.take_claimed();
    waiting = std::move(others);  // adds them
  }
  waiting.finish_all(Why::closed);
  if (!section) return;
  // Waits for a callback that runs, which then finds it closed.
  if (before.id != nullptr) ca_clear_subscription(before.id);
  section.flush();
  channel_->remove(*this);
}

bool Monitor::begin_call() noexcept {
  const TinyLock lock(mutex_);
  if (is_closed_) return false;
  caller_ = &mothreads::internal::Context::current();
  return true;
}

void Monitor::end_call() noexcept {
  mothreads::internal::Claimed waiting;
  {
    const TinyLock lock(mutex_);
    caller_ = nullptr;
    waiting = call_waiters_.take_claimed();
  }
  waiting.finish_all(Why::ready);
}

void Monitor::await_call() {
  {
    const TinyLock lock(mutex_);
    if (caller_ == nullptr || caller_ == &mothreads::internal::Context::current()) return;
  }
  Wait wait({.verb = "waits for the end of the function that is called with the updates of", .kept_name = channel_->kept_name()});
  WaitNode node(wait, Why::ready);
  {
    const TinyLock lock(mutex_);
    if (caller_ == nullptr) return;
    call_waiters_.push_back(node);
  }
  absl::Cleanup unlink = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    const TinyLock lock(mutex_);
    call_waiters_.remove(node);
  };
  static_cast<void>(wait.park({}));
}

}  // namespace catools::inline v0::internal
