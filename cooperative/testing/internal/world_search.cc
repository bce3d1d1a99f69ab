#include "cooperative/testing/internal/world_search.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "absl/strings/numbers.h"
#include "mothreads/misuse.h"

// GoogleTest's own, in programs that have it; this library does not need it.
[[gnu::weak]] bool googletest_has_fatal_failure() asm("_ZN7testing4Test15HasFatalFailureEv");
[[gnu::weak]] bool googletest_has_nonfatal_failure() asm("_ZN7testing4Test18HasNonfatalFailureEv");

namespace cooperative::inline v0::testing {

using internal::WorldEnd;
using internal::WorldRequest;
using internal::WorldSwitch;
using internal::WorldSwitches;
using internal::WorldTrace;

namespace {

constexpr std::size_t kMostRuns = 1'000;  // for each of two ways

// A number in the environment; `otherwise` without one.
std::uint64_t number_from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return otherwise;
  std::uint64_t number = 0;
  if (!absl::SimpleAtoi(text, &number)) throw mothreads::Misuse(std::string(name) + "=" + text + " in the environment is no number");
  return number;
}

// In the process of one run.
class Warden final : public internal::WorldWarden {
 public:
  explicit Warden(WorldTrace& trace) : trace_(trace) {}
  void run_fails(WorldEnd end, std::string_view what) noexcept override {
    trace_.end_with(end, what);
    _exit(0);
  }

 private:
  WorldTrace& trace_;
};

std::vector<WorldFailure::Switch> switches_of(std::string_view lines) {
  std::vector<WorldFailure::Switch> switches;
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(std::min(lines.size(), line.size() + 1));
    const std::size_t first = line.find('\t');
    const std::size_t second = line.find('\t', first + 1);
    if (second == std::string_view::npos) break;
    switches.push_back({std::string(line.substr(0, first)), std::string(line.substr(first + 1, second - first - 1)),
                        std::string(line.substr(second + 1))});
  }
  return switches;
}

}  // namespace

bool googletest_has_failed() noexcept {
  return (googletest_has_fatal_failure != nullptr && googletest_has_fatal_failure()) ||
         (googletest_has_nonfatal_failure != nullptr && googletest_has_nonfatal_failure());
}

WorldSeeds::WorldSeeds(std::size_t count) {
  constexpr std::uint64_t kNone = UINT64_MAX;
  const std::uint64_t only = number_from_environment("WORLD_SEED", kNone);
  first = only != kNone ? only : 1;
  last = only != kNone ? only : number_from_environment("WORLD_SEEDS", count);
  const char* const switches = std::getenv("WORLD_SWITCHES");
  if (switches == nullptr || *switches == '\0') return;
  if (only == kNone) throw mothreads::Misuse("WORLD_SWITCHES in the environment needs the WORLD_SEED that its report names");
  replay = internal::switches_from(switches);
  if (!replay) throw mothreads::Misuse(fmt::format("WORLD_SWITCHES={} in the environment is no list of switches, as 3.17:4,4.23:3", switches));
}

WorldSearch::WorldSearch(absl::FunctionRef<void(World& world)> f, const WorldOptions& options)
    : f_(f),
      options_(options),
      runs_([this](const WorldRequest& request, std::span<const WorldSwitch> switches, WorldTrace& trace) {
        run_here(request, switches, trace);
      }) {}

void WorldSearch::run_here(const WorldRequest& request, std::span<const WorldSwitch> switches, WorldTrace& trace) {
  Warden warden(trace);
  internal::WorldSetup setup{.trace = &trace, .describes = request.describes, .lists_others = request.lists_others,
                             .most_places = request.most_places, .warden = &warden};
  if (request.is_replay) setup.replay = switches;
  WorldOptions options = options_;
  options.seed = request.seed;
  try {
    {
      World world(options, setup);
      f_(world);
    }
    if (googletest_has_failed()) {
      trace.end_with(WorldEnd::failure, fmt::format("World seed {}: the test has failed", request.seed));
    } else {
      trace.end_with(WorldEnd::fine, "");
    }
  } catch (const std::exception& exception) {
    trace.end_with(WorldEnd::exception, fmt::format("World seed {}: an exception left the test: {}", request.seed, exception.what()));
  } catch (...) {
    trace.end_with(WorldEnd::exception, fmt::format("World seed {}: an exception left the test", request.seed));
  }
}

const WorldTrace& WorldSearch::run(std::uint64_t seed, const WorldSwitches* replay) {
  const WorldRequest request{.seed = seed, .is_replay = replay != nullptr, .most_places = options_.step_limit};
  return runs_.run(request, replay == nullptr ? std::span<const WorldSwitch>() : std::span<const WorldSwitch>(*replay));
}

std::string WorldSearch::how(const WorldTrace& trace) const {
  if (trace.end != WorldEnd::none) return trace.what;
  const int status = runs_.status();
  if (WIFSIGNALED(status)) return fmt::format("its process was ended by signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
  return fmt::format("its process ended with status {}", WIFEXITED(status) ? WEXITSTATUS(status) : status);
}

WorldFailure WorldSearch::explain(std::uint64_t seed, const WorldTrace& failed) {
  WorldFailure failure;
  failure.seed = seed;
  failure.what = how(failed);
  failure.switches_before = failed.count;
  failure.again = fmt::format("WORLD_SEED={}", seed);
  failure.signature = failed.signature;
  if (failed.is_cut) return failure;  // by its seed alone it can be repeated
  const WorldEnd end = failed.end;
  // Fewer switches may let two threads wait for each other in loops.
  const std::uint64_t most_places = options_.step_limit != 0 ? options_.step_limit : failed.places * 20 + 10'000;
  internal::Shrunk shrunk{.switches = WorldSwitches(failed.all().begin(), failed.all().end()), .runs = 0};
  if (options_.shrink) {
    shrunk = internal::shrink(
        std::move(shrunk.switches),
        [&](std::span<const WorldSwitch> switches) -> internal::WorldAttempt {
          const WorldTrace& trace = runs_.run({.seed = seed, .is_replay = true, .lists_others = true, .most_places = most_places}, switches);
          return {.fails = trace.end == end && !trace.is_cut,
                  .done = WorldSwitches(trace.all().begin(), trace.all().end()),
                  .others = WorldSwitches(trace.all_others().begin(), trace.all_others().end())};
        },
        kMostRuns);
  }
  const WorldTrace& trace = runs_.run({.seed = seed, .is_replay = true, .describes = true, .most_places = most_places}, shrunk.switches);
  if (trace.end == end) failure.what = how(trace);
  failure.switches = switches_of(trace.written());
  failure.runs = shrunk.runs;
  failure.again += " WORLD_SWITCHES=" + internal::to_text(shrunk.switches);
  failure.signature = trace.signature;
  return failure;
}

// --- for users ---------------------------------------------------------------------------------------------------------------------

std::optional<WorldFailure> find_failure(std::size_t count, absl::FunctionRef<void(World& world)> f, const WorldOptions& options) {
  const WorldSeeds seeds(count);
  if (googletest_has_failed()) throw mothreads::Misuse("find_failure() in a test that has failed already cannot see another failure");
  WorldSearch search(f, options);
  for (std::uint64_t seed = seeds.first; seed <= seeds.last; ++seed) {
    const WorldTrace& trace = search.run(seed, seeds.replay ? &*seeds.replay : nullptr);
    if (trace.end != WorldEnd::fine) return search.explain(seed, trace);
  }
  return std::nullopt;
}

std::string WorldFailure::report() const {
  std::string text = what;
  if (runs > 0) text += fmt::format("\nShrunk from {} switches to {} in {} runs.", switches_before, switches.size(), runs);
  std::size_t who_width = 0;
  std::size_t where_width = 0;
  for (const Switch& one : switches) {
    who_width = std::max(who_width, one.who.size());
    where_width = std::max(where_width, one.where.size());
  }
  std::size_t number = 0;
  for (const Switch& one : switches) {
    text += fmt::format("\n  {}. {:{}}  {:{}}  switch to {}", ++number, one.who, who_width, one.where, where_width, one.to);
  }
  if (switches.empty()) text += "\n  No switch is needed.";
  return text + fmt::format("\nAgain, this test alone: {} {}\n", again, program_invocation_short_name);
}

}  // namespace cooperative::testing
