#include "tests/support/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "tests/support/sanitized.h"

extern char** environ;

namespace mothreads::inline v0::testing {
namespace {

// A program that is silent for so long has hung. Shorter than the watchdog's patience, so that the test can show what it
// wrote.
constexpr int kDeadlockMilliseconds = kSanitized ? 80'000 : 15'000;

std::string path_of(std::string_view name) {
  const char* const sources = std::getenv("TEST_SRCDIR");
  const char* const workspace = std::getenv("TEST_WORKSPACE");
  if (sources == nullptr || workspace == nullptr) throw std::runtime_error("run this test by Bazel: it needs TEST_SRCDIR");
  const std::string folder = name.find('/') == std::string_view::npos ? "tests/mothreads/programs/" : "";
  return std::string(sources) + "/" + workspace + "/" + folder + std::string(name);
}

struct Pipe {
  std::array<int, 2> ends{-1, -1};

  Pipe() {
    if (pipe2(ends.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe2");
  }
  ~Pipe() {
    for (const int end : ends) {
      if (end >= 0) close(end);
    }
  }
  int take(std::size_t which) { return std::exchange(ends[which], -1); }
};

}  // namespace

Program::Program(std::string_view name, std::vector<std::string> arguments, Input input) {
  const std::string path = path_of(name);
  Pipe to_program;
  Pipe from_program;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  switch (input) {
    case Input::pipe:
      posix_spawn_file_actions_adddup2(&actions, to_program.ends[0], STDIN_FILENO);
      break;
    case Input::null_device:
      posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
      break;
    case Input::closed:
      posix_spawn_file_actions_addclose(&actions, STDIN_FILENO);
      break;
  }
  posix_spawn_file_actions_adddup2(&actions, from_program.ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, from_program.ends[1], STDERR_FILENO);
  std::vector<char*> argv{const_cast<char*>(path.c_str())};
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const int error = posix_spawn(&pid_, path.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw std::system_error(error, std::generic_category(), "cannot start " + path);
  if (input == Input::pipe) input_ = to_program.take(1);
  output_end_ = from_program.take(0);
}

Program::~Program() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close_input();
  close(output_end_);
}

bool Program::read_more() {
  pollfd wanted{output_end_, POLLIN, 0};
  const int ready = poll(&wanted, 1, kDeadlockMilliseconds);
  if (ready < 0 && errno == EINTR) return true;
  if (ready <= 0) throw std::runtime_error("the program hangs; it wrote:\n" + output_);
  std::array<char, 4096> bytes;
  const ssize_t count = read(output_end_, bytes.data(), bytes.size());
  if (count < 0 && errno == EINTR) return true;
  if (count <= 0) return false;
  output_.append(bytes.data(), static_cast<std::size_t>(count));
  return true;
}

void Program::await_output(std::string_view text) {
  while (output_.find(text) == std::string::npos) {
    if (read_more()) continue;
    throw std::runtime_error("the program ended without writing \"" + std::string(text) + "\"; it wrote:\n" + output_);
  }
}

void Program::send_signal(int number) {
  if (kill(pid_, number) != 0) throw std::system_error(errno, std::generic_category(), "kill");
}

void Program::write_input(std::string_view text) {
  if (write(input_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    throw std::system_error(errno, std::generic_category(), "write");
  }
}

void Program::close_input() {
  if (input_ >= 0) close(std::exchange(input_, -1));
}

int Program::wait() {
  while (read_more()) {
  }
  int status = 0;
  if (waitpid(std::exchange(pid_, -1), &status, 0) < 0) throw std::system_error(errno, std::generic_category(), "waitpid");
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

std::string output_of(std::string_view name, std::vector<std::string> arguments) {
  Program program(name, std::move(arguments));
  if (const int code = program.wait(); code != 0) {
    throw std::runtime_error(std::string(name) + " ended with " + std::to_string(code) + ": " + program.output());
  }
  return program.output();
}

}  // namespace mothreads::testing
