#include "catools/internal/repeater.h"

#include <envDefs.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <system_error>
#include <thread>

#include "mothreads/foreign_thread.h"

// Exported by libca, declared in no header that it installs. Its caRepeaterThread() does the same under libCom's watch of tasks, whose end would
// wait for ever in a child of fork().
void ca_repeater();

namespace catools::inline v0::internal {
namespace {

constexpr unsigned short kUsualPort = 5065;
constexpr int kTries = 300;  // with a millisecond between them

// Ends at once where another process has the port.
void start_repeater() {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread([] {
      const mothreads::ForeignThread here("Channel Access repeater");
      static_cast<void>(pthread_setname_np(pthread_self(), "CA repeater"));
      ca_repeater();
    }).detach();
  } catch (const std::system_error&) {
    // libca goes its own way.
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

class Probe {
 public:
  Probe() noexcept : socket_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_in repeater{};
    repeater.sin_family = AF_INET;
    repeater.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    repeater.sin_port = htons(envGetInetPortConfigParam(&EPICS_CA_REPEATER_PORT, kUsualPort));
    is_usable_ = socket_ >= 0 && connect(socket_, reinterpret_cast<const sockaddr*>(&repeater), sizeof repeater) == 0;
  }
  ~Probe() {
    if (socket_ >= 0) close(socket_);
  }
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  bool is_usable() const noexcept { return is_usable_; }

  // Whether somebody answers what a client says first. The kernel refuses at once where nobody has the port.
  bool finds_one() const noexcept {
    std::array<char, 64> answer{};
    send(socket_, answer.data(), 0, 0);
    pollfd wanted{socket_, POLLIN, 0};
    poll(&wanted, 1, 1);
    return recv(socket_, answer.data(), answer.size(), 0) >= 0;
  }

 private:
  const int socket_;
  bool is_usable_ = false;
};

}  // namespace

void ensure_repeater() noexcept {
  const Probe probe;
  if (!probe.is_usable()) return;
  for (int attempt = 0; attempt < 3; ++attempt) {
    if (probe.finds_one()) return;
  }
  start_repeater();
  // A probe that is refused takes no time: the thread may need more than that to begin.
  for (int attempt = 0; attempt < kTries && !probe.finds_one(); ++attempt) poll(nullptr, 0, 1);
}

}  // namespace catools::inline v0::internal
