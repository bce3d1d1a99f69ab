#include "docs/examples/chat/room.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "cooperative/fiber.h"
#include "cooperative/io/framed.h"
#include "cooperative/io/socket.h"
#include "cooperative/sleep.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "tests/support/nothing_left.h"
#include "tests/support/virtual_time.h"

namespace chat {
namespace {

namespace co = cooperative;
using mothreads::Signal;
using mothreads::Why;
using mothreads::testing::LogLines;
using mothreads::testing::NothingLeft;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;

// A member, and the fiber that serves it.
class Guest {
 public:
  Guest(Room& room, const Signal& please_stop, const std::string& name) {
    auto [mine, theirs] = co::Socket::pair();
    socket = std::move(mine);
    const std::size_t before = room.members();
    service = co::spawn("service", [&room, please_stop, client = std::move(theirs)](const Signal& stop) mutable { room.serve(client, please_stop | stop); });
    co::send_msg(socket, name);
    while (room.members() == before && service.is_alive()) co::yield();
    if (room.members() > before) {
      EXPECT_EQ(hear(), "welcome, " + name + "; others here: " + std::to_string(before));
    }
  }

  std::string hear() { return *co::recv_msg(socket); }
  Why end() { return co::recv_msg(socket).why(); }

  co::Socket socket;
  co::Fiber<void> service;
};

class RoomTest : public NothingLeft {
 protected:
  Room room;
  Signal please_stop;
};

TEST_F(RoomTest, WhatOneSaysTheOthersHear) {
  on_virtual_time([this](VirtualClock&) {
    Guest ann(room, please_stop, "Ann");
    Guest bob(room, please_stop, "Bob");
    EXPECT_EQ(ann.hear(), "Bob has come");
    co::send_msg(ann.socket, "hello");
    co::send_msg(bob.socket, "hi");
    EXPECT_EQ(bob.hear(), "Ann: hello");
    EXPECT_EQ(ann.hear(), "Bob: hi");
    bob.socket.shut_down_writing();
    EXPECT_EQ(ann.hear(), "Bob has gone");
    bob.service.join();
    EXPECT_EQ(bob.end(), Why::closed);
    EXPECT_EQ(room.members(), 1U);
  });
}

TEST_F(RoomTest, AtAStopAllAreToldAndWhatWasSaidIsHeard) {
  on_virtual_time([this](VirtualClock&) {
    Guest ann(room, please_stop, "Ann");
    Guest bob(room, please_stop, "Bob");
    co::send_msg(bob.socket, "the last word");
    const std::size_t both = 4 + std::string("Bob has come").size() + 4 + std::string("Bob: the last word").size();
    while (ann.socket.readable_bytes() < both) co::yield();
    please_stop.go();
    EXPECT_EQ(ann.hear(), "Bob has come");
    EXPECT_EQ(ann.hear(), "Bob: the last word");
    std::vector<std::string> rest;
    while (auto text = co::recv_msg(ann.socket)) rest.push_back(*text);
    EXPECT_NE(std::find(rest.begin(), rest.end(), "the server stops"), rest.end());
    ann.service.join();
    bob.service.join();
  });
}

TEST_F(RoomTest, WhoSaysNoNameHasToGo) {
  on_virtual_time([this](VirtualClock&) {
    Guest nobody(room, please_stop, "");
    nobody.service.join();
    EXPECT_EQ(nobody.end(), Why::closed);
  });
}

TEST_F(RoomTest, OneThatDoesNotReadHasToGoAndNobodyWaitsForIt) {
  LogLines log;
  on_virtual_time([&, this](VirtualClock&) {
    Guest deaf(room, please_stop, "Deaf");
    Guest loud(room, please_stop, "Loud");
    const std::string text(kMaxMessage - 10, 'x');
    // What its socket holds, what waits for it, and one more.
    while (room.members() == 2) co::send_msg(loud.socket, text);
    deaf.service.join();
    EXPECT_EQ(loud.hear(), "Deaf has gone");
    EXPECT_EQ(log.with("had 1000 messages to read, and had to go").size(), 1U);
  });
}

}  // namespace
}  // namespace chat
