#pragma once

// A test in the place of the service manager: its socket, and the variables that it would set.

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>
#include <system_error>
#include <vector>

namespace mothreads::inline v0::testing {

// Of the environment, in a scope. It is gone afterwards.
class SetVariable {
 public:
  SetVariable(const char* name, const std::string& value) : name_(name) { ::setenv(name, value.c_str(), 1); }
  ~SetVariable() { ::unsetenv(name_); }
  SetVariable(const SetVariable&) = delete;
  SetVariable& operator=(const SetVariable&) = delete;

 private:
  const char* name_;
};

class ManagerSocket {
 public:
  enum class Kind { path, abstract };

  explicit ManagerSocket(Kind kind) {
    static std::atomic<int> made{0};
    const std::string own = "mothreads_manager_" + std::to_string(::getpid()) + "_" + std::to_string(made++);
    variable_ = kind == Kind::path ? "/tmp/" + own : "@" + own;  // a path must be short
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, variable_.data(), variable_.size());
    if (kind == Kind::abstract) address.sun_path[0] = '\0';
    const std::size_t size = offsetof(sockaddr_un, sun_path) + variable_.size() + (kind == Kind::path ? 1 : 0);
    socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (socket_ < 0 || ::bind(socket_, reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(size)) != 0) {
      throw std::system_error(errno, std::generic_category(), variable_);
    }
  }
  ~ManagerSocket() {
    ::close(socket_);
    if (variable_.front() == '/') ::unlink(variable_.c_str());
  }
  ManagerSocket(const ManagerSocket&) = delete;
  ManagerSocket& operator=(const ManagerSocket&) = delete;

  // What NOTIFY_SOCKET says.
  const std::string& variable() const { return variable_; }

  // The messages that have come since the last call.
  std::vector<std::string> take() const {
    std::vector<std::string> messages;
    std::string room(8192, '\0');
    while (true) {
      const ssize_t size = ::recv(socket_, room.data(), room.size(), MSG_DONTWAIT);
      if (size < 0) return messages;
      messages.push_back(room.substr(0, static_cast<std::size_t>(size)));
    }
  }

 private:
  std::string variable_;
  int socket_ = -1;
};

}  // namespace mothreads::testing
