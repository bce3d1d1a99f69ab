#include "catools/internal/monitor.h"

#include <cadef.h>

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "catools/internal/channel.h"
#include "catools/internal/context.h"
#include "catools/internal/delivery.h"
#include "mothreads/foreign_thread.h"
#include "mothreads/internal/wait/wait.h"

namespace catools::inline v0::internal {

using mothreads::Result;
using mothreads::Why;
using mothreads::internal::TinyLock;
using mothreads::internal::Wait;
using mothreads::internal::WaitNode;

Monitor::Monitor(std::shared_ptr<Channel> channel, const MonitorPlan& plan)
    : channel_(std::move(channel)),
      plan_(plan),
      kept_name_(channel_->kept_name()),
      may_wait_to_connect_(plan.connect_limit != absl::InfiniteDuration()),
      connect_limit_(mothreads::Until(plan.connect_limit)) {}

Monitor::~Monitor() {
  // relaxed: nobody else has any of it any more.
  delete spare_.load(std::memory_order_relaxed);
  Dropped left;
  const TinyLock lock(mutex_);
  left.first = pending_.take_all();
}

Monitor::Dropped::~Dropped() {
  while (first != nullptr) delete std::exchange(first, first->next);
}

// --- with libca ------------------------------------------------------------------------------------------------------------------------

void Monitor::connected(const Connection& connection) noexcept {
  if (plan_.watches_channel) return channel_changed();
  std::optional<Connection> next = connection;
  {
    const TinyLock lock(mutex_);
    // Two threads may tell: the one that adds this to its channel, and libca's. The one with older news may come later.
    if (connection.number <= connection_) return;
    connection_ = connection.number;
    connect_limit_.reset();
    may_wait_to_connect_.store(false, std::memory_order_relaxed);
    if (is_subscribing_) {
      newer_ = connection;  // the other thread goes on with it
      return;
    }
    is_subscribing_ = true;
  }
  while (next) {
    subscribe(*next);
    const TinyLock lock(mutex_);
    next = std::exchange(newer_, std::nullopt);
    if (!next) is_subscribing_ = false;
  }
}

// One at a time. No lock is held where libca may wait for a callback.
void Monitor::subscribe(const Connection& connection) noexcept {
  const Asked asked = asked_for(plan_.get, connection.native, *channel_->name());
  element_count_.store(connection.native.element_count, std::memory_order_relaxed);
  Subscribed before;
  {
    const TinyLock lock(mutex_);
    if (is_closed_ || has_ended_) return;
    // libca resumes it by itself.
    if (subscribed_.id != nullptr && subscribed_.type == asked.type && subscribed_.count == asked.count &&
        as_text_.load(std::memory_order_relaxed) == asked.as_text) {
      return;
    }
    before = std::exchange(subscribed_, {});
    as_text_.store(asked.as_text, std::memory_order_relaxed);
    keeps_ = shared_from_this();
  }
  if (before.id != nullptr) ca_clear_subscription(before.id);
  Subscribed now{.id = nullptr, .type = asked.type, .count = asked.count};
  const int status = ca_create_subscription(asked.type, asked.count, connection.id, plan_.events, on_value, this, &now.id);
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
    } else {
      monitor.decode_and_add(args);
    }
  } catch (...) {
    monitor.refused(Code::no_memory, {});
  }
}

void Monitor::decode_and_add(const event_handler_args& args) {
  std::unique_ptr<Update> update = blank();
  // relaxed, both: see there.
  const std::size_t element_count = element_count_.load(std::memory_order_relaxed);
  decode(update->value.parts(), element_count, as_text_.load(std::memory_order_relaxed), args.type, args.count, args.dbr);
  add(std::move(update));
}

void Monitor::channel_changed() noexcept {
  if (plan_.watches_channel) add_notice(notice(Code::normal, {}));
}

void Monitor::disconnected() noexcept {
  channel_changed();
  if (plan_.notify_disconnect) add_notice(notice(Code::disconnected, text_of(Code::disconnected)));
}

void Monitor::refused(Code code, std::string text) noexcept {
  {
    std::string copy = text;
    const TinyLock lock(mutex_);
    last_error_.swap(copy);
  }
  add_notice(notice(code, std::move(text)));
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

// For a value: one that the function has had, or a new one.
std::unique_ptr<Monitor::Update> Monitor::blank() {
  std::unique_ptr<Update> update(spare_.exchange(nullptr, std::memory_order_acq_rel));
  if (update == nullptr) {
    ValueParts parts;
    parts.name = channel_->name();
    return std::make_unique<Update>(Value(std::move(parts)));
  }
  ValueParts& parts = update->value.parts();
  parts.severity.reset();
  parts.condition = Condition::none;
  parts.time.reset();
  parts.control.reset();
  parts.acknowledgement.reset();
  parts.update_count = 1;
  return update;
}

void Monitor::recycle(std::unique_ptr<Update> update) noexcept {
  // A notice has more, and a large value would keep its memory.
  if (update == nullptr || update->is_notice || update->value.is_array()) return;
  delete spare_.exchange(update.release(), std::memory_order_acq_rel);
}

void Monitor::add_notice(Value notice) noexcept {
  auto update = std::make_unique<Update>(std::move(notice));
  update->is_notice = true;
  add(std::move(update));
}

void Monitor::add(std::unique_ptr<Update> update) noexcept {
  std::shared_ptr<const Value> latest;  // afterwards the one before: both go outside the lock
  if (plan_.keeps_latest && !update->is_notice) latest = std::make_shared<const Value>(update->value);
  std::unique_ptr<Update> merged;
  WaitNode* waiter = nullptr;
  mothreads::internal::Claimed waiting;
  {
    const TinyLock lock(mutex_);
    if (is_closed_) return;
    ++updates_;
    if (latest != nullptr) {
      latest_.swap(latest);
      waiting = latest_waiters_.take_claimed();
    }
    if (!plan_.all_updates) merged = merge(*update);
    newest_at_.store(update.get(), std::memory_order_relaxed);
    pending_.push_back(*update.release());
    ++waiting_;
    if (delivery_ == nullptr) {
      waiter = waiters_.claim_front();
    } else if (!waiters_.is_empty() && !is_at_delivery_) {
      is_at_delivery_ = delivery_->add(*this, waiter);
      if (!is_at_delivery_) waiter = waiters_.claim_front();
    }
  }
  if (waiter != nullptr) waiter->finish(Why::ready);
  waiting.finish_all(Why::ready);
}

void Monitor::wake() noexcept {
  WaitNode* waiter = nullptr;
  {
    const TinyLock lock(mutex_);
    is_at_delivery_ = false;
    waiter = waiters_.claim_front();
  }
  if (waiter != nullptr) waiter->finish(Why::ready);
}

void Monitor::prefetch() const noexcept {
  const char* const hot = reinterpret_cast<const char*>(&mutex_);
  for (int line = 0; line < 3; ++line) __builtin_prefetch(hot + 64 * line, 1);
}

void Monitor::prefetch_waiter() const noexcept {
  const char* const node = static_cast<const char*>(waits_at_.load(std::memory_order_relaxed));
  if (node == nullptr) return;
  const char* const update = static_cast<const char*>(newest_at_.load(std::memory_order_relaxed));
  for (int line = 0; line < 2; ++line) __builtin_prefetch(update + 64 * line, 1);
  const char* const context = static_cast<const char*>(context_at_.load(std::memory_order_relaxed));
  for (int line = 0; line < 3; ++line) __builtin_prefetch(context + 64 * line, 1);
  // Below it is the frame that the switch returns to.
  for (int line = -4; line < 3; ++line) __builtin_prefetch(node + 64 * line, 1);
}

// Takes out the one whose place it takes: a notice never takes that of a value, nor a value that of a notice. The newest entry stands last.
std::unique_ptr<Monitor::Update> Monitor::merge(Update& update) {
  for (Update* one = pending_.first(); one != nullptr; one = pending_.after(*one)) {
    if (one->is_notice != update.is_notice) continue;
    ++dropped_;
    --waiting_;
    update.value.count_merged(one->value.update_count());
    pending_.take_out(*one);
    return std::unique_ptr<Update>(one);
  }
  return nullptr;
}

// Where there is nothing yet the node, if any, waits for it.
Monitor::Found Monitor::take(std::unique_ptr<Update>& update, WaitNode* node) {
  if (is_closed_) return Found::closed;
  if (!pending_.is_empty()) {
    update.reset(pending_.take_first());
    --waiting_;
    return Found::update;
  }
  if (has_ended_) return Found::closed;
  if (node != nullptr) waiters_.push_back(*node);
  return Found::nothing;
}

// After a wait whose node has not won.
void Monitor::leave(WaitNode& node) noexcept {
  const TinyLock lock(mutex_);
  waiters_.remove(node);
}

Result<Value> Monitor::next(mothreads::Limit limit) {
  mothreads::internal::Context::spend_act();
  std::unique_ptr<Update> update;
  Found found = Found::nothing;
  {
    const TinyLock lock(mutex_);
    found = take(update, nullptr);
  }
  while (found == Found::nothing) {
    Wait wait({.verb = "waits for the next update of", .kept_name = kept_name_});
    WaitNode node(wait, Why::ready);
    {
      const TinyLock lock(mutex_);
      found = take(update, &node);
    }
    if (found != Found::nothing) break;
    const absl::Cleanup unlink = [&] {
      if (!node.has_won()) leave(node);
    };
    const Why why = park(wait, limit);
    if (why != Why::ready) return Result<Value>(why, *channel_->name());
    // Another may have been quicker: then this one waits on.
    const TinyLock lock(mutex_);
    found = take(update, nullptr);
  }
  if (found == Found::closed) return Result<Value>(Why::closed, *channel_->name());
  return Result<Value>(std::in_place, std::move(update->value));
}

// For a value, or for the end of the time to connect, whose notice is there then.
Why Monitor::park(Wait& wait, mothreads::Limit limit) {
  if (!may_wait_to_connect_.load(std::memory_order_relaxed)) return wait.park(limit);
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
    may_wait_to_connect_.store(false, std::memory_order_relaxed);
  }
  add_notice(notice(Code::disconnected, "no server answered in time"));
  return Why::ready;
}

Result<Value> Monitor::latest(mothreads::Limit limit) {
  mothreads::internal::Context::spend_act();
  for (;;) {
    Wait wait({.verb = "waits for the first value of", .kept_name = kept_name_});
    WaitNode node(wait, Why::ready);
    std::shared_ptr<const Value> latest;
    {
      const TinyLock lock(mutex_);
      latest = latest_;
      if (latest == nullptr) {
        if (is_closed_ || has_ended_) return Result<Value>(Why::closed, *channel_->name());
        latest_waiters_.push_back(node);
      }
    }
    if (latest != nullptr) return Result<Value>(std::in_place, *latest);
    absl::Cleanup unlink = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      const TinyLock lock(mutex_);
      latest_waiters_.remove(node);
    };
    const Why why = wait.park(limit);
    if (why != Why::ready) return Result<Value>(why, *channel_->name());
  }
}

std::optional<Value> Monitor::latest_now() const {
  std::shared_ptr<const Value> latest;
  {
    const TinyLock lock(mutex_);
    latest = latest_;
  }
  return latest == nullptr ? std::nullopt : std::optional<Value>(*latest);
}

void Monitor::drop_waiting() noexcept {
  Dropped dropped;  // outside the lock
  const TinyLock lock(mutex_);
  dropped.first = pending_.take_all();
  waiting_ = 0;
}

// --- the user's side -------------------------------------------------------------------------------------------------------------------

MonitorLook Monitor::look() const {
  const TinyLock lock(mutex_);
  return {.updates = updates_, .dropped = dropped_, .waiting = waiting_, .is_closed = is_closed_, .last_error = last_error_};
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
  Dropped dropped;
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
    dropped.first = pending_.take_all();
    waiting_ = 0;
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

mothreads::internal::Claimed Monitor::stop_calling() noexcept {
  caller_ = nullptr;
  return call_waiters_.is_empty() ? mothreads::internal::Claimed() : call_waiters_.take_claimed();
}

// Ends the call that was, and begins that of the update that it finds.
Monitor::Found Monitor::turn(WaitNode* node) noexcept {
  mothreads::internal::Claimed waiting;
  Found found = Found::nothing;
  {
    const TinyLock lock(mutex_);
    waiting = stop_calling();
    found = take(called_, node);
    if (found == Found::update) {
      caller_ = &mothreads::internal::Context::current();
      has_more_ = !pending_.is_empty();
    }
  }
  waiting.finish_all(Why::ready);
  return found;
}

const Value* Monitor::next_call() {
  mothreads::internal::Context::spend_act();
  recycle(std::move(called_));
  Found found = std::exchange(has_more_, false) ? turn(nullptr) : Found::nothing;
  while (found == Found::nothing) {
    Wait wait({.verb = "waits for the next update of", .kept_name = kept_name_});
    WaitNode node(wait, Why::ready);
    waits_at_.store(&node, std::memory_order_relaxed);
    context_at_.store(&wait.context(), std::memory_order_relaxed);
    found = turn(&node);
    if (found != Found::nothing) break;
    const absl::Cleanup unlink = [&] {
      if (!node.has_won()) leave(node);
    };
    static_cast<void>(park(wait, {}));
    found = turn(nullptr);
  }
  return found == Found::update ? &called_->value : nullptr;
}

void Monitor::end_call() noexcept {
  mothreads::internal::Claimed waiting;
  {
    const TinyLock lock(mutex_);
    waiting = stop_calling();
  }
  waiting.finish_all(Why::ready);
}

void Monitor::await_call() {
  {
    const TinyLock lock(mutex_);
    if (caller_ == nullptr || caller_ == &mothreads::internal::Context::current()) return;
  }
  Wait wait({.verb = "waits for the end of the function that is called with the updates of", .kept_name = kept_name_});
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
