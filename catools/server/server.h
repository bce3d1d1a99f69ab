#pragma once

// A Channel Access server in the process: EPICS clients read, write and monitor process variables of the program. No EPICS is needed for it.
//
//     ca::Server server("simulation");
//     ca::Served<double> beam = server.add<double>("SIM:CURRENT", 300.0, {.units = "mA", .limits = {.high_alarm = 400}});
//     server.add<double>("SIM:SETPOINT", 0.0, {.on_put = [&](double v) {   // in a fiber of its own; an exception refuses the put
//       if (v < 0) throw ca::PutRefused("must not be negative");
//       beam.set(v);
//     }});
//     beam.set(299.8, {.severity = ca::Severity::minor});                  // any thread; monitors get it in order
//
// A client finds it by EPICS_CA_ADDR_LIST=HOST:PORT with what address() says. It serves on the loopback interface at a free port unless
// the options say otherwise. It announces itself by no beacons.
//
// It has a thread of its own, with a scheduler; put handlers run there. With ServerOptions::own_thread = false the fibers of the thread that makes
// it serve, for handlers that share something with other fibers of that thread; then it serves while that thread waits in the library.
//
// The server belongs to its maker, or to ServerOptions::parent: its destructor stops it and waits. After stop() it takes no more circuits and
// answers no more searches. A put whose handler takes a please_stop may end; any other is cancelled and refused. Then each client is sent the
// replies that wait for it, and its circuit is closed. Circuits that have not ended after ServerOptions::drain are cancelled. When the stop of the
// program is announced (MainThread::draining()), the server takes no more circuits and answers no more searches; its circuits go on.
//
// A client that reads slowly has a bounded queue for each monitor, and keeps nobody else waiting. A malformed message ends its circuit, and the log
// says so.
//
// Thread safety: add(), remove(), names(), address() and statistics() may be called from any thread or fiber; the others are the owner's.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "catools/server/served.h"
#include "cooperative/io/address.h"
#include "mothreads/member.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"

namespace catools::inline v0 {

struct ServerOptions {
  std::string name = "channel access";
  std::string host = "127.0.0.1";  // a numeric address of this machine; "0.0.0.0" for all
  std::uint16_t port = 0;          // for TCP and UDP; 0 for a free one
  bool own_thread = true;
  mothreads::Member parent = {};  // default the thread, or without own_thread the fiber, that makes it
  std::size_t max_circuits = 1000;
  std::size_t max_channels = 100'000;  // each circuit has at most
  std::size_t max_monitors = 100'000;  // each circuit has at most
  std::size_t monitor_queue = 100;     // values that wait for a monitor's client at most
  std::size_t monitor_queue_bytes = std::size_t{1} << 20;  // and bytes, unless one value alone has more
  absl::Duration drain = absl::Seconds(10);                // from a stop to the cancelling of what is left
  std::optional<mothreads::Signal> draining = std::nullopt;  // default MainThread::draining()
  std::size_t put_stack_size = 0;                            // for the fibers of put handlers, see FiberOptions
};

struct ServerStatistics {
  std::uint64_t circuits = 0;   // now
  std::uint64_t channels = 0;   // now
  std::uint64_t monitors = 0;   // now
  std::uint64_t updates = 0;    // sent to monitors
  std::uint64_t dropped = 0;    // updates that a full queue lost
  std::uint64_t puts = 0;       // all that clients asked for
  std::uint64_t refused = 0;    // puts that failed
  std::uint64_t malformed = 0;  // circuits that ended for what their clients sent
};

class [[nodiscard]] Server {
 public:
  // Listens when it returns. Throws IoError, which names the address.
  explicit Server(std::string_view name) : Server(name, ServerOptions{}) {}
  explicit Server(ServerOptions options);
  Server(std::string_view name, ServerOptions options);  // whatever name these have
  Server(Server&&) noexcept;
  Server& operator=(Server&&) noexcept;
  ~Server();

  // Serves one more. Throws mothreads::Misuse for a name that is served already, for texts or units that are too long, and for an enum without
  // texts; std::invalid_argument for a value that it cannot hold.
  template <internal::Servable T>
  Served<T> add(std::string_view name, T initial, ServedOptions<T> options = {});

  // Serves it no more: clients that are connected to it are told. False when there is none of that name.
  bool remove(std::string_view name);
  std::vector<std::string> names() const;

  // Where it listens, with the port that the system chose.
  const cooperative::Address& address() const;
  std::uint16_t port() const { return address().port(); }

  // Does not wait. Chain: server.stop().join().
  Server& stop();
  // Waits until it has stopped, with all its circuits; it does not stop it. When the limit comes first throws Timedout.
  void join(const mothreads::Until& until = {});
  mothreads::Signal stopped() const;

  ServerStatistics statistics() const;
  // Every verb of a Server that was moved from throws mothreads::Misuse.

 private:
  class Running;
  Running& running() const;
  std::shared_ptr<internal::ServedPv> add_pv(internal::PvSetup setup, bool is_enum);

  std::unique_ptr<Running> running_;
};

template <internal::Servable T>
Served<T> Server::add(std::string_view name, T initial, ServedOptions<T> options) {
  using Form = internal::ServedType<T>;
  internal::PvSetup setup{.name = std::string(name),
                          .initial = Form::cells_of(std::move(initial)),
                          .is_array = Form::kIsArray,
                          .max_count = Form::kIsArray ? options.max_count : 1,
                          .properties = std::make_shared<const internal::Properties>(
                              internal::Properties{.units = std::move(options.units),
                                                   .precision = options.precision.value_or(internal::Properties::kNoPrecision),
                                                   .limits = options.limits,
                                                   .texts = std::move(options.texts)}),
                          .rights = options.access,
                          .posts_every_set = options.posts.value_or(Form::kIsArray ? Posts::every_set : Posts::changes) == Posts::every_set,
                          .queue = {},
                          .on_put = std::move(options.on_put.function_)};
  if (setup.max_count == 0) setup.max_count = std::max<std::size_t>(internal::count_of(setup.initial), 1);
  return Served<T>(add_pv(std::move(setup), Form::kIsEnum));
}

}  // namespace catools::inline v0
