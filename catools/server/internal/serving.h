#pragma once

// The inside of a ca::Server: its sockets, and the functions of its fibers.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "catools/server/internal/circuit.h"
#include "catools/server/internal/counters.h"
#include "catools/server/internal/directory.h"
#include "catools/server/internal/puts.h"
#include "catools/server/internal/updates.h"
#include "cooperative/io/address.h"
#include "cooperative/io/socket.h"
#include "mothreads/signal.h"

namespace catools::inline v0::internal {

struct ServingOptions {
  std::string name;
  std::string host;
  std::uint16_t port = 0;
  std::size_t max_circuits = 0;
  CircuitLimits circuit;
  absl::Duration drain;
  std::optional<mothreads::Signal> draining;
  std::size_t put_stack_size = 0;
};

class Serving {
 public:
  // Binds a TCP and a UDP socket with one number. Throws IoError, which names the address.
  explicit Serving(ServingOptions options);

  // Serves until it is told to stop. On the scheduler of the thread that calls.
  void run(const mothreads::Signal& please_stop);

  const std::string& name() const { return options_.name; }
  const cooperative::Address& address() const { return address_; }
  Directory& directory() { return directory_; }
  const std::shared_ptr<Updates>& updates() const { return updates_; }
  const Counters& counters() const { return counters_; }

 private:
  void answer_searches(const mothreads::Signal& no_more);

  const ServingOptions options_;
  cooperative::Socket listener_;
  cooperative::Socket searches_;
  cooperative::Address address_;
  Directory directory_;
  Counters counters_;
  const std::shared_ptr<Updates> updates_ = std::make_shared<Updates>();
};

}  // namespace catools::inline v0::internal
