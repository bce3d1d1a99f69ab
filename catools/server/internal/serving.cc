#include "catools/server/internal/serving.h"

#include <new>
#include <span>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "catools/server/internal/circuit_fibers.h"
#include "catools/server/internal/limited_log.h"
#include "catools/server/internal/search.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/io/io_error.h"
#include "cooperative/io/listen.h"
#include "cooperative/io/server.h"
#include "cooperative/scheduler.h"
#include "mothreads/log.h"
#include "mothreads/main_thread.h"

namespace catools::inline v0::internal {

using cooperative::Address;
using cooperative::Socket;
using mothreads::Signal;
namespace log = mothreads::log;

namespace {

// Both at one address. A number that the system chose for TCP may be taken for UDP: then another is tried.
std::pair<Socket, Socket> bind_both(const std::string& host, std::uint16_t port) {
  constexpr int kTries = 100;
  for (int i = 1;; ++i) {
    Socket listener = cooperative::listen(Address(host, port));
    const Address address = listener.local_address();
    Socket searches(address.family(), SOCK_DGRAM);
    try {
      searches.bind(address);
      return {std::move(listener), std::move(searches)};
    } catch (const cooperative::IoError& error) {
      if (port != 0 || i == kTries || error.code() != std::errc::address_in_use) throw;
    }
  }
}

}  // namespace

Serving::Serving(ServingOptions options) : options_(std::move(options)) {
  std::tie(listener_, searches_) = bind_both(options_.host, options_.port);
  address_ = listener_.local_address();
}

void Serving::run(const Signal& please_stop) {
  const Signal draining = options_.draining ? *options_.draining : mothreads::MainThread::draining();
  updates_->begin(cooperative::Scheduler::current());
  const absl::Cleanup ended = [this] { updates_->drop(); };
  cooperative::FiberGroup put_fibers(options_.name + "'s puts");
  Puts puts(put_fibers, options_.put_stack_size);
  cooperative::Server circuits = cooperative::serve(
      std::move(listener_),
      [this, &puts](Socket& client, const Signal& stop) {
        client.set_keep_alive(true);
        CircuitFibers(directory_, address_.port(), puts, counters_, options_.circuit, client).run(stop);
      },
      {.name = options_.name, .max_connections = options_.max_circuits, .drain = options_.drain, .draining = draining});
  cooperative::Fiber<void> searches =
      cooperative::spawn(options_.name + "'s searches", [this, draining](const Signal& stop) { answer_searches(stop | draining); });
  (please_stop | circuits.stopped()).wait();
  searches.stop().join();
  circuits.stop().join();
  put_fibers.stop().join();
  updates_->end();
}

void Serving::answer_searches(const Signal& no_more) {
  constexpr std::size_t kLargestDatagram = 65'536;
  std::vector<std::byte> room(kLargestDatagram);
  const std::string trouble = options_.name + ": a search got no answer";
  LimitedLog troubles;
  while (!no_more) {
    try {
      const cooperative::Datagram got = searches_.recv_from(room, no_more);
      const std::string_view datagram(reinterpret_cast<const char*>(room.data()), got.size);
      for (const std::string& reply : answer_search(datagram, directory_, address_.port())) searches_.send_to(reply, got.from, no_more);
    } catch (const cooperative::EndedEarly&) {
      break;
    } catch (const cooperative::IoError& error) {
      troubles.info(trouble, error.what());
    } catch (const std::bad_alloc&) {
      troubles.info(trouble, "there is no memory for it");
    }
  }
  searches_.close();
}

}  // namespace catools::inline v0::internal
