#include "cooperative/io/selfishness.h"

#include "cooperative/internal/scheduler_core.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0 {

using internal::SchedulerCore;

void set_selfishness(std::uint32_t acts) {
  if (acts == 0) throw mothreads::Misuse("set_selfishness(0) would let no fiber do anything: 1 lets others have a turn after every operation");
  SchedulerCore::current().set_selfishness(acts);
}

std::uint32_t selfishness() { return SchedulerCore::current().selfishness(); }

std::uint32_t set_max_selfish_acts(std::uint32_t acts) { return SchedulerCore::current().set_max_selfish_acts(acts); }

}  // namespace cooperative
