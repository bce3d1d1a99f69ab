#include "cooperative/io/process.h"

#include <fcntl.h>
#include <signal.h>
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
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/io/internal/process_state.h"
#include "cooperative/io/internal/program.h"
#include "cooperative/io/internal/terminal.h"
#include "cooperative/io/io_error.h"
#include "cooperative/with_timeout.h"
#include "mothreads/clock.h"
#include "mothreads/instant.h"
#include "mothreads/internal/base/printable.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0 {

using internal::SchedulerCore;
using mothreads::Instant;
using mothreads::Misuse;
using mothreads::Until;
using mothreads::Why;
using mothreads::internal::NoUnwind;
using mothreads::internal::printable;

namespace {

Descriptor made(int descriptor, const char* what) {
  if (descriptor < 0) throw IoError(errno, what, "make one");
  return {descriptor, Descriptor::NonBlocking{}};
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
      state.pipes[static_cast<std::size_t>(number)] = Pipe::adopt(ours.native());
      static_cast<void>(ours.release());  // when that throws it is still ours
      break;
    }
    case Redirect::Kind::descriptor: break;
  }
  // A lower descriptor would be overwritten while the three are put in place. This looks at it here, too, since the child cannot say what was wrong.
  if (source > STDERR_FILENO && fcntl(source, F_GETFD) >= 0) return source;
  const int moved = fcntl(source, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (moved < 0) {
    throw IoError(errno, fmt::format("program \"{}\"", state.program), fmt::format("give it descriptor {} as {}", source, internal::io::kStreams[number]));
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

  auto state = std::make_shared<State>();
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
  absl::Cleanup abandon = [&own] {
    own.child.reset();
    if (own.pid < 0) return;
    ::kill(own.pid, SIGKILL);
    while (waitpid(own.pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  };
  own.pid = program.start();
  const int pidfd = internal::io::open_pidfd(own.pid);
  if (pidfd < 0) throw IoError(errno, own.name(), "watch over it");
  try {
    own.pidfd = Descriptor(pidfd, Descriptor::NonBlocking{});
  } catch (...) {
    ::close(pidfd);
    throw;
  }
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
  own.was_stopped = true;
  if (own.pipes[0]) own.pipes[0]->close();
  if (!own.send(SIGTERM)) return;
  static_cast<void>(own.send(SIGCONT));  // one that was stopped would not take it
  SchedulerCore& core = SchedulerCore::current();
  const Instant by = std::min(Instant(std::chrono::nanoseconds(core.deadline_in_force())),
                              own.grace == absl::InfiniteDuration() ? Instant::max() : core.clock().now() + absl::ToChronoNanoseconds(own.grace));
  try {
    if (own.await_collecting(by)) return;
  } catch (const std::exception& error) {
    mothreads::log::warning("{}: it cannot be waited for as it is stopped: {}", own.name(), error.what());
  }
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
    // For example, something else has taken its end.
    mothreads::log::error("{}", error.what());
  }
  state_->close();
  state_.reset();
}

Pipe& Process::input() { return state("be written to").pipe(0); }
Pipe& Process::output() { return state("be read").pipe(1); }
Pipe& Process::errors() { return state("be read").pipe(2); }
Pipe Process::take(int number) {
  State& own = state("be read");
  if (own.collectors > 0) throw Misuse(fmt::format("{}: its {} was to be taken while another fiber stops it: take it before, or afterwards", own.name(), internal::io::kStreams[number]));
  return std::move(own.pipe(number));
}
Pipe Process::take_output() { return take(1); }
Pipe Process::take_errors() { return take(2); }

Communicated Process::communicate(std::string_view input, const Until& until) {
  State& own = state("communicate");
  const std::shared_ptr<State> kept = state_;
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
    internal::io::throw_early(own.name(), why, fmt::format("; {} bytes of its output and {} of its errors have come: call communicate() to go on, or take_collected()",
                                             own.came[1].size(), own.came[2].size()));
  };
  try {
    with_timeout(until, [&own] { own.talk(); });
  } catch (const Timedout&) {
    throw_with_sizes(Why::timed_out);
  } catch (const Stopped&) {
    throw_with_sizes(Why::stopped);
  }
  return {std::exchange(own.came[1], {}), std::exchange(own.came[2], {}), *own.end};
}

ProcessOutput Process::take_collected() {
  State& own = state("give what it has written");
  return {std::exchange(own.came[1], {}), std::exchange(own.came[2], {})};
}

pid_t Process::pid() const { return state("tell its number").pid; }
std::string Process::name() const { return state_ == nullptr ? "no process" : state_->name(); }
Descriptor& Process::descriptor() { return state("be waited for").pidfd; }

ProcessEnd wait_for_process(pid_t pid, const Until& until) {
  const std::string name = fmt::format("process {}", pid);
  const int opened = internal::io::open_pidfd(pid);
  if (opened < 0) throw IoError(errno, name, "wait for its end");
  Descriptor pidfd(opened, Descriptor::NonBlocking{});
  // Not asked before it has ended: of what is no child the system says at once that it is none.
  if (const Why why = pidfd.wait_readable(until).why(); why != Why::ready) internal::io::throw_early(name, why);
  std::optional<ProcessEnd> end;
  if (internal::io::reap(opened, end) != 0) throw IoError(errno, name, "learn how it has ended");
  return *end;
}

}  // namespace cooperative
