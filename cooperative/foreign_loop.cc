#include "cooperative/foreign_loop.h"

#include "cooperative/internal/scheduler/foreign_poll.h"
#include "cooperative/internal/scheduler/scheduler_core.h"

namespace cooperative::inline v0 {

class ForeignLoop::State : public internal::ForeignPoll {
 public:
  using ForeignPoll::ForeignPoll;
};

ForeignLoop::ForeignLoop() : state_(std::make_unique<State>(internal::SchedulerCore::current())) {}
ForeignLoop::~ForeignLoop() = default;

int ForeignLoop::descriptor() const { return state_->descriptor(); }
std::optional<mothreads::Instant> ForeignLoop::run_due(const mothreads::Until& until) { return state_->run_due(until); }

}  // namespace cooperative
