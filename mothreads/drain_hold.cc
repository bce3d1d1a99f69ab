#include "mothreads/drain_hold.h"

#include <memory>

#include <fmt/core.h>

#include "mothreads/internal/base/made_once.h"
#include "mothreads/internal/base/printable.h"
#include "mothreads/internal/drain.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/misuse.h"

namespace mothreads::inline v0 {

using internal::Drain;
using internal::Hold;

DrainHold::DrainHold(std::string_view name) : hold_(nullptr) {
  if (name.empty()) throw Misuse("a DrainHold needs a name: give one that says what the drain waits for");
  if (name.find('\0') != std::string_view::npos) {
    throw Misuse(fmt::format("\"{}\" cannot be the name of a DrainHold: it has a zero byte, which would end it in every report", internal::printable(name)));
  }
  Drain& drain = Drain::here();
  auto hold = std::make_unique<Hold>(Hold{.name = std::string(name), .drain = &drain});
  drain.add(*hold);
  hold_ = hold.release();
}

DrainHold::~DrainHold() {
  const std::unique_ptr<Hold> hold(hold_);
  if (hold == nullptr) return;
  const internal::NoUnwind whole;
  hold->drain->remove(*hold);
}

const std::string& DrainHold::name() const {
  static constinit internal::MadeOnce<const std::string> none;
  return hold_ == nullptr ? none.get([] { return new const std::string; }) : hold_->name;
}

}  // namespace mothreads
