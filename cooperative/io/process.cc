#include "cooperative/io/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <utility>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/in_parallel.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/stack/page_memory.h"
#include "cooperative/io/internal/children.h"
#include "cooperative/io/internal/program.h"
#include "cooperative/io/internal/terminal.h"
#include "cooperative/io/io_error.h"
#include "cooperative/wait_for.h"
#include "cooperative/with_timeout.h"
#include "mothreads/clock.h"
#include "mothreads/instant.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/printable.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"

namespace cooperative::inline v0 {

using internal::SchedulerCore;
using mothreads::Instant;
using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Until;
using mothreads::Why;
using mothreads::internal::NoUnwind;
using mothreads::internal::printable;
using Side = Descriptor::Side;

namespace {

// A pipe holds so much, unless it was made larger.
constexpr std::size_t kDrainRoom = 64 * 1024;
constexpr const char* kStreams[]{"standard input", "standard output", "standard error"};

Descriptor made(int descriptor, const char* what) {
  if (descriptor < 0) throw IoError(errno, what, "make one");
  return {descriptor, Descriptor::NonBlocking{}};
}

// glibc 2.36 declares these two as if they were C++.
int open_pidfd(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }
int send_to_pidfd(int pidfd, int number) { return static_cast<int>(syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0)); }

// Takes the end of a process, once. -1 with EAGAIN as long as it runs. The rest of its group, if it had one, ends with it: as
// long as nobody has taken the end of its leader the group's number is nobody else's.
ssize_t reap(int pidfd, std::optional<ProcessEnd>& end, pid_t group = 0) {
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

[[noreturn]] void throw_early(const std::string& name, Why why, const std::string& more = {}) {
  mothreads::throw_ended_early(why, name, fmt::format("{}: {} before it had ended{}", name, why == Why::stopped ? "stopped" : "timed out", more));
}

}  // namespace

std::string ProcessEnd::to_string() const {
  return by_signal_ ? fmt::format("killed by signal {}", number_) : fmt::format("exited with {}", number_);
}

Redirect Redirect::take(Pipe pipe) {
  Redirect redirect(Kind::descriptor);
  if (!pipe.is_open()) throw Misuse("a closed pipe cannot become a stream of a process");
  redirect.descriptor_ = pipe.release();  // blocking, as programs expect
  redirect.own_ = Descriptor(redirect.descriptor_, Descriptor::NonBlocking{});
  return redirect;
}

// --- a process ---------------------------------------------------------------------------------------------------------------

struct Process::State {
  std::string program;
  const mothreads::internal::Born born;
  pid_t pid = -1;
  bool own_group = false;
  absl::Duration grace;
  absl::Duration pipe_grace;
  std::size_t max_output = 0;
  Descriptor pidfd;
  std::optional<internal::io::Child> child;
  std::optional<ProcessEnd> end;
  std::array<std::optional<Pipe>, 3> pipes;
  std::shared_ptr<State*> watched;  // of a group: null in it once this has gone

  ~State() {
    if (watched != nullptr) *watched = nullptr;
    pidfd.close();  // whoever watches it touches it no more
  }

  // Of communicate(), kept when a limit interrupts it.
  std::string to_feed;
  std::size_t fed = 0;
  std::string out;
  std::string err;
  bool communicates = false;

  std::string name() const { return fmt::format("process \"{}\" (pid {})", program, pid); }

  Pipe& pipe(int number) {
    auto& pipe = pipes[static_cast<std::size_t>(number)];
    if (!pipe) throw Misuse(fmt::format("{}: its {} is no pipe to here: start it with Redirect::pipe()", name(), kStreams[number]));
    return *pipe;
  }

  bool send(int number) {
    if (reap_now()) return false;
    const int failed = own_group ? ::kill(-pid, number) : send_to_pidfd(pidfd.native(), number);
    if (failed == 0) return true;
    if (errno == ESRCH) return false;
    throw IoError(errno, name(), fmt::format("send it signal {}", number));
  }

  // The fiber looks at the leader's end as soon as that comes, and so ends the rest of the group, whatever others wait for meanwhile: what the
  // leader has started may keep its pipes open.
  void watch_group() {
    watched = std::make_shared<State*>(this);
    spawn("watches over " + name(), [watched = watched](const mothreads::Signal& please_stop) {
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

  ssize_t reap() { return cooperative::reap(pidfd.native(), end, own_group ? pid : 0); }

  bool reap_now() {
    if (reap() == 0) return true;
    if (errno != EAGAIN) throw IoError(errno, name(), "learn how it has ended");
    return false;
  }

  ProcessEnd await(mothreads::Limit limit) {
    const auto its_name = [this] { return name(); };
    const auto [done, why] = pidfd.until_done(Side::read, {"a process", its_name, "wait for its end"}, limit, [this] { return reap(); });
    if (done < 0) throw_early(name(), why);
    return *end;
  }

  // Whether stop() reads it: as long as nobody else does, who would miss what it takes.
  bool collects(std::size_t number) {
    auto& pipe = pipes[number];
    return !communicates && pipe && pipe->is_open() && pipe->buffered().size() < max_output && !has_reader(number);
  }
  bool has_reader(std::size_t number) { return pipes[number]->descriptor().readiness().has_waiters(Side::read); }

  // Waits for its end, and lets the pipes read ahead what it writes meanwhile, so that a full pipe does not hold it up. False when the time comes
  // first.
  bool await_collecting(Instant by) {
    std::array<bool, 3> has_ended{};
    while (!reap_now()) {
      std::vector<Readable> sources{Readable(pidfd)};
      std::vector<std::size_t> numbers{0};
      for (const std::size_t number : {1, 2}) {
        if (has_ended[number] || !collects(number)) continue;
        sources.emplace_back(pipes[number]->descriptor());
        numbers.push_back(number);
      }
      std::size_t number = 0;
      try {
        number = numbers[wait_for_any(sources, by).index];
      } catch (const Timedout&) {
        return false;
      }
      if (number == 0 || !collects(number)) continue;
      try {
        has_ended[number] = pipes[number]->fill(absl::ZeroDuration()).why() == Why::closed;
      } catch (const IoError& error) {
        mothreads::log::warning("{}: what it wrote as it was stopped is not complete: {}", name(), error.what());
        has_ended[number] = true;
      }
    }
    return true;
  }

  // One communicate() while it runs.
  struct Talk {
    Signal late;          // the pipes are not waited for any more
    Event<> done;
    int pipes_left = 3;
    void leave() {
      if (--pipes_left == 0) done.signal();
    }
  };

  void talk() {
    Talk talk;
    in_parallel(
        [&] {
          feed(talk.late);
          talk.leave();
        },
        [&] {
          drain(1, out, talk.late);
          talk.leave();
        },
        [&] {
          drain(2, err, talk.late);
          talk.leave();
        },
        [&] {
          await({});
          give_up_late_pipes(talk);
        });
  }

  void give_up_late_pipes(Talk& talk) {
    try {
      talk.done.wait(pipe_grace);
    } catch (const Timedout&) {
      mothreads::log::warning("{}: {} after its end somebody else, perhaps a process that it has started, has its pipes open: they are not read any more",
                              name(), absl::FormatDuration(pipe_grace));
      talk.late.go();
    }
  }

  void feed(const Signal& late) {
    if (!pipes[0] || !pipes[0]->is_open()) return;
    try {
      while (fed < to_feed.size()) {
        const Sent sent = pipes[0]->write_some(std::string_view(to_feed).substr(fed), late);
        if (!sent) break;
        fed += sent.size();
      }
    } catch (const IoError& error) {
      if (error.code() != std::errc::broken_pipe) throw;  // it reads no more: then it does not want the rest
    }
    to_feed.clear();
    fed = 0;
    pipes[0]->close();
  }

  void drain(int number, std::string& text, const Signal& late) {
    auto& pipe = pipes[static_cast<std::size_t>(number)];
    if (!pipe || !pipe->is_open()) return;
    const internal::Memory<std::byte> room = internal::make_memory<std::byte>(kDrainRoom);
    while (const Received more = pipe->read_some({room.get(), kDrainRoom}, late)) {
      internal::append_much(text, {reinterpret_cast<const char*>(room.get()), more.size()});
      if (text.size() > max_output) {
        throw TooLong(fmt::format("{}: more than {} bytes came from its {}", name(), max_output, kStreams[number]));
      }
    }
  }
};

Process::Process() = default;
Process::Process(Process&& other) noexcept = default;
Process& Process::operator=(Process&& other) noexcept {
  if (this == &other) return *this;
  stop_if_any();
  state_ = std::move(other.state_);
  return *this;
}
Process::~Process() { stop_if_any(); }

// Gives the descriptor, above the three, that the new process gets there; -1 to leave it as it is. `childs` are closed here afterwards.
int Process::open_stream(Redirect& redirect, int number, State& state, std::vector<Descriptor>& childs) {
  int source = redirect.descriptor_;
  switch (redirect.kind_) {
    case Redirect::Kind::inherited:
    case Redirect::Kind::to_output: return -1;
    case Redirect::Kind::null:
      source = childs.emplace_back(made(::open("/dev/null", O_RDWR | O_CLOEXEC), "/dev/null")).native();
      break;
    case Redirect::Kind::pipe: {
      // Non-blocking here, and blocking there: each end has flags of its own.
      PipeEnds ends = make_pipe();
      Pipe& theirs = number == 0 ? ends.reader : ends.writer;
      source = childs.emplace_back(theirs.release(), Descriptor::NonBlocking{}).native();
      state.pipes[static_cast<std::size_t>(number)] = std::move(number == 0 ? ends.writer : ends.reader);
      break;
    }
    case Redirect::Kind::terminal: {
      auto [ours, theirs] = internal::io::make_terminal(fmt::format("program \"{}\"", state.program));
      source = childs.emplace_back(std::move(theirs)).native();
      state.pipes[static_cast<std::size_t>(number)] = Pipe::adopt(ours.release());
      break;
    }
    case Redirect::Kind::descriptor: break;
  }
  // A lower descriptor would be overwritten while the three are put in place. This looks at it here, too, since the child cannot say what was wrong.
  if (source > STDERR_FILENO && fcntl(source, F_GETFD) >= 0) return source;
  const int moved = fcntl(source, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (moved < 0) {
    throw IoError(errno, fmt::format("program \"{}\"", state.program), fmt::format("give it descriptor {} as {}", source, kStreams[number]));
  }
  return childs.emplace_back(moved, Descriptor::NonBlocking{}).native();
}

Process::Process(std::vector<std::string> command, ProcessOptions options) {
  if (options.input.kind_ == Redirect::Kind::to_output || options.output.kind_ == Redirect::Kind::to_output) {
    throw Misuse("only a process' errors can go where its output goes: give the others a stream of their own");
  }
  if (options.input.kind_ == Redirect::Kind::terminal) {
    throw Misuse("a process' input cannot be a terminal of its own, whose end nobody could tell it: give it Redirect::pipe()");
  }
  internal::io::Program program(std::move(command), options);
  static_cast<void>(SchedulerCore::current().poller());  // refuses a test world before anything is made

  auto state = std::make_unique<State>();
  state->program = program.name();
  state->own_group = options.own_group;
  state->grace = options.grace;
  state->pipe_grace = options.pipe_grace;
  state->max_output = options.max_output;
  std::vector<Descriptor> childs;
  Redirect* const redirects[]{&options.input, &options.output, &options.errors};
  for (int number = 0; number < 3; ++number) {
    if (const int source = open_stream(*redirects[number], number, *state, childs); source >= 0) program.give_stream(source, number);
  }
  if (options.errors.kind_ == Redirect::Kind::to_output) program.give_stream(STDOUT_FILENO, STDERR_FILENO);
  state_ = std::move(state);
  try {
    start(program, options);
  } catch (...) {
    state_.reset();
    throw;
  }
  if (!options.own_group) return;
  try {
    state_->watch_group();
  } catch (...) {
    stop_if_any();
    throw;
  }
}

void Process::start(internal::io::Program& program, const ProcessOptions& options) {
  State& own = *state_;
  own.child.emplace();
  absl::Cleanup abandon = [&own] { own.child.reset(); };
  own.pid = program.start();
  const int pidfd = open_pidfd(own.pid);
  if (pidfd < 0) {
    const int why = errno;
    ::kill(own.pid, SIGKILL);
    while (waitpid(own.pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    throw IoError(why, own.name(), "watch over it");
  }
  own.pidfd = Descriptor(pidfd, Descriptor::NonBlocking{});
  own.child->has_begun(pidfd, options.own_group ? own.pid : 0);
  std::move(abandon).Cancel();
}

Process::State& Process::state(const char* what) const {
  if (state_ == nullptr) throw Misuse(fmt::format("a Process that owns none was to {}: it has been moved from, or none was started", what));
  if (state_->born.is_left_behind()) {
    throw Misuse(fmt::format("{} was to {} in a child of fork(): it is the parent's, which started it", state_->name(), what));
  }
  state_->pidfd.check_thread("a process");
  return *state_;
}

ProcessEnd Process::wait(const Until& until) { return state("wait for its end").await(mothreads::Limit(until)); }

std::optional<ProcessEnd> Process::end() {
  State& own = state("tell how it ended");
  static_cast<void>(own.reap_now());
  return own.end;
}

bool Process::signal(int number) { return state("signal").send(number); }
bool Process::terminate() { return signal(SIGTERM); }
bool Process::kill() { return signal(SIGKILL); }

void Process::stop() {
  State& own = state("stop");
  const NoUnwind whole;
  if (own.pipes[0]) own.pipes[0]->close();
  if (!own.send(SIGTERM)) return;
  static_cast<void>(own.send(SIGCONT));  // one that was stopped would not take it
  SchedulerCore& core = SchedulerCore::current();
  const Instant by = std::min(Instant(std::chrono::nanoseconds(core.deadline_in_force())),
                              own.grace == absl::InfiniteDuration() ? Instant::max() : core.clock().now() + absl::ToChronoNanoseconds(own.grace));
  if (own.await_collecting(by)) return;
  mothreads::log::warning("{} did not end when it was asked to: it is killed", own.name());
  static_cast<void>(own.send(SIGKILL));
  static_cast<void>(own.await({}));
}

void Process::stop_if_any() noexcept {
  if (state_ == nullptr) return;
  if (state_->born.is_left_behind()) return state_.reset();  // it goes on with the parent
  if (!state_->pidfd.readiness().is_its_thread()) {
    mothreads::internal::fatal_misuse(
        fmt::format("{} was destroyed on another thread than that whose fibers have waited for it: destroy it there", state_->name()));
  }
  try {
    stop();
  } catch (const std::exception& error) {
    // For example, something else has taken its end: the process is gone all the same.
    mothreads::log::error("{}", error.what());
  }
  state_.reset();
}

Pipe& Process::input() { return state("be written to").pipe(0); }
Pipe& Process::output() { return state("be read").pipe(1); }
Pipe& Process::errors() { return state("be read").pipe(2); }
Pipe Process::take_output() { return std::move(output()); }
Pipe Process::take_errors() { return std::move(errors()); }

Communicated Process::communicate(std::string_view input, const Until& until) {
  State& own = state("communicate");
  if (own.communicates) throw Misuse(own.name() + ": another fiber communicates with it already: let one do it");
  if (!input.empty()) {
    static_cast<void>(own.pipe(0));
    if (!own.to_feed.empty()) {
      throw Misuse(own.name() + ": the input of an earlier communicate() has not all been read: call it without input to go on");
    }
    own.to_feed = input;
  }
  own.communicates = true;
  const absl::Cleanup done = [&own] { own.communicates = false; };
  const auto throw_with_sizes = [&own](Why why) {
    throw_early(own.name(), why, fmt::format("; {} bytes of its output and {} of its errors have come: call communicate() to go on, or take_collected()",
                                             own.out.size(), own.err.size()));
  };
  try {
    with_timeout(until, [&own] { own.talk(); });
  } catch (const Timedout&) {
    throw_with_sizes(Why::timed_out);
  } catch (const Stopped&) {
    throw_with_sizes(Why::stopped);
  }
  return {std::exchange(own.out, {}), std::exchange(own.err, {}), *own.end};
}

ProcessOutput Process::take_collected() {
  State& own = state("give what it has written");
  return {std::exchange(own.out, {}), std::exchange(own.err, {})};
}

pid_t Process::pid() const { return state("tell its number").pid; }
std::string Process::name() const { return state_ == nullptr ? "no process" : state_->name(); }
Descriptor& Process::descriptor() { return state("be waited for").pidfd; }

ProcessEnd wait_for_process(pid_t pid, const Until& until) {
  const std::string name = fmt::format("process {}", pid);
  const int opened = open_pidfd(pid);
  if (opened < 0) throw IoError(errno, name, "wait for its end");
  Descriptor pidfd(opened, Descriptor::NonBlocking{});
  // Not asked before it has ended: of what is no child the system says at once that it is none.
  if (const Why why = pidfd.wait_readable(until).why(); why != Why::ready) throw_early(name, why);
  std::optional<ProcessEnd> end;
  if (reap(opened, end) != 0) throw IoError(errno, name, "learn how it has ended");
  return *end;
}

}  // namespace cooperative
