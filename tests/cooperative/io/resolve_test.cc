#include "cooperative/io/resolve.h"

#include <arpa/inet.h>

#include <array>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
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
#include "tests/support/exceptions.h"
#include "tests/support/io.h"

namespace cooperative {
namespace {

using mothreads::Signal;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using testing::room_of;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class ResolveTest : public testing::IoTest {};

// A server of names on the loopback (RFC 1035): of each name its addresses, and that there is no such name for others.
class NameServer {
 public:
  NameServer() {
    socket_.bind(Address::loopback(0));
    serving_ = spawn("name server", [this] { serve(); });
  }
  void put(const std::string& name, const std::vector<std::string>& ips) { names_[name] = ips; }
  void be_silent() { is_silent_ = true; }
  Address address() const { return socket_.local_address(); }
  int asked() const { return asked_; }

 private:
  static constexpr std::uint16_t kA = 1;  // the type of an IPv4 address

  void serve() {
    std::array<char, 512> place;
    while (true) {
      const Datagram query = socket_.recv_from(room_of(place));
      ++asked_;
      if (!is_silent_) socket_.send_to(answer_to(std::string(place.data(), query.size)), query.from);
    }
  }

  static void put_number(std::string& text, std::uint32_t number, int bytes) {
    while (bytes-- > 0) text += static_cast<char>(number >> (8 * bytes));
  }

  std::string answer_to(const std::string& query) const {
    std::string name;
    std::size_t at = 12;
    while (query.at(at) != '\0') {
      const auto size = static_cast<std::size_t>(query.at(at));
      name += (name.empty() ? "" : ".") + query.substr(at + 1, size);
      at += size + 1;
    }
    const auto type = static_cast<std::uint16_t>(static_cast<unsigned char>(query.at(at + 1)) << 8 | static_cast<unsigned char>(query.at(at + 2)));
    const std::string question = query.substr(12, at + 5 - 12);
    const auto found = names_.find(name);
    std::uint16_t count = 0;
    std::string records;
    for (const std::string& ip : found == names_.end() ? std::vector<std::string>() : found->second) {
      const Address address(ip, 0);
      if ((address.family() == AF_INET) != (type == kA)) continue;
      std::array<char, 16> bytes;
      const std::size_t size = address.family() == AF_INET ? 4 : 16;
      EXPECT_EQ(inet_pton(address.family(), ip.c_str(), bytes.data()), 1);
      ++count;
      put_number(records, 0xc00c, 2);  // the name of the question
      put_number(records, type, 2);
      put_number(records, 1, 2);  // of the Internet
      put_number(records, 60, 4);
      put_number(records, static_cast<std::uint32_t>(size), 2);
      records.append(bytes.data(), size);
    }
    std::string answer = query.substr(0, 2);
    put_number(answer, found == names_.end() ? 0x8183 : 0x8180, 2);  // no such name; an answer
    put_number(answer, 1, 2);
    put_number(answer, count, 2);
    put_number(answer, 0, 4);
    return answer + question + records;
  }

  Socket socket_ = Socket::udp();
  std::map<std::string, std::vector<std::string>> names_;
  bool is_silent_ = false;
  int asked_ = 0;
  Fiber<void> serving_;
};

std::vector<std::string> texts_of(const std::vector<Address>& addresses) {
  std::vector<std::string> texts;
  for (const Address& address : addresses) texts.push_back(address.to_string());
  return texts;
}

TEST_F(ResolveTest, ANumericAddressIsItsOwn) {
  on_thread([] {
    EXPECT_THAT(texts_of(resolve("127.0.0.1", 80)), ElementsAre("127.0.0.1:80"));
    EXPECT_THAT(texts_of(resolve("[::1]", 80)), ElementsAre("[::1]:80"));
    EXPECT_THAT(what_of<NotResolved>([] { resolve({.family = AF_INET6}, "127.0.0.1", 80); }), HasSubstr("\"127.0.0.1\""));
  });
}

TEST_F(ResolveTest, NamesOfTheHostsFileNeedNoServer) {
  on_thread([] {
    EXPECT_THAT(texts_of(resolve({.family = AF_INET}, "localhost", 80)), Contains("127.0.0.1:80"));
    EXPECT_THAT(texts_of(resolve("localhost", 80)), Each(AnyOf("127.0.0.1:80", "[::1]:80")));
  });
}

TEST_F(ResolveTest, AsksTheServersThatItIsGiven) {
  on_thread([] {
    NameServer server;
    server.put("host.test", {"192.0.2.1", "192.0.2.2", "2001:db8::1"});
    const ResolveOptions all{.servers = {server.address()}};
    EXPECT_THAT(texts_of(resolve(all, "host.test", 80)), UnorderedElementsAre("192.0.2.1:80", "192.0.2.2:80", "[2001:db8::1]:80"));
    EXPECT_THAT(texts_of(resolve({.family = AF_INET6, .servers = {server.address()}}, "host.test", 80)), ElementsAre("[2001:db8::1]:80"));
    EXPECT_THAT(texts_of(resolve({.family = AF_INET, .servers = {server.address()}}, "host.test.", 80)),
                UnorderedElementsAre("192.0.2.1:80", "192.0.2.2:80"));
  });
}

TEST_F(ResolveTest, ANameThatHasNoAddressIsNamed) {
  on_thread([] {
    NameServer server;
    server.put("six.test", {"2001:db8::1"});
    const ResolveOptions options{.servers = {server.address()}};
    EXPECT_THAT(what_of<NotResolved>([&] { resolve(options, "nobody.test.", 80); }), HasSubstr("\"nobody.test.\" has no known address"));
    EXPECT_THAT(what_of<NotResolved>([&] { resolve({.family = AF_INET, .servers = {server.address()}}, "six.test.", 80); }), HasSubstr("six.test"));
    EXPECT_THROW(resolve(options, "", 80), NotResolved);
    EXPECT_THROW(resolve(options, std::string(300, 'x'), 80), NotResolved);
    EXPECT_THROW(resolve({.servers = {Address::abstract("x")}}, "host.test", 80), std::invalid_argument);
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
    EXPECT_THAT(texts_of(resolve({.family = AF_INET, .servers = {nobody, server.address()}}, "host.test", 80)), ElementsAre("192.0.2.1:80"));
  });
}

TEST_F(ResolveTest, OthersRunWhileItIsAsked) {
  on_thread([] {
    NameServer server;
    for (int i = 0; i < 20; ++i) server.put("host" + std::to_string(i) + ".test", {"192.0.2." + std::to_string(i)});
    std::vector<Fiber<std::vector<Address>>> lookups;
    for (int i = 0; i < 20; ++i) {
      lookups.push_back(spawn("lookup", [&, i] { return resolve({.family = AF_INET, .servers = {server.address()}}, "host" + std::to_string(i) + ".test", 1); }));
    }
    for (int i = 0; i < 20; ++i) EXPECT_THAT(texts_of(lookups[i].join()), ElementsAre("192.0.2." + std::to_string(i) + ":1"));
  });
}

TEST_F(ResolveTest, ALookupThatNobodyAnswersEndsByItsLimits) {
  on_virtual_time([](VirtualClock& clock) {
    NameServer server;
    server.be_silent();
    const ResolveOptions options{.servers = {server.address()}};
    EXPECT_THAT(what_of<Timedout>([&] { resolve(options, "host.test", 1, absl::ZeroDuration()); }), HasSubstr("\"host.test\""));
    auto timed = spawn("timed", [&] { resolve(options, "host.test", 1, absl::Milliseconds(1)); });
    yield_until_idle();
    EXPECT_GT(server.asked(), 0);
    clock.advance(absl::Milliseconds(1));
    EXPECT_THROW(timed.join(), Timedout);
    const Signal stop;
    auto stopped = spawn("stopped", [&] { resolve(options, "host.test", 1, stop); });
    yield_until_idle();
    stop.go();
    EXPECT_THROW(stopped.join(), Timedout);
    auto cancelled = spawn("cancelled", [&] { resolve(options, "host.test", 1); });
    yield_until_idle();
    cancelled.cancel();
    EXPECT_THROW(cancelled.join(), WasCancelled);
  });
}

}  // namespace
}  // namespace cooperative
