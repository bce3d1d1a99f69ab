#pragma once

// Pseudo-terminals for programs that keep their lines back where nobody looks at a terminal.

#include <string>

#include "cooperative/io/descriptor.h"

namespace cooperative::inline v0::internal::io {

struct Terminal {
  Descriptor ours;    // reads what the program writes
  Descriptor theirs;  // a standard stream of the program
};

// Makes a new one, whose bytes pass as they are written and do not come back from what is written to it. `user` is for errors: the object that needs it.
// Throws IoError.
Terminal make_terminal(const std::string& user);

}  // namespace cooperative::internal::io
