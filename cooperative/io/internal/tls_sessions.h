#pragma once

// The sessions that the servers of a client's context have given, to be resumed: of each host the newest few.

#include <openssl/ssl.h>

#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "mothreads/instant.h"

namespace cooperative::inline v0::internal::io {

struct FreeSession {
  void operator()(SSL_SESSION* session) const noexcept { SSL_SESSION_free(session); }
};
using OwnedSession = std::unique_ptr<SSL_SESSION, FreeSession>;

// Thread-safe: the streams of several threads share a context.
class TlsSessions {
 public:
  static constexpr std::size_t kOfEachHost = 4;
  static constexpr std::size_t kHosts = 1000;

  void put(const std::string& host, OwnedSession session);
  // Each is given once (RFC 8446, C.4), and none that is too old. Null when there is none.
  OwnedSession take(const std::string& host);

 private:
  struct Kept {
    OwnedSession session;
    mothreads::Instant since;
  };
  std::mutex mutex_;
  std::map<std::string, std::deque<Kept>> kept_;  // the newest last
};

}  // namespace cooperative::internal::io
