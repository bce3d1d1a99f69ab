#include "mothreads/signal.h"

#include <vector>

#include "absl/cleanup/cleanup.h"
#include "mothreads/internal/combination.h"
#include "mothreads/internal/wait/wait.h"
#include "mothreads/until.h"

namespace mothreads::inline v0 {

constinit const Signal DONE{&internal::ConstantSignals::done.value, internal::kAccess};
constinit const Signal NEVER{&internal::ConstantSignals::never.value, internal::kAccess};

namespace {

constexpr auto write_signal_name = internal::SignalState::write_name_of;

}  // namespace

Signal::Signal(Signal&& other) noexcept : state_(std::exchange(other.state_, &internal::ConstantSignals::never.value)) {}

Signal& Signal::operator=(const Signal& other) noexcept {
  other.state_->ref();
  std::exchange(state_, other.state_)->unref();
  return *this;
}

Signal& Signal::operator=(Signal&& other) noexcept {
  if (this != &other) std::exchange(state_, std::exchange(other.state_, &internal::ConstantSignals::never.value))->unref();
  return *this;
}

void Signal::wait() const { static_cast<void>(wait(Until())); }

Ended Signal::wait(const Until& until) const {
  internal::Context::spend_act("waits for Signal", state_, write_signal_name);
  if (state_->is_gone()) return Why::ready;
  if (const auto why = until.has_come()) return *why;  // no wait, so right also where waiting is refused
  internal::Wait wait({"waits for signal", state_, write_signal_name, state_->kept_name()});
  internal::WaitNode node(wait, Why::ready);
  if (!state_->link(node)) return Why::ready;
  // Who makes it go takes the node out before the wait ends. However else the wait ends, that may be under way.
  bool was_released = false;
  absl::Cleanup leave = [&] {
    if (!was_released) state_->unlink(node);
  };
  const Why why = wait.park(Limit(until));
  was_released = why == Why::ready;
  return why;
}

std::string Signal::name() const {
  char buffer[1024];
  state_->write_name(buffer, sizeof buffer);
  return buffer;
}

Signal operator|(const Signal& a, const Signal& b) {
  // An expired Till stays itself, so that a wait that ends by it can say that it timed out.
  for (const Signal* one : {&a, &b}) {
    if (*one) return one->state_->as_limit() == Why::timed_out ? *one : DONE;
  }
  internal::SignalState* const inputs[] = {a.state_, b.state_};
  return Signal(internal::Combination::any_of(inputs), internal::kAccess);
}

Signal operator&(const Signal& a, const Signal& b) {
  internal::SignalState* const inputs[] = {a.state_, b.state_};
  return Signal(internal::Combination::all_of(inputs), internal::kAccess);
}

Signal Signal::any_of(std::span<const Signal> signals) {
  if (signals.empty()) return NEVER;
  std::vector<internal::SignalState*> inputs;
  for (const Signal& signal : signals) {
    if (signal) return signal;
    inputs.push_back(signal.state_);
  }
  return Signal(internal::Combination::any_of(inputs), internal::kAccess);
}

Signal Signal::all_of(std::span<const Signal> signals) {
  if (signals.empty()) return DONE;
  std::vector<internal::SignalState*> inputs;
  for (const Signal& signal : signals) inputs.push_back(signal.state_);
  return Signal(internal::Combination::all_of(inputs), internal::kAccess);
}

std::ostream& operator<<(std::ostream& out, const Signal& signal) {
  return out << (signal ? "true (" : "false (") << signal.name() << ")";
}

}  // namespace mothreads
