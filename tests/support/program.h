#pragma once

// A program of tests/mothreads/programs, or of a path from the top, started by a test. They meet over the program's output, so that nobody sleeps.
//
//     Program program("run_program", {"waits"});
//     program.await_output("waits\n");
//     program.send_signal(SIGTERM);
//     EXPECT_EQ(program.wait(), 0);

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace mothreads::inline v0::testing {

class Program {
 public:
  // What the program reads as its standard input.
  enum class Input { pipe, null_device, closed };

  // Throws std::system_error when it cannot be started.
  Program(std::string_view name, std::vector<std::string> arguments, Input input = Input::pipe);
  // Kills it when it still runs.
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Blocks until the program has written `text`, to stdout or stderr. When it ends before or says nothing for long throws
  // std::runtime_error with all that it has written.
  void await_output(std::string_view text);

  void send_signal(int number);
  void write_input(std::string_view text);
  void close_input();

  // Blocks until it has ended, and gives its exit code, or minus the number of the signal that killed it.
  int wait();

  // What it has written so far, both streams as they came.
  const std::string& output() const { return output_; }

 private:
  // False at the end of the output.
  bool read_more();

  pid_t pid_ = -1;
  int input_ = -1;
  int output_end_ = -1;
  std::string output_;
};

// What the program writes until it has ended. Throws std::runtime_error with that when its exit code is not 0.
std::string output_of(std::string_view name, std::vector<std::string> arguments);

}  // namespace mothreads::testing
