#include "catools/pv.h"

#include <fmt/core.h>

#include "catools/internal/channel.h"
#include "catools/internal/context.h"
#include "catools/internal/monitor.h"
#include "mothreads/limit.h"
#include "mothreads/misuse.h"

namespace catools::inline v0::internal {

void check_function(std::string_view name, bool is_there) {
  if (!is_there) throw mothreads::Misuse(fmt::format("the PV of \"{}\" got an empty function: leave it out", name));
}

Followed::Followed(std::string_view name, const PVOptions& options)
    : monitor_(monitor_of(name, {.datatype = options.datatype, .format = options.format, .count = options.count, .events = options.events},
                          KeepLatest::yes)) {}

Subscription Followed::begin() const { return open(monitor_); }
Subscription Followed::begin(absl::AnyInvocable<void(const Value&)> function) const {
  return open(monitor_, fmt::format("updates of {}", name()), std::move(function));
}

Value Followed::latest(const mothreads::Until& until) const {
  mothreads::Result<Value> value = is_left_behind() ? mothreads::Result<Value>(mothreads::Why::closed) : monitor_->latest(mothreads::Limit(until));
  if (value) return *std::move(value);
  switch (value.why()) {
    case mothreads::Why::timed_out:
      Error(value.why(), Code::timed_out, name(), is_connected() ? "no first value came in time" : "no server answered in time").raise();
    case mothreads::Why::stopped: Error(value.why(), Code::timed_out, name(), "the wait for the first value was stopped").raise();
    default: Error(mothreads::Why::closed, Code::closed, name(), "the PV was closed before its first value came").raise();
  }
}

std::optional<Value> Followed::latest_now() const {
  if (is_left_behind()) return std::nullopt;
  return monitor_->latest_now();
}

// In a child of fork(): a thread of the parent may have been inside.
bool Followed::is_left_behind() const { return monitor_->channel()->context().is_left_behind(); }
void Followed::reset() const {
  if (!is_left_behind()) monitor_->drop_waiting();
}
void Followed::close() const {
  if (!is_left_behind()) monitor_->close();
}
const std::string& Followed::name() const { return *monitor_->channel()->name(); }
bool Followed::is_connected() const { return !is_left_behind() && monitor_->channel()->look().is_connected; }

}  // namespace catools::inline v0::internal
