#include "cooperative/internal/world/world_runs.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <system_error>

namespace cooperative::inline v0::internal {
namespace {

[[noreturn]] void throw_errno(const char* what) { throw std::system_error(errno, std::system_category(), what); }

template <typename Call>
auto retried(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

// One byte says that it is the other's turn. False when the other side has gone.
bool give_turn(int socket) noexcept {
  const char turn = 0;
  return retried([&] { return send(socket, &turn, 1, MSG_NOSIGNAL); }) == 1;
}
bool take_turn(int socket) noexcept {
  char turn = 0;
  return retried([&] { return recv(socket, &turn, 1, 0); }) == 1;
}

// The output of a run is not for the one who waits for its result.
void be_silent() noexcept {
  const int nowhere = open("/dev/null", O_WRONLY);
  dup2(nowhere, STDOUT_FILENO);
  dup2(nowhere, STDERR_FILENO);
  close(nowhere);
}

}  // namespace

struct WorldRuns::Shared {
  WorldRequest request;
  std::size_t count = 0;
  int status = 0;
  WorldSwitch switches[WorldTrace::kMostSwitches];
  WorldTrace trace;
  WorldTrace trace_here;
};

WorldRuns::WorldRuns(Run run) {
  void* const memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw_errno("cannot make memory for the runs of a World");
  shared_ = static_cast<Shared*>(memory);  // all zero, and touched where it is used
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
    munmap(memory, sizeof(Shared));
    throw_errno("cannot make sockets for the runs of a World");
  }
  const pid_t parent = getpid();
  process_ = fork();
  if (process_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    close(sockets[0]);
    socket_ = sockets[1];
    wait_for_requests(run);
  }
  close(sockets[1]);
  socket_ = sockets[0];
  if (process_ > 0) return;
  close(socket_);
  munmap(memory, sizeof(Shared));
  throw_errno("cannot fork for the runs of a World");
}

WorldRuns::~WorldRuns() {
  close(socket_);  // then it ends
  retried([&] { return waitpid(process_, nullptr, 0); });
  munmap(shared_, sizeof(Shared));
}

void WorldRuns::wait_for_requests(Run run) noexcept {
  constexpr rlimit kNone{0, 0};
  setrlimit(RLIMIT_CORE, &kNone);
  while (take_turn(socket_)) {
    const pid_t self = getpid();
    const pid_t child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != self) _exit(1);
      close(socket_);
      be_silent();
      run(shared_->request, {shared_->switches, shared_->count}, shared_->trace);
      _exit(0);
    }
    shared_->status = -1;
    if (child > 0) retried([&] { return waitpid(child, &shared_->status, 0); });
    if (!give_turn(socket_)) break;
  }
  _exit(0);
}

const WorldTrace& WorldRuns::run(const WorldRequest& request, std::span<const WorldSwitch> switches) {
  shared_->request = request;
  shared_->count = std::min(switches.size(), WorldTrace::kMostSwitches);
  std::copy_n(switches.begin(), shared_->count, shared_->switches);
  shared_->trace.clear();
  if (!give_turn(socket_) || !take_turn(socket_)) {
    throw std::system_error(std::make_error_code(std::errc::no_child_process), "the process that runs a World again has ended");
  }
  return shared_->trace;
}

int WorldRuns::status() const noexcept { return shared_->status; }

WorldTrace& WorldRuns::trace_here() noexcept { return shared_->trace_here; }

}  // namespace cooperative::internal
