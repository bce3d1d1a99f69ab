#pragma once

// Work that a drain waits for (MainThread::drain()).
//
//     void run(const Job& job, Signal please_stop) {
//       const DrainHold busy("job " + job.id);
//       job.perform(please_stop);
//     }
//
// A drain begins with the first SIGINT or SIGTERM, or by MainThread::drain(). From then on the main thread's please_stop goes as soon as no
// hold exists, or when MainOptions::drain is over; the log then names the holds that are left. A hold that is made during the drain counts.
// One that is made after please_stop has gone changes nothing, and neither does one in a program whose drain is zero.
//
// The last hold makes please_stop go in its destructor, so then() functions of please_stop may run there.
//
// When not to use it: for what only has to end before its owner does. Threads and fibers are waited for by the stop anyway; a hold is for
// work that would be lost if it were told to stop now.
//
// Thread safety: a hold may be made on any thread and any fiber, also before main(), and destroyed on another. One object is not
// thread-safe itself. Making one allocates.

#include <string>
#include <string_view>
#include <utility>

namespace mothreads::inline v0 {

namespace internal {
struct Hold;
}

class [[nodiscard]] DrainHold {
 public:
  // The name is for reports. Throws Misuse when it is empty.
  [[nodiscard]] explicit DrainHold(std::string_view name);
  DrainHold(DrainHold&& other) noexcept : hold_(std::exchange(other.hold_, nullptr)) {}
  DrainHold& operator=(DrainHold&& other) noexcept {
    DrainHold taken(std::move(other));
    std::swap(hold_, taken.hold_);
    return *this;
  }
  ~DrainHold();

  // Empty for one that was moved from.
  const std::string& name() const;

 private:
  internal::Hold* hold_;
};

}  // namespace mothreads
