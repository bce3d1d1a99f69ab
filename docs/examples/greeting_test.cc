// A test of a client and a server of HTTP, on a network that the seed decides.

#include <cstdint>
#include <string>

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "cooperative/http/client.h"
#include "cooperative/http/server.h"
#include "cooperative/testing/memory_stream.h"
#include "cooperative/testing/world.h"
#include "mothreads/retry.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"

namespace co = cooperative;
namespace http = cooperative::http;
using mothreads::Signal;
using mothreads::Thread;

namespace {

http::Response greet(http::Request& request) { return http::Response::text(200, "hello " + std::string(request.target().substr(1))); }

}  // namespace

// [http]
TEST(Greeting, ArrivesInWhateverPieces) {
  co::testing::for_each_seed(100, [](co::testing::World& world) {
    world.run([] {
      auto link = co::testing::MemoryStream::pair({.latency = absl::Milliseconds(20),          // each write takes 20 to 50 ms,
                                                   .latency_spread = absl::Milliseconds(30),   // and is read in pieces
                                                   .pieces = co::testing::Pieces::by_chance});
      auto server = Thread::run("server", [&](Signal please_stop) {
        http::serve_http_connection(link.second, greet, {.draining = please_stop});
      });
      http::Client client(link.first, "example.org");
      EXPECT_EQ(client.request({.target = "/ada"}, absl::Seconds(5)).body, "hello ada");
      EXPECT_EQ(client.request({.target = "/grace"}, absl::Seconds(5)).body, "hello grace");
      server.stop().join();
    });
  });
}
// [/http]

// [cuts]
TEST(Greeting, IsAskedForAgainWhenTheConnectionBreaks) {
  co::testing::for_each_seed(100, [](co::testing::World& world) {
    world.run([&] {
      std::uint64_t cut = world.random(300);                  // behind that byte of the first connection; each lives longer
      http::Reply reply = mothreads::retry({.name = "ask for a greeting", .attempts = 10}, [&] {
        auto link = co::testing::MemoryStream::pair({.latency = absl::Milliseconds(20), .cut_after = cut});
        cut += 100;
        auto server = co::spawn("server", [&] { http::serve_http_connection(link.second, greet); });
        return http::request(link.first, "example.org", {.target = "/ada"}, absl::Seconds(5));
      });
      EXPECT_EQ(reply.body, "hello ada");
      EXPECT_LT(world.elapsed(), absl::Seconds(10));          // with all its pauses, which take no real time
    });
  });
}
// [/cuts]
