#include <algorithm>
#include <exception>
#include <utility>

#include "catools/server/internal/circuit_parts.h"

namespace catools::inline v0::internal {

namespace {

SamplePtr with_cells(const Sample& sample, Cells cells) {
  return std::make_shared<Sample>(Sample{.cells = std::move(cells),
                                         .properties = sample.properties,
                                         .severity = sample.severity,
                                         .condition = sample.condition,
                                         .time = sample.time,
                                         .unacknowledged = sample.unacknowledged,
                                         .acknowledges_transient = sample.acknowledges_transient});
}

// As the type that the client asked for, and of another type no more than the `most` cells that it asked for.
SamplePtr as_asked(SamplePtr sample, const Layout& layout, std::size_t most) {
  if (layout.form == Form::class_name) {
    return with_cells(*sample, std::vector<std::string>{"served"});
  }
  if (type_of(sample->cells) == layout.cell) return sample;
  return with_cells(*sample, convert(sample->cells, most, layout.cell, *sample->properties, Fit::clamp));
}

}  // namespace

void Circuit::wake() {
  if (!is_refused_) host_.has_output();
}

void Circuit::or_give_up(absl::FunctionRef<void()> tell) noexcept {
  if (has_given_up_) return;
  try {
    tell();
  } catch (const std::exception&) {
    has_given_up_ = true;
    host_.has_output();
  }
}

// The end of what waits, to append bytes to.
std::string& Circuit::reply_text() {
  if (replies_.empty() || replies_.back().sample != nullptr) replies_.emplace_back();
  return replies_.back().bytes;
}

void Circuit::append_reply(const Header& header, std::string_view payload) {
  if (is_refused_) return;
  std::string& text = reply_text();
  const std::size_t before = text.size();
  Header sized = header;
  sized.size = static_cast<std::uint32_t>(payload.size());
  append_header(text, sized);
  text.append(payload).append(padded(payload.size()) - payload.size(), '\0');
  reply_bytes_ += text.size() - before;
  wake();
}

void Circuit::append_error(const Header& request, std::uint32_t channel_id, Status status, std::string_view text) {
  std::string payload;
  append_header(payload, request);
  payload.append(text).push_back('\0');
  append_reply({.command = Command::error, .first = channel_id, .second = static_cast<std::uint32_t>(status)}, payload);
}

void Circuit::refuse(std::string_view why) {
  drop_monitors();
  append_error({}, kNoAddress, Status::internal_error, why);
  wake();
  is_refused_ = true;
}

Circuit::Reply Circuit::make_reply(Command command, const Header& request, const Layout& layout, SamplePtr sample, std::uint32_t first,
                                   std::uint32_t second) const {
  const std::size_t most = request.count == 0 ? count_of(sample->cells) : request.count;
  SamplePtr asked = as_asked(std::move(sample), layout, most);
  const std::size_t there = count_of(asked->cells);
  const std::size_t count = request.count == 0 ? there : request.count;
  const std::size_t size = payload_size(layout, count);
  Reply reply;
  append_header(reply.bytes, {.command = command,
                              .size = static_cast<std::uint32_t>(size),
                              .type = request.type,
                              .count = static_cast<std::uint32_t>(count),
                              .first = first,
                              .second = second});
  append_prefix(reply.bytes, layout, *asked);
  reply.end = std::min(count, there);
  reply.left = padded(size) - layout.offset;
  reply.sample = std::move(asked);
  return reply;
}

// A small value is encoded at once, beside other replies.
void Circuit::append_value(Command command, const Header& request, const Layout& layout, SamplePtr sample, std::uint32_t first,
                           std::uint32_t second) {
  constexpr std::size_t kSmall = 4096;
  Reply reply = make_reply(command, request, layout, std::move(sample), first, second);
  reply_bytes_ += reply.size();
  if (reply.left > kSmall) {
    replies_.push_back(std::move(reply));
  } else {
    append_part(reply, reply_text(), std::string::npos);  // whole, however much waits before it
  }
  wake();
}

// Fills `out` up to about `most` bytes. Gives whether that was all of the reply.
bool Circuit::append_part(Reply& reply, std::string& out, std::size_t most) {
  out += std::exchange(reply.bytes, {});
  if (reply.sample == nullptr) return true;
  const std::size_t cell = bytes_of(type_of(reply.sample->cells));
  // A small value goes whole, so that the pieces of a large one begin at its cells.
  const std::size_t room = out.size() < most ? most - out.size() : 0;
  const std::size_t count = std::min(reply.end - reply.next, room / cell + 1);
  append_cells(out, reply.sample->cells, reply.next, count);
  reply.next += count;
  reply.left -= count * cell;
  if (reply.next < reply.end) return false;
  const std::size_t zeros = std::min(reply.left, out.size() < most ? most - out.size() : std::size_t{8});
  out.append(zeros, '\0');
  reply.left -= zeros;
  return reply.left == 0;
}

Circuit::Reply Circuit::make_update(Monitor& monitor) {
  const Header& request = monitor.request;
  SamplePtr sample = monitor.queue.pop();
  const auto refused = [&](Status status) {
    Reply reply;
    const std::size_t size = payload_size(monitor.layout, 1);
    append_header(reply.bytes, {.command = Command::event_add,
                                .size = static_cast<std::uint32_t>(size),
                                .type = request.type,
                                .count = 1,
                                .first = static_cast<std::uint32_t>(status),
                                .second = request.second});
    reply.bytes.append(padded(size), '\0');
    return reply;
  };
  if (!monitor.channel.may_read()) return refused(Status::no_read_access);
  try {
    constexpr auto kNormal = static_cast<std::uint32_t>(Status::normal);
    Reply reply = make_reply(Command::event_add, request, monitor.layout, std::move(sample), kNormal, request.second);
    counters_.updates.add();
    return reply;
  } catch (const ConversionError&) {
    return refused(Status::get_failed);
  }
}

// Replies and updates by turns, where there are both.
bool Circuit::begin_next() {
  const bool has_update = !is_held_ && !ready_monitors_.empty();
  if (replies_.empty() && !has_update) return false;
  if (replies_.empty() || (has_update && is_update_next_)) {
    is_update_next_ = false;
    Monitor& monitor = *monitors_.at(ready_monitors_.front());
    ready_monitors_.pop_front();
    current_ = std::make_unique<Reply>(make_update(monitor));
    monitor.is_ready = !monitor.queue.empty();
    if (monitor.is_ready) ready_monitors_.push_back(monitor.request.second);
    return true;
  }
  is_update_next_ = true;
  reply_bytes_ -= replies_.front().size();
  current_ = std::make_unique<Reply>(std::move(replies_.front()));
  replies_.pop_front();
  host_.has_room();
  return true;
}

bool Circuit::next_output(std::string& out) {
  out.clear();
  while (out.size() < kPiece) {
    if (current_ == nullptr && !begin_next()) break;
    if (append_part(*current_, out, kPiece)) current_.reset();
  }
  return !out.empty();
}

}  // namespace catools::inline v0::internal
