#include "cooperative/io/internal/serving.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <vector>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "mothreads/main_thread.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0 {

using internal::FiberBlock;
using mothreads::Signal;
using mothreads::Until;
namespace log = mothreads::log;

namespace {

bool has_no_more_descriptors(const IoError& error) {
  const int code = error.code().value();
  return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM;
}

// False for a Unix socket on which another process has called listen().
bool is_own(const Socket& socket) {
  ucred listener = {};
  socklen_t size = sizeof listener;
  if (socket.family() != AF_UNIX || socket.type() == SOCK_DGRAM) return true;
  if (::getsockopt(socket.native(), SOL_SOCKET, SO_PEERCRED, &listener, &size) != 0) return true;
  return listener.pid == ::getpid();
}

}  // namespace

Server::Serving::Serving(Socket&& socket, const ServerOptions& options)
    : socket_(std::move(socket)), address_(socket_.local_address()), options_(options), listens_itself_(is_own(socket_)) {
  if (options_.max_connections == 0) throw mothreads::Misuse("a server with max_connections = 0 would serve nobody: allow at least one");
}

Server Server::Serving::start(std::shared_ptr<Serving> serving) {
  Fiber<void> fiber = cooperative::spawn(serving->name(), [serving](const Signal& please_stop) { serving->run(please_stop); });
  return Server(std::move(serving), std::move(fiber), mothreads::internal::kAccess);
}

ServerStatistics Server::Serving::statistics() const {
  ServerStatistics statistics = statistics_;
  statistics.connections = under_way_.size();
  return statistics;
}

void Server::Serving::run(const Signal& please_stop) {
  FiberGroup group(FiberGroupOptions{.name = options_.name + "'s connections"});
  group_ = &group;
  absl::Cleanup at_end = [this] {
    close();
    end();
    group_ = nullptr;
  };
  const Signal no_more = please_stop | (options_.draining ? *options_.draining : mothreads::MainThread::draining());
  begin(please_stop);
  while (!no_more && await_room(no_more)) {
    try {
      if (!take_one(no_more)) break;
      has_complained_ = false;
    } catch (const Closed&) {
      break;
    } catch (const IoError& error) {
      if (!has_no_more_descriptors(error)) throw;
      wait_for_more(error.what(), no_more | kAcceptPause);
    } catch (const NoStack& error) {
      wait_for_more(error.what(), no_more | kAcceptPause);
    } catch (const FiberLimit& error) {
      wait_for_more(error.what(), no_more | kAcceptPause);
    }
  }
  if (no_more) take_what_waits();
  close();
  if (no_more) await_stop(please_stop);
  drain(group);
}

Server::Serving::Admission::Admission(Serving& serving) : serving_(&serving) {
  place_ = serving.under_way_.insert(serving.under_way_.end(), nullptr);
  ++serving.statistics_.accepted;
}

Server::Serving::Admission::~Admission() {
  if (serving_ == nullptr) return;
  serving_->under_way_.erase(place_);
  serving_->ended_.signal();
}

void Server::Serving::remove_path() const {
  if (is_left_behind() || !listens_itself_) return;
  if (const std::string path = address_.path(); !path.empty() && path.front() != '\0') ::unlink(path.c_str());
}

void Server::Serving::say_cancelled(std::string_view whose) {
  ++statistics_.cancelled;
  log::warning("{}: {} was cancelled: it had not ended in time", options_.name, whose);
}

void Server::Serving::has_failed(std::string_view whose) {
  ++statistics_.failed;
  try {
    throw;
  } catch (const IoError& problem) {
    log::info("{}: {} ended: {}", options_.name, whose, problem.what());
  } catch (const EndedEarly& problem) {
    log::info("{}: {} ended: {}", options_.name, whose, problem.what());
  } catch (...) {
    log::error("{}: {} failed: {}", options_.name, whose, log::describe(std::current_exception()));
  }
}

void Server::Serving::say_lost(const std::exception& error) const {
  log::warning("{}: what had just been taken was closed: {}", options_.name, error.what());
}

bool Server::Serving::await_room(const Signal& no_more) {
  while (!has_room()) {
    if (!one_ends(no_more)) return false;
  }
  return true;
}

// False when the limit comes first.
bool Server::Serving::one_ends(const Until& until) {
  try {
    ended_.wait(until);
    return true;
  } catch (const EndedEarly& early) {
    if (early.why() == mothreads::Why::closed) throw;
    return false;
  }
}

void Server::Serving::wait_for_more(std::string_view why, const Until& until) {
  if (!std::exchange(has_complained_, true)) {
    log::warning("{} cannot take connections for now, and waits for some to end: {}", options_.name, why);
  }
  static_cast<void>(one_ends(until));
}

// Nobody is told before: the stop has only been announced.
void Server::Serving::await_stop(const Signal& please_stop) {
  while (!please_stop && !under_way_.empty() && one_ends(please_stop)) {
  }
}

void Server::Serving::drain(FiberGroup& group) {
  group.stop();
  const Until drain(options_.drain);
  const mothreads::Limit limit(drain);
  while (!under_way_.empty() && one_ends(limit)) {
  }
  end();
  std::vector<FiberBlock*> late;
  for (FiberBlock* one : under_way_) {
    if (one != nullptr) late.push_back(one);
  }
  for (FiberBlock* fiber : late) fiber->core->cancel(*fiber);
  group.join();
}

}  // namespace cooperative
