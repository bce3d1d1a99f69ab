#include "cooperative/testing/world.h"

#include <cstdio>
#include <cstdlib>
#include <exception>

#include "absl/strings/numbers.h"
#include "cooperative/internal/world_core.h"
#include "mothreads/misuse.h"

// GoogleTest's own, in programs that have it; this library does not need it.
[[gnu::weak]] bool googletest_has_fatal_failure() asm("_ZN7testing4Test15HasFatalFailureEv");
[[gnu::weak]] bool googletest_has_nonfatal_failure() asm("_ZN7testing4Test18HasNonfatalFailureEv");

namespace cooperative::testing {
namespace {

bool test_has_failed() {
  return (googletest_has_fatal_failure != nullptr && googletest_has_fatal_failure()) ||
         (googletest_has_nonfatal_failure != nullptr && googletest_has_nonfatal_failure());
}

void print_seed(std::uint64_t seed, const char* what) {
  std::fprintf(stderr, "World seed %llu: %s\n", static_cast<unsigned long long>(seed), what);
}

// A number in the environment; `otherwise` without one.
std::uint64_t number_from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return otherwise;
  std::uint64_t number = 0;
  if (!absl::SimpleAtoi(text, &number)) throw mothreads::Misuse(std::string(name) + "=" + text + " in the environment is no number");
  return number;
}

}  // namespace

World::World(const WorldOptions& options)
    : core_(std::make_unique<internal::WorldCore>(
          internal::WorldCore::Options{.seed = options.seed, .interrupt_posts = options.interrupt_posts})) {}

World::~World() = default;

std::uint64_t World::seed() const { return core_->seed(); }
std::uint64_t World::random(std::uint64_t below) {
  if (below == 0) throw mothreads::Misuse("World::random(0): there is no number below zero");
  return core_->draw(below);
}
void World::interrupt() { core_->interrupt(); }
absl::Duration World::elapsed() const { return absl::Nanoseconds(core_->elapsed()); }
std::uint64_t World::signature() const { return core_->signature(); }

World::Visit::Visit(World& world) : world_(world), exceptions_(std::uncaught_exceptions()) { world_.core_->enter(); }

World::Visit::~Visit() {
  world_.core_->leave();
  if (std::uncaught_exceptions() > exceptions_) {
    print_seed(world_.seed(), "an exception left run()");
  } else if (test_has_failed()) {
    print_seed(world_.seed(), "the test has failed");
  }
}

void for_each_seed(std::size_t count, absl::FunctionRef<void(World& world)> f, const WorldOptions& options) {
  constexpr std::uint64_t kNone = UINT64_MAX;
  const std::uint64_t only = number_from_environment("WORLD_SEED", kNone);
  const std::uint64_t last = only != kNone ? only : number_from_environment("WORLD_SEEDS", count);
  for (std::uint64_t seed = only != kNone ? only : 1; seed <= last && !test_has_failed(); ++seed) {
    WorldOptions of_seed = options;
    of_seed.seed = seed;
    World world(of_seed);
    f(world);
  }
}

}  // namespace cooperative::testing
