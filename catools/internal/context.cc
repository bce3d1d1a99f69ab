#include "catools/internal/context.h"

#include <cadef.h>
#include <fmt/core.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/string_view.h"
#include "catools/internal/channel.h"
#include "catools/internal/repeater.h"
#include "mothreads/foreign_thread.h"
#include "mothreads/log.h"
#include "mothreads/main_thread.h"
#include "mothreads/misuse.h"

namespace catools::inline v0::internal {

using mothreads::internal::ForkPart;
using mothreads::internal::TinyLock;

// The one context of Channel Access in the process.
struct Process {
  static constinit std::atomic<Context*> context;

  static Context* make(std::string_view name);
  static void close_at_exit() noexcept {
    if (Context* const made = context.load(std::memory_order_acquire)) made->close();
  }
  static void in_child() noexcept { context.store(nullptr, std::memory_order_relaxed); }  // the child has one thread
};
constinit std::atomic<Context*> Process::context{nullptr};

namespace {

constexpr std::chrono::seconds kPatience{2};  // of exit(), with servers that do not close their end

constinit ForkPart fork_part{.in_child = Process::in_child};
[[maybe_unused]] const bool takes_part = (mothreads::internal::take_part_in_forks(fork_part), true);

// libca's own words.
[[gnu::format(printf, 1, 0)]] int print_to_log(const char* format, va_list arguments) noexcept {
  std::array<char, 1024> text{};
  std::vsnprintf(text.data(), text.size(), format, arguments);
  std::string_view line(text.data());
  while (line.ends_with('\n')) line.remove_suffix(1);
  try {
    mothreads::log::warning("Channel Access: {}", line);
  } catch (...) {
    // No memory for a line is no reason to end the thread.
  }
  return static_cast<int>(line.size());
}

// libca calls this for errors that belong to no request: a plain put that the server refused, a circuit that broke.
void on_exception(exception_handler_args args) noexcept {
  const mothreads::ForeignThread here(kThreadName);
  try {
    const char* const context = args.ctx == nullptr ? "" : args.ctx;
    if (args.stat == ECA_DISCONN) {
      mothreads::log::debug("Channel Access: {} {}", ca_message(args.stat), context);
    } else if (args.chid != nullptr) {
      mothreads::log::warning("{}: {} ({})", ca_name(args.chid), ca_message(args.stat), context);
    } else {
      mothreads::log::warning("Channel Access: {} ({})", ca_message(args.stat), context);
    }
    if (args.chid != nullptr) static_cast<Channel*>(ca_puser(args.chid))->note_error(static_cast<Code>(args.stat), ca_message(args.stat));
  } catch (...) {
    // No memory for a line is no reason to end the thread.
  }
}

// libca gives a context without preemptive callbacks back to no thread that has left it.
bool may_leave(ca_client_context* context) noexcept { return context == nullptr || ca_preemtive_callback_is_enabled() != 0; }

void refuse_thread_of_another(std::string_view name) {
  if (may_leave(ca_current_context())) return;
  throw mothreads::Misuse(fmt::format("\"{}\" was asked for on a thread with a context of libca's own, without preemptive callbacks, which it would lose: make "
                                      "that context with ca_enable_preemptive_callback, or ask on another thread", name));
}

}  // namespace

Context* Process::make(std::string_view name) {
  refuse_thread_of_another(name);
  // The library's own end at exit() is arranged before that of Channel Access, and so comes after.
  static_cast<void>(mothreads::MainThread::please_stop());
  ensure_repeater();
  // Threads come one at a time. A child of fork() would have half a libca, and locks of libca that nobody lets go.
  const mothreads::internal::ForkWaits no_child_meanwhile;
  Context* made = context.load(std::memory_order_acquire);
  if (made != nullptr) return made;
  static constinit bool is_arranged = false;
  if (!std::exchange(is_arranged, true)) static_cast<void>(std::atexit(close_at_exit));
  made = new Context;
  try {
    made->open(name);
  } catch (...) {
    delete made;
    throw;
  }
  // release: pairs with the acquire of who finds it.
  context.store(made, std::memory_order_release);
  return made;
}

// acquire pairs with make().
bool Context::is_made() noexcept { return Process::context.load(std::memory_order_acquire) != nullptr; }

Context& Context::current(std::string_view name) {
  Context* const made = Process::context.load(std::memory_order_acquire);
  return made != nullptr ? *made : *Process::make(name);
}

void Context::open(std::string_view name) {
  ca_client_context* const before = ca_current_context();
  if (before != nullptr) ca_detach_context();
  const int status = ca_context_create(ca_enable_preemptive_callback);
  if (status == ECA_NORMAL) {
    ca_ = ca_current_context();
    ca_add_exception_event(on_exception, nullptr);
    ca_replace_printf_handler(print_to_log);
    ca_detach_context();
  }
  if (before != nullptr) ca_attach_context(before);
  if (status != ECA_NORMAL) Error(mothreads::Why::closed, static_cast<Code>(status), name, text_of(static_cast<Code>(status))).raise();
}

void Context::close() noexcept {
  if (is_closed_.exchange(true)) return;
  {
    const TinyLock lock(mutex_);
    for (Batch* batch = waiting_.first(); batch != nullptr; batch = waiting_.after(*batch)) batch->end();
  }
  for (const std::shared_ptr<Channel>& channel : channels()) channel->close();

  // libca says goodbye to each server, and waits for up to 30 s until that has closed its end. The process does not wait so long: what comes later
  // finds nobody who waits, and memory that is never freed.
  struct Destruction {
    std::mutex mutex;
    std::condition_variable changed;
    bool is_done = false;
  };
  const auto destruction = std::make_shared<Destruction>();
  try {
    std::thread([this, destruction] {
      const mothreads::ForeignThread here(kThreadName);
      destroy();
      const std::lock_guard lock(destruction->mutex);
      destruction->is_done = true;
      destruction->changed.notify_all();
    }).detach();
  } catch (const std::system_error&) {
    return destroy();
  }
  std::unique_lock lock(destruction->mutex);
  destruction->changed.wait_for(lock, kPatience, [&] { return destruction->is_done; });
}

void Context::destroy() noexcept {
  while (sections_.load() != 0) sched_yield();
  ca_client_context* const before = ca_current_context();
  if (before != nullptr) ca_detach_context();
  ca_attach_context(ca_);
  for (const std::shared_ptr<Channel>& channel : channels()) channel->clear_at_end();
  ca_context_destroy();
  if (before != nullptr) ca_attach_context(before);
}

void Context::begin_wait(Batch& batch) noexcept {
  {
    const TinyLock lock(mutex_);
    waiting_.push_back(batch);
  }
  // Else close() finds it in the list.
  if (is_closed()) batch.end();
}

void Context::end_wait(Batch& batch) noexcept {
  const TinyLock lock(mutex_);
  waiting_.take_out(batch);
}

void Context::keep(Batch& batch) noexcept {
  const TinyLock lock(mutex_);
  dropped_.push_back(batch);
}

void Context::forget(Batch& batch) noexcept {
  const TinyLock lock(mutex_);
  dropped_.take_out(batch);
}

void Context::find_channels(std::span<const std::string_view> names, Batch& batch) {
  if (!names.empty()) refuse_thread_of_another(names.front());
  // A lock for each name would cost as much as the name's place; one for all would hold others up.
  constexpr std::size_t kNamesPerLock = 16;
  for (std::size_t begin = 0; begin < names.size(); begin += kNamesPerLock) {
    const std::size_t end = std::min(begin + kNamesPerLock, names.size());
    {
      const TinyLock lock(mutex_);
      for (std::size_t i = begin; i < end; ++i) {
        if (const auto found = channels_.find(absl::string_view(names[i].data(), names[i].size())); found != channels_.end()) batch[i].channel = found->second;
      }
    }
    for (std::size_t i = begin; i < end; ++i) {
      if (batch[i].channel == nullptr) batch[i].channel = channel(names[i]);
    }
  }
}

std::shared_ptr<Channel> Context::channel(std::string_view name) {
  refuse_thread_of_another(name);
  std::shared_ptr<Channel> made;
  {
    const TinyLock lock(mutex_);
    if (const auto found = channels_.find(absl::string_view(name.data(), name.size())); found != channels_.end()) return found->second;
    made = std::make_shared<Channel>(*this, name);
    channels_.emplace(std::string(name), made);
  }
  // Others may have found it meanwhile: they wait for the connection.
  made->open();
  return made;
}

std::vector<std::shared_ptr<Channel>> Context::channels() const {
  const TinyLock lock(mutex_);
  std::vector<std::shared_ptr<Channel>> all;
  all.reserve(channels_.size());
  for (const auto& [name, channel] : channels_) all.push_back(channel);
  return all;
}

std::size_t Context::release_unused() {
  // Once the end has begun it clears the channels: libca knows each until then.
  Section section(*this);
  if (!section) return 0;
  std::vector<std::shared_ptr<Channel>> unused;
  {
    const TinyLock lock(mutex_);
    for (auto place = channels_.begin(); place != channels_.end();) {
      // References are made from this one under this mutex, or from another: where there is no other none can come.
      if (place->second.use_count() > 1) {
        ++place;
        continue;
      }
      unused.push_back(std::move(place->second));
      channels_.erase(place++);
    }
  }
  for (const std::shared_ptr<Channel>& channel : unused) channel->clear();
  section.flush();
  return unused.size();
}

Section::Section(Context& context) noexcept : context_(context) {
  context_.sections_.fetch_add(1);
  if (context_.is_closed()) {
    context_.sections_.fetch_sub(1);
    return;
  }
  is_inside_ = true;
  before_ = ca_current_context();
  // A thread that must not leave its own does what needs no context: it ends requests and subscriptions.
  if (before_ == context_.ca_ || !may_leave(before_)) return;
  if (before_ != nullptr) ca_detach_context();
  ca_attach_context(context_.ca_);
  is_attached_ = true;
}

Section::~Section() {
  if (!is_inside_) return;
  if (is_attached_) {
    ca_detach_context();
    if (before_ != nullptr) ca_attach_context(before_);
  }
  context_.sections_.fetch_sub(1);
}

void Section::flush() noexcept {
  // Else what was asked for goes with the next flush of another thread.
  if (is_inside_ && (is_attached_ || before_ == context_.ca_)) ca_flush_io();
}

std::string text_of(Code code) { return ca_message(static_cast<long>(code)); }

}  // namespace catools::inline v0::internal
