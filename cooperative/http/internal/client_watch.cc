#include "cooperative/http/internal/client_watch.h"

#include <cstddef>
#include <exception>

#include "cooperative/errors.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/io/io_error.h"
#include "mothreads/ended.h"
#include "mothreads/log.h"

namespace cooperative::inline v0::http::internal {

namespace {

// A client that sends so much behind its request is there, and may wait for its answer.
constexpr std::size_t kMaxAhead = 64 * 1024;

}  // namespace

FiberParent ClientWatch::this_fiber() {
  const auto* const core = cooperative::internal::SchedulerCore::current_or_null();  // a thread without fibers needs none for this
  cooperative::internal::FiberBlock* const fiber = core == nullptr ? nullptr : core->running_fiber();
  return fiber == nullptr ? FiberParent() : FiberParent(cooperative::internal::ParentRef{fiber, fiber->id}, mothreads::internal::kAccess);
}

ClientWatch::~ClientWatch() {
  if (fiber_) fiber_->cancel();
}

void ClientWatch::begin() {
  if (!fiber_) fiber_.emplace(spawn(FiberOptions{.name = "watch of a client", .parent = parent_}, [this](const mothreads::Signal&) { watch(); }));
}

void ClientWatch::watch() {
  try {
    while (stream_.fill().why() != mothreads::Why::closed) {
      if (stream_.buffered().size() >= kMaxAhead) return;
    }
  } catch (const FiberCancelled&) {
    throw;
  } catch (const IoError&) {
    // The request's own fiber meets it, too.
  } catch (const std::exception& error) {
    has_lost_ = true;
    mothreads::log::error("{}: while its client was watched: {}", stream_.name(), error.what());
  }
  gone_.go();
}

}  // namespace cooperative::http::internal
