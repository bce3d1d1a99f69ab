#pragma once

// How the verbs of a Socket wait: for the members of Socket, in whichever file they are.

#include <sys/types.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "absl/time/time.h"
#include "cooperative/io/descriptor.h"
#include "cooperative/io/socket.h"
#include "mothreads/ended.h"
#include "mothreads/limit.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {
namespace internal::io {

inline bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

// Where the kernel does not say when another try is worth it: when another's Unix socket has room again.
class Retries {
 public:
  explicit Retries(Descriptor& descriptor) : descriptor_(descriptor) {}

  // Until the next; `closed`, or why the limit has come.
  mothreads::Why wait(const char* verb, mothreads::Limit limit) {
    if (const std::optional<mothreads::Why> come = limit.has_come()) return *come;
    const mothreads::Why why = descriptor_.wait_for_close(verb, mothreads::Limit(limit | pause_));
    pause_ = std::min(pause_ * 2, kLongest);
    return why == mothreads::Why::closed ? why : mothreads::Why::ready;
  }

 private:
  static constexpr absl::Duration kLongest = absl::Milliseconds(50);

  Descriptor& descriptor_;
  absl::Duration pause_ = absl::Milliseconds(1);
};

}  // namespace internal::io

// Every operation begins with it.
inline void Socket::begin(const char* verb) const {
  const auto its_name = [this] { return name(); };
  descriptor_.begin({"a socket", its_name, verb});
}

template <typename Attempt>
std::pair<ssize_t, mothreads::Why> Socket::until_done(Descriptor::Side side, const char* verb, mothreads::Limit limit, Attempt&& attempt) {
  const auto its_name = [this] { return name(); };
  return descriptor_.until_done(side, {"a socket", its_name, verb}, limit, attempt);
}

template <typename Attempt>
std::pair<ssize_t, mothreads::Why> Socket::until_done(Descriptor::Side side, const char* verb, const mothreads::Until& until, Attempt&& attempt) {
  if (!until.counts_from_now()) return until_done(side, verb, start(until), attempt);
  const auto its_name = [this] { return name(); };
  return descriptor_.until_done(side, {"a socket", its_name, verb}, /*waits_for_nothing=*/false, [&] { return start(until); }, attempt);
}

}  // namespace cooperative
