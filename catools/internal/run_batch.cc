#include "catools/internal/run_batch.h"

#include <utility>

#include "catools/internal/channel.h"
#include "catools/internal/context.h"
#include "mothreads/internal/wait/context.h"

namespace catools::inline v0::internal {

using mothreads::Why;

RanBatch run_batch(std::span<const std::string_view> names, const mothreads::Until& until, absl::FunctionRef<void(Batch& batch)> fill) {
  mothreads::internal::Context::spend_act();
  BatchHandle batch = Batch::make(names.size());
  if (names.empty()) return {std::move(batch), Why::ready};
  const mothreads::Limit limit(until);
  Context::current(names[0]).find_channels(names, *batch);
  fill(*batch);
  batch->issue_all();
  const Why why = batch->wait(limit);
  return {std::move(batch), why};
}

const std::shared_ptr<const std::string>& name_of(const Request& request) { return request.channel->name(); }

Error error_of(const Batch& batch, std::size_t index, Why why) {
  const Answer* const answer = batch.answer(index);
  return answer == nullptr ? error_of_wait(*batch[index].channel, why) : error_of(*batch[index].channel, *answer);
}

Error error_of(const Channel& channel, const Answer& answer) {
  const ValueParts& parts = answer.parts;
  return Error(answer.why, parts.code, *channel.name(), parts.text.empty() ? text_of(parts.code) : parts.text);
}

Error error_of_wait(const Channel& channel, Why why) {
  const std::string& name = *channel.name();
  const bool is_connected = channel.look().is_connected;
  if (why == Why::stopped) {
    return Error(why, Code::timed_out, name, is_connected ? "the wait for an answer was stopped" : "the wait for a server was stopped");
  }
  return Error(Why::timed_out, Code::timed_out, name, is_connected ? "no answer came in time" : "no server answered in time");
}

}  // namespace catools::inline v0::internal
