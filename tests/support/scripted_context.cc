#include "tests/support/scripted_context.h"

#include <iterator>
#include <memory>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "mothreads/misuse.h"

namespace mothreads::inline v0::testing {

ScriptedContext& ScriptedContext::make(std::string name, Clock& clock) {
  static auto& all = *new std::vector<std::unique_ptr<ScriptedContext>>;
  all.emplace_back(new ScriptedContext(std::move(name)));
  all.back()->clock = &clock;
  return *all.back();
}

ScriptedContext& ScriptedContext::make_library_thread() {
  ScriptedContext& context = make("library thread");
  context.care.must_not_block = true;
  return context;
}

void ScriptedContext::script(std::vector<std::function<void()>> steps) {
  steps_.assign(std::make_move_iterator(steps.begin()), std::make_move_iterator(steps.end()));
}

void ScriptedContext::run(const std::function<void()>& f) {
  outer_ = &Context::current();
  set_current(this);
  absl::Cleanup back = [this] { set_current(outer_); };
  f();
}

void ScriptedContext::fall_asleep() {
  falling_asleep_ = true;
  // A deadline that has passed ends await_finish() with the context still marked as asleep.
  static_cast<void>(await_finish(Instant{}, {"is asleep by order of", nullptr, nullptr}, /*may_spin=*/false));
  falling_asleep_ = false;
}

void ScriptedContext::suspend(const std::optional<Instant>&) noexcept {
  if (falling_asleep_) return;
  ++sleeps_;
  if (steps_.empty()) internal::fatal_misuse("the scripted context \"" + name_ + "\" sleeps, and its script has no step for it");
  const std::function<void()> step = std::move(steps_.front());
  steps_.pop_front();
  set_current(outer_);
  step();
  set_current(this);
}

void ScriptedContext::resume() noexcept {
  ++resumes_;
  if (on_resume) on_resume();
}

}  // namespace mothreads::testing
