#pragma once

// Wakes those who wait now; remembers nothing. Used on one scheduler's thread alone.

#include <string>
#include <string_view>

#include "cooperative/internal/wait/branch.h"
#include "cooperative/internal/wait/home.h"
#include "cooperative/internal/wait/label.h"
#include "mothreads/ended.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

class Pulse {
 public:
  Pulse() = default;
  explicit Pulse(std::string_view name) : label_("a Pulse", name) {}  // for reports
  ~Pulse() { internal::check_nobody_waits(waiters_, "a Pulse", label_); }
  Pulse(const Pulse&) = delete;
  Pulse& operator=(const Pulse&) = delete;

  // Waits for the next signal(), always. When the limit comes first throws Timedout.
  void wait(const mothreads::Until& until = {});

  // Wakes all who wait, or the first; never waits.
  void signal();
  void signal_one();

  class Branch;  // for wait_for_any()

 private:
  internal::Home home_;
  const internal::Label label_{};
  mothreads::internal::WaitList waiters_;
};

class Pulse::Branch final : public internal::Branch {
 public:
  using Result = void;
  static constexpr bool kForgets = true;  // what comes while nobody waits

  explicit Branch(Pulse& pulse) : pulse_(pulse) { pulse.home_.check("a Pulse"); }

  bool hold() override { return false; }
  bool link(mothreads::internal::Wait& wait) override {
    node_.arm(wait, mothreads::Why::ready);
    pulse_.waiters_.push_back(node_);
    return true;
  }
  void unlink() noexcept override { pulse_.waiters_.remove(node_); }
  bool has_won() const noexcept override { return node_.has_won(); }
  std::string name() const override { return pulse_.label_.object("pulse"); }
  void take() {}

 private:
  Pulse& pulse_;
  mothreads::internal::WaitNode node_;
};

}  // namespace cooperative
