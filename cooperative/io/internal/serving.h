#pragma once

// A server's work: the loop that takes what comes, in a fiber of its own. What it takes is served by fibers below that: connections.h, and server.cc for
// datagrams.

#include <cxxabi.h>

#include <cstdint>
#include <exception>
#include <list>
#include <string>
#include <string_view>
#include <utility>

#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/io/io_error.h"
#include "cooperative/io/server.h"
#include "cooperative/io/socket.h"
#include "cooperative/pulse.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/log.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

class Server::Serving {
 public:
  Serving(Socket&& socket, const ServerOptions& options);
  virtual ~Serving() = default;
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

  const Address& address() const { return address_; }
  const std::string& name() const { return options_.name; }
  ServerStatistics statistics() const;

  // In a child of fork(), where no fiber serves: its connections are the parent's, and so is its path.
  bool is_left_behind() const noexcept { return born_.is_left_behind(); }
  void leave() noexcept { socket_.close(); }

  void run(const mothreads::Signal& please_stop);

  static Server start(std::shared_ptr<Serving> serving);

 protected:
  // Of one that is served, from before its fiber begins until all of it has gone.
  class Admission {
   public:
    explicit Admission(Serving& serving);
    Admission(Admission&& other) noexcept : serving_(std::exchange(other.serving_, nullptr)), place_(other.place_) {}
    Admission& operator=(Admission&&) = delete;
    ~Admission();
    // The fiber that runs serves it.
    void begins() const {
      *place_ = internal::SchedulerCore::current().running_fiber();
      ++serving_->begun_;
    }
    // No fiber does.
    void rests() const { *place_ = nullptr; }

   private:
    Serving* serving_;
    std::list<internal::FiberBlock*>::iterator place_;
  };

  // The first that is done in the server's fiber.
  virtual void begin(const mothreads::Signal& /*please_stop*/) {}
  // Waits for the next, and gives it to a fiber. False when the limit comes first.
  virtual bool take_one(const mothreads::Until& until) = 0;
  // What the system has accepted already when it is told to stop.
  virtual void take_what_waits() {}
  virtual void close() = 0;
  // Nothing is given to a fiber any more, and what has none is closed. Before the late ones are cancelled; once more at the end of the server's fiber,
  // also when that is cancelled.
  virtual void end() noexcept {}

  bool has_room() const { return under_way_.size() < options_.max_connections; }
  // That of a socket that another process made (passed_sockets.h) is that one's to remove.
  void remove_path() const;

  // Calls `serve` in a fiber: begins(), then with a please_stop; describe() says whose it is, for the log. Throws NoStack, FiberLimit.
  template <typename Serve>
  void spawn(Serve&& serve) {
    const std::uint64_t begun = begun_;
    try {
      const std::string name = options_.name + "'s connection";
      Fiber<void> fiber = internal::spawn({.name = name,
                                           .stack_size = options_.stack_size,
                                           .stack_option = internal::FiberBlock::StackOption::of_server,
                                           .parent = FiberParent(*group_).ref(mothreads::internal::kAccess),
                                           .starts_at_once = true},
                                          [this, serve = std::forward<Serve>(serve)](const mothreads::Signal& please_stop) mutable {
                                            serve.begins();
                                            try {
                                              serve(please_stop);
                                            } catch (const FiberCancelled&) {
                                              say_cancelled(serve.describe());
                                              throw;
                                            } catch (abi::__forced_unwind&) {
                                              ++statistics_.failed;
                                              throw;  // pthread_exit()
                                            } catch (...) {
                                              has_failed(serve.describe());
                                            }
                                          });
      if (fiber.is_alive()) {
        fiber.release();
      } else {
        fiber.join();
      }
    } catch (const WasCancelled& error) {
      if (begun_ != begun) return;  // it has said so itself
      ++statistics_.cancelled;
      say_lost(error);
    }
  }
  // The same for what has just been taken: it is lost where no fiber can be had, which the log says.
  template <typename Serve>
  void spawn_taken(Serve&& serve) {
    try {
      spawn(std::forward<Serve>(serve));
    } catch (const NoStack& error) {
      lose(error);
      throw;
    } catch (const FiberLimit& error) {
      lose(error);
      throw;
    }
  }
  // Of one that could not be given to a fiber.
  void say_lost(const std::exception& error) const;
  // The same for want of a stack, or of a place among the fibers.
  void lose(const std::exception& error) {
    ++statistics_.failed;
    say_lost(error);
  }
  // For want of those: says so, and waits until one has ended, or for a while.
  void wait_for_more(std::string_view why, const mothreads::Until& until);
  FiberGroup& group() const { return *group_; }

  Socket socket_;
  const Address address_;
  const ServerOptions options_;

 private:
  void say_cancelled(std::string_view whose);
  // In the handler of the exception.
  void has_failed(std::string_view whose);
  bool await_room(const mothreads::Signal& no_more);
  bool one_ends(const mothreads::Until& until);
  void await_stop(const mothreads::Signal& please_stop);
  void drain(FiberGroup& group);

  const bool listens_itself_;
  const mothreads::internal::Born born_;
  std::list<internal::FiberBlock*> under_way_;  // null for one that has no fiber now
  Pulse ended_;
  FiberGroup* group_ = nullptr;
  ServerStatistics statistics_;
  std::uint64_t begun_ = 0;  // turns
  bool has_complained_ = false;
};

}  // namespace cooperative
