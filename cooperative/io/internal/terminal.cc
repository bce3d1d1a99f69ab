#include "cooperative/io/internal/terminal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>

#include <cerrno>
#include <utility>

#include "cooperative/io/io_error.h"

namespace cooperative::inline v0::internal::io {

Terminal make_terminal(const std::string& user) {
  const auto check = [&](int result) {
    if (result < 0) throw IoError(errno, user, "have a pseudo-terminal");
    return result;
  };
  Descriptor ours(check(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)), Descriptor::NonBlocking{});
  check(unlockpt(ours.native()));
  Descriptor theirs(check(ioctl(ours.native(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)), Descriptor::NonBlocking{});
  termios mode{};
  check(tcgetattr(theirs.native(), &mode));
  mode.c_oflag &= ~static_cast<tcflag_t>(OPOST);
  mode.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  check(tcsetattr(theirs.native(), TCSANOW, &mode));
  return {std::move(ours), std::move(theirs)};
}

}  // namespace cooperative::internal::io
