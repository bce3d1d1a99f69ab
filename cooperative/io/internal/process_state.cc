#include "cooperative/io/internal/process_state.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <string_view>
#include <system_error>
#include <vector>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/in_parallel.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/stack/page_memory.h"
#include "cooperative/io/io_error.h"
#include "cooperative/wait_for.h"
#include "mothreads/clock.h"
#include "mothreads/internal/base/access.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::internal::io {

using mothreads::Instant;
using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Why;
using Side = Descriptor::Side;

namespace {

// A pipe holds so much, unless it was made larger.
constexpr std::size_t kDrainRoom = 64 * 1024;
// While another fiber reads a pipe: so often somebody looks whether it has left.
constexpr std::chrono::milliseconds kLookAgain(20);

// glibc 2.36 declares this as if it were C++.
int send_to_pidfd(int pidfd, int number) { return static_cast<int>(syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0)); }

}  // namespace

int open_pidfd(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

ssize_t reap(int pidfd, std::optional<ProcessEnd>& end, pid_t group) {
  if (end) return 0;
  siginfo_t info{};
  if (waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG | (group != 0 ? WNOWAIT : 0)) != 0) return -1;
  if (info.si_pid == 0) {
    errno = EAGAIN;
    return -1;
  }
  if (group != 0) {
    ::kill(-group, SIGKILL);
    if (waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG) != 0) return -1;
  }
  end = info.si_code == CLD_EXITED ? ProcessEnd::exited(info.si_status) : ProcessEnd::killed(info.si_status);
  return 0;
}

void throw_early(const std::string& name, Why why, const std::string& more) {
  mothreads::throw_ended_early(why, name, fmt::format("{}: {} before it had ended{}", name, why == Why::stopped ? "stopped" : "timed out", more));
}

ProcessState::~ProcessState() {
  if (watched != nullptr) *watched = nullptr;
  pidfd.close();  // whoever watches it touches it no more
}

void ProcessState::close() {
  for (auto& pipe : pipes) {
    if (pipe) pipe->close();
  }
  pidfd.close();
}

std::string ProcessState::name() const { return fmt::format("process \"{}\" (pid {})", program, pid); }

Pipe& ProcessState::pipe(int number) {
  auto& pipe = pipes[static_cast<std::size_t>(number)];
  if (!pipe) throw Misuse(fmt::format("{}: its {} is no pipe to here: start it with Redirect::pipe()", name(), kStreams[number]));
  return *pipe;
}

bool ProcessState::send(int number) {
  if (reap_now()) return false;
  const int failed = own_group ? ::kill(-pid, number) : send_to_pidfd(pidfd.native(), number);
  if (failed == 0) return true;
  if (errno == ESRCH) return false;
  throw IoError(errno, name(), fmt::format("send it signal {}", number));
}

void ProcessState::watch_group() {
  watched = std::make_shared<ProcessState*>(this);
  cooperative::spawn("watches over " + name(), [watched = watched](const Signal& please_stop) {
    if (*watched == nullptr) return;
    const std::string its_name = (*watched)->name();
    try {
      const bool has_ended{(*watched)->pidfd.wait_readable(please_stop)};
      if (has_ended && *watched != nullptr) static_cast<void>((*watched)->reap());  // an error is for whoever waits for it
    } catch (const std::exception& error) {
      mothreads::log::warning("the end of {} cannot be watched for: {}", its_name, error.what());
    }
  }).release();
}

bool ProcessState::reap_now() {
  if (reap() == 0) return true;
  if (errno != EAGAIN) throw IoError(errno, name(), "learn how it has ended");
  return false;
}

ProcessEnd ProcessState::await(mothreads::Limit limit) {
  const auto its_name = [this] { return name(); };
  const auto [done, why] = pidfd.until_done(Side::read, {"a process", its_name, "wait for its end"}, limit, [this] { return reap(); });
  if (done < 0) throw_early(name(), why);
  return *end;
}

// --- what it writes as it is stopped ---------------------------------------------------------------------------------------------

bool ProcessState::has_reader(std::size_t number) {
  return communicates || pipes[number]->is_in_use(mothreads::internal::kAccess) || pipes[number]->descriptor().readiness().has_waiters(Side::read);
}

std::size_t ProcessState::room_for(std::size_t number) const {
  const std::size_t have = came[number].size() + pipes[number]->buffered().size();
  return max_output - std::min(have, max_output);
}

bool ProcessState::await_collecting(Instant by) {
  ++collectors;
  const absl::Cleanup done = [this] { --collectors; };
  const mothreads::Clock& clock = SchedulerCore::current().clock();
  std::array<bool, 3> has_ended{};
  while (!reap_now()) {
    const Instant now = clock.now();
    if (now >= by) return false;
    Instant until = by;
    std::vector<Readable> sources{Readable(pidfd)};
    std::vector<std::size_t> numbers{0};
    for (const std::size_t number : {1, 2}) {
      if (has_ended[number] || !is_open(number) || room_for(number) == 0) continue;
      if (has_reader(number)) {
        until = std::min(until, now + kLookAgain);
      } else {
        sources.emplace_back(pipes[number]->descriptor());
        numbers.push_back(number);
      }
    }
    try {
      const std::size_t number = numbers[wait_for_any(sources, until).index];
      if (number > 0) has_ended[number] = !collect(number);
    } catch (const Timedout&) {
    } catch (const Closed&) {
      // Another fiber has closed the pipe.
    }
  }
  return true;
}

// No other fiber runs between the question for readers and the read, which so cannot take a later part of what another is about to read.
bool ProcessState::collect(std::size_t number) {
  if (!is_open(number) || has_reader(number)) return true;
  Pipe& pipe = *pipes[number];
  std::array<char, 16 * 1024> room;
  const ssize_t size = ::read(pipe.native(), room.data(), std::min(room.size(), room_for(number)));
  if (size > 0) {
    pipe.append_ahead({room.data(), static_cast<std::size_t>(size)}, mothreads::internal::kAccess);
    return true;
  }
  if (size < 0 && errno == EAGAIN) pipe.descriptor().readiness().clear(Side::read);
  return size < 0 && (errno == EAGAIN || errno == EINTR);  // an error, as the end, comes again for who reads next
}

// --- communicate() ---------------------------------------------------------------------------------------------------------------

void ProcessState::talk() {
  Talk talk;
  in_parallel(
      [&] {
        feed(talk.late);
        talk.leave();
      },
      [&] {
        drain(1, talk.late);
        talk.leave();
      },
      [&] {
        drain(2, talk.late);
        talk.leave();
      },
      [&] {
        await({});
        give_up_late_pipes(talk);
      });
}

void ProcessState::give_up_late_pipes(Talk& talk) {
  try {
    talk.done.wait(pipe_grace);
  } catch (const Timedout&) {
    mothreads::log::warning("{}: {} after its end somebody else, perhaps a process that it has started, has its pipes open: they are not read any more",
                            name(), absl::FormatDuration(pipe_grace));
    talk.late.go();
  }
}

void ProcessState::feed(const Signal& late) {
  if (!is_open(0)) return;
  try {
    while (fed < to_feed.size()) {
      const Sent sent = pipes[0]->write_some(std::string_view(to_feed).substr(fed), late);
      if (!sent) break;
      fed += sent.size();
    }
  } catch (const IoError& error) {
    if (error.code() != std::errc::broken_pipe) throw;  // the process reads no more, and does not want the rest
  } catch (const Closed&) {
    if (!was_stopped) throw;  // stop() has closed it: the output may still come
  }
  to_feed.clear();
  fed = 0;
  pipes[0]->close();
}

void ProcessState::drain(std::size_t number, const Signal& late) {
  if (!is_open(number)) return;
  Pipe& pipe = *pipes[number];
  std::string& text = came[number];
  const Memory<std::byte> room = make_memory<std::byte>(kDrainRoom);
  while (const Received more = pipe.read_some({room.get(), kDrainRoom}, late)) {
    append_much(text, {reinterpret_cast<const char*>(room.get()), more.size()});
    if (text.size() > max_output) {
      throw TooLong(fmt::format("{}: more than {} bytes came from its {}", name(), max_output, kStreams[number]));
    }
    if (late) return;  // the writer may go on for ever; the bytes that were in the pipe have come
  }
}

}  // namespace cooperative::internal::io
