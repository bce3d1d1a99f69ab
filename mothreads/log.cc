#include "mothreads/log.h"

#include <concurrentqueue/blockingconcurrentqueue.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <cxxabi.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/futex.h"
#include "mothreads/internal/base/printable.h"
#include "mothreads/internal/base/tiny_mutex.h"
#include "mothreads/internal/library_thread.h"
#include "mothreads/internal/log_outlet.h"
#include "mothreads/internal/log_thread.h"
#include "mothreads/internal/wait/thread_context.h"
#include "mothreads/misuse.h"

namespace mothreads::inline v0::log {

// A function that add_sink() was given. The drainer has the list of these for many lines, and looks whether each is removed before each call.
struct AddedSink::Function {
  explicit Function(std::function<void(const Line&)> its) : function(std::move(its)) {}
  const std::function<void(const Line&)> function;
  std::atomic<bool> is_removed{false};
};

namespace {

// So many lines may wait to be written before who logs has to wait.
constexpr std::int64_t kMaxWaiting = 100'000;
constexpr std::size_t kBatch = 256;

using Sink = std::function<void(const Line&)>;

// The shutdown tree, which has an order for everything, ends the log's thread.
constinit std::atomic<bool> ends_with_tree{false};

void end_with_process();

// The lines on their way, and who writes them. Producers only enqueue. One drainer at a time writes: the log's thread while
// there is one, else whoever enqueued and finds no drainer. So no lock is held while a sink runs, and a sink may log.
class Central {
 public:
  Central() : outlet_(std::make_shared<Outlet>()) {}
  // In the child of a fork(): its destinations are the parent's.
  explicit Central(const Central& parents)
      : direct_(parents.direct_.load(std::memory_order_relaxed)), sink_(parents.sink_), added_(parents.added_), outlet_(std::make_shared<Outlet>(parents.outlet_->remade())) {}
  Central& operator=(const Central&) = delete;

  void add(std::optional<Line> line) {
    waiting_.fetch_add(1, std::memory_order_relaxed);  // a count that only limits memory
    queue_.enqueue(std::move(line));
    if (!thread_runs_.load(std::memory_order_acquire)) start_or_drain();
    wait_while_behind();
  }

  void flush() {
    // The queue has been seen empty by a look that began after the call once two looks have ended.
    for (int i = 0; i < 2; ++i) {
      const std::uint32_t seen = empties_.load(std::memory_order_acquire);
      add(std::nullopt);
      if (drainer_is_me()) return;  // a sink flushes its own log: its line is being written
      while (empties_.load(std::memory_order_acquire) == seen) {
        if (!thread_runs_.load(std::memory_order_acquire)) {
          drain();
        } else {
          // A limit only because the log's thread may end meanwhile.
          internal::futex_wait(&empties_, seen, std::chrono::steady_clock::now() + std::chrono::milliseconds(50));
        }
      }
    }
  }

  void end_thread() {
    if (drainer_is_me()) return;  // a sink has called exit()
    std::lock_guard lock(thread_mutex_);
    direct_.store(true, std::memory_order_release);
    if (!thread_runs_.load(std::memory_order_acquire)) return;
    ending_.store(true, std::memory_order_release);
    queue_.enqueue(std::nullopt);
    thread_.join();
    thread_runs_.store(false, std::memory_order_release);
    drain();
  }

  void begin() {
    std::lock_guard lock(thread_mutex_);
    direct_.store(false, std::memory_order_release);
  }

  void set_sink(Sink sink) {
    flush();
    auto shared = sink ? std::make_shared<const Sink>(std::move(sink)) : nullptr;
    {
      std::lock_guard lock(sink_mutex_);
      sink_.swap(shared);
    }
    flush();  // nobody is in the old one any more
  }

  void add_sink(const std::shared_ptr<AddedSink::Function>& sink) {
    flush();
    change_added([&](AddedSinks& added) { added.push_back(sink); });
  }
  void remove_sink(AddedSink::Function& sink) noexcept {
    try {
      flush();
      sink.is_removed.store(true, std::memory_order_release);
      change_added([](AddedSinks&) {});
      flush();  // nobody is in it any more
    } catch (const std::bad_alloc&) {
      sink.is_removed.store(true, std::memory_order_release);  // and the next change takes it out
      await_writing();
    }
  }

  // flush() that goes on where there is no memory for it just now.
  void await_writing() noexcept {
    while (true) {
      try {
        return flush();
      } catch (const std::bad_alloc&) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
  }

  void to_file(const std::string& path, bool also_to_stderr) {
    flush();
    const std::lock_guard one_at_a_time(changing_);
    std::shared_ptr<Outlet> replaced;
    {
      std::lock_guard lock(sink_mutex_);
      replaced = std::make_shared<Outlet>(*outlet_);
    }
    replaced->add_file(path);
    replaced->set_stderr(also_to_stderr);
    std::lock_guard lock(sink_mutex_);
    outlet_ = std::move(replaced);
  }

  // Around a fork(): the pointers are then whole in the child.
  void hold_sink() noexcept { sink_mutex_.lock(); }
  void leave_sink() noexcept { sink_mutex_.unlock(); }

 private:
  using AddedSinks = std::vector<std::shared_ptr<AddedSink::Function>>;

  // Whoever writes has the list before, or this one, which is without the removed.
  template <typename Change>
  void change_added(Change&& change) {
    std::shared_ptr<AddedSinks> changed;  // in the end the one before: functions are destroyed without the mutexes
    const std::lock_guard one_at_a_time(changing_);
    {
      std::lock_guard lock(sink_mutex_);
      changed = added_ == nullptr ? std::make_shared<AddedSinks>() : std::make_shared<AddedSinks>(*added_);
    }
    std::erase_if(*changed, [](const auto& added) { return added->is_removed.load(std::memory_order_acquire); });
    change(*changed);
    std::lock_guard lock(sink_mutex_);
    added_.swap(changed);
  }

  bool drainer_is_me() const { return drainer_.load(std::memory_order_relaxed) == pthread_self(); }

  void start_or_drain() {
    if (!direct_.load(std::memory_order_acquire)) {
      std::lock_guard lock(thread_mutex_);
      if (!direct_.load(std::memory_order_acquire) && !thread_runs_.load(std::memory_order_acquire)) {
        ending_.store(false, std::memory_order_relaxed);
        end_with_process();
        try {
          thread_ = internal::start_without_signals("log", [this] { run(); });
          thread_runs_.store(true, std::memory_order_release);
          return;
        } catch (const std::system_error&) {
          // Then who logs writes: the next line tries again.
        }
      }
    }
    drain();
  }

  void run() {
    std::array<std::optional<Line>, kBatch> lines;
    // A caller that drained before this thread started may still be at it.
    while (draining_.exchange(true, std::memory_order_acquire)) std::this_thread::yield();
    drainer_.store(pthread_self(), std::memory_order_relaxed);
    // What is there when the end is asked for is written; who goes on logging cannot keep the thread.
    std::size_t left = SIZE_MAX;
    while (left > 0) {
      std::size_t count = queue_.try_dequeue_bulk(lines.begin(), std::min(kBatch, left));
      if (left == SIZE_MAX && ending_.load(std::memory_order_acquire)) left = queue_.size_approx() + count;
      if (count == 0) {
        seen_empty();
        if (left != SIZE_MAX) break;
        count = queue_.wait_dequeue_bulk(lines.begin(), kBatch);
      }
      write(lines, count);
      if (born_.is_left_behind()) internal::end_forked_process();  // a sink has called fork(), and has returned in the child
      if (left != SIZE_MAX) left -= std::min(left, count);
    }
    seen_empty();
    drainer_.store(0, std::memory_order_relaxed);
    draining_.store(false, std::memory_order_release);
  }

  void drain() {
    std::array<std::optional<Line>, kBatch> lines;
    do {
      // acq_rel: a drainer that has just ended sees, by its own exchange, what was enqueued before this one.
      if (draining_.exchange(true, std::memory_order_acq_rel)) return;
      drainer_.store(pthread_self(), std::memory_order_relaxed);
      while (const std::size_t count = queue_.try_dequeue_bulk(lines.begin(), kBatch)) {
        write(lines, count);
        if (born_.is_left_behind()) return;
      }
      seen_empty();
      drainer_.store(0, std::memory_order_relaxed);
      draining_.exchange(false, std::memory_order_acq_rel);
      // Somebody may have enqueued after our last look and found us still draining.
    } while (queue_.size_approx() != 0);
  }

  void seen_empty() {
    empties_.fetch_add(1, std::memory_order_release);  // pairs with the acquire in flush()
    internal::futex_wake(&empties_, INT_MAX);
  }

  void wait_while_behind() {
    if (waiting_.load(std::memory_order_relaxed) < kMaxWaiting || drainer_is_me()) return;
    if (const auto* context = internal::Context::current_or_null(); context != nullptr && context->care.must_not_block) return;
    while (waiting_.load(std::memory_order_relaxed) >= kMaxWaiting / 2 && thread_runs_.load(std::memory_order_acquire)) {
      const std::uint32_t seen = batches_.load(std::memory_order_acquire);
      internal::futex_wait(&batches_, seen, std::chrono::steady_clock::now() + std::chrono::milliseconds(50));
    }
  }

  void write(std::array<std::optional<Line>, kBatch>& lines, std::size_t count) {
    std::shared_ptr<const Sink> sink;
    std::shared_ptr<AddedSinks> added;
    std::shared_ptr<Outlet> outlet;
    {
      std::lock_guard lock(sink_mutex_);
      sink = sink_;
      added = added_;
      outlet = outlet_;
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (!lines[i]) continue;
      give(*lines[i], [&](const Line& line) { sink != nullptr ? (*sink)(line) : outlet->write(line); });
      if (added != nullptr) give_to_added(*lines[i], *added);
      if (born_.is_left_behind()) return;  // a sink has called fork(): the other lines are the parent's
      lines[i].reset();
    }
    waiting_.fetch_sub(static_cast<std::int64_t>(count), std::memory_order_relaxed);
    batches_.fetch_add(1, std::memory_order_release);  // pairs with the acquire in wait_while_behind()
    internal::futex_wake(&batches_, INT_MAX);
  }

  void give_to_added(const Line& line, const AddedSinks& added) {
    for (const auto& sink : added) {
      if (born_.is_left_behind()) return;
      if (!sink->is_removed.load(std::memory_order_acquire)) give(line, sink->function);
    }
  }

  template <typename To>
  static void give(const Line& line, const To& to) {
    try {
      to(line);
    } catch (...) {
      std::fprintf(stderr, "mothreads: a log sink failed (%s) on: %s\n", internal::printable(describe(std::current_exception())).c_str(),
                   internal::printable(line.text).c_str());
    }
  }

  moodycamel::BlockingConcurrentQueue<std::optional<Line>> queue_;
  std::atomic<std::int64_t> waiting_{0};
  std::atomic<std::uint32_t> empties_{0};
  std::atomic<std::uint32_t> batches_{0};
  std::atomic<bool> draining_{false};
  std::atomic<pthread_t> drainer_{0};

  std::mutex thread_mutex_;
  std::thread thread_;
  std::atomic<bool> thread_runs_{false};
  std::atomic<bool> ending_{false};
  std::atomic<bool> direct_{false};

  const internal::Born born_;
  std::mutex changing_;    // held while a file is opened
  std::mutex sink_mutex_;  // guards the pointers, not the sinks
  std::shared_ptr<const Sink> sink_;
  std::shared_ptr<AddedSinks> added_;  // null for none; is not changed, but replaced
  std::shared_ptr<Outlet> outlet_;
};

// Outlives every thread. In the child of a fork() it is another, made when the first line comes: the queue, and whoever drained it, are the
// parent's.
constinit std::atomic<Central*> instance{nullptr};
constinit Central* parents = nullptr;  // whose destinations are the child's, too; guarded by the mutex
constinit internal::TinyMutex making;

// Held from prepare() to one of the other two, which the analysis cannot see.
void prepare_fork() noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS {
  making.lock();
  if (Central* const here = instance.load(std::memory_order_relaxed)) here->hold_sink();
}

void go_on_in_parent() noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS {
  if (Central* const here = instance.load(std::memory_order_relaxed)) here->leave_sink();
  making.unlock();
}

void go_on_in_child() noexcept {
  if (Central* const here = instance.exchange(nullptr, std::memory_order_relaxed)) {
    here->leave_sink();
    parents = here;
  }
  new (&making) internal::TinyMutex;  // who slept on it is not here: nobody is to be woken
}

constinit internal::ForkPart part{.prepare = prepare_fork, .in_parent = go_on_in_parent, .in_child = go_on_in_child};

// Before there is anything that a child could miss.
void take_part_in_forks() {
  static const bool takes_part = (internal::take_part_in_forks(part), true);
  static_cast<void>(takes_part);
}
[[maybe_unused]] const bool takes_part_early = (take_part_in_forks(), true);  // another's static object may have come first

Central& make_central() {
  take_part_in_forks();
  const internal::TinyLock lock(making);
  Central* made = instance.load(std::memory_order_relaxed);
  if (made == nullptr) {
    made = parents == nullptr ? new Central : new Central(*parents);
    // release: pairs with the acquire in central().
    instance.store(made, std::memory_order_release);
  }
  return *made;
}

Central& central();

void end_with_process() {
  static constinit std::atomic<bool> is_arranged{false};  // not a guard: a child of fork() could be born while another thread has it
  if (is_arranged.exchange(true, std::memory_order_relaxed)) return;
  // relaxed: whoever made the tree did so before it began to end the process, or is no part of that.
  static_cast<void>(std::atexit([] {
    if (!ends_with_tree.load(std::memory_order_relaxed)) central().end_thread();
  }));
}

Central& central() {
  Central* const made = instance.load(std::memory_order_acquire);
  return made != nullptr ? *made : make_central();
}

std::atomic<Level> level{Level::info};

std::string current_exception_type() {
  const std::type_info* type = abi::__cxa_current_exception_type();
  if (type == nullptr) return "unknown";
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(abi::__cxa_demangle(type->name(), nullptr, nullptr, &status), std::free);
  return status == 0 ? name.get() : type->name();
}

// The system would take what is before a zero byte for the whole.
void check_path(const std::string& path) {
  if (path.find('\0') == std::string::npos) return;
  throw std::runtime_error(fmt::format("cannot log to file \"{}\": its path has a zero byte", internal::printable(path)));
}

std::string context_name(const internal::Context* context) {
  if (context != nullptr) return context->name;
  char name[16] = "unknown";
  pthread_getname_np(pthread_self(), name, sizeof name);
  return name;
}

}  // namespace

void set_level(Level lowest) { level.store(lowest, std::memory_order_relaxed); }
bool is_on(Level asked) noexcept { return asked >= level.load(std::memory_order_relaxed); }

void write(Level at, std::string text) {
  const internal::Context* context = internal::Context::current_or_null();
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  central().add(Line{at, std::chrono::duration_cast<std::chrono::nanoseconds>(now).count(), context_name(context),
                     context != nullptr && context->log_extras ? *context->log_extras : Extras(), std::move(text)});
}

void set_sink(Sink sink) { central().set_sink(std::move(sink)); }

AddedSink add_sink(Sink sink) {
  if (!sink) throw Misuse("log::add_sink() was given an empty function: give it one that can be called");
  auto function = std::make_shared<AddedSink::Function>(std::move(sink));
  central().add_sink(function);
  return AddedSink(std::move(function));
}

AddedSink::~AddedSink() {
  if (function_ != nullptr) central().remove_sink(*function_);
}

void to_file(const std::string& path, ToStderr to_stderr) {
  check_path(path);
  central().to_file(path, to_stderr == ToStderr::yes);
}

Sink json_lines(const std::string& path) {
  if (path.empty()) return [](const Line& line) { write_whole(STDERR_FILENO, to_json(line)); };
  check_path(path);
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0) throw std::runtime_error(fmt::format("cannot log to file \"{}\": {}", path, std::generic_category().message(errno)));
  struct Owned {
    explicit Owned(int its) : descriptor(its) {}
    ~Owned() { ::close(descriptor); }
    Owned(const Owned&) = delete;
    Owned& operator=(const Owned&) = delete;
    const int descriptor;
  };
  return [path, file = std::make_shared<const Owned>(descriptor)](const Line& line) {
    if (!write_whole(file->descriptor, to_json(line))) throw std::system_error(errno, std::generic_category(), path);
  };
}

void flush() { central().flush(); }

Extra::Extra(std::string_view key, std::string_view value) {
  auto& extras = internal::Context::current().log_extras;
  before_ = extras;
  Extras more = before_ ? *before_ : Extras();
  more.emplace_back(key, value);
  extras = std::make_shared<const Extras>(std::move(more));
}

Extra::~Extra() { internal::Context::current().log_extras = before_; }

std::string describe(const std::exception_ptr& exception) {
  if (!exception) return "no exception";
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& e) {
    std::string text = e.what();
    try {
      std::rethrow_if_nested(e);
    } catch (...) {
      text += ": " + describe(std::current_exception());
    }
    return text;
  } catch (const std::string& text) {
    return text;
  } catch (const char* text) {
    return text;
  } catch (...) {
    return fmt::format("an exception of type {}", current_exception_type());
  }
}

}  // namespace mothreads::log

namespace mothreads::inline v0::internal {

void begin_log() { log::central().begin(); }
void end_log_thread() { log::central().end_thread(); }
void leave_log_to_tree() noexcept { log::ends_with_tree.store(true, std::memory_order_relaxed); }

}  // namespace mothreads::internal
