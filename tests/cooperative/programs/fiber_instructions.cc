// What one of each costs, for instructions_test.py to count: fiber_instructions ROW COUNT does COUNT of them.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "cooperative/event.h"
#include "cooperative/event_queue.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "mothreads/lock.h"

namespace {

using cooperative::Event;
using cooperative::Fiber;
using cooperative::spawn;

void spawn_join(int count) {
  for (int i = 0; i < count; ++i) spawn("fiber", [] {}).join();
}

void spawn_at_once(int count) {
  for (int i = 0; i < count; ++i) spawn({.name = "fiber", .start = cooperative::Start::at_once}, [] {}).join();
}

// Among so many that no first-level cache has them all.
void yield(int count) {
  constexpr int kFibers = 100;
  std::vector<Fiber<void>> fibers;
  for (int i = 0; i < kFibers; ++i) {
    fibers.push_back(spawn("fiber", [count] {
      for (int lap = 0; lap < count / kFibers; ++lap) cooperative::yield();
    }));
  }
  for (auto& fiber : fibers) fiber.join();
}

template <typename... Limit>
void hand_over(int count, Limit... limit) {
  Event<> ping, pong;
  bool done = false;
  auto partner = spawn("partner", [&] {
    while (true) {
      ping.wait(limit...);
      if (done) break;
      pong.signal();
    }
  });
  cooperative::yield();
  for (int i = 0; i < count / 2; ++i) {
    ping.signal();
    pong.wait(limit...);
  }
  done = true;
  ping.signal();
  partner.join();
}

void event(int count) { hand_over(count); }
void timed_wait(int count) { hand_over(count, absl::Hours(1)); }

void queue(int count) {
  cooperative::EventQueue<std::int64_t> queue(1024);
  auto producer = spawn("producer", [&] {
    for (int i = 0; i < count; ++i) {
      while (!queue.signal(i)) cooperative::yield();
    }
  });
  for (int i = 0; i < count; ++i) queue.wait();
  producer.join();
}

void lock(int count) {
  mothreads::Lock lock;
  for (int i = 0; i < count; ++i) {
    lock.lock();
    lock.unlock();
  }
}

// Made, parked, unwound by the end of their parent, and forgotten.
void cancel(int count) {
  spawn("parent", [count] {
    Event<> never;
    std::vector<Fiber<void>> fibers;
    fibers.reserve(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) fibers.push_back(spawn("fiber", [&] { never.wait(); }));
    cooperative::yield();
  }).join();
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string_view, void (*)(int)> rows{
      {"spawn_join", spawn_join}, {"spawn_at_once", spawn_at_once}, {"yield", yield}, {"event", event},
      {"timed_wait", timed_wait}, {"queue", queue},                 {"lock", lock},   {"cancel", cancel},
  };
  if (argc != 3 || !rows.contains(argv[1])) {
    std::fputs("usage: fiber_instructions ROW COUNT\n", stderr);
    return 2;
  }
  rows.at(argv[1])(std::atoi(argv[2]));
}
