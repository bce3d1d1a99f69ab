#include "cooperative/internal/stack/switcher.h"

#include <cxxabi.h>

namespace cooperative::inline v0::internal {

Switcher::Switcher(Runnable& root) noexcept : running_(&root), eh_globals_(reinterpret_cast<EhGlobals*>(abi::__cxa_get_globals())) {
  own_.tsan_fiber = current_tsan_fiber();
}

void Switcher::swap_exceptions(Runnable& from, Runnable& to) noexcept {
  from.caught_exceptions = eh_globals_->caught_exceptions;
  from.uncaught_exceptions = eh_globals_->uncaught_exceptions;
  load_exceptions(to);
}

}  // namespace cooperative::internal
