#include "cooperative/io/internal/tls_sessions.h"

#include <utility>

#include "absl/time/time.h"
#include "cooperative/io/tls.h"
#include "mothreads/clock.h"

namespace cooperative::inline v0::internal::io {

void TlsSessions::put(const std::string& host, OwnedSession session) {
  const mothreads::Instant now = mothreads::Clock::current().now();
  const std::lock_guard lock(mutex_);
  if (kept_.size() >= kHosts && !kept_.contains(host)) kept_.erase(kept_.begin());  // any: it costs its host one long handshake
  std::deque<Kept>& of_host = kept_[host];
  of_host.push_back({std::move(session), now});
  if (of_host.size() > kOfEachHost) of_host.pop_front();
}

OwnedSession TlsSessions::take(const std::string& host) {
  const mothreads::Instant now = mothreads::Clock::current().now();
  const std::lock_guard lock(mutex_);
  const auto found = kept_.find(host);
  if (found == kept_.end()) return nullptr;
  Kept newest = std::move(found->second.back());
  found->second.pop_back();
  const bool is_too_old = now - newest.since > absl::ToChronoNanoseconds(kTlsResumeTime);
  if (is_too_old || found->second.empty()) kept_.erase(found);  // the others are older
  return is_too_old ? nullptr : std::move(newest.session);
}

}  // namespace cooperative::internal::io
