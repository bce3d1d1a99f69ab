#include "cooperative/http/internal/websocket_outcome.h"

#include "absl/cleanup/cleanup.h"
#include "cooperative/errors.h"
#include "cooperative/http/internal/websocket_frames.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/log.h"

namespace cooperative::inline v0::http::internal {

namespace log = mothreads::log;

void WebSocketOutcome::of(absl::FunctionRef<void()> function) {
  const mothreads::internal::Born here;
  const absl::Cleanup in_child = [&] {
    if (!here.is_left_behind()) return;
    if (failure_) log::error("{}: the function of a WebSocket failed in a child of fork(): {}", frames_.name(), log::describe(failure_));
    mothreads::internal::end_forked_process();
  };
  try {
    function();
  } catch (const FiberCancelled&) {
    throw;
  } catch (const WebSocketError& error) {
    log::info("{}", error.what());  // of which the client has been told
    code_ = WebSocket::kFailed;     // where it was about another WebSocket
  } catch (const Closed& error) {
    if (!frames_.is_leaving() || error.object() != frames_.name()) fail();
  } catch (...) {
    fail();
  }
}

void WebSocketOutcome::fail() {
  code_ = WebSocket::kFailed;
  if (!failure_) {
    failure_ = std::current_exception();
  } else {
    log::error("{}: a function of a WebSocket that has failed already failed, too: {}", frames_.name(), log::describe(std::current_exception()));
  }
}

}  // namespace cooperative::http::internal
