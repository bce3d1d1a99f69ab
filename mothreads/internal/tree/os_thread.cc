#include "mothreads/internal/tree/os_thread.h"

#include <system_error>

#include "mothreads/internal/library_thread.h"
#include "mothreads/internal/wait/context.h"

namespace mothreads::inline v0::internal {

OsThread::OsThread(void* (*function)(void*), void* argument, std::size_t stack_size) : stack_(stack_size) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  int error = pthread_attr_setstack(&attributes, stack_.lowest(), stack_.size());
  if (error == 0 && makers_mask != nullptr) error = pthread_attr_setsigmask_np(&attributes, makers_mask);
  if (error == 0) error = pthread_create(&id_, &attributes, function, argument);
  pthread_attr_destroy(&attributes);
  if (error != 0) throw std::system_error(error, std::generic_category());
  exists_ = true;
}

OsThread::~OsThread() { join(); }

void OsThread::join() {
  if (!std::exchange(exists_, false)) return;
  if (born_.is_left_behind()) return stack_.leave_behind();
  // It has said that it stopped and is on its way through the kernel: sleeping for that costs more than looking.
  bool joined = false;
  Context::current().spin_until([&] { return joined = pthread_tryjoin_np(id_, nullptr) == 0; }, 8);
  if (!joined) pthread_join(id_, nullptr);
  stack_ = {};
}

}  // namespace mothreads::internal
