#include "tests/support/nothing_left.h"

#include <unistd.h>

#include <sched.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include "absl/debugging/symbolize.h"
#include "mothreads/internal/runtime.h"
#include "mothreads/internal/signal_thread.h"
#include "mothreads/internal/thread_node.h"
#include "mothreads/log.h"
#include "tests/support/sanitized.h"

namespace mothreads::testing {
namespace {

// Longer than a loaded machine needs, shorter than the watchdog's patience.
constexpr std::chrono::seconds kDeadlock{kSanitized ? 60 : 10};

bool is_the_librarys(const std::string& os_name) {
  return os_name == "timers" || os_name == "stop watch" || os_name == "log" || os_name == "signals";
}

template <typename Condition>
bool await(Condition condition) {
  const auto deadlock = std::chrono::steady_clock::now() + kDeadlock;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadlock) return false;
    sched_yield();
  }
  return true;
}

}  // namespace

std::size_t count_threads() {
  std::size_t count = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream file(task.path() / "comm");
    std::string name;
    if (std::getline(file, name) && !is_the_librarys(name)) ++count;  // unreadable: it has just ended
  }
  return count;
}

std::size_t count_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& descriptor : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

bool await_thread_count(std::size_t count) {
  // The kernel wakes who joins a thread shortly before it takes the thread off its list.
  return await([&] { return count_threads() == count; });
}

void open_symbol_files() {
  char name[64];
  static_cast<void>(absl::Symbolize(reinterpret_cast<const void*>(&take_unclaimed_failures), name, sizeof name));
  static_cast<void>(absl::Symbolize(reinterpret_cast<const void*>(&::syscall), name, sizeof name));
}

int take_unclaimed_failures() { return internal::take_unclaimed_failures(); }

void NothingLeft::SetUp() {
  internal::main_node().left_over().reap();
  static_cast<void>(internal::take_unclaimed_failures());
  // The pipe of the signal thread stays for the life of the process: make it now.
  static const bool piped = (internal::begin_signal_thread(), internal::end_signal_thread(), true);
  static_cast<void>(piped);
  // The same for all tests of the program: what an earlier one, or the watchdog, has just joined may still show.
  static const std::size_t threads = count_threads();
  threads_ = threads;
  ASSERT_TRUE(await_thread_count(threads_)) << "OS threads: " << count_threads() << ", at the first test " << threads_;
  log::flush();  // who writes a line may look into the system's file of time zones
  descriptors_ = count_descriptors();
  children_ = internal::main_node().children().size();  // a scheduler, where the tests run on a fiber
}

void NothingLeft::TearDown() {
  // A released thread leaves the tree just after `stopped`. While it does the kernel's list, too, may miss some threads.
  await([this] { return internal::main_node().children().size() == children_; });
  internal::main_node().left_over().reap();
  EXPECT_TRUE(await_thread_count(threads_)) << "OS threads: " << count_threads() << ", at the start " << threads_;
  log::flush();
  EXPECT_EQ(count_descriptors(), descriptors_);
  const auto children = internal::main_node().children();
  for (std::size_t i = 0; i + children_ < children.size(); ++i) ADD_FAILURE() << "left in the tree: " << children[i]->name();
  EXPECT_EQ(internal::take_unclaimed_failures(), 0) << "threads failed and nobody joined them";
}

}  // namespace mothreads::testing
