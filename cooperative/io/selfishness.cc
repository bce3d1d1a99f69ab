#include "cooperative/io/selfishness.h"

#include "cooperative/internal/scheduler/scheduler_core.h"

namespace cooperative::inline v0 {

using internal::SchedulerCore;

std::uint32_t selfishness() { return SchedulerCore::current().selfishness(); }

std::uint32_t set_max_selfish_acts(std::uint32_t acts) { return SchedulerCore::current().set_max_selfish_acts(acts); }

}  // namespace cooperative
