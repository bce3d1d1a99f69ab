#pragma once

// Calls the put handlers: for each PV one after the other, in the order that the puts came, in a fiber of the PV's own. A put that finds kMaxWaiting
// of its PV is refused at once, whoever sent those: they last longer than their circuits, since a put that was sent counts.

#include <memory>
#include <string>

#include "catools/server/internal/served_pv.h"
#include "cooperative/fiber_group.h"

namespace catools::inline v0::internal {

class Puts {
 public:
  static constexpr std::size_t kMaxWaiting = 32;

  Puts(cooperative::FiberGroup& fibers, std::size_t stack_size) : fibers_(fibers), stack_size_(stack_size) {}

  // The handler runs at once, until it first waits, where no put before is under way. So a client that puts and then reads finds its value.
  void start(const std::shared_ptr<ServedPv>& pv, Put put);

 private:
  cooperative::FiberGroup& fibers_;
  const std::size_t stack_size_;
};

}  // namespace catools::inline v0::internal
