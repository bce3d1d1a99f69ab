#include "tests/cooperative/testing/planted_faults.h"

#include <array>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "mothreads/lock.h"
#include "mothreads/queue.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"

namespace cooperative::inline v0::testing {
namespace {

using mothreads::Lock;
using mothreads::Queue;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::ThreadGroup;

void must(bool holds, const char* what) {
  if (!holds) throw std::logic_error(what);
}

// Between the look and the wait the notification comes, and nobody is there to take it.
void lost_wake_up(World& world) {
  world.run([] {
    Lock lock("mailbox");
    bool has_mail = false;
    std::optional<Signal> reader;  // who is to be woken
    auto writer = Thread::run("writer", [&](Signal) {
      auto held = lock.enter();
      has_mail = true;
      if (reader) reader->go();
    });
    bool is_there = false;
    {
      auto held = lock.enter();
      is_there = has_mail;
    }
    if (!is_there) {
      const Signal woken("mail");
      {
        auto held = lock.enter();  // without another look
        reader = woken;
      }
      woken.wait();
    }
    writer.join();
  });
}

// Two workers find the same job undone, and both do it.
void double_delivery(World& world) {
  world.run([] {
    Lock lock("jobs");
    std::array<bool, 3> done{};
    int deliveries = 0;
    const auto work = [&](Signal) {
      for (std::size_t i = 0; i < done.size(); ++i) {
        bool is_mine = false;
        {
          auto held = lock.enter();
          is_mine = !done[i];
        }
        if (!is_mine) continue;
        auto held = lock.enter();
        done[i] = true;
        ++deliveries;
      }
    };
    ThreadGroup workers("workers");
    workers.run("worker", work);
    workers.run("worker", work);
    workers.join();
    must(deliveries == 3, "a job was delivered twice");
  });
}

void lost_update(World& world) {
  world.run([] {
    Lock lock("counter");
    int counter = 0;
    const auto get = [&] {
      auto held = lock.enter();
      return counter;
    };
    const auto set = [&](int value) {
      auto held = lock.enter();
      counter = value;
    };
    ThreadGroup writers("writers");
    for (int i = 0; i < 3; ++i) writers.run("writer", [&](Signal) { set(get() + 1); });
    writers.join();
    must(get() == 3, "an update was lost");
  });
}

// An order is in the queue before all of it is written.
void early_publication(World& world) {
  world.run([] {
    struct Order {
      int pieces = 0;
    };
    Queue<std::shared_ptr<Order>> orders("orders");
    auto packer = Thread::run("packer", [&](Signal) {
      while (auto order = orders.pop()) must((*order)->pieces > 0, "an order was packed before it was written");
    });
    for (int i = 1; i <= 3; ++i) {
      auto order = std::make_shared<Order>();
      orders.add(order);
      order->pieces = i;
    }
    orders.close();
    packer.join();
  });
}

// The stop comes after it was tested, and before the wait: what should wake the worker finds nobody who waits.
void missed_stop(World& world) {
  world.run([] {
    Lock lock("work");
    auto worker = Thread::run("worker", [&](Signal please_stop) {
      while (!please_stop) {
        auto held = lock.enter();
        held.wait();
      }
    });
    worker.stop();
    {
      auto held = lock.enter();  // leaving it wakes the worker
    }
    worker.join();
  });
}

// The flag is set before the value; who sees the flag takes the value without the lock.
void double_checked_initialisation(World& world) {
  world.run([] {
    Lock lock("settings");
    const Signal is_made("settings are made");
    std::unique_ptr<std::string> settings;
    const auto get = [&]() -> const std::string& {
      if (!is_made) {
        auto held = lock.enter();
        if (!is_made) {
          is_made.go();
          settings = std::make_unique<std::string>("defaults");
        }
      }
      must(settings != nullptr, "the settings were used before they were made");
      return *settings;
    };
    ThreadGroup readers("readers");
    for (int i = 0; i < 2; ++i) readers.run("reader", [&](Signal) { must(get() == "defaults", "other settings"); });
    readers.join();
  });
}

// A ring whose place is taken in one section and filled in another: the place can be read, or given away again, in between.
void lost_element(World& world) {
  world.run([] {
    constexpr std::size_t kPlaces = 2;
    Lock lock("ring");
    std::array<int, kPlaces> ring{};
    std::size_t begin = 0;
    std::size_t end = 0;
    int sum = 0;
    const auto push = [&](int value) {
      std::size_t place = 0;
      {
        auto held = lock.enter_when([&] { return end - begin < kPlaces; });
        place = end++ % kPlaces;
      }
      auto held = lock.enter();
      ring[place] = value;
    };
    ThreadGroup pushers("pushers");
    for (int i = 1; i <= 2; ++i) {
      pushers.run("pusher", [&, i](Signal) {
        push(i);
        push(10 * i);
      });
    }
    for (int taken = 0; taken < 4; ++taken) {
      auto held = lock.enter_when([&] { return begin != end; });
      sum += std::exchange(ring[begin++ % kPlaces], 0);
    }
    pushers.join();
    must(sum == 33, "an element was lost");
  });
}

// Two fields that belong together are written in two sections.
void half_an_update(World& world) {
  world.run([] {
    Lock lock("position");
    int x = 0;
    int y = 0;
    auto mover = Thread::run("mover", [&](Signal) {
      for (int i = 1; i <= 2; ++i) {
        {
          auto held = lock.enter();
          x = i;
        }
        auto held = lock.enter();
        y = i;
      }
    });
    auto viewer = Thread::run("viewer", [&](Signal) {
      for (int i = 0; i < 2; ++i) {
        auto held = lock.enter();
        must(x == y, "half an update was seen");
      }
    });
    mover.join();
    viewer.join();
  });
}

constexpr PlantedFault kFaults[] = {
    {"lost wake-up", lost_wake_up},
    {"lock order", lock_order},
    {"double delivery", double_delivery},
    {"lost update", lost_update},
    {"early publication", early_publication},
    {"missed stop", missed_stop},
    {"double-checked initialisation", double_checked_initialisation},
    {"lost element", lost_element},
    {"half an update", half_an_update},
};

}  // namespace

void lock_order(World& world) {
  world.run([] {
    Lock accounts("accounts");
    Lock journal("journal");
    auto clerk = Thread::run("clerk", [&](Signal) {
      auto first = accounts.enter();
      auto second = journal.enter();
    });
    auto auditor = Thread::run("auditor", [&](Signal) {
      auto first = journal.enter();
      auto second = accounts.enter();
    });
    clerk.join();
    auditor.join();
  });
}

int count_by_two(World& world) {
  Lock lock("counter");
  int counter = 0;
  world.run([&] {
    const auto count = [&](Signal) {
      int before = 0;
      {
        auto held = lock.enter();
        before = counter;
      }
      auto held = lock.enter();
      counter = before + 1;
    };
    auto one = Thread::run("one", count);
    auto two = Thread::run("two", count);
    one.join();
    two.join();
  });
  return counter;
}

std::span<const PlantedFault> planted_faults() { return kFaults; }

}  // namespace cooperative::testing
