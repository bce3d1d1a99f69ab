#pragma once

// The connections of a server: which of them have a fiber now, which rest, and which are to get one.
//
//     serving_    a fiber is in its session's serve()
//     resting_    its descriptor is watched, and its timer runs
//     due_        its rest has ended; the keeper gives it a fiber
//
// The keeper is a fiber that is made with the first rest.

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "cooperative/fiber.h"
#include "cooperative/internal/scheduler/poller.h"
#include "cooperative/io/internal/serving.h"
#include "cooperative/io/session.h"
#include "cooperative/pulse.h"
#include "mothreads/ended.h"
#include "mothreads/internal/wait/timer_wheel.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"

namespace cooperative::inline v0::internal::io {

class ServingConnections final : public Server::Serving {
 public:
  ServingConnections(Socket&& listener, SessionMaker&& make, const mothreads::Signal& ends_rests, const ServerOptions& options);
  ~ServingConnections() override;

 private:
  class Connection;
  class Turn;
  using Connections = std::list<Connection>;

  void begin(const mothreads::Signal& please_stop) override;
  bool take_one(const mothreads::Until& until) override;
  void take_what_waits() override;
  void close() override;
  void end() noexcept override;

  void rest(Connections::iterator connection, const Session::Rest& rest);
  void rest_ends(Connections::iterator connection, mothreads::Why why) noexcept;
  void end_all_rests() noexcept;
  void keep(const mothreads::Signal& please_stop);
  void serve_due(const mothreads::Signal& please_stop);

  SessionMaker make_;
  mothreads::Signal please_stop_;
  mothreads::Signal ends_rests_;
  ParentRef server_;
  Connections serving_;
  Connections resting_;
  Connections due_;
  Pulse became_due_;
  std::optional<Fiber<void>> keeper_;
  bool has_ended_ = false;
};

}  // namespace cooperative::internal::io
