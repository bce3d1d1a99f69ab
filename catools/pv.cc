#include "catools/pv.h"

#include "catools/internal/channel.h"
#include "catools/internal/context.h"
#include "catools/internal/monitor.h"
#include "mothreads/limit.h"

namespace catools::inline v0::internal {

Followed::Followed(std::string_view name, const PVOptions& options)
    : monitor_(open_monitor(name,
                            {.datatype = options.datatype, .format = options.format, .count = options.count, .events = options.events},
                            KeepLatest::yes)),
      subscription_(monitor_, false) {}

Value Followed::latest(const mothreads::Until& until) const {
  mothreads::Result<Value> value = monitor_->latest(mothreads::Limit(until));
  if (value) return *std::move(value);
  switch (value.why()) {
    case mothreads::Why::timed_out:
      Error(value.why(), Code::timed_out, name(), is_connected() ? "no first value came in time" : "no server answered in time").raise();
    case mothreads::Why::stopped: Error(value.why(), Code::timed_out, name(), "the wait for the first value was stopped").raise();
    default: Error(mothreads::Why::closed, Code::closed, name(), "the PV was closed before its first value came").raise();
  }
}

std::optional<Value> Followed::latest_now() const {
  mothreads::Result<Value> value = monitor_->latest(mothreads::Limit::now());
  if (!value) return std::nullopt;
  return *std::move(value);
}

mothreads::Result<Value> Followed::next(const mothreads::Until& until) { return subscription_.next(until); }
void Followed::reset() { monitor_->drop_waiting(); }
void Followed::close() { subscription_.close(); }
bool Followed::is_connected() const { return monitor_->channel()->look().is_connected; }

}  // namespace catools::inline v0::internal
