#include "mothreads/foreign_thread.h"

#include <utility>

#include "mothreads/internal/aliens.h"
#include "mothreads/internal/wait/thread_context.h"

namespace mothreads::inline v0 {

ForeignThread::ForeignThread(std::string_view name) noexcept : context_(internal::unknown_thread_here()) {
  if (context_ == nullptr) return;
  life_ = context_->life();
  context_->foreign().enter(name, outer_name_);
  name_before_ = std::exchange(context_->name, context_->foreign().own_name());
}

ForeignThread::~ForeignThread() {
  // The thread may have ended, as far as the library knows, and its context may be another's.
  if (context_ == nullptr || context_ != internal::alien_here || context_->life() != life_ || born_.is_left_behind()) return;
  context_->foreign().leave(outer_name_);
  context_->name = name_before_;
}

}  // namespace mothreads
