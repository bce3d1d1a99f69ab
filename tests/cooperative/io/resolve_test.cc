#include "cooperative/io/resolve.h"

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/io/socket.h"
#include "cooperative/sleep.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "tests/cooperative/io/name_server.h"
#include "tests/support/exceptions.h"
#include "tests/support/io.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using testing::NameServer;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class ResolveTest : public testing::IoTest {};

std::vector<std::string> texts_of(const std::vector<Address>& addresses) {
  std::vector<std::string> texts;
  for (const Address& address : addresses) texts.push_back(address.to_string());
  return texts;
}

TEST_F(ResolveTest, ANumericAddressIsItsOwn) {
  on_thread([] {
    EXPECT_THAT(texts_of(resolve("127.0.0.1", 80)), ElementsAre("127.0.0.1:80"));
    EXPECT_THAT(texts_of(resolve("[::1]", 80)), ElementsAre("[::1]:80"));
    EXPECT_THAT(what_of<NotResolved>([] { resolve("127.0.0.1", 80, {.family = AF_INET6}); }), HasSubstr("\"127.0.0.1\""));
  });
}

// RFC 6761, 6.3: whatever the server of names, or /etc/hosts, says.
TEST_F(ResolveTest, LocalhostIsThisMachine) {
  on_thread([] {
    NameServer server;
    for (const char* const name : {"localhost", "localhost.", "LocalHost", "app.localhost", "b.app.LOCALHOST."}) {
      server.put(name, {"192.0.2.1", "2001:db8::1"});
      EXPECT_THAT(texts_of(resolve(name, 80, {.family = AF_INET, .servers = {server.address()}})), ElementsAre("127.0.0.1:80")) << name;
      EXPECT_THAT(texts_of(resolve(name, 80, {.family = AF_INET6, .servers = {server.address()}})), ElementsAre("[::1]:80")) << name;
      EXPECT_THAT(texts_of(resolve(name, 80, {.servers = {server.address()}})),
                  AllOf(Contains("127.0.0.1:80"), Each(AnyOf("127.0.0.1:80", "[::1]:80"))))
          << name;
    }
    EXPECT_EQ(server.asked(), 0);
    server.put("notlocalhost", {"192.0.2.3"});
    server.put("localhost.test", {"192.0.2.4"});
    EXPECT_THAT(texts_of(resolve("notlocalhost", 80, {.family = AF_INET, .servers = {server.address()}})), ElementsAre("192.0.2.3:80"));
    EXPECT_THAT(texts_of(resolve("localhost.test", 80, {.family = AF_INET, .servers = {server.address()}})), ElementsAre("192.0.2.4:80"));
  });
}

// The system would stop at a zero byte, and c-ares takes more for numeric addresses than Address::parse() does: either would be another host.
TEST_F(ResolveTest, WhatIsNeitherANameNorAnAddressIsRefusedAndNobodyIsAsked) {
  on_thread([] {
    NameServer server;
    server.put("host.test", {"192.0.2.1"});
    using namespace std::string_literals;
    const std::pair<std::string, const char*> all[]{
        {"host.test\0.evil.test"s, "\"host.test\\x00.evil.test\" is no name of a host: it has a zero byte"},
        {"\0"s, "\"\\x00\" is no name of a host: it has a zero byte"},
        {"127.0.0.1\0"s, "\"127.0.0.1\\x00\" is no name of a host: it has a zero byte"},
        {"0177.0.0.1"s, "\"0177.0.0.1\" is no name of a host: it has numbers alone, and is no IPv4 address"},
        {"127.0.0.01"s, "numbers alone"},
        {"127.0.0.256"s, "numbers alone"},
        {"127.1"s, "numbers alone"},
        {"1.2.3.4.5"s, "numbers alone"},
        {"127.0.0.1."s, "numbers alone"},
        {"::1%nowhere"s, "it has a ':', and is no IPv6 address"},
        {"host.test:80"s, "it has a ':', and is no IPv6 address"},
        {"[::1"s, "it has a ':', and is no IPv6 address"},
    };
    for (const auto& [given, why] : all) {
      const auto& text = given;
      EXPECT_EQ(Address::parse(text, 80), std::nullopt);
      EXPECT_THAT(what_of<NotResolved>([&] { resolve(text, 80, {.servers = {server.address()}}); }), HasSubstr(why)) << text;
    }
    EXPECT_EQ(server.asked(), 0);
  });
}

TEST_F(ResolveTest, AsksTheServersThatItIsGiven) {
  on_thread([] {
    NameServer server;
    server.put("host.test", {"192.0.2.1", "192.0.2.2", "2001:db8::1"});
    const ResolveOptions all{.servers = {server.address()}};
    EXPECT_THAT(texts_of(resolve("host.test", 80, all)), UnorderedElementsAre("192.0.2.1:80", "192.0.2.2:80", "[2001:db8::1]:80"));
    EXPECT_THAT(texts_of(resolve("host.test", 80, {.family = AF_INET6, .servers = {server.address()}})), ElementsAre("[2001:db8::1]:80"));
    EXPECT_THAT(texts_of(resolve("host.test.", 80, {.family = AF_INET, .servers = {server.address()}})),
                UnorderedElementsAre("192.0.2.1:80", "192.0.2.2:80"));
  });
}

TEST_F(ResolveTest, ANameThatHasNoAddressIsNamed) {
  on_thread([] {
    NameServer server;
    server.put("six.test", {"2001:db8::1"});
    const ResolveOptions options{.servers = {server.address()}};
    EXPECT_THAT(what_of<NotResolved>([&] { resolve("nobody.test.", 80, options); }), HasSubstr("\"nobody.test.\" has no known address"));
    EXPECT_THAT(what_of<NotResolved>([&] { resolve("six.test.", 80, {.family = AF_INET, .servers = {server.address()}}); }), HasSubstr("six.test"));
    EXPECT_THROW(resolve("", 80, options), NotResolved);
    EXPECT_THROW(resolve(std::string(300, 'x'), 80, options), NotResolved);
    EXPECT_THROW(resolve("host.test", 80, {.servers = {Address::abstract("x")}}), std::invalid_argument);
  });
}

// shrapnel's test of '123'.
TEST_F(ResolveTest, ANumberIsAName) {
  on_thread([] {
    NameServer server;
    server.put("123", {"192.0.2.7"});
    EXPECT_THAT(texts_of(resolve("123", 80, {.family = AF_INET, .servers = {server.address()}})), ElementsAre("192.0.2.7:80"));
    EXPECT_GT(server.asked(), 0);
  });
}

TEST_F(ResolveTest, TheSecondServerIsAskedWhenTheFirstIsNoneAtAll) {
  on_thread([] {
    Socket gone = Socket::udp();
    gone.bind(Address::loopback(0));
    const Address nobody = gone.local_address();
    gone.close();
    NameServer server;
    server.put("host.test", {"192.0.2.1"});
    EXPECT_THAT(texts_of(resolve("host.test", 80, {.family = AF_INET, .servers = {nobody, server.address()}})), ElementsAre("192.0.2.1:80"));
  });
}

TEST_F(ResolveTest, OthersRunWhileItIsAsked) {
  on_thread([] {
    NameServer server;
    for (int i = 0; i < 20; ++i) server.put("host" + std::to_string(i) + ".test", {"192.0.2." + std::to_string(i)});
    std::vector<Fiber<std::vector<Address>>> lookups;
    for (int i = 0; i < 20; ++i) {
      lookups.push_back(spawn("lookup", [&, i] {
        return resolve("host" + std::to_string(i) + ".test", 1, {.family = AF_INET, .servers = {server.address()}});
      }));
    }
    for (int i = 0; i < 20; ++i) EXPECT_THAT(texts_of(lookups[i].join()), ElementsAre("192.0.2." + std::to_string(i) + ":1"));
  });
}

TEST_F(ResolveTest, ALookupThatNobodyAnswersEndsByItsLimits) {
  on_virtual_time([](VirtualClock& clock) {
    NameServer server;
    server.be_silent();
    const ResolveOptions options{.servers = {server.address()}};
    EXPECT_THAT(what_of<Timedout>([&] { resolve("host.test", 1, options, absl::ZeroDuration()); }), HasSubstr("\"host.test\""));
    auto timed = spawn("timed", [&] { resolve("host.test", 1, options, absl::Milliseconds(1)); });
    yield_until_idle();
    EXPECT_GT(server.asked(), 0);
    clock.advance(absl::Milliseconds(1));
    EXPECT_THROW(timed.join(), Timedout);
    const Signal stop;
    auto stopped = spawn("stopped", [&] { resolve("host.test", 1, options, stop); });
    yield_until_idle();
    stop.go();
    EXPECT_THROW(stopped.join(), Stopped);
    auto cancelled = spawn("cancelled", [&] { resolve("host.test", 1, options); });
    yield_until_idle();
    cancelled.cancel();
    EXPECT_THROW(cancelled.join(), WasCancelled);
  });
}

}  // namespace
}  // namespace cooperative
