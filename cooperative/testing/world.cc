#include "cooperative/testing/world.h"

#include <cstdint>
#include <cstdio>
#include <exception>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "cooperative/internal/world/world_core.h"
#include "cooperative/testing/internal/world_search.h"
#include "mothreads/misuse.h"
#include "mothreads/till.h"

namespace cooperative::inline v0::testing {
namespace {

void print_seed(std::uint64_t seed, const char* what) {
  std::fprintf(stderr, "World seed %llu: %s\n", static_cast<unsigned long long>(seed), what);
}

}  // namespace

World::World(const WorldOptions& options) : World(options, internal::WorldSetup{}) {}

World::World(const WorldOptions& options, const internal::WorldSetup& setup)
    : core_(std::make_unique<internal::WorldCore>(internal::WorldCore::Options{
          .seed = options.seed,
          .interrupt_posts = options.interrupt_posts,
          .every_operation = options.switch_at == SwitchAt::every_operation,
          .order = {.seed = options.seed,
                    .priority_changes = options.order == Order::priority_changes,
                    .depth = options.depth,
                    .steps = options.steps},
          .wall_time = options.wall_time,
          .drain = options.drain,
          .most_places = setup.most_places != 0 ? setup.most_places : options.step_limit,
          .trace = setup.trace,
          .describes = setup.describes,
          .lists_others = setup.lists_others,
          .warden = setup.warden})) {
  if (setup.replay) core_->replay(*setup.replay);
}

World::~World() = default;

std::uint64_t World::seed() const { return core_->seed(); }
std::uint64_t World::random(std::uint64_t below) {
  if (below == 0) throw mothreads::Misuse("World::random(0): there is no number below zero");
  return core_->draw(below);
}
void World::interrupt() { core_->interrupt(); }
absl::Duration World::elapsed() const { return absl::Nanoseconds(core_->elapsed()); }
std::uint64_t World::signature() const { return core_->signature(); }

// --- what is planned ---------------------------------------------------------------------------------------------------------------

// The appointments of one run(): those that have not come when it goes do not come any more.
class World::Plan {
 public:
  explicit Plan(World& world) : world_(world) { world_.plan_ = this; }
  ~Plan() {
    world_.plan_ = nullptr;
    for (Entry& entry : entries_) entry.till.remove_then(entry.id);
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  void add(Appointment appointment) {
    mothreads::Till till(appointment.elapsed - world_.elapsed());
    const mothreads::ThenId id = till.then(std::move(appointment.function));
    entries_.push_back({std::move(till), id});
  }

 private:
  struct Entry {
    mothreads::Till till;
    mothreads::ThenId id;
  };
  World& world_;
  std::vector<Entry> entries_;
};

void World::at(absl::Duration elapsed, absl::AnyInvocable<void()> function) {
  Appointment appointment{elapsed, std::move(function)};
  if (plan_ != nullptr) {
    plan_->add(std::move(appointment));
  } else {
    appointments_.push_back(std::move(appointment));
  }
}

std::unique_ptr<World::Plan, void (*)(World::Plan*)> World::carry_out_plan() {
  std::unique_ptr<Plan, void (*)(Plan*)> plan(new Plan(*this), [](Plan* one) { delete one; });
  for (Appointment& appointment : std::exchange(appointments_, {})) plan->add(std::move(appointment));
  return plan;
}

const mothreads::Signal& World::please_stop() const { return core_->main().please_stop(); }

World::Visit::Visit(World& world) : world_(world), exceptions_(std::uncaught_exceptions()) { world_.core_->enter(); }

World::Visit::~Visit() {
  world_.core_->leave();
  if (std::uncaught_exceptions() > exceptions_) {
    print_seed(world_.seed(), "an exception left run()");
  } else if (googletest_has_failed()) {
    print_seed(world_.seed(), "the test has failed");
  }
}

namespace {

// A deadlock ends the program: what it took to come there is said before.
class Teller final : public internal::WorldWarden {
 public:
  Teller(WorldSearch& search, std::uint64_t seed) : search_(search), seed_(seed) {}
  void run_fails(internal::WorldEnd end, std::string_view what) noexcept override {
    search_.trace_here().end_with(end, what);
    tell();
  }
  void tell() {
    std::fputs(search_.explain(seed_, search_.trace_here()).report().c_str(), stderr);
    std::fflush(stderr);
  }

 private:
  WorldSearch& search_;
  const std::uint64_t seed_;
};

void run_and_shrink(WorldSearch& search, absl::FunctionRef<void(World& world)> f, const WorldOptions& options) {
  Teller teller(search, options.seed);
  internal::WorldTrace& trace = search.trace_here();
  trace.clear();
  try {
    World world(options, {.trace = &trace, .warden = &teller});
    f(world);
  } catch (...) {
    trace.end_with(internal::WorldEnd::exception, "");
    teller.tell();
    throw;
  }
  if (!googletest_has_failed()) return;
  trace.end_with(internal::WorldEnd::failure, "");
  teller.tell();
}

}  // namespace

void for_each_seed(std::size_t count, absl::FunctionRef<void(World& world)> f, const WorldOptions& options) {
  const WorldSeeds seeds(count);
  std::optional<WorldSearch> search;
  if (options.shrink && !seeds.replay && !googletest_has_failed()) search.emplace(f, options);
  for (std::uint64_t seed = seeds.first; seed <= seeds.last && !googletest_has_failed(); ++seed) {
    WorldOptions of_seed = options;
    of_seed.seed = seed;
    if (search) {
      run_and_shrink(*search, f, of_seed);
      continue;
    }
    internal::WorldSetup setup;
    if (seeds.replay) setup.replay = *seeds.replay;
    World world(of_seed, setup);
    f(world);
  }
}

}  // namespace cooperative::testing
