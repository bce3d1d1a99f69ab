#include "cooperative/internal/wait/branch.h"

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "absl/container/inlined_vector.h"
#include "cooperative/internal/wait/home.h"
#include "mothreads/ended.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::internal {

using mothreads::Limit;
using mothreads::Until;
using mothreads::Why;
using mothreads::internal::Wait;

namespace {

std::optional<std::size_t> held_already(std::span<Branch* const> branches) {
  for (std::size_t i = 0; i < branches.size(); ++i) {
    if (branches[i]->hold()) return i;
  }
  return std::nullopt;
}

// Whether all could be linked.
bool link(std::span<Branch* const> branches, Wait& wait) {
  for (Branch* branch : branches) {
    if (!branch->link(wait)) return false;
  }
  return true;
}

void refuse_one_twice(std::span<Branch* const> branches) {
  absl::InlinedVector<std::pair<const void*, const Branch*>, 16> sources;
  for (const Branch* branch : branches) {
    if (const void* source = branch->source_of_one()) sources.emplace_back(source, branch);
  }
  std::sort(sources.begin(), sources.end());
  const auto twice = std::adjacent_find(sources.begin(), sources.end(), [](auto& a, auto& b) { return a.first == b.first; });
  if (twice == sources.end()) return;
  throw mothreads::Misuse(fmt::format("wait_for_all was given {} twice, which can be taken only once: name it once", twice->second->name()));
}

// A value that cannot be moved back must not keep the others from where they came.
void put_back(Branch& branch) noexcept {
  try {
    branch.put_back();
  } catch (...) {
    mothreads::log::error("what wait_for_all had taken of {} could not be given back: {}", branch.name(),
                          mothreads::log::describe(std::current_exception()));
  }
}

std::size_t await_first(std::span<Branch* const> branches, Limit limit) {
  SchedulerCore::current().spend_act();
  while (true) {
    if (const auto held = held_already(branches)) return *held;
    Wait wait({"waits for the first of several", nullptr, nullptr}, Wait::Spin::no, mothreads::internal::Context::Reach::host);
    Why why = Why::ready;
    {
      absl::Cleanup leave = [&] {
        for (Branch* branch : branches) branch->unlink();
      };
      // Who finds that something has come meanwhile looks again, unless another has ended the wait before that.
      if (!link(branches, wait) && wait.claim_self()) continue;
      why = wait.park(limit);
    }
    for (std::size_t i = 0; i < branches.size(); ++i) {
      if (branches[i]->has_won()) return i;
    }
    throw_wait_ended(branches.size() == 1 ? branches[0]->name().c_str() : "the first of several", why);
  }
}

}  // namespace

std::size_t await_first(std::span<Branch* const> branches, const Until& until) {
  return await_first(branches, SchedulerCore::current().start(until));
}

void await_all(std::span<Branch* const> branches, const Until& until) {
  const Limit limit = SchedulerCore::current().start(until);
  refuse_one_twice(branches);
  std::size_t held = 0;
  try {
    if (branches.empty()) SchedulerCore::current().spend_act();
    for (; held < branches.size(); ++held) {
      await_first(branches.subspan(held, 1), limit);
      branches[held]->throw_failure();
    }
  } catch (...) {
    while (held-- > 0) put_back(*branches[held]);  // the newest first, so that queues get theirs in order
    throw;
  }
}

}  // namespace cooperative::internal
