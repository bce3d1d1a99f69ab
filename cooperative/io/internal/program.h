#pragma once

// A program that is about to begin as a process of its own: its command, environment, streams and directory, as posix_spawn() wants them. For
// process.cc alone.

#include <spawn.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "cooperative/io/process.h"

namespace cooperative::inline v0::internal::io {

// Whatever is not given is not the program's: no descriptor but the three streams, no blocked signal, none that is ignored but those that users
// have had ignored. Not thread-safe.
class Program {
 public:
  // Throws mothreads::Misuse for a command, an environment or a directory that no program can be given, and where nobody could learn how it ends.
  Program(std::vector<std::string> command, const ProcessOptions& options);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  const std::string& name() const { return command_.front(); }

  // The program finds `descriptor` as `number`. In the order of these calls: a later one may name what an earlier one has given.
  void give_stream(int descriptor, int number);

  // Once. Throws IoError.
  pid_t start();

 private:
  std::vector<std::string> command_;
  std::vector<std::string> environment_;
  const std::string directory_;
  const bool own_group_;
  posix_spawn_file_actions_t actions_;
};

}  // namespace cooperative::internal::io
