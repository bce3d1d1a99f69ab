#include "tests/support/nothing_left.h"

#include <unistd.h>

#include <sched.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "mothreads/internal/runtime.h"
#include "mothreads/internal/signal_thread.h"
#include "mothreads/internal/thread_node.h"
#include "mothreads/log.h"
#include "tests/support/sanitized.h"

namespace mothreads::inline v0::testing {
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

// The program, its shared libraries, and what else the process has mapped: proc(5).
std::set<std::string> mapped_files() {
  std::set<std::string> files;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const std::size_t path = line.find('/');
    if (path != std::string::npos) files.insert(line.substr(path));
  }
  return files;
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

std::vector<std::string> open_descriptors() {
  const std::set<std::string> mapped = mapped_files();
  std::map<int, std::string> open;
  for (const auto& descriptor : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code closed;  // meanwhile, by another thread
    const std::string what = std::filesystem::read_symlink(descriptor.path(), closed);
    if (!closed && mapped.count(what) == 0) open.emplace(std::stoi(descriptor.path().filename()), what);
  }
  std::vector<std::string> names;
  for (auto& [number, name] : open) names.push_back(std::move(name));
  return names;
}

bool await_thread_count(std::size_t count) {
  // The kernel wakes who joins a thread shortly before it takes the thread off its list.
  return await([&] { return count_threads() == count; });
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
  descriptors_ = open_descriptors();
  children_ = internal::main_node().children().size();  // a scheduler, where the tests run on a fiber
}

void NothingLeft::TearDown() {
  // A released thread leaves the tree just after `stopped`. While it does the kernel's list, too, may miss some threads.
  await([this] { return internal::main_node().children().size() == children_; });
  internal::main_node().left_over().reap();
  EXPECT_TRUE(await_thread_count(threads_)) << "OS threads: " << count_threads() << ", at the start " << threads_;
  log::flush();
  EXPECT_EQ(open_descriptors(), descriptors_);
  const auto children = internal::main_node().children();
  for (std::size_t i = 0; i + children_ < children.size(); ++i) ADD_FAILURE() << "left in the tree: " << children[i]->name();
  EXPECT_EQ(internal::take_unclaimed_failures(), 0) << "threads failed and nobody joined them";
}

}  // namespace mothreads::testing
