#pragma once

// Calls of the system that wait for a disk, for fibers: done by other threads, 16 for each scheduler, while the fiber waits. For what has no class
// of its own, as stat(2) and rename(2), and for descriptors that somebody else looks after. Files have one: file.h.
//
//     co::FileCall call;
//     co::call_for_file(call, [&] { return ::unlink(path.c_str()); });
//     if (call.result < 0) throw co::IoError(call.error, path, "remove it");
//
// The threads are made when first needed, and end with the scheduler (docs/decisions/0008). On a thread that has no scheduler the calls are simply made.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/functional/function_ref.h"
#include "mothreads/ended.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

namespace internal {
struct ServiceKind;
}

// So many at a time; it is what keeps a disk busy, not a processor.
inline constexpr std::size_t kFileThreads = 16;

struct FileCall {
  bool is_done = false;
  ssize_t result = -1;
  int error = 0;  // errno, when the result is negative
};

// Calls `act` on another thread until that does not end with EINTR, and puts what it gave into `call`. Why it has not been called when a limit
// came first; a call that has begun is awaited, whatever comes, and then it is `ready`. What unwinds a fiber comes out of here when the call has ended,
// too: then `call` tells what was done. Where the threads are being stopped already the calling one does it.
mothreads::Why call_for_file(FileCall& call, absl::FunctionRef<ssize_t()> act, const mothreads::Until& until = {});

// As much as `into` has room for, or to the end of the file; what is in memory by the calling thread, the rest by another, as far as the system
// tells which is which (decision 8). `done` is then how much it was, also when the limit comes first. Throws IoError.
mothreads::Why read_from_file(int file, std::span<char> into, std::uint64_t offset, std::size_t& done, const mothreads::Until& until = {});

// Before a call that cannot be tried, as sendfile(2): has such a part read into memory, where its first or its last byte is not there. `ready`,
// or why it has not been done. What cannot be read is left to that call.
mothreads::Why bring_into_memory(int file, std::uint64_t offset, std::size_t size, const mothreads::Until& until = {});

namespace internal::io {

// Whether things are as if they always had to wait: in a test world what is in memory depends on who was here before.
bool must_call_for_file();

// Where a scheduler has the threads.
extern const ServiceKind kFilePool;

}  // namespace internal::io
}  // namespace cooperative
