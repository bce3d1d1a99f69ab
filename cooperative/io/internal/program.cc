#include "cooperative/io/internal/program.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include <fmt/core.h>

#include "cooperative/io/internal/c_string.h"
#include "cooperative/io/io_error.h"
#include "mothreads/internal/base/printable.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::internal::io {

using mothreads::Misuse;
using mothreads::internal::printable;

namespace {

// Of the calls that prepare.
void check(int error) {
  if (error != 0) throw IoError(error, "a process", "say what it is to begin with");
}

class Attributes {
 public:
  explicit Attributes(bool own_group) {
    check(posix_spawnattr_init(&attributes_));
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes_, &signals);
    std::memset(&signals, 0xff, sizeof signals);  // sigfillset() leaves out two of glibc's own, and those it would make the process ignore
    // A signal that nohup, or a shell in the background, has had this program ignore is not for its children either.
    for (const int number : {SIGHUP, SIGINT, SIGQUIT}) {
      struct sigaction now {};
      if (sigaction(number, nullptr, &now) == 0 && now.sa_handler == SIG_IGN) sigdelset(&signals, number);
    }
    posix_spawnattr_setsigdefault(&attributes_, &signals);
    posix_spawnattr_setpgroup(&attributes_, 0);
    const int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | (own_group ? POSIX_SPAWN_SETPGROUP : 0);
    posix_spawnattr_setflags(&attributes_, static_cast<short>(flags));
  }
  ~Attributes() { posix_spawnattr_destroy(&attributes_); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  const posix_spawnattr_t* native() const { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

void check_text(const std::string& program, const char* what, const std::string& text) {
  if (!has_zero(text)) return;
  throw Misuse(fmt::format("program \"{}\" was given \"{}\" as {}, with a zero byte in it, which would end it there: leave it out",
                           printable(program), printable(text), what));
}

std::vector<std::string> environment_of(const std::string& program, const ProcessOptions& options) {
  Environment all;
  if (options.environment) {
    all = *options.environment;
  } else {
    for (char** entry = environ; *entry != nullptr; ++entry) {
      const std::string_view text(*entry);
      const std::size_t end = text.find('=');
      if (end != std::string_view::npos && end > 0) all.emplace(text.substr(0, end), text.substr(end + 1));
    }
  }
  for (const auto& [name, value] : options.extra_environment) all[name] = value;
  std::vector<std::string> entries;
  for (const auto& [name, value] : all) {
    if (name.empty() || name.find('=') != std::string::npos) {
      throw Misuse(fmt::format("\"{}\" cannot be the name of a variable of a process' environment: it is empty or has a '=' in it", printable(name)));
    }
    entries.push_back(fmt::format("{}={}", name, value));
    check_text(program, "a variable", entries.back());
  }
  return entries;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

void check_reaping() {
  struct sigaction now {};
  sigaction(SIGCHLD, nullptr, &now);
  if (now.sa_handler == SIG_IGN || (now.sa_flags & SA_NOCLDWAIT) != 0) {
    throw Misuse("SIGCHLD is ignored in this process, so that nobody can learn how a child has ended: set it to SIG_DFL before starting one");
  }
}

std::vector<std::string> checked(std::vector<std::string>&& command) {
  if (command.empty()) throw Misuse("a process needs a command: the program and its arguments");
  for (const std::string& argument : command) check_text(command.front(), "an argument", argument);
  return std::move(command);
}

}  // namespace

Program::Program(std::vector<std::string> command, const ProcessOptions& options)
    : command_(checked(std::move(command))), directory_(options.directory), own_group_(options.own_group) {
  check_text(name(), "the directory to begin in", directory_);
  check_reaping();
  environment_ = environment_of(name(), options);
  check(posix_spawn_file_actions_init(&actions_));
}

Program::~Program() { posix_spawn_file_actions_destroy(&actions_); }

void Program::give_stream(int descriptor, int number) { check(posix_spawn_file_actions_adddup2(&actions_, descriptor, number)); }

pid_t Program::start() {
  if (!directory_.empty()) check(posix_spawn_file_actions_addchdir_np(&actions_, directory_.c_str()));
  check(posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1));
  const Attributes attributes(own_group_);
  const std::vector<char*> arguments = pointers_to(command_);
  const std::vector<char*> variables = pointers_to(environment_);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, arguments.front(), &actions_, attributes.native(), arguments.data(), variables.data());
  if (error == 0) return pid;
  const std::string program = fmt::format("program \"{}\"", name());
  if (!directory_.empty() && access(directory_.c_str(), X_OK) != 0) throw IoError(errno, program, fmt::format("start it in \"{}\"", directory_));
  throw IoError(error, program, "start it");
}

}  // namespace cooperative::internal::io
