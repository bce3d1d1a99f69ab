#include "catools/server/internal/circuit.h"

#include <algorithm>
#include <utility>

#include <fmt/core.h>

#include "catools/server/internal/circuit_parts.h"
#include "catools/server/internal/search.h"

namespace catools::inline v0::internal {

namespace {

constexpr std::uint32_t kFirstWithCountOfZero = 13;  // minor version: from then on a count of 0 asks for the current length
constexpr std::size_t kMonitorPayload = 16;
constexpr std::size_t kMaskOffset = 12;
constexpr std::size_t kMaxClientName = 64;

}  // namespace

// --- Channel -------------------------------------------------------------------------------------------------------------------

Circuit::Channel::Channel(Circuit& circuit, std::uint32_t id, std::uint32_t client_id, std::shared_ptr<ServedPv> pv)
    : circuit_(circuit), id_(id), client_id_(client_id), pv_(std::move(pv)) {
  static_cast<void>(pv_->add_watcher(*this));  // create_channel() looks whether it is removed
  circuit_.counters_.channels.add();
}

Circuit::Channel::~Channel() {
  pv_->remove_watcher(*this);
  circuit_.counters_.channels.take();
}

void Circuit::Channel::tell_rights() {
  circuit_.append_reply({.command = Command::access_rights, .first = client_id_, .second = static_cast<std::uint32_t>(pv_->rights())});
}

void Circuit::Channel::has_new(const SamplePtr& sample) noexcept {
  circuit_.or_give_up([&] {
    if (!may_read()) return;
    for (Monitor* monitor : monitors_) {
      if ((monitor->events & sample->events) != 0 && sample->number > monitor->last) circuit_.enqueue(*monitor, sample);
    }
  });
}

void Circuit::Channel::has_other_rights() noexcept {
  circuit_.or_give_up([&] {
    tell_rights();
    // A monitor is told the value where it may be read now, and that it may not be read else.
    for (Monitor* monitor : monitors_) {
      monitor->queue.clear();
      circuit_.enqueue(*monitor, pv_->sample());
    }
  });
}

void Circuit::Channel::is_gone() noexcept {
  circuit_.or_give_up([&] { circuit_.append_reply({.command = Command::channel_gone, .first = client_id_}); });
  circuit_.drop_channel(id_);
}

// --- Circuit -------------------------------------------------------------------------------------------------------------------

Circuit::Circuit(const Directory& directory, std::uint16_t port, CircuitHost& host, Counters& counters, const CircuitLimits& limits,
                 std::string client)
    : directory_(directory), port_(port), host_(host), counters_(counters), limits_(limits), client_(std::move(client)) {
  counters_.circuits.add();
  append_header(reply_text(), {.command = Command::version, .count = kMinorVersion});
  reply_bytes_ += kHeaderSize;
}

Circuit::~Circuit() {
  drop_monitors();
  counters_.circuits.take();
}

std::size_t Circuit::take(std::string_view bytes) {
  std::size_t taken = 0;
  while (has_room()) {
    const std::string_view left = bytes.substr(taken);
    const std::size_t size = input_ != nullptr ? take_put(left) : take_message(left);
    if (size == 0) break;
    taken += size;
  }
  return taken;
}

std::size_t Circuit::take_message(std::string_view bytes) {
  const std::optional<ParsedHeader> parsed = parse_header(bytes);
  if (!parsed) return 0;
  const auto& [header, length] = *parsed;
  if (header.command == Command::write || header.command == Command::write_notify) {
    begin_put(header);
    return length;
  }
  if (header.size > kMaxPayload) {
    throw ProtocolError(fmt::format("a message of {} bytes for command {}", header.size, static_cast<unsigned>(header.command)));
  }
  if (bytes.size() - length < header.size) return 0;
  handle(header, bytes.substr(length, header.size));
  return length + header.size;
}

void Circuit::handle(const Header& header, std::string_view payload) {
  switch (header.command) {
    case Command::version: client_version_ = header.count; return;
    case Command::client_name:
    case Command::host_name: return name_client(header, payload);
    case Command::create_channel: return create_channel(header, payload);
    case Command::clear_channel: return clear_channel(header);
    case Command::read:
    case Command::read_notify: return read(header);
    case Command::event_add: return add_monitor(header, payload);
    case Command::event_cancel: return cancel_monitor(header);
    case Command::search: return answer_search(header, payload);
    case Command::events_off: is_held_ = true; return;
    case Command::events_on:
      is_held_ = false;
      return wake();
    case Command::read_sync:
    case Command::echo: return append_reply(header, payload);
    default: break;
  }
  throw ProtocolError(fmt::format("the command {}, which no client sends", static_cast<unsigned>(header.command)));
}

void Circuit::name_client(const Header& header, std::string_view payload) {
  (header.command == Command::client_name ? user_ : host_name_) = text_in(payload).substr(0, kMaxClientName);
  if (!user_.empty() && !host_name_.empty()) client_ = user_ + "@" + host_name_;
}

void Circuit::answer_search(const Header& header, std::string_view payload) {
  const std::string_view name = text_in(payload);
  if (name.empty() || directory_.find(name) == nullptr) return;
  std::string reply;
  append_search_reply(reply, header, port_);
  reply_text() += reply;
  reply_bytes_ += reply.size();
  wake();
}

// --- channels ------------------------------------------------------------------------------------------------------------------

void Circuit::create_channel(const Header& header, std::string_view payload) {
  const std::string_view name = text_in(payload);
  if (name.empty()) throw ProtocolError("a channel without a name");
  client_version_ = std::max(client_version_, header.second & 0xffff);
  std::shared_ptr<ServedPv> pv = channels_.size() < limits_.max_channels ? directory_.find(name) : nullptr;
  const auto fail = [&] { append_reply({.command = Command::create_channel_failed, .first = header.first}); };
  if (pv == nullptr) return fail();
  while (channels_.contains(next_channel_)) ++next_channel_;
  const std::uint32_t id = next_channel_++;
  auto channel = std::make_unique<Channel>(*this, id, header.first, std::move(pv));
  if (channel->pv()->is_removed()) return fail();  // when it is removed later, it tells the channel
  channel->tell_rights();
  append_reply({.command = Command::create_channel,
                .type = static_cast<std::uint16_t>(channel->pv()->type()),
                .count = static_cast<std::uint32_t>(channel->pv()->max_count()),
                .first = header.first,
                .second = id});
  channels_.emplace(id, std::move(channel));
}

Circuit::Channel* Circuit::channel_of(std::uint32_t id) {
  const auto found = channels_.find(id);
  if (found != channels_.end()) return found->second.get();
  // The client may not have read yet that the PV was removed.
  if (id == 0 || id >= next_channel_) throw ProtocolError(fmt::format("the channel {}, which never was", id));
  return nullptr;
}

void Circuit::clear_channel(const Header& header) {
  static_cast<void>(channel_of(header.first));
  drop_channel(header.first);
  append_reply({.command = Command::clear_channel, .type = header.type, .count = header.count, .first = header.first, .second = header.second});
}

void Circuit::drop_channel(std::uint32_t id) {
  const auto found = channels_.find(id);
  if (found == channels_.end()) return;
  Channel& channel = *found->second;
  if (!channel.monitors().empty()) std::erase_if(ready_monitors_, [&](std::uint32_t ready) { return &monitors_.at(ready)->channel == &channel; });
  for (const Monitor* const monitor : std::exchange(channel.monitors(), {})) {
    channel.pv()->end_monitoring();
    counters_.monitors.take();
    monitors_.erase(monitor->request.second);
  }
  channels_.erase(found);
}

// Nothing where the client may not ask for so many.
std::optional<std::uint32_t> Circuit::count_of_request(const Header& header, const ServedPv& pv) const {
  if (header.count > pv.max_count()) return std::nullopt;
  if (header.count == 0 && (client_version_ < kFirstWithCountOfZero || header.command == Command::read)) return std::nullopt;
  return header.count;
}

void Circuit::read(const Header& header) {
  const Channel* const channel = channel_of(header.first);
  const std::uint32_t client_id = channel != nullptr ? channel->client_id() : kNoAddress;
  const auto refuse_read = [&](Status status, std::string_view why) {
    if (header.command == Command::read) return append_error(header, client_id, status, why);
    append_reply({.command = Command::read_notify,
                  .type = header.type,
                  .count = header.count,
                  .first = static_cast<std::uint32_t>(status),
                  .second = header.second});
  };
  if (channel == nullptr) return refuse_read(Status::bad_channel, "the process variable is served no more");
  const std::optional<Layout> layout = layout_of(header.type);
  if (!layout || layout->form == Form::acknowledge || layout->form == Form::acknowledge_transient) {
    return refuse_read(Status::bad_type, "no such type");
  }
  if (!channel->may_read()) return refuse_read(Status::no_read_access, "no read access");
  if (!count_of_request(header, *channel->pv())) return refuse_read(Status::bad_count, "no such count");
  try {
    const std::uint32_t first = header.command == Command::read ? client_id : static_cast<std::uint32_t>(Status::normal);
    append_value(header.command, header, *layout, channel->pv()->sample(), first, header.second);
  } catch (const ConversionError& error) {
    refuse_read(Status::get_failed, error.what());
  }
}

// --- monitors ------------------------------------------------------------------------------------------------------------------

void Circuit::add_monitor(const Header& header, std::string_view payload) {
  if (payload.size() < kMonitorPayload) throw ProtocolError("a monitor without its mask");
  Channel* const channel = channel_of(header.first);
  if (channel == nullptr) return append_error(header, kNoAddress, Status::bad_channel, "the process variable is served no more");
  if (monitors_.contains(header.second)) throw ProtocolError(fmt::format("a second monitor {}", header.second));
  const std::optional<Layout> layout = layout_of(header.type);
  const auto events = static_cast<std::uint16_t>(number_at<std::uint16_t>(payload, kMaskOffset) & kAllEvents);
  const auto refuse_monitor = [&](Status status, std::string_view why) { append_error(header, channel->client_id(), status, why); };
  if (!layout || layout->form == Form::acknowledge || layout->form == Form::acknowledge_transient) {
    return refuse_monitor(Status::bad_type, "no such type");
  }
  if (!count_of_request(header, *channel->pv())) return refuse_monitor(Status::bad_count, "no such count");
  if (events == 0) return refuse_monitor(Status::bad_mask, "no such events");
  if (monitors_.size() >= limits_.max_monitors) return refuse_monitor(Status::no_memory, "too many monitors");
  Monitor& monitor = *monitors_.emplace(header.second, std::make_unique<Monitor>(Monitor{*channel, header, *layout, events})).first->second;
  channel->monitors().push_back(&monitor);
  channel->pv()->begin_monitoring();
  counters_.monitors.add();
  enqueue(monitor, channel->pv()->sample());
}

void Circuit::cancel_monitor(const Header& header) {
  static_cast<void>(channel_of(header.first));
  const auto found = monitors_.find(header.second);
  const Header request = found != monitors_.end() ? found->second->request : header;
  drop_monitor(header.second);
  append_reply({.command = Command::event_add, .type = request.type, .count = request.count, .first = header.first, .second = header.second});
}

void Circuit::drop_monitor(std::uint32_t id) {
  const auto found = monitors_.find(id);
  if (found == monitors_.end()) return;
  Monitor& monitor = *found->second;
  std::erase(monitor.channel.monitors(), &monitor);
  monitor.channel.pv()->end_monitoring();
  if (monitor.is_ready) std::erase(ready_monitors_, id);
  counters_.monitors.take();
  monitors_.erase(found);
}

// All at once: to look for each in the lists of the others would take a client's number of them squared.
void Circuit::drop_monitors() {
  ready_monitors_.clear();
  for (const auto& [id, channel] : channels_) channel->monitors().clear();
  for (const auto& [id, monitor] : monitors_) {
    monitor->channel.pv()->end_monitoring();
    counters_.monitors.take();
  }
  monitors_.clear();
}

void Circuit::enqueue(Monitor& monitor, const SamplePtr& sample) {
  // A client that asked for a pause wants the newest only when it is over.
  constexpr QueueLimit kOne{.samples = 1};
  monitor.last = sample->number;
  if (monitor.queue.push(sample, is_held_ ? kOne : monitor.channel.pv()->queue_limit())) counters_.dropped.add();
  if (std::exchange(monitor.is_ready, true)) return;
  ready_monitors_.push_back(monitor.request.second);
  if (!is_held_) wake();
}

}  // namespace catools::inline v0::internal
