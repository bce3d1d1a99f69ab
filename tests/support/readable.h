#pragma once

#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace mothreads::inline v0::testing {

// Whether a byte can be read. Asked of the kernel: trying would end the program, and bring an untouched page into memory.
class Readable {
 public:
  Readable() {
    if (pipe(ends_) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  }
  ~Readable() {
    close(ends_[0]);
    close(ends_[1]);
  }
  Readable(const Readable&) = delete;
  Readable& operator=(const Readable&) = delete;

  bool operator()(const char* address) {
    if (write(ends_[1], address, 1) != 1) {
      if (errno == EFAULT) return false;
      throw std::system_error(errno, std::generic_category(), "write");
    }
    char byte;
    return read(ends_[0], &byte, 1) == 1;
  }

 private:
  int ends_[2];
};

}  // namespace mothreads::testing
