#include "catools/internal/run_batch.h"

#include "catools/internal/channel.h"
#include "catools/internal/context.h"
#include "mothreads/internal/wait/context.h"

namespace catools::inline v0::internal {

using mothreads::Why;

RanBatch run_batch(std::span<const std::string_view> names, const mothreads::Until& until, absl::FunctionRef<void(Batch& batch)> fill) {
  mothreads::internal::Context::spend_act();
  const auto batch = std::make_shared<Batch>(names.size());
  if (names.empty()) return {batch, Why::ready};
  const mothreads::Limit limit(until);
  for (std::size_t i = 0; i < names.size(); ++i) (*batch)[i].channel = Context::current(names[i]).channel(names[i]);
  fill(*batch);
  batch->issue_all();
  const Why why = batch->wait(limit);
  return {batch, why};
}

const std::shared_ptr<const std::string>& name_of(const Request& request) { return request.channel->name(); }

Error error_of(const Request& request, Why why) {
  if (!request.outcome) return error_of_wait(*request.channel, why);
  return error_of(*request.channel, *request.outcome);
}

Error error_of(const Channel& channel, const Outcome& outcome) {
  return Error(outcome.why, outcome.code, *channel.name(), outcome.text.empty() ? text_of(outcome.code) : outcome.text);
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
