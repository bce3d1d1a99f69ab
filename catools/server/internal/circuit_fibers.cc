#include "catools/server/internal/circuit_fibers.h"

#include <new>
#include <string>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/io/io_error.h"
#include "mothreads/log.h"

namespace catools::inline v0::internal {

using mothreads::Signal;
namespace log = mothreads::log;

namespace {

constexpr absl::Duration kLastWords = absl::Seconds(1);  // for a client that ends its circuit to read what waits for it
constexpr std::size_t kKeptBuffer = 16 * 1024;           // the most that a silent circuit keeps

}  // namespace

CircuitFibers::CircuitFibers(const Directory& directory, std::uint16_t port, Puts& puts, Counters& counters, const CircuitLimits& limits,
                             cooperative::Stream& client)
    : puts_(puts),
      counters_(counters),
      client_(client),
      circuit_(std::make_shared<Circuit>(directory, port, *this, counters, limits, client.name())) {}

void CircuitFibers::run(const Signal& please_stop) {
  // A stop does not end it: it sends what the reader has to say. However the reader ends, it is cancelled.
  cooperative::Fiber<void> writer = cooperative::spawn("writer of " + client_.name(), [this](const Signal&) { write(); });
  const absl::Cleanup cancel_writer = [&writer] {
    if (writer.owns()) writer.cancel();
  };
  try {
    read(please_stop);
    while (please_stop && circuit_->puts() > 0 && writer.is_alive()) room_.wait();
  } catch (const ProtocolError& error) {
    counters_.malformed.add();
    log::info("the circuit of {} ends: it sent {}", circuit_->client(), error.what());
    circuit_->refuse(error.what());
  } catch (const cooperative::IoError& error) {
    log::debug("the circuit of {} ends: {}", circuit_->client(), error.what());
  } catch (const cooperative::Closed&) {
    // The writer has closed the stream: it has failed.
  }
  circuit_->drop_monitors();
  is_ending_ = true;
  output_.signal();
  const auto say = [this] { log::info("{} did not read what waited for it when its circuit ended", circuit_->client()); };
  try {
    if (please_stop) {
      writer.join();  // until the end of the drain, which cancels this fiber
    } else {
      writer.join(kLastWords);
    }
  } catch (const cooperative::Timedout&) {
    say();
  } catch (const cooperative::FiberCancelled&) {
    say();
    throw;
  }
}

void CircuitFibers::read(const Signal& please_stop) {
  while (true) {
    client_.consume(circuit_->take(client_.buffered()));
    if (!circuit_->has_room()) {
      try {
        room_.wait(please_stop);
      } catch (const cooperative::Stopped&) {
        return;
      }
      continue;
    }
    if (!client_.fill(please_stop)) return;
  }
}

// A failure ends the circuit: the reader sees the close.
void CircuitFibers::write() {
  try {
    std::string bytes;
    while (true) {
      while (!circuit_->has_given_up() && circuit_->next_output(bytes)) client_.write_all(bytes);
      if (circuit_->has_given_up()) throw std::bad_alloc();
      if (is_ending_) return;
      if (bytes.capacity() > kKeptBuffer) std::string().swap(bytes);
      output_.wait();
    }
  } catch (const cooperative::IoError& error) {
    log::debug("the circuit of {} ends: {}", circuit_->client(), error.what());
    client_.close();
    room_.signal();
  } catch (const cooperative::Closed&) {
  } catch (const cooperative::FiberCancelled&) {
    throw;
  } catch (const std::bad_alloc&) {
    // The reader must not wait for it.
    client_.close();
    room_.signal();
    log::warning("the circuit of {} ends: there is no memory for what its client has to be told", circuit_->client());
  } catch (...) {
    client_.close();
    room_.signal();
    throw;
  }
}

}  // namespace catools::inline v0::internal
