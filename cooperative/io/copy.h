#pragma once

// From one stream to another: what comes out of the one goes into the other, until its end.
//
//     co::copy(connection, upstream);
//
// Where one of them is a pipe and the other a pipe or a socket the bytes never come into this process (splice(2)); two files are copied by
// their file systems (copy_file() in file.h). All else goes through memory. What reading has looked ahead goes first.

#include <cstdint>

#include "cooperative/io/stream.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

struct CopyOptions {
  std::uint64_t max = UINT64_MAX;  // so many bytes at most
};

struct Copied {
  std::uint64_t size;
  // `closed` at the end of what was read, `ready` after as many as were asked for; `timed_out` or `stopped` when the limit came first.
  mothreads::Why why;
};

// Neither is closed, and nobody else should read or write there meanwhile. Nothing is lost when a limit ends it, or the fiber is cancelled:
// what was read has been written, or is put down as read ahead. Throws IoError.
Copied copy(Stream& from, Stream& to, const mothreads::Until& until = {});
Copied copy(Stream& from, Stream& to, const CopyOptions& options, const mothreads::Until& until = {});

}  // namespace cooperative
