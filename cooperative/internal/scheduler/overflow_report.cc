#include "cooperative/internal/scheduler/overflow_report.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "cooperative/internal/scheduler/scheduler_core.h"
#include "mothreads/internal/base/made_once.h"

namespace cooperative::inline v0::internal {
namespace {

// For handlers of others, which run on it too: they may print a backtrace.
constexpr std::size_t kRoomForHandlers = 128 * 1024;

constexpr std::array<int, 2> kSignals{SIGSEGV, SIGBUS};

struct Before {
  struct sigaction action;
  std::atomic<bool> is_spent;  // it asked to be called once
};
constinit std::array<Before, kSignals.size()> before{};

// Text without allocation, cut where it is too long.
class Line {
 public:
  Line& operator<<(std::string_view text) noexcept {
    const std::size_t length = std::min(text.size(), sizeof text_ - 1 - size_);
    std::memcpy(text_ + size_, text.data(), length);
    size_ += length;
    return *this;
  }
  Line& operator<<(std::size_t number) noexcept {
    char digits[20];
    std::size_t at = sizeof digits;
    do {
      digits[--at] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number > 0);
    return *this << std::string_view(digits + at, sizeof digits - at);
  }
  void write() noexcept {
    text_[size_++] = '\n';
    static_cast<void>(!::write(STDERR_FILENO, text_, size_));
  }

 private:
  char text_[512];
  std::size_t size_ = 0;
};

const void* stack_pointer_of(const void* context) noexcept {
  return reinterpret_cast<const void*>(static_cast<const ucontext_t*>(context)->uc_mcontext.gregs[REG_RSP]);
}

void report(const siginfo_t& info, const void* context) noexcept {
  if (info.si_code <= 0) return;  // somebody sent it
  const SchedulerCore* core = SchedulerCore::current_or_null();
  if (core == nullptr) return;
  const auto overflow = core->rooms().stacks.find_overflow(core->running(), info.si_addr, stack_pointer_of(context));
  if (overflow.stack == nullptr) return;
  constexpr std::size_t kKiB = 1024;
  Line line;
  if (overflow.is_leaving) {
    line << "a fiber overflowed its " << overflow.stack->size / kKiB << " KiB stack as it gave way to \"" << overflow.name << "\"";
  } else {
    line << "fiber \"" << overflow.name << "\" overflowed its " << overflow.stack->size / kKiB << " KiB stack";
  }
  line << ": give it a larger one by " << overflow.option;
  line.write();
}

// As if this handler were not there.
void pass_on(int number, siginfo_t* info, void* context) noexcept {
  Before& its = *(std::find(kSignals.begin(), kSignals.end(), number) - kSignals.begin() + before.begin());
  const int flags = its.action.sa_flags;
  const bool is_spent = (flags & SA_RESETHAND) != 0 && its.is_spent.exchange(true, std::memory_order_relaxed);
  const bool is_function = (flags & SA_SIGINFO) != 0 || (its.action.sa_handler != SIG_DFL && its.action.sa_handler != SIG_IGN);
  if (is_function && !is_spent) {
    if ((flags & SA_SIGINFO) != 0) {
      its.action.sa_sigaction(number, info, context);
    } else {
      its.action.sa_handler(number);
    }
    return;
  }
  const bool was_sent = info->si_code <= 0;
  if (was_sent && !is_function && its.action.sa_handler == SIG_IGN) return;
  // The instruction that faulted does so again on return; what was sent is sent again.
  struct sigaction by_default {};
  by_default.sa_handler = SIG_DFL;
  sigaction(number, &by_default, nullptr);
  if (was_sent) syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), number, info);
}

void handle(int number, siginfo_t* info, void* context) noexcept {
  const int error = errno;
  report(*info, context);
  pass_on(number, info, context);
  errno = error;
}

constexpr bool kInstalled = true;
constinit mothreads::internal::MadeOnce<const bool> installation;

}  // namespace

void report_overflows() noexcept {
  installation.get([] {
    for (std::size_t i = 0; i < kSignals.size(); ++i) {
      struct sigaction& old = before[i].action;
      sigaction(kSignals[i], nullptr, &old);
      struct sigaction ours {};
      ours.sa_sigaction = handle;
      // The old one finds blocked what it wants to have blocked.
      ours.sa_mask = old.sa_mask;
      ours.sa_flags = SA_SIGINFO | SA_ONSTACK | (old.sa_flags & (SA_NODEFER | SA_RESTART));
      sigaction(kSignals[i], &ours, nullptr);
    }
    return &kInstalled;
  });
}

void SignalStack::enter() noexcept {
  stack_t now{};
  if (sigaltstack(nullptr, &now) != 0 || (now.ss_flags & SS_DISABLE) == 0) return;
  if (memory_ == nullptr) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const auto least = static_cast<std::size_t>(std::max(sysconf(_SC_MINSIGSTKSZ), 0L));
    size_ = (least + kRoomForHandlers + page - 1) / page * page;
    void* const memory = mmap(nullptr, page + size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return;
    mprotect(memory, page, PROT_NONE);
    memory_ = static_cast<char*>(memory) + page;
  }
  const stack_t ours{.ss_sp = memory_, .ss_flags = 0, .ss_size = size_};
  sigaltstack(&ours, nullptr);
}

void SignalStack::leave() noexcept {
  stack_t now{};
  // Somebody may have set another since.
  if (memory_ == nullptr || sigaltstack(nullptr, &now) != 0 || now.ss_sp != memory_ || (now.ss_flags & SS_DISABLE) != 0) return;
  now.ss_flags = SS_DISABLE;
  sigaltstack(&now, nullptr);
}

}  // namespace cooperative::internal
