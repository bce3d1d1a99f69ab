#include <algorithm>
#include <exception>
#include <utility>

#include <fmt/core.h>

#include "catools/server/internal/circuit_parts.h"
#include "mothreads/log.h"

namespace catools::inline v0::internal {

namespace log = mothreads::log;

void Circuit::begin_put(const Header& header) {
  const Channel* const channel = channel_of(header.first);
  PutInput input{.header = header,
                 .pv = channel != nullptr ? channel->pv() : nullptr,
                 .channel_id = channel != nullptr ? channel->client_id() : kNoAddress,
                 .status = Status::normal,
                 .text = {},
                 .form = Form::plain,
                 .cells = {},
                 .left = 0,
                 .behind = header.size};
  if (channel == nullptr) {
    input.status = Status::bad_channel;
    input.text = "the process variable is served no more";
  } else {
    input.status = check_put(header, *channel, input.text);
  }
  if (input.status == Status::normal) {
    const Layout layout = *layout_of(header.type);
    const std::size_t size = header.count * bytes_of(layout.cell);
    // A single text comes without the zeros behind its end.
    const bool may_be_short = layout.cell == CellType::string && header.count == 1;
    if (header.size < size && !may_be_short) throw ProtocolError(fmt::format("a put of {} elements in {} bytes", header.count, header.size));
    input.form = layout.form;
    input.cells = no_cells(layout.cell);
    input.left = std::min<std::size_t>(size, header.size);
    input.behind = header.size - input.left;
  }
  input_ = std::make_unique<PutInput>(std::move(input));
  if (header.size == 0) finish_put();
}

Status Circuit::check_put(const Header& header, const Channel& channel, std::string& text) const {
  const std::optional<Layout> layout = layout_of(header.type);
  const bool is_acknowledgement = layout && (layout->form == Form::acknowledge || layout->form == Form::acknowledge_transient);
  if (!layout || (layout->form != Form::plain && !is_acknowledgement)) {
    text = fmt::format("{} is no type for a put", header.type);
    return Status::bad_type;
  }
  if (!channel.may_write()) {
    text = "no write access";
    return Status::no_write_access;
  }
  const std::size_t most = is_acknowledgement ? 1 : channel.pv()->max_count();
  if (header.count == 0 || header.count > most) {
    text = fmt::format("{} elements: it takes 1 to {}", header.count, most);
    return Status::bad_count;
  }
  return Status::normal;
}

std::size_t Circuit::take_put(std::string_view bytes) {
  PutInput& input = *input_;
  std::size_t taken = 0;
  if (input.left > 0) {
    const std::size_t cell = bytes_of(type_of(input.cells));
    if (input.left < cell) {  // a single text without all of its zeros
      if (bytes.size() < input.left) return 0;
      std::get<std::vector<std::string>>(input.cells).emplace_back(text_in(bytes.substr(0, input.left)).substr(0, kStringSize - 1));
      taken = input.left;
    } else {
      taken = std::min(input.left, bytes.size() / cell * cell);
      take_cells(input.cells, bytes.substr(0, taken));
    }
    input.left -= taken;
    if (input.left > 0) return taken;
  }
  const std::size_t passed = std::min(input.behind, bytes.size() - taken);
  input.behind -= passed;
  if (input.behind == 0) finish_put();
  return taken + passed;
}

void Circuit::finish_put() {
  const std::unique_ptr<PutInput> input = std::exchange(input_, nullptr);
  counters_.puts.add();
  if (input->status == Status::normal) {
    try {
      // A text of no bytes is an empty one.
      if (count_of(input->cells) == 0) std::get<std::vector<std::string>>(input->cells).emplace_back();
      return perform_put(*input);
    } catch (const std::exception& error) {
      input->status = Status::put_failed;
      input->text = error.what();
    }
  }
  if (input->pv != nullptr) log::info("a put to \"{}\" by {} was refused: {}", input->pv->name(), client_, input->text);
  answer_put(input->header, input->channel_id, input->status, input->text);
}

void Circuit::perform_put(PutInput& input) {
  const std::shared_ptr<ServedPv>& pv = input.pv;
  if (input.form != Form::plain) {
    acknowledge(input, std::get<std::vector<std::uint16_t>>(input.cells).front());
  } else {
    const SamplePtr sample = pv->sample();
    Cells cells = type_of(input.cells) == pv->type() ? std::move(input.cells) : convert(input.cells, pv->type(), *sample->properties, Fit::refuse);
    check_choices(cells, *sample->properties);
    if (pv->has_handler()) {
      const std::uint64_t number = next_put_++;
      puts_.emplace(number, PutAnswer{input.header, input.channel_id});
      auto ended = [weak = weak_from_this(), number](const std::string& refusal) {
        if (const std::shared_ptr<Circuit> self = weak.lock()) self->put_has_ended(number, refusal);
      };
      return host_.start_put(pv, {.cells = std::move(cells), .client = client_, .ended = std::move(ended)});
    }
    pv->set(std::move(cells), {});
  }
  answer_put(input.header, input.channel_id, Status::normal, {});
}

void Circuit::acknowledge(const PutInput& input, std::uint16_t number) {
  if (input.form == Form::acknowledge_transient) return input.pv->acknowledge_transient(number != 0);
  input.pv->acknowledge(static_cast<Severity>(number));
}

void Circuit::put_has_ended(std::uint64_t number, const std::string& refusal) {
  const auto found = puts_.find(number);
  if (found == puts_.end()) return;
  const PutAnswer put = found->second;
  puts_.erase(found);
  or_give_up([&] { answer_put(put.header, put.channel_id, refusal.empty() ? Status::normal : Status::put_failed, refusal); });
  host_.has_room();
}

void Circuit::answer_put(const Header& header, std::uint32_t channel_id, Status status, std::string_view text) {
  if (status != Status::normal) counters_.refused.add();
  if (header.command == Command::write_notify) {
    append_reply({.command = Command::write_notify,
                  .type = header.type,
                  .count = header.count,
                  .first = static_cast<std::uint32_t>(status),
                  .second = header.second});
  } else if (status != Status::normal) {
    append_error(header, channel_id, status, text);
  }
}

}  // namespace catools::inline v0::internal
