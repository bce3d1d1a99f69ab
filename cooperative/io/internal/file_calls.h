#pragma once

// Calls of the system that wait for a disk, for fibers. Reads by io_uring where there is one, all else on other threads: a BlockingPool for
// each scheduler. Both are made when first needed, and end with the scheduler.

#include <sys/types.h>

#include <cstddef>
#include <utility>

#include "absl/functional/function_ref.h"
#include "mothreads/ended.h"
#include "cooperative/io/internal/file_ring.h"
#include "mothreads/until.h"

namespace cooperative::internal {

// So many at a time; it is what keeps a disk busy, not a processor: docs/decisions/0008.
inline constexpr std::size_t kFileThreads = 16;

struct FileCall {
  bool is_done = false;
  ssize_t result = -1;
  int error = 0;
};

// Calls `act` on a thread of the pool until that does not end with EINTR, and puts what it gave into `call`. Why it has not been called when
// a limit came first; a call that has begun is awaited, whatever comes, and then it is `ready`. Where the pool is being stopped already the
// calling thread does it. What unwinds a fiber comes out of here when the call has ended, too: then `call` tells what was done.
mothreads::Why call_for_file(FileCall& call, absl::FunctionRef<ssize_t()> act, const mothreads::Until& until);

// Null where there is none.
FileRing* file_ring();

// For tests: from then on the calling thread's scheduler does without.
void do_without_file_ring();

// Whether things are as if they always had to wait: in a test world what is in memory depends on who was here before.
bool must_call_for_file();

}  // namespace cooperative::internal
