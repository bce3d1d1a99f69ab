#include "catools/camonitor.h"

#include <cxxabi.h>

#include <fmt/core.h>

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "catools/internal/channel.h"
#include "catools/internal/context.h"
#include "catools/internal/delivery.h"
#include "catools/internal/monitor.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/limit.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"

namespace catools::inline v0 {
namespace {

using internal::Delivery;
using internal::Monitor;

unsigned events_of(const MonitorOptions& options) {
  if (options.events) return static_cast<unsigned>(*options.events);
  Events events = Events::value;
  if (options.format != Format::raw) events = events | Events::alarm;
  if (options.format == Format::control) events = events | Events::property;
  return static_cast<unsigned>(events);
}

void report(Monitor& monitor, const std::string& what) {
  mothreads::log::error("{}: the function of a subscription threw, and closes it: {}", *monitor.channel()->name(), what);
  monitor.note_error(what);
}

void call(Monitor& monitor, absl::AnyInvocable<void(const Value&)>& function, const Value& value) {
  try {
    function(value);
    return;
  } catch (const cooperative::FiberCancelled&) {
    throw;
  } catch (abi::__forced_unwind&) {  // pthread_exit()
    throw;
  } catch (const std::exception& error) {
    report(monitor, error.what());
  } catch (...) {
    report(monitor, "something that is no std::exception");
  }
  monitor.close();
}

void follow(const std::shared_ptr<Monitor>& monitor, const std::shared_ptr<Delivery>& delivery, absl::AnyInvocable<void(const Value&)> function) {
  // However the fiber ends: a subscription that nobody follows would gather values.
  const absl::Cleanup close = [&] {
    monitor->end_call();
    monitor->close();
    delivery->leave(*monitor);
  };
  while (const Value* const value = monitor->next_call()) call(*monitor, function, *value);
}

// The delivery of this thread. Its fiber belongs to the scheduler, as the fibers of the functions do.
std::shared_ptr<Delivery> delivery_here() {
  std::shared_ptr<Delivery> delivery = Delivery::here();
  if (delivery != nullptr) return delivery;
  delivery = Delivery::make();
  const cooperative::FiberOptions options{.name = "updates of Channel Access", .parent = cooperative::FiberParent::root()};
  cooperative::spawn(options, [delivery] { delivery->run(cooperative::yield); }).release();
  return delivery;
}

SubscriptionInfo info_of(const Monitor& monitor) {
  internal::MonitorLook look = monitor.look();
  return {.name = *monitor.channel()->name(),
          .is_closed = look.is_closed,
          .updates = look.updates,
          .dropped = look.dropped,
          .waiting = look.waiting,
          .last_error = std::move(look.last_error)};
}

}  // namespace

Subscription::Subscription() noexcept = default;
Subscription::Subscription(std::shared_ptr<Monitor> monitor, bool has_function) noexcept
    : monitor_(std::move(monitor)), has_function_(has_function) {}
Subscription::Subscription(Subscription&& other) noexcept : monitor_(std::move(other.monitor_)), has_function_(other.has_function_) {}

Subscription& Subscription::operator=(Subscription&& other) {
  if (this == &other) return *this;
  close();
  monitor_ = std::move(other.monitor_);
  has_function_ = other.has_function_;
  return *this;
}

Subscription::~Subscription() {
  if (monitor_ == nullptr) return;
  const mothreads::internal::NoUnwind no_unwind;
  close();
}

mothreads::Result<Value> Subscription::next(const mothreads::Until& until) {
  if (monitor_ == nullptr) return mothreads::Why::closed;
  if (has_function_) {
    throw mothreads::Misuse("next() of the subscription to " + name() + ", whose values go to its function: call camonitor() without one");
  }
  const std::shared_ptr<Monitor> monitor = monitor_;  // the handle may go meanwhile
  if (monitor->channel()->context().is_left_behind()) return mothreads::Why::closed;  // a thread of the parent may have been inside
  return monitor->next(mothreads::Limit(until));
}

void Subscription::close() {
  const std::shared_ptr<Monitor> monitor = monitor_;
  if (monitor == nullptr || monitor->channel()->context().is_left_behind()) return;
  monitor->close();
  if (has_function_) monitor->await_call();
}

bool Subscription::is_closed() const {
  return monitor_ == nullptr || monitor_->channel()->context().is_left_behind() || monitor_->is_closed();
}
std::string Subscription::name() const { return monitor_ == nullptr ? std::string() : *monitor_->channel()->name(); }
SubscriptionInfo Subscription::info() const {
  // In a child of fork() a thread of the parent may have been inside.
  if (monitor_ == nullptr || monitor_->channel()->context().is_left_behind()) return {.name = name(), .is_closed = true};
  return info_of(*monitor_);
}

std::shared_ptr<Monitor> internal::monitor_of(std::string_view name, const MonitorOptions& options, KeepLatest keep_latest) {
  const MonitorPlan plan{
      .get = {.datatype = options.datatype, .format = options.format, .count = options.count},
      .events = events_of(options),
      .all_updates = options.all_updates,
      .notify_disconnect = options.notify_disconnect,
      .keeps_latest = keep_latest == KeepLatest::yes,
      .connect_limit = options.connect_limit,
  };
  return std::make_shared<Monitor>(Context::current(name).channel(name), plan);
}

Subscription internal::open(std::shared_ptr<Monitor> monitor) {
  monitor->channel()->add(monitor);
  return Subscription(std::move(monitor), false);
}

Subscription internal::open(std::shared_ptr<Monitor> monitor, std::string_view fiber_name, absl::AnyInvocable<void(const Value&)> function) {
  const std::shared_ptr<Delivery> delivery = delivery_here();
  monitor->deliver_by(delivery);
  delivery->enter();
  absl::Cleanup leave = [&] { delivery->leave(*monitor); };
  // The handle owns it, and may outlive the fiber that makes it, and that one's group.
  const cooperative::FiberOptions options{.name = std::string(fiber_name), .parent = cooperative::FiberParent::root()};
  cooperative::spawn(options, follow, monitor, delivery, std::move(function)).release();
  std::move(leave).Cancel();
  monitor->channel()->add(monitor);
  return Subscription(std::move(monitor), true);
}

Subscription camonitor(std::string_view name, const MonitorOptions& options) {
  return internal::open(internal::monitor_of(name, options, internal::KeepLatest::no));
}

Subscription camonitor(std::string_view name, absl::AnyInvocable<void(const Value&)> function, const MonitorOptions& options) {
  if (!function) throw mothreads::Misuse(fmt::format("camonitor(\"{}\") got an empty function: leave it out for a queue", name));
  return internal::open(internal::monitor_of(name, options, internal::KeepLatest::no), fmt::format("monitor of {}", name), std::move(function));
}

std::vector<SubscriptionInfo> subscriptions() {
  std::vector<SubscriptionInfo> all;
  for (const auto& channel : internal::Context::current("").channels()) {
    for (const std::shared_ptr<Monitor>& monitor : channel->monitors()) {
      if (!monitor->watches_channel()) all.push_back(info_of(*monitor));
    }
  }
  std::sort(all.begin(), all.end(), [](const SubscriptionInfo& a, const SubscriptionInfo& b) { return a.name < b.name; });
  return all;
}

}  // namespace catools::inline v0
