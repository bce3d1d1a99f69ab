#include "cooperative/io/address.h"

#include <net/if.h>

#include <cstddef>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/exceptions.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::testing::what_of;
using ::testing::HasSubstr;

TEST(AddressTest, OfIpV4) {
  const Address address("127.0.0.1", 8080);
  EXPECT_EQ(address.family(), AF_INET);
  EXPECT_TRUE(address.is_ip());
  EXPECT_FALSE(address.is_unix());
  EXPECT_EQ(address.ip(), "127.0.0.1");
  EXPECT_EQ(address.port(), 8080);
  EXPECT_EQ(address.path(), "");
  EXPECT_EQ(address.to_string(), "127.0.0.1:8080");
  EXPECT_EQ(address.size(), sizeof(sockaddr_in));
  EXPECT_EQ(Address::loopback(1), Address("127.0.0.1", 1));
  EXPECT_EQ(Address::any(65535).to_string(), "0.0.0.0:65535");
}

TEST(AddressTest, OfIpV6) {
  EXPECT_EQ(Address("::1", 80).to_string(), "[::1]:80");
  EXPECT_EQ(Address("[::1]", 80), Address("::1", 80));
  EXPECT_EQ(Address::any_ipv6(80).to_string(), "[::]:80");
  EXPECT_EQ(Address("2001:DB8::0:1", 80).ip(), "2001:db8::1");
}

TEST(AddressTest, AScopeIsANameOrANumber) {
  const std::string index = std::to_string(if_nametoindex("lo"));
  ASSERT_NE(index, "0");
  EXPECT_EQ(Address("fe80::1%lo", 1).to_string(), "[fe80::1%lo]:1");
  EXPECT_EQ(Address("fe80::1%" + index, 1), Address("fe80::1%lo", 1));
  EXPECT_NE(Address("fe80::1%lo", 1), Address("fe80::1", 1));
  EXPECT_EQ(Address("fe80::1%4000000000", 1).ip(), "fe80::1%4000000000");  // of no interface here
}

TEST(AddressTest, WhatIsNoNumericAddressIsRefusedByName) {
  using namespace std::string_literals;
  for (const std::string& text : {""s, "localhost"s, "127.0.0.1 "s, "127.0.0.256"s, "127.1"s, "[127.0.0.1]"s, "::1]"s, "[::1"s, "[]"s, ":::"s, "::1%"s,
                                  "::1%nowhere"s, "127.0.0.1%lo"s, "127.0.0.1\0x"s, "::1\0"s, "::1%lo\0"s}) {
    EXPECT_EQ(Address::parse(text, 1), std::nullopt) << text;
    const std::string to_zero = text.c_str();
    EXPECT_THAT(what_of<std::invalid_argument>([&] { Address(text, 1); }),
                HasSubstr("\"" + to_zero + (to_zero.size() < text.size() ? "\\x00" : "\" is no numeric IP address")));
  }
}

TEST(AddressTest, OfAUnixSocket) {
  const Address address = Address::unix_path("/run/app.sock");
  EXPECT_TRUE(address.is_unix());
  EXPECT_EQ(address.path(), "/run/app.sock");
  EXPECT_EQ(address.to_string(), "/run/app.sock");
  EXPECT_EQ(address.ip(), "");
  EXPECT_EQ(address.port(), 0);
}

TEST(AddressTest, APathMayBeAsLongAsTheSystemTakesAndNoLonger) {
  EXPECT_EQ(Address::unix_path(std::string(107, 'x')).path().size(), 107u);
  EXPECT_THROW(Address::unix_path(std::string(108, 'x')), std::invalid_argument);
  EXPECT_THROW(Address::unix_path(""), std::invalid_argument);
  EXPECT_THAT(what_of<std::invalid_argument>([] { Address::unix_path(std::string_view("a\0b", 3)); }), HasSubstr("\"a\\x00b\" cannot be the path"));
  EXPECT_EQ(Address::abstract(std::string(107, 'x')).path().size(), 108u);
  EXPECT_THROW(Address::abstract(std::string(108, 'x')), std::invalid_argument);
}

TEST(AddressTest, AnAbstractNameMayHaveAnyBytes) {
  const Address address = Address::abstract(std::string_view("a\0b", 3));
  EXPECT_EQ(address.path(), std::string("\0a\0b", 4));
  EXPECT_EQ(Address::abstract("app").to_string(), "@app");
  EXPECT_EQ(Address::abstract("").to_string(), "@");
}

TEST(AddressTest, OfNothing) {
  EXPECT_EQ(Address().to_string(), "unnamed");
  EXPECT_FALSE(Address().is_ip());
  EXPECT_FALSE(Address().is_unix());
  const sockaddr_un unnamed{.sun_family = AF_UNIX, .sun_path = {}};
  const Address of_system(reinterpret_cast<const sockaddr*>(&unnamed), offsetof(sockaddr_un, sun_path));
  EXPECT_TRUE(of_system.is_unix());
  EXPECT_EQ(of_system.path(), "");
  EXPECT_EQ(of_system.to_string(), "unnamed");
  EXPECT_EQ(Address(nullptr, 0), Address());
}

TEST(AddressTest, AreOrderedAndCompareByWhatTheyMean) {
  EXPECT_EQ(Address("127.0.0.1", 1), Address("127.0.0.1", 1));
  EXPECT_NE(Address("127.0.0.1", 1), Address("127.0.0.1", 2));
  EXPECT_NE(Address("127.0.0.1", 1), Address("127.0.0.2", 1));
  EXPECT_LT(Address("127.0.0.1", 1), Address("127.0.0.2", 1));
  sockaddr_in rough;
  std::memset(&rough, 0x55, sizeof rough);  // with padding as it may be
  rough.sin_family = AF_INET;
  rough.sin_port = htons(7);
  rough.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(Address(reinterpret_cast<const sockaddr*>(&rough), sizeof rough), Address::loopback(7));
}

TEST(AddressTest, OneThatIsTooLongIsCutToWhatItCanBe) {
  sockaddr_un full{.sun_family = AF_UNIX, .sun_path = {}};
  std::memset(full.sun_path, 'x', sizeof full.sun_path);  // without a zero: the system takes it
  EXPECT_EQ(Address(reinterpret_cast<const sockaddr*>(&full), sizeof full + 1).path(), std::string(108, 'x'));
}

TEST(AddressTest, KnowsMulticast) {
  EXPECT_TRUE(Address("224.0.0.1", 1).is_multicast());
  EXPECT_TRUE(Address("239.255.255.255", 1).is_multicast());
  EXPECT_FALSE(Address("240.0.0.0", 1).is_multicast());
  EXPECT_FALSE(Address("223.255.255.255", 1).is_multicast());
  EXPECT_TRUE(Address("ff02::1", 1).is_multicast());
  EXPECT_FALSE(Address("fe80::1", 1).is_multicast());
  EXPECT_FALSE(Address::unix_path("x").is_multicast());
}

}  // namespace
}  // namespace cooperative
