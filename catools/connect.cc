#include "catools/connect.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <utility>

#include "catools/internal/channel.h"
#include "catools/internal/context.h"
#include "catools/internal/monitor.h"
#include "catools/internal/run_batch.h"
#include "mothreads/misuse.h"

namespace catools::inline v0 {
namespace {

Info info_of(const internal::Channel& channel) {
  const internal::ChannelLook look = channel.look();
  Info info{.name = *channel.name()};
  info.state = look.is_connected ? ChannelState::connected : look.was_connected ? ChannelState::previously_connected : ChannelState::never_connected;
  info.host = look.host;
  info.since = look.since;
  info.subscriptions = look.subscriptions;
  info.last_error = look.last_error;
  if (!look.is_connected) return info;
  info.type = static_cast<Type>(look.native.type);
  info.element_count = look.native.element_count;
  info.may_read = look.may_read;
  info.may_write = look.may_write;
  return info;
}

// Whether a ConnectionWatch tells of a change from one to the other.
bool differ(const Info& a, const Info& b) {
  return a.state != b.state || a.since != b.since || a.may_read != b.may_read || a.may_write != b.may_write;
}

}  // namespace

std::string_view to_string(ChannelState state) noexcept {
  constexpr std::array<std::string_view, 3> kStates = {"never connected", "previously connected", "connected"};
  const auto number = static_cast<std::size_t>(state);
  return number < kStates.size() ? kStates[number] : "unknown";
}

std::string to_string(const Info& info) {
  std::string text = fmt::format("{}:\n    State: {}\n    Host: {}\n", info.name, to_string(info.state),
                                 info.state == ChannelState::connected ? std::string_view(info.host) : "<disconnected>");
  if (info.state != ChannelState::connected || !info.type) return text;
  return text + fmt::format("    Access: {}, {}\n    Data type: {}\n    Count: {}\n", info.may_read ? "read" : "no read",
                            info.may_write ? "write" : "no write", to_string(*info.type), info.element_count);
}

namespace internal {

std::vector<Reply<Info>> connect_each(std::span<const std::string_view> names, const mothreads::Until& until) {
  const RanBatch ran = run_batch(names, until, [](Batch&) {});
  std::vector<Reply<Info>> replies;
  replies.reserve(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const Request& request = (*ran.batch)[i];
    if (is_fine(*ran.batch, i)) {
      replies.emplace_back(name_of(request), info_of(*request.channel));
    } else {
      replies.emplace_back(name_of(request), error_of(*ran.batch, i, ran.why));
    }
  }
  return replies;
}

}  // namespace internal

ConnectionWatch watch_connection(std::string_view name, absl::AnyInvocable<void(const Info&)> function) {
  if (!function) throw mothreads::Misuse(fmt::format("watch_connection(\"{}\") got an empty function", name));
  const std::shared_ptr<internal::Channel> channel = internal::Context::current(name).channel(name);
  internal::MonitorPlan plan;
  plan.watches_channel = true;
  const auto monitor = std::make_shared<internal::Monitor>(channel, plan);
  monitor->channel_changed();
  auto tell = [channel, function = std::move(function), told = std::optional<Info>()](const Value&) mutable {
    Info info = info_of(*channel);
    if (told && !differ(*told, info)) return;
    told = info;
    function(info);
  };
  return ConnectionWatch(internal::open(monitor, fmt::format("connection of {}", name), std::move(tell)));
}

std::vector<Info> channels() {
  std::vector<Info> all;
  for (const auto& channel : internal::Context::current("").channels()) all.push_back(info_of(*channel));
  std::sort(all.begin(), all.end(), [](const Info& a, const Info& b) { return a.name < b.name; });
  return all;
}

std::size_t release_unused_channels() { return internal::Context::current("").release_unused(); }

}  // namespace catools::inline v0
