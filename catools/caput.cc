#include "catools/caput.h"

#include <fmt/core.h>

#include "catools/internal/channel.h"
#include "catools/internal/context.h"
#include "catools/internal/run_batch.h"
#include "cooperative/fiber.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/limit.h"
#include "mothreads/log.h"
#include "mothreads/signal.h"

namespace catools::inline v0::internal {
namespace {

Reply<void> reply_of(const Batch& batch, std::size_t index, mothreads::Why why) {
  const auto& name = name_of(batch[index]);
  return is_fine(batch, index) ? Reply<void>(name) : Reply<void>(name, error_of(batch, index, why));
}

// Puts with functions, of one call of the verb. All that is here belongs to the thread of the caller.
struct PutsUnderWay {
  struct One {
    BatchHandle batch;  // has one request
    PutDone on_done;
    std::optional<Reply<void>> reply = std::nullopt;
  };
  std::vector<One> all;
  std::size_t left = 0;
  bool is_issued = false;
  mothreads::Signal are_done = {};  // goes when each has its reply
};

void call(PutDone& on_done, const Reply<void>& reply) {
  const auto report = [&](std::string_view what) { mothreads::log::error("{}: the function of a put threw: {}", reply.name(), what); };
  try {
    on_done(reply);
  } catch (const cooperative::FiberCancelled&) {
    throw;
  } catch (const std::exception& error) {
    report(error.what());
  } catch (...) {
    report("something that is no std::exception");
  }
}

// The fiber of one put.
void await_end(const std::shared_ptr<PutsUnderWay>& puts, std::size_t index, const mothreads::Signal& please_stop) {
  if (!puts->is_issued) return;  // the verb has failed
  PutsUnderWay::One& one = puts->all[index];
  const mothreads::Until until(please_stop);
  const mothreads::Why why = one.batch->wait(mothreads::Limit(until));
  one.reply = reply_of(*one.batch, 0, why);
  if (--puts->left == 0) puts->are_done.go();
  call(one.on_done, *one.reply);
}

std::shared_ptr<PutsUnderWay> prepare(std::span<const std::string_view> names, std::vector<Outgoing>& values, std::vector<PutDone>& functions) {
  const auto puts = std::make_shared<PutsUnderWay>();
  puts->left = names.size();
  puts->all.reserve(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!functions[i]) throw mothreads::Misuse(fmt::format("caput(\"{}\") got an empty function: leave it out", names[i]));
    BatchHandle batch = Batch::make(1);
    batch->kind = Batch::Kind::put_and_wait;
    Request& request = batch->front();
    request.channel = Context::current(names[i]).channel(names[i]);
    batch->outgoing.push_back(values.size() == 1 ? values.front() : std::move(values[i]));
    request.outgoing = &batch->outgoing.front();
    puts->all.push_back({.batch = std::move(batch), .on_done = std::move(functions[i])});
  }
  return puts;
}

void issue(const std::shared_ptr<PutsUnderWay>& puts) {
  std::vector<cooperative::Fiber<void>> fibers;  // stops those that are there when another cannot be made
  fibers.reserve(puts->all.size());
  for (std::size_t i = 0; i < puts->all.size(); ++i) {
    fibers.push_back(cooperative::spawn(fmt::format("put of {}", *puts->all[i].batch->front().channel->name()),
                                        [puts, i](const mothreads::Signal& please_stop) { await_end(puts, i, please_stop); }));
  }
  puts->is_issued = true;
  Section section(puts->all.front().batch->front().channel->context());
  for (PutsUnderWay::One& one : puts->all) one.batch->issue_all(section);
  section.flush();
  for (cooperative::Fiber<void>& fiber : fibers) fiber.release();
}

// The limit has come: what is not sent yet is not sent any more.
void take_back(PutsUnderWay::One& one, const Error& error) {
  Request& request = one.batch->front();
  if (!request.channel->withdraw(request)) return;
  Answer answer = failed(error.code(), error.text());
  answer.why = error.why();
  Batch::finish(request, std::move(answer));
}

void apply(const PutOptions& options, std::vector<Outgoing>& values) {
  for (Outgoing& value : values) {
    value.datatype = options.datatype;
    value.to = options.to;
  }
}

}  // namespace

std::vector<Reply<void>> put_each(std::span<const std::string_view> names, std::vector<Outgoing> values, const PutOptions& options,
                                  const mothreads::Until& until) {
  apply(options, values);
  const RanBatch ran = run_batch(names, until, [&](Batch& batch) {
    batch.kind = options.wait ? Batch::Kind::put_and_wait : Batch::Kind::put;
    batch.outgoing = std::move(values);
    const bool is_one_for_all = batch.outgoing.size() == 1;
    for (std::size_t i = 0; i < batch.size(); ++i) batch[i].outgoing = &batch.outgoing[is_one_for_all ? 0 : i];
  });
  std::vector<Reply<void>> replies;
  replies.reserve(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) replies.push_back(reply_of(*ran.batch, i, ran.why));
  return replies;
}

std::vector<Reply<void>> put_each(std::span<const std::string_view> names, std::vector<Outgoing> values, std::vector<PutDone> functions,
                                  const PutOptions& options, const mothreads::Until& until) {
  mothreads::internal::Context::spend_act();
  if (names.empty()) return {};
  const mothreads::Limit limit(until);
  apply(options, values);
  const std::shared_ptr<PutsUnderWay> puts = prepare(names, values, functions);
  issue(puts);

  std::vector<Reply<void>> replies;
  replies.reserve(names.size());
  if (options.wait) {
    const mothreads::Why why = puts->are_done.wait(limit).why();
    for (PutsUnderWay::One& one : puts->all) {
      if (!one.reply) {
        const Reply<void> late(name_of(one.batch->front()), error_of_wait(*one.batch->front().channel, why));
        take_back(one, late.error());
        replies.push_back(late);
      } else {
        replies.push_back(*one.reply);
      }
    }
    return replies;
  }
  // Behind each put, so that those are sent when these are done.
  const RanBatch connections = run_batch(names, limit, [](Batch&) {});
  for (std::size_t i = 0; i < names.size(); ++i) {
    const Request& connection = (*connections.batch)[i];
    if (!is_fine(*connections.batch, i)) take_back(puts->all[i], error_of(*connections.batch, i, connections.why));
    if (const Answer* const refusal = puts->all[i].batch->refusal(0)) {
      replies.emplace_back(name_of(connection), error_of(*connection.channel, *refusal));
    } else {
      replies.push_back(reply_of(*connections.batch, i, connections.why));
    }
  }
  return replies;
}

}  // namespace catools::inline v0::internal
