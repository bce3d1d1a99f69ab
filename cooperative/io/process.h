#pragma once

// Processes of one's own, for fibers.
//
//     co::Process sort({"sort", "-n"}, {.input = co::Redirect::pipe(), .output = co::Redirect::pipe()});
//     auto [out, err, end] = sort.communicate("3\n1\n2\n", absl::Seconds(5));
//
//     co::Process grep({"grep", "-i", word}, {.input = co::Redirect::pipe(), .output = co::Redirect::pipe()});
//     co::Process count({"wc", "-l"}, {.input = co::Redirect::take(grep.take_output()), .output = co::Redirect::pipe()});
//
// A Process owns what it started: its destructor closes its input, asks the process to end (SIGTERM), gives it a grace period, or what is left
// of the stop deadline in force if that is less, kills it (SIGKILL), waits, and closes the other pipes, whose readers get Closed. No zombie stays, also when the fiber is
// cancelled. When this process ends without that, past a stop's deadline or by the third signal, what it has started is killed.
//
// The process begins with the default signal mask and dispositions, and with no descriptor but the three standard ones. The program is
// looked for along this process' PATH. A process that it starts in turn is not ours: see own_group.
//
// Which thread: that of the fiber that made it, as a Descriptor. In a testing::World it throws mothreads::Misuse.

#include <sys/types.h>

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "cooperative/io/descriptor.h"
#include "cooperative/io/pipe.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

namespace internal::io {
class Program;
struct ProcessState;
}

// How a process has ended.
class ProcessEnd {
 public:
  static ProcessEnd exited(int code) { return {code, false}; }
  static ProcessEnd killed(int signal) { return {signal, true}; }

  explicit operator bool() const { return !by_signal_ && number_ == 0; }  // it exited with 0
  std::optional<int> code() const { return by_signal_ ? std::nullopt : std::optional(number_); }
  std::optional<int> signal() const { return by_signal_ ? std::optional(number_) : std::nullopt; }
  std::string to_string() const;  // "exited with 2", "killed by signal 9"

  friend bool operator==(const ProcessEnd&, const ProcessEnd&) = default;

 private:
  ProcessEnd(int number, bool by_signal) : number_(number), by_signal_(by_signal) {}
  int number_;
  bool by_signal_;
};

// What one of the three standard streams of a process is.
class Redirect {
 public:
  Redirect() = default;  // what this process has
  static Redirect inherited() { return {}; }
  static Redirect null() { return Redirect(Kind::null); }
  // To this process: input(), output(), errors().
  static Redirect pipe() { return Redirect(Kind::pipe); }
  // For the output and the errors: to this process as pipe(), through a pseudo-terminal, for a program that keeps its lines back where nobody looks
  // at a terminal. The bytes come as the program writes them, without a carriage return before each newline. It is not the controlling terminal.
  static Redirect terminal() { return Redirect(Kind::terminal); }
  // What the caller has open when the process is started, and keeps.
  static Redirect descriptor(int number) {
    Redirect redirect(Kind::descriptor);
    redirect.descriptor_ = number;
    return redirect;
  }
  // A pipe's end for the process alone: closed here once it has been started. Throws mothreads::Misuse as Pipe::release().
  static Redirect take(Pipe pipe);
  // For errors: wherever the output goes.
  static Redirect to_output() { return Redirect(Kind::to_output); }

 private:
  friend class Process;
  enum class Kind : std::uint8_t { inherited, null, pipe, terminal, descriptor, to_output };
  explicit Redirect(Kind kind) : kind_(kind) {}

  Kind kind_ = Kind::inherited;
  int descriptor_ = -1;
  Descriptor own_;  // of take()
};

inline constexpr absl::Duration kDefaultGrace = absl::Seconds(5);
// So much of each of its two streams may come in a communicate().
inline constexpr std::size_t kDefaultMaxOutput = std::size_t{64} << 20;

using Environment = std::map<std::string, std::string>;

struct ProcessOptions {
  Redirect input = {};
  Redirect output = {};
  Redirect errors = {};
  std::optional<Environment> environment = std::nullopt;  // all that it has; nothing for this process' own
  Environment extra_environment = {};                     // and these
  std::string directory = {};                             // where it begins; empty for this process' own
  // What it starts gets its signals, too, and is killed when it ends: a fiber watches for that, until the thread is told to stop, or not at all
  // where who starts the process has been told to stop already; wait(), end() and stop() see it at any time. Ctrl-C is not for them.
  bool own_group = false;
  absl::Duration grace = kDefaultGrace;  // from SIGTERM to SIGKILL
  // So long communicate() goes on to read pipes that somebody else has open when the process has ended: what it has started, for example.
  absl::Duration pipe_grace = kDefaultGrace;
  std::size_t max_output = kDefaultMaxOutput;
};

// Bytes that have come from a process.
struct ProcessOutput {
  std::string out;
  std::string err;
};

struct Communicated {
  std::string out;
  std::string err;
  ProcessEnd end;
};

class [[nodiscard]] Process {
 public:
  Process();  // none
  // Starts it: the program and its arguments. Blocks the thread until the program has taken the new process over. Throws IoError, which
  // names the program, when that cannot be; mothreads::Misuse when the command is empty, when an argument, a variable or the directory
  // has a zero byte, or when SIGCHLD is ignored in this process.
  [[nodiscard]] explicit Process(std::vector<std::string> command, ProcessOptions options = {});
  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;  // stops what it was
  ~Process();

  // Waits for its end; any number of fibers may, also afterwards. Throws Timedout, and IoError when something else in this process has
  // waited for it.
  ProcessEnd wait(const mothreads::Until& until = {});
  // How it has ended, if it has.
  std::optional<ProcessEnd> end();

  // False when it has ended. Throws IoError.
  bool signal(int number);
  bool terminate();
  bool kill();
  // Closes its input, asks it to end, and kills it after the grace, or at the stop deadline in force; waits for its end. What it writes until then
  // is kept as far as nobody else reads it, at most max_output of each stream, and output(), errors() and communicate() give it afterwards.
  void stop();

  // The other ends of its pipes. Throw mothreads::Misuse for a stream that is none.
  Pipe& input();
  Pipe& output();
  Pipe& errors();
  // The same, for another process, or to live longer. Throw mothreads::Misuse while another fiber is in stop().
  Pipe take_output();
  Pipe take_errors();

  // Feeds the input and closes it, and reads all that comes, at the same time; then waits for the end. What is no pipe is left out. That the
  // process reads no more is no error. Where somebody else keeps the pipes open past the end, gives what has come after pipe_grace, and the log
  // says so. When the limit comes first throws Timedout, and nothing is lost: the next call, without input,
  // goes on, and gives all that has come since the first; take_collected() gives it at once. Throws TooLong when more comes than max_output;
  // mothreads::Misuse when another fiber is at it.
  Communicated communicate(std::string_view input = {}, const mothreads::Until& until = {});
  // Gives the bytes that a communicate() that ended by an exception had read. Never waits.
  ProcessOutput take_collected();

  bool owns() const { return state_ != nullptr; }
  pid_t pid() const;
  std::string name() const;  // process "sort" (pid 123)
  // Readable when it has ended, for wait_for_any().
  Descriptor& descriptor();

 private:
  using State = internal::io::ProcessState;
  static int open_stream(Redirect& redirect, int number, State& state, std::vector<Descriptor>& childs);
  void start(internal::io::Program& program, const ProcessOptions& options);
  State& state(const char* what) const;
  void stop_if_any() noexcept;
  Pipe take(int number);

  std::shared_ptr<State> state_;  // communicate() keeps it while another fiber destroys the Process
};

// For a child that somebody else has made, by fork() or the like: waits for its end and takes it, as waitpid(2). Throws Timedout; IoError
// when there is no such process, or its end is not this process' to take.
ProcessEnd wait_for_process(pid_t pid, const mothreads::Until& until = {});

}  // namespace cooperative
