#include "cooperative/internal/scheduler/population.h"

#include <new>

#include <fmt/core.h>

#include "cooperative/errors.h"

namespace cooperative::inline v0::internal {

void Population::refuse(std::string_view name) const {
  throw FiberLimit(fmt::format("fiber \"{}\" cannot be made: its scheduler has {} already, as many as SchedulerOptions::max_fibers allows", name,
                               alive_));
}

void Population::leave_behind() noexcept {
  alive_ = finishing_ = 0;
  new (&waiters_) mothreads::internal::WaitList;  // whoever waits is the parent's
}

}  // namespace cooperative::internal
