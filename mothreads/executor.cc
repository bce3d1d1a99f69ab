#include "mothreads/executor.h"

#include <memory>

#include <fmt/core.h>

#include "mothreads/misuse.h"

namespace mothreads::inline v0 {
namespace {

using Function = absl::AnyInvocable<void()>;

class LoopTarget final : public internal::ExecutorTarget {
 public:
  LoopTarget(std::string_view name, internal::GiveToLoop give) : name_(name), give_(std::move(give)) {}

  // The loop gets a function that is shared until it is called, so that the one in it can be had back when the loop refuses.
  Posted post(Function& function) const override {
    const auto shared = std::make_shared<Function>(std::move(function));
    try {
      const Posted posted = give_([shared] {
        Function mine = std::move(*shared);  // so it is destroyed here, and not by who posts
        *shared = nullptr;
        if (mine) mine();
      });
      if (!posted) function = std::move(*shared);
      return posted;
    } catch (...) {
      function = std::move(*shared);
      throw;
    }
  }
  std::string name() const override { return name_; }

 private:
  const std::string name_;
  const internal::GiveToLoop give_;
};

}  // namespace

Posted Executor::post(absl::AnyInvocable<void()>&& function) const {
  if (!function) throw Misuse("Executor::post was given an empty function: give it one that can be called");
  if (target_ == nullptr) return Why::closed;
  return target_->post(function);
}

std::string Executor::name() const { return target_ != nullptr ? target_->name() : "an Executor that was moved away"; }

Executor Executor::of_loop(std::string_view name, internal::GiveToLoop give) {
  return Executor(new LoopTarget(name, std::move(give)), internal::kAccess);
}

void Executor::refuse_empty(std::string_view name) {
  throw Misuse(fmt::format("Executor::of(\"{}\") was given an empty function: give it one that posts to a loop", name));
}

}  // namespace mothreads
