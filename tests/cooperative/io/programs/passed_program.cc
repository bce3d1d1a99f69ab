// Serves on sockets that it was started with. `start FOLDER` makes them, and starts `serve FOLDER`; so do the others that are named below, with
// one thing wrong.

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cooperative/io/address.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/io_error.h"
#include "cooperative/io/listen.h"
#include "cooperative/io/passed_sockets.h"
#include "cooperative/io/server.h"
#include "cooperative/io/socket.h"
#include "mothreads/log.h"
#include "tests/support/forked.h"

namespace co = cooperative;
using mothreads::testing::say;

namespace {

constexpr int kFirst = 3;

// Becomes the program that gets these descriptors, from kFirst on.
[[noreturn]] void become(const char* program, const std::string& folder, const std::vector<int>& descriptors) {
  std::vector<int> high;
  for (const int descriptor : descriptors) high.push_back(::fcntl(descriptor, F_DUPFD_CLOEXEC, 100));
  for (std::size_t i = 0; i < high.size(); ++i) ::dup2(high[i], kFirst + static_cast<int>(i));
  ::execl(program, program, "serve", folder.c_str(), nullptr);
  std::abort();
}

int start(const char* program, std::string_view how, const std::string& folder) {
  co::Socket unix_listener = co::listen(co::Address::unix_path(folder + "/socket"));
  co::Socket tcp_listener = co::listen(co::Address::loopback(0));
  co::Socket datagrams = co::Socket::unix_datagram();
  datagrams.bind(co::Address::unix_path(folder + "/datagrams"));
  std::vector<int> descriptors = {unix_listener.native(), tcp_listener.native(), datagrams.native()};
  std::string count = "3";
  std::string pid = std::to_string(::getpid());
  std::string names = "web::datagrams";
  if (how == "wrong_number") count = "three";
  if (how == "too_many") count = "1000";
  if (how == "no_socket") descriptors[1] = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (how == "few_names") names = "web";
  const pid_t child = ::fork();  // another process than the one that listens, as under systemd
  if (child != 0) {
    int status = 0;
    return ::waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 3;
  }
  if (how != "for_another") pid = std::to_string(::getpid());
  ::setenv("LISTEN_PID", pid.c_str(), 1);
  ::setenv("LISTEN_FDS", count.c_str(), 1);
  ::setenv("LISTEN_FDNAMES", names.c_str(), 1);
  become(program, folder, descriptors);
}

void say_environment() {
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
    if (std::getenv(name) != nullptr) say(std::string(name) + " is still there");
  }
}

int serve(const std::string& folder) {
  std::vector<co::PassedSocket> passed;
  try {
    passed = co::take_passed_sockets();
  } catch (const co::IoError& error) {
    say(error.what());
    say_environment();
    return 1;
  }
  mothreads::log::flush();
  say_environment();
  for (const co::PassedSocket& one : passed) {
    const bool is_inherited = (::fcntl(one.socket.native(), F_GETFD) & FD_CLOEXEC) == 0;
    const co::Address address = one.socket.local_address();
    say(one.name + (address.is_ip() ? " at a port" : " at " + address.path().substr(folder.size())) + (is_inherited ? " is inherited" : ""));
  }
  say(std::to_string(passed.size()) + " taken, then " + std::to_string(co::take_passed_sockets().size()));
  if (passed.size() != 3) return 0;

  const auto reply = [](co::Socket& client) { client.write_all(*client.read_line() + ", too\n"); };
  for (co::PassedSocket& one : passed) {
    if (one.socket.type() != SOCK_STREAM) continue;
    const co::Address address = one.socket.local_address();
    auto server = co::serve(std::move(one.socket), reply);
    co::Socket client = co::connect(address);
    client.write_all("hello\n");
    say(*client.read_line());
    server.stop().join();
  }
  struct stat status {};
  say(::stat((folder + "/socket").c_str(), &status) == 0 ? "the path is still there" : "the path is gone");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string_view how = argv[1];
  return how == "serve" ? serve(argv[2]) : start(argv[0], how, argv[2]);
}
