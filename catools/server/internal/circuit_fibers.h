#pragma once

// The fibers of a circuit: the one that calls run() reads and handles what the client sends, another writes. So a client that reads slowly
// keeps nobody else waiting, and is asked for no more while its replies wait.

#include <cstdint>
#include <memory>

#include "catools/server/internal/circuit.h"
#include "catools/server/internal/puts.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/io/stream.h"
#include "mothreads/signal.h"

namespace catools::inline v0::internal {

class CircuitFibers final : public CircuitHost {
 public:
  CircuitFibers(const Directory& directory, std::uint16_t port, Puts& puts, Counters& counters, const CircuitLimits& limits,
                cooperative::Stream& client);

  // Returns when the client has ended its circuit, or has sent what no client sends. At a stop: when its puts have ended, and it has been told.
  void run(const mothreads::Signal& please_stop);

 private:
  void read(const mothreads::Signal& please_stop);
  void write();
  void has_output() override { output_.signal(); }
  void has_room() override { room_.signal(); }
  void start_put(const std::shared_ptr<ServedPv>& pv, Put put) override { puts_.start(pv, std::move(put)); }

  Puts& puts_;
  Counters& counters_;
  cooperative::Stream& client_;
  cooperative::Event<> output_{"output of a circuit"};
  cooperative::Event<> room_{"room of a circuit"};
  const std::shared_ptr<Circuit> circuit_;
  bool is_ending_ = false;
};

}  // namespace catools::inline v0::internal
