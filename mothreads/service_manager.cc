#include "mothreads/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <limits>
#include <system_error>

#include <fmt/core.h>

#include "mothreads/ended_early.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/printable.h"
#include "mothreads/internal/base/taken_variable.h"
#include "mothreads/log.h"
#include "mothreads/main_thread.h"
#include "mothreads/misuse.h"

namespace mothreads::inline v0 {
namespace {

constexpr absl::Duration kPauseWhenFull = absl::Milliseconds(10);

template <typename Number>
std::optional<Number> number_in(const std::optional<std::string>& text) {
  Number number = 0;
  if (!text) return std::nullopt;
  const char* const end = text->data() + text->size();
  const auto [stopped_at, error] = std::from_chars(text->data(), end, number);
  if (text->empty() || error != std::errc() || stopped_at != end) return std::nullopt;
  return number;
}

struct NotifyAddress {
  sockaddr_un bytes = {};
  socklen_t size = 0;
};

// Nothing for what is neither a path nor a name of the abstract namespace.
std::optional<NotifyAddress> address_of(const std::string& text) {
  if (text.size() < 2 || (text.front() != '/' && text.front() != '@')) return std::nullopt;
  const bool is_path = text.front() == '/';
  NotifyAddress address;
  if (text.size() + (is_path ? 1 : 0) > sizeof address.bytes.sun_path) return std::nullopt;
  address.bytes.sun_family = AF_UNIX;
  std::memcpy(address.bytes.sun_path, text.data(), text.size());
  if (!is_path) address.bytes.sun_path[0] = '\0';
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + text.size() + (is_path ? 1 : 0));
  return address;
}

std::optional<absl::Duration> watchdog_in_environment() {
  const auto microseconds = number_in<std::uint64_t>(internal::take_variable("WATCHDOG_USEC"));
  const std::optional<std::string> pid = internal::take_variable("WATCHDOG_PID");
  if (pid && number_in<pid_t>(pid) != ::getpid()) return std::nullopt;  // another process is watched
  if (!microseconds || *microseconds == 0 || *microseconds > std::numeric_limits<std::int64_t>::max()) return std::nullopt;
  return absl::Microseconds(static_cast<std::int64_t>(*microseconds));
}

}  // namespace

// What says it; a function that waits for the stop has a share of it.
class ServiceManager::Line {
 public:
  Line() : watchdog_(watchdog_in_environment()) {
    const std::optional<std::string> text = internal::take_variable("NOTIFY_SOCKET");
    if (!text || text->empty()) return;
    address_ = address_of(*text);
    if (!address_) {
      log::warning("NOTIFY_SOCKET={} is no path and no @name that a socket can have: the service manager is not told anything", *text);
      return;
    }
    socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (socket_ < 0) throw std::system_error(errno, std::generic_category(), "a socket to the service manager");
  }
  ~Line() {
    if (socket_ >= 0) ::close(socket_);
  }
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  bool is_there() const { return address_.has_value() && !born_.is_left_behind(); }
  std::optional<absl::Duration> watchdog() const { return is_there() ? watchdog_ : std::nullopt; }

  Posted say(std::string_view message) {
    if (!is_there()) return Why::closed;
    const auto* const to = reinterpret_cast<const sockaddr*>(&address_->bytes);
    ssize_t sent = 0;
    do {
      sent = ::sendto(socket_, message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL, to, address_->size);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0) return Why::ready;
    const int error = errno;
    if (error == EAGAIN || error == ENOBUFS) return Why::full;
    if (!has_complained_.exchange(true, std::memory_order_relaxed)) {  // a flag of its own, which orders nothing
      log::warning("the service manager cannot be told \"{}\": {}", internal::printable(message), std::generic_category().message(error));
    }
    return Why::closed;
  }

 private:
  const std::optional<absl::Duration> watchdog_;
  std::optional<NotifyAddress> address_;
  int socket_ = -1;
  const internal::Born born_;
  std::atomic<bool> has_complained_{false};
};

ServiceManager::ServiceManager() : line_(std::make_shared<Line>()) {}

ServiceManager::~ServiceManager() {
  if (draining_) draining_->remove_then(then_);
}

bool ServiceManager::is_there() const { return line_->is_there(); }
std::optional<absl::Duration> ServiceManager::watchdog_interval() const { return line_->watchdog(); }

Posted ServiceManager::ready(const Until& until) {
  const Limit limit(until);
  Posted posted = line_->say("READY=1");
  while (posted.why() == Why::full) {
    if (const auto come = limit.has_come()) {
      throw_ended_early(*come, "service manager", fmt::format("service manager: {} before it took READY=1", to_string(*come)));
    }
    const Signal room("room at the service manager");  // for reports of who waits; the kernel tells nobody of it
    static_cast<void>(room.wait(limit | kPauseWhenFull));
    posted = line_->say("READY=1");
  }
  // relaxed: the flag only decides which call does it; the destructor comes after all of them.
  if (posted && !follows_stop_.exchange(true, std::memory_order_relaxed)) {
    draining_.emplace(MainThread::draining());
    then_ = draining_->then([line = line_] { static_cast<void>(line->say("STOPPING=1")); });
  }
  return posted;
}

Posted ServiceManager::stopping() { return line_->say("STOPPING=1"); }
Posted ServiceManager::feed_watchdog() { return line_->say("WATCHDOG=1"); }

Posted ServiceManager::status(std::string_view text) {
  std::string message = "STATUS=";
  internal::append_printable(message, text);
  if (message.size() > kMaxMessage) {
    std::size_t end = kMaxMessage;
    while ((static_cast<unsigned char>(message[end]) & 0xc0U) == 0x80U) --end;  // not inside a character
    message.resize(end);
  }
  return line_->say(message);
}

Posted ServiceManager::tell(std::string_view assignments) {
  if (assignments.empty() || assignments.size() > kMaxMessage) {
    throw Misuse(fmt::format("ServiceManager::tell() of {} bytes: a message has at least one, and at most {}", assignments.size(), kMaxMessage));
  }
  return line_->say(assignments);
}

}  // namespace mothreads
