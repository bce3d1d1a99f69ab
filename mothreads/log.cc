#include "mothreads/log.h"

#include <concurrentqueue/blockingconcurrentqueue.h>
#include <pthread.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <cxxabi.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>

#include "mothreads/contexts/futex.h"
#include "mothreads/contexts/thread_context.h"
#include "mothreads/internal/library_thread.h"
#include "mothreads/internal/log_thread.h"

namespace mothreads::log {
namespace {

// So many lines may wait to be written before who logs has to wait.
constexpr std::int64_t kMaxWaiting = 100'000;
constexpr std::size_t kBatch = 256;

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warning:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
    case Level::critical:
      return spdlog::level::critical;
  }
  return spdlog::level::critical;
}

using Sink = std::function<void(const Line&)>;

class Central;
Central& central();

// The lines on their way, and who writes them. Producers only enqueue. One drainer at a time writes: the log's thread while
// there is one, else whoever enqueued and finds no drainer. So no lock is held while a sink runs, and a sink may log.
class Central {
 public:
  Central() {
    // A forked child has no such thread: there who logs writes.
    pthread_atfork(nullptr, nullptr, [] {
      central().thread_runs_.store(false, std::memory_order_relaxed);
      central().direct_.store(true, std::memory_order_relaxed);
    });
    spdlog_ = std::make_shared<spdlog::logger>("mothreads", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    spdlog_->set_level(spdlog::level::trace);
    spdlog_->set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");
    spdlog_->set_error_handler([](const std::string& text) { std::fprintf(stderr, "mothreads: the log failed: %s\n", text.c_str()); });
  }

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
    spdlog_->flush();
  }

  void end_thread() {
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

  void to_file(const std::string& path) {
    flush();
    auto file = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
    file->set_pattern("%Y-%m-%d %H:%M:%S.%e %l %v");
    std::lock_guard lock(sink_mutex_);
    auto replaced = std::make_shared<spdlog::logger>(*spdlog_);
    replaced->sinks().push_back(std::move(file));
    spdlog_ = std::move(replaced);
  }

 private:
  bool drainer_is_me() const { return drainer_.load(std::memory_order_relaxed) == pthread_self(); }

  void start_or_drain() {
    if (!direct_.load(std::memory_order_acquire)) {
      std::lock_guard lock(thread_mutex_);
      if (!direct_.load(std::memory_order_acquire) && !thread_runs_.load(std::memory_order_acquire)) {
        ending_.store(false, std::memory_order_relaxed);
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
      while (const std::size_t count = queue_.try_dequeue_bulk(lines.begin(), kBatch)) write(lines, count);
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
    if (const auto* context = internal::Context::current_or_null(); context != nullptr && context->must_not_block) return;
    while (waiting_.load(std::memory_order_relaxed) >= kMaxWaiting / 2 && thread_runs_.load(std::memory_order_acquire)) {
      const std::uint32_t seen = batches_.load(std::memory_order_acquire);
      internal::futex_wait(&batches_, seen, std::chrono::steady_clock::now() + std::chrono::milliseconds(50));
    }
  }

  void write(std::array<std::optional<Line>, kBatch>& lines, std::size_t count) {
    std::shared_ptr<const Sink> sink;
    std::shared_ptr<spdlog::logger> logger;
    {
      std::lock_guard lock(sink_mutex_);
      sink = sink_;
      logger = spdlog_;
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (!lines[i]) continue;
      write_one(*lines[i], sink.get(), *logger);
      lines[i].reset();
    }
    if (sink == nullptr) logger->flush();
    waiting_.fetch_sub(static_cast<std::int64_t>(count), std::memory_order_relaxed);
    batches_.fetch_add(1, std::memory_order_release);  // pairs with the acquire in wait_while_behind()
    internal::futex_wake(&batches_, INT_MAX);
  }

  static void write_one(const Line& line, const Sink* sink, spdlog::logger& logger) {
    try {
      if (sink != nullptr) {
        (*sink)(line);
        return;
      }
      const spdlog::log_clock::time_point time{
          std::chrono::duration_cast<spdlog::log_clock::duration>(std::chrono::nanoseconds(line.unix_nanoseconds))};
      logger.log(time, spdlog::source_loc{}, to_spdlog(line.level),
                 fmt::format("[{}] {}{}{}", line.context, line.text, line.extras.empty() ? "" : " ", line.extras));
    } catch (...) {
      std::fprintf(stderr, "mothreads: a log sink failed (%s) on: %s\n", describe(std::current_exception()).c_str(),
                   line.text.c_str());
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

  std::mutex sink_mutex_;  // guards the two pointers, not the sinks
  std::shared_ptr<const Sink> sink_;
  std::shared_ptr<spdlog::logger> spdlog_;
};

Central& central() {
  static Central& instance = *new Central;  // outlives every thread
  return instance;
}

std::atomic<Level> level{Level::info};

std::string current_exception_type() {
  const std::type_info* type = abi::__cxa_current_exception_type();
  if (type == nullptr) return "unknown";
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(abi::__cxa_demangle(type->name(), nullptr, nullptr, &status), std::free);
  return status == 0 ? name.get() : type->name();
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
                     context != nullptr && context->log_extras ? *context->log_extras : std::string(), std::move(text)});
}

void set_sink(Sink sink) { central().set_sink(std::move(sink)); }

void to_file(const std::string& path) {
  try {
    central().to_file(path);
  } catch (const spdlog::spdlog_ex& failed) {
    throw std::runtime_error(fmt::format("cannot log to file \"{}\": {}", path, failed.what()));
  }
}

void flush() { central().flush(); }

Extra::Extra(std::string_view key, std::string_view value) {
  auto& extras = internal::Context::current().log_extras;
  before_ = extras;
  extras = std::make_shared<const std::string>(before_ ? fmt::format("{} {}={}", *before_, key, value)
                                                       : fmt::format("{}={}", key, value));
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

namespace mothreads::internal {

void begin_log() { log::central().begin(); }
void end_log_thread() { log::central().end_thread(); }

}  // namespace mothreads::internal
