#include "cooperative/internal/scheduler/ready_descriptor.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "mothreads/internal/wait/context.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::internal {

ReadyDescriptor::~ReadyDescriptor() {
  if (descriptor_ >= 0) close(descriptor_);
}

int ReadyDescriptor::get(bool is_ready) {
  if (mothreads::internal::Context::current().simulation() != nullptr) {
    throw mothreads::Misuse("there are no descriptors inside a testing::World, where nothing is real: wait by the library's own means");
  }
  if (descriptor_ < 0) {
    descriptor_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (descriptor_ < 0) throw std::system_error(errno, std::generic_category(), "cannot have a descriptor to poll");
    set(is_ready);
  } else if (born_.is_left_behind()) {
    change(is_ready);
  }
  return descriptor_;
}

void ReadyDescriptor::change(bool is_ready) noexcept {
  // In the child of a fork() it would change the parent's: another takes its place under the same number, which somebody may poll.
  if (born_.is_left_behind()) {
    const int own = eventfd(is_ready_ ? 1 : 0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (own < 0) return;
    dup3(own, descriptor_, O_CLOEXEC);
    close(own);
    born_ = {};
  }
  is_ready_ = is_ready;
  // Neither can fail: the counter goes between 0 and 1.
  eventfd_t count = 1;
  static_cast<void>(is_ready ? eventfd_write(descriptor_, count) : eventfd_read(descriptor_, &count));
}

}  // namespace cooperative::internal
