#include "cooperative/io/server.h"

#include <cxxabi.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <list>
#include <vector>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "cooperative/errors.h"
#include "cooperative/fiber_group.h"
#include "cooperative/internal/scheduler_core.h"
#include "cooperative/io/internal/page_memory.h"
#include "cooperative/io/io_error.h"
#include "cooperative/pulse.h"
#include "cooperative/sleep.h"
#include "mothreads/log.h"
#include "mothreads/main_thread.h"
#include "mothreads/misuse.h"

namespace cooperative {

using internal::FiberBlock;
using internal::SchedulerCore;
using mothreads::Signal;
using mothreads::Until;
namespace log = mothreads::log;

namespace {

bool has_no_more_descriptors(const IoError& error) {
  const int code = error.code().value();
  return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM;
}

}  // namespace

// What a server does, in a fiber of its own; its connections are fibers below that.
class Server::Serving {
 public:
  Serving(Socket&& socket, const ServerOptions& options)
      : socket_(std::move(socket)), address_(socket_.local_address()), options_(options), listens_itself_(is_own(socket_)) {
    if (options_.max_connections == 0) throw mothreads::Misuse("a server with max_connections = 0 would serve nobody: allow at least one");
  }
  virtual ~Serving() = default;
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

  const Address& address() const { return address_; }
  const std::string& name() const { return options_.name; }

  ServerStatistics statistics() const {
    ServerStatistics statistics = statistics_;
    statistics.connections = under_way_.size();
    return statistics;
  }

  // In a child of fork(), where no fiber serves: its connections are the parent's, and so is its path.
  bool is_left_behind() const noexcept { return born_.is_left_behind(); }
  void leave() noexcept { socket_.close(); }

  void run(const Signal& please_stop) {
    FiberGroup group(FiberGroupOptions{.name = options_.name + "'s connections"});
    group_ = &group;
    absl::Cleanup end = [this] {
      close();
      group_ = nullptr;
    };
    const Signal no_more = please_stop | (options_.draining ? *options_.draining : mothreads::MainThread::draining());
    while (!no_more && await_room(no_more)) {
      try {
        if (!take_one(no_more)) break;
        has_complained_ = false;
      } catch (const Closed&) {
        break;
      } catch (const IoError& error) {
        if (!has_no_more_descriptors(error)) throw;
        wait_for_more(error.what(), no_more);
      } catch (const NoStack& error) {
        wait_for_more(error.what(), no_more);
      } catch (const FiberLimit& error) {
        wait_for_more(error.what(), no_more);
      }
    }
    if (no_more) take_what_waits();
    close();
    if (no_more) await_stop(please_stop);
    drain(group);
  }

 protected:
  // Of one fiber in the list of those that serve, from before it begins until all of it has gone.
  class Place {
   public:
    explicit Place(Serving& serving) : serving_(&serving) {
      place_ = serving.under_way_.insert(serving.under_way_.end(), nullptr);
      ++serving.statistics_.accepted;
    }
    Place(Place&& other) noexcept : serving_(std::exchange(other.serving_, nullptr)), place_(other.place_) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (serving_ == nullptr) return;
      serving_->under_way_.erase(place_);
      serving_->ended_.signal();
    }
    void begins() const {
      *place_ = SchedulerCore::current().running_fiber();
      ++serving_->begun_;
    }

   private:
    Serving* serving_;
    std::list<FiberBlock*>::iterator place_;
  };

  // Waits for the next, and gives it to a fiber. False when the limit comes first.
  virtual bool take_one(const Until& until) = 0;
  // What the system has accepted already when it is told to stop.
  virtual void take_what_waits() {}
  virtual void close() = 0;

  bool has_room() const { return under_way_.size() < options_.max_connections; }
  // That of a socket that another process made (passed_sockets.h) is that one's to remove.
  void remove_path() const {
    if (is_left_behind() || !listens_itself_) return;
    if (const std::string path = address_.path(); !path.empty() && path.front() != '\0') ::unlink(path.c_str());
  }

  // Runs `serve` in a fiber; `describe` says whose it is, for the log. Throws NoStack when there can be none.
  template <typename Serve, typename Describe>
  void spawn(Serve&& serve, Describe&& describe) {
    const auto lose = [this](const std::exception& error) {
      ++statistics_.failed;
      log::warning("{}: what had just been taken was closed: {}", options_.name, error.what());
    };
    const std::uint64_t begun = begun_;
    try {
      const std::string name = options_.name + "'s connection";
      Fiber<void> fiber = internal::spawn(
          {.name = name,
           .stack_size = options_.stack_size,
           .stack_option = internal::FiberBlock::StackOption::of_server,
           .parent = FiberParent(*group_).ref(),
           .starts_at_once = true},
          [this, place = Place(*this), serve = std::forward<Serve>(serve),
           describe = std::forward<Describe>(describe)](const Signal& please_stop) mutable {
            place.begins();
            try {
              serve(please_stop);
            } catch (const IoError& problem) {
              ++statistics_.failed;
              log::info("{}: {} ended: {}", options_.name, describe(), problem.what());
            } catch (const EndedEarly& problem) {
              ++statistics_.failed;
              log::info("{}: {} ended: {}", options_.name, describe(), problem.what());
            } catch (const FiberCancelled&) {
              ++statistics_.cancelled;
              log::warning("{}: {} was cancelled: it had not ended in time", options_.name, describe());
              throw;
            } catch (abi::__forced_unwind&) {
              ++statistics_.failed;
              throw;  // pthread_exit()
            } catch (...) {
              ++statistics_.failed;
              log::error("{}: {} failed: {}", options_.name, describe(), log::describe(std::current_exception()));
            }
          });
      if (fiber.is_alive()) return fiber.release();
      fiber.join();
    } catch (const WasCancelled& error) {
      if (begun_ != begun) return;  // it has said so itself
      ++statistics_.cancelled;
      log::warning("{}: what had just been taken was closed: {}", options_.name, error.what());
    } catch (const NoStack& error) {
      lose(error);
      throw;
    } catch (const FiberLimit& error) {
      lose(error);
      throw;
    }
  }

  Socket socket_;
  const Address address_;
  const ServerOptions options_;

 private:
  // False for a Unix socket on which another process has called listen().
  static bool is_own(const Socket& socket) {
    ucred listener = {};
    socklen_t size = sizeof listener;
    if (socket.family() != AF_UNIX || socket.type() == SOCK_DGRAM) return true;
    if (::getsockopt(socket.native(), SOL_SOCKET, SO_PEERCRED, &listener, &size) != 0) return true;
    return listener.pid == ::getpid();
  }

  bool await_room(const Signal& please_stop) {
    while (!has_room()) {
      if (!one_ends(please_stop)) return false;
    }
    return true;
  }

  // False when the limit comes first.
  bool one_ends(const Until& until) {
    try {
      ended_.wait(until);
      return true;
    } catch (const EndedEarly& early) {
      if (early.why() == mothreads::Why::closed) throw;
      return false;
    }
  }

  void wait_for_more(std::string_view why, const Signal& please_stop) {
    if (!std::exchange(has_complained_, true)) {
      log::warning("{} cannot take connections for now, and waits for some to end: {}", options_.name, why);
    }
    static_cast<void>(one_ends(please_stop | kAcceptPause));
  }

  // Nobody is told before: the stop has only been announced.
  void await_stop(const Signal& please_stop) {
    while (!please_stop && !under_way_.empty() && one_ends(please_stop)) {
    }
  }

  void drain(FiberGroup& group) {
    group.stop();
    const Until drain(options_.drain);
    const Until limit = drain.from_now();
    while (!under_way_.empty() && one_ends(limit)) {
    }
    std::vector<FiberBlock*> late;
    for (FiberBlock* one : under_way_) {
      if (one != nullptr) late.push_back(one);
    }
    for (FiberBlock* fiber : late) fiber->core->cancel(*fiber);
    group.join();
  }

  const bool listens_itself_;
  const mothreads::internal::Born born_;
  std::list<FiberBlock*> under_way_;  // null for one that has not begun
  Pulse ended_;
  FiberGroup* group_ = nullptr;
  ServerStatistics statistics_;
  std::uint64_t begun_ = 0;  // handlers
  bool has_complained_ = false;
};

namespace {

class ServingConnections final : public Server::Serving {
 public:
  ServingConnections(Socket&& listener, ConnectionHandler&& handler, const ServerOptions& options)
      : Serving(std::move(listener), options), handler_(std::move(handler)) {}

 private:
  bool take_one(const Until& until) override {
    mothreads::Result<Socket> connection = socket_.next_connection(until);
    if (connection.why() == mothreads::Why::closed) static_cast<void>(connection.value());
    if (!connection) return false;
    if (address_.is_ip()) connection->set_no_delay(true);
    if (options_.idle_timeout != absl::InfiniteDuration()) connection->set_timeout(options_.idle_timeout);
    // In a box: what the log calls it is asked of the socket while it is still there.
    auto client = std::make_unique<Socket>(*std::move(connection));
    Socket& socket = *client;
    spawn([this, client = std::move(client)](const Signal& stop) { handler_(*client, stop); }, [&socket] { return socket.name(); });
    return true;
  }

  // These clients have been told that they are connected, and may have sent a request: closed with the listener they would be lost
  // without a word. Not more than a backlog holds: who comes faster than that is not what was there.
  void take_what_waits() override {
    constexpr int kMost = SOMAXCONN + 1;
    int taken = 0;
    int turned_away = 0;
    try {
      while (socket_.is_open() && taken < kMost && has_room() && take_one(absl::ZeroDuration())) ++taken;
      while (socket_.is_open() && taken + turned_away < kMost && !has_room() && socket_.next_connection(absl::ZeroDuration())) ++turned_away;
    } catch (const std::exception& error) {
      log::warning("{}: connections that waited when it was told to stop may have been closed: {}", options_.name, error.what());
    }
    if (turned_away > 0) {
      log::warning("{}: {} connections that waited when it was told to stop were closed: there were {} under way already", options_.name,
                   turned_away, options_.max_connections);
    }
    if (taken + turned_away == kMost) {
      log::warning("{}: more connections than {} waited when it was told to stop, or went on coming: the others are closed", options_.name, kMost);
    }
  }

  void close() override {
    if (!socket_.is_open()) return;
    socket_.close();
    remove_path();
  }

  ConnectionHandler handler_;
};

class ServingDatagrams final : public Server::Serving {
 public:
  ServingDatagrams(Socket&& socket, DatagramHandler&& handler, const ServerOptions& options)
      : Serving(std::move(socket), options), handler_(std::move(handler)), room_(internal::make_memory<std::byte>(kLargestDatagram)) {}

 private:
  static constexpr std::size_t kLargestDatagram = 65'536;

  bool take_one(const Until& until) override {
    Datagram got{};
    try {
      got = socket_.recv_from({room_.get(), kLargestDatagram}, until);
    } catch (const EndedEarly& early) {
      if (early.why() == mothreads::Why::closed) throw;
      return false;
    }
    spawn(
        [this, request = DatagramRequest{.data = std::string(reinterpret_cast<const char*>(room_.get()), got.size),
                                         .from = got.from,
                                         .socket = socket_}](const Signal& stop) mutable { handler_(request, stop); },
        [from = got.from] { return "a datagram from " + from.to_string(); });
    return true;
  }

  // Answers go by the same socket: it is closed when all have ended.
  void close() override {
    if (!std::exchange(is_closed_, true)) remove_path();
  }

  DatagramHandler handler_;
  const internal::Memory<std::byte> room_;
  bool is_closed_ = false;
};

}  // namespace

namespace internal {

namespace {

Server started(std::shared_ptr<Server::Serving> serving) {
  Fiber<void> fiber = cooperative::spawn(serving->name(), [serving](const Signal& please_stop) { serving->run(please_stop); });
  return Server(std::move(serving), std::move(fiber));
}

}  // namespace

Server serve(Socket listener, ConnectionHandler handler, const ServerOptions& options) {
  return started(std::make_shared<ServingConnections>(std::move(listener), std::move(handler), options));
}

Server serve_datagrams(Socket socket, DatagramHandler handler, const ServerOptions& options) {
  return started(std::make_shared<ServingDatagrams>(std::move(socket), std::move(handler), options));
}

}  // namespace internal

Server::Server(std::shared_ptr<Serving> serving, Fiber<void> fiber) : serving_(std::move(serving)), fiber_(std::move(fiber)) {}

const Address& Server::address() const { return serving_->address(); }
ServerStatistics Server::statistics() const { return serving_->statistics(); }

Server& Server::operator=(Server&& other) noexcept {
  if (this == &other) return *this;
  leave_in_child();
  fiber_ = std::move(other.fiber_);
  serving_ = std::move(other.serving_);
  return *this;
}

Server::~Server() { leave_in_child(); }

void Server::leave_in_child() noexcept {
  if (serving_ != nullptr && serving_->is_left_behind()) serving_->leave();
}

Server& Server::stop() {
  leave_in_child();
  fiber_.stop();
  return *this;
}

void Server::join(const mothreads::Until& until) {
  try {
    fiber_.join(until);
  } catch (const WasCancelled&) {
    // The deadline of a stop has cut the drain, and the connections with it.
  }
}

}  // namespace cooperative
