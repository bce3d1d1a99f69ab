#pragma once

// A descriptor that the library owns, and that fibers wait for: what sockets, pipes and whatever else poll() knows are made of.
//
// It belongs to no thread until a fiber first waits for it; from then on to that scheduler, and used on another thread it throws
// mothreads::Misuse. release() hands the bare descriptor out, for another scheduler to adopt.

#include <sys/types.h>

#include <cerrno>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/function_ref.h"
#include "cooperative/internal/scheduler/readiness.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/wait/branch.h"
#include "mothreads/ended.h"
#include "mothreads/limit.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

class Descriptor {
 public:
  Descriptor() = default;
  // Owns it from now on, and makes it non-blocking. Throws IoError when there is no such descriptor.
  explicit Descriptor(int descriptor);
  // One that is non-blocking already.
  struct NonBlocking {};
  Descriptor(int descriptor, NonBlocking) : descriptor_(descriptor), readiness_(std::make_unique<internal::Readiness>()) {}
  Descriptor(Descriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)), readiness_(std::move(other.readiness_)) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  // Closes it. Ends the program when a fiber waits for it, or was woken and has not gone on: close() first, which is enough.
  ~Descriptor();

  bool is_open() const { return descriptor_ >= 0; }
  int native() const { return descriptor_; }

  // Fibers that wait for it end `closed`, at once; what they get says so. Nothing when it is closed already.
  void close();
  // The same, and it is the caller's.
  [[nodiscard]] int release();

  // Wait until it may be read or written without a wait, or has hung up. `closed` when it is closed, or closed meanwhile. Always `ready` for
  // what is a file to the system.
  mothreads::Ended wait_readable(const mothreads::Until& until = {});
  mothreads::Ended wait_writable(const mothreads::Until& until = {});

  // For the library: see internal/readiness.h.
  internal::Readiness& readiness() { return *readiness_; }
  void check_thread(const char* what) const {
    if (readiness_ != nullptr) readiness_->check_thread(what);
  }
  using Side = internal::Readiness::Side;
  using QueuePosition = internal::Readiness::QueuePosition;
  // Waits for an edge, after a try found nothing; before all others where that try was after such a wait. `closed` when there is none any
  // more: then this may be gone, too.
  mothreads::Why wait_for_edge(Side side, const char* verb, mothreads::Limit limit, QueuePosition place = QueuePosition::last);
  // Waits for close(), between tries of what the kernel has no edges for.
  mothreads::Why wait_for_close(const char* verb, mothreads::Limit limit);

  // What is to be done, for errors and reports: "a socket", its name, "receive".
  struct Doing {
    const char* what;
    absl::FunctionRef<std::string()> name;
    const char* verb;
  };
  // Does `attempt`, a call of the system, until that does not say that it would block. Gives what it gave, or -1 with why it ended. Throws
  // IoError, and Closed.
  template <typename Attempt>
  std::pair<ssize_t, mothreads::Why> until_done(Side side, const Doing& doing, mothreads::Limit limit, Attempt&& attempt) {
    return until_done(side, doing, limit.is_now(), [limit] { return limit; }, attempt);
  }
  // until_done() for a verb of one step: its limit starts when the verb has to wait.
  template <typename Start, typename Attempt>
  std::pair<ssize_t, mothreads::Why> until_done(Side side, const Doing& doing, bool waits_for_nothing, Start&& start, Attempt&& attempt) {
    begin(doing);
    // Nobody overtakes those who wait. Who waits for nothing tries once, whatever the kernel has said so far.
    if ((readiness_->may_be_ready(side) || waits_for_nothing) && !readiness_->has_waiters(side)) {
      while (true) {
        if (const ssize_t done = attempt(); done >= 0) {
          readiness_->pass_on(side);
          return {done, mothreads::Why::ready};
        }
        if (errno == EAGAIN) break;
        if (errno != EINTR) fail(errno, doing);
      }
      readiness_->clear(side);
    }
    return wait_until_done(side, doing, start(), attempt);
  }
  // What every operation does first.
  void begin(const Doing& doing) const {
    check_open(doing);
    readiness_->check_thread(doing.what);
    internal::SchedulerCore& core = internal::SchedulerCore::current();
    internal::check_world(core);
    core.spend_operation();
    check_open(doing);  // that may have been another's turn
  }
  // Throws Closed when it is.
  void check_open(const Doing& doing) const {
    if (!is_open()) [[unlikely]] refuse_closed(doing);
  }

 private:
  std::pair<ssize_t, mothreads::Why> wait_until_done(Side side, const Doing& doing, mothreads::Limit limit,
                                                     absl::FunctionRef<ssize_t()> attempt);
  [[noreturn]] static void refuse_closed(const Doing& doing);
  [[noreturn]] static void fail(int error, const Doing& doing);
  mothreads::Ended wait_until_ready(Side side, const mothreads::Until& until);

  int descriptor_ = -1;
  std::unique_ptr<internal::Readiness> readiness_;
};

// For wait_for_any(): co::wait_for_any(std::tie(readable, please_stop)). They borrow the descriptor.
class Readable {
 public:
  explicit Readable(Descriptor& descriptor) : descriptor_(&descriptor) {}
  class Branch;

 private:
  Descriptor* descriptor_;
};
class Writable {
 public:
  explicit Writable(Descriptor& descriptor) : descriptor_(&descriptor) {}
  class Branch;

 private:
  Descriptor* descriptor_;
};

namespace internal::io {

class DescriptorBranch : public Branch {
 public:
  using Result = void;
  DescriptorBranch(Descriptor& descriptor, Readiness::Side side) : descriptor_(descriptor), number_(descriptor.native()), side_(side) {}

  bool hold() override;
  bool link(mothreads::internal::Wait& wait) override;
  void unlink() noexcept override;
  bool has_won() const noexcept override { return waiter_.has_won(); }
  std::string name() const override;
  void take() {}

 protected:
  ~DescriptorBranch() = default;

 private:
  Descriptor& descriptor_;  // may be gone when the wait is over
  const int number_;
  const Readiness::Side side_;
  Readiness::Waiter waiter_;
  Readiness* linked_ = nullptr;
};

}  // namespace internal::io

class Readable::Branch final : public internal::io::DescriptorBranch {
 public:
  explicit Branch(Readable& readable) : DescriptorBranch(*readable.descriptor_, internal::Readiness::Side::read) {}
};
class Writable::Branch final : public internal::io::DescriptorBranch {
 public:
  explicit Branch(Writable& writable) : DescriptorBranch(*writable.descriptor_, internal::Readiness::Side::write) {}
};

}  // namespace cooperative
