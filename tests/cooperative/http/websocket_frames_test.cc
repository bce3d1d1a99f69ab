// What reading makes of frames: a table of our own, in any pieces.

#include <cstddef>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/http/internal/utf8.h"
#include "cooperative/http/internal/websocket_frames.h"
#include "cooperative/http/websocket.h"
#include "mothreads/ended.h"
#include "tests/cooperative/http/websocket_side.h"
#include "tests/support/scripted_stream.h"

namespace cooperative::inline v0::http {
namespace {

using mothreads::Why;
using testing::frame;
using testing::ScriptedStream;
using testing::server_side;
using ::testing::ElementsAre;
using namespace std::string_literals;

// What a server's side makes of frames: messages, then how it ended.
std::vector<std::string> server_reads(const std::string& frames, std::size_t piece, const WebSocketOptions& options = {}, std::string* sent = nullptr) {
  ScriptedStream stream(frames, piece);
  WebSocket socket = server_side(stream, options);
  std::vector<std::string> read;
  try {
    while (auto message = socket.read()) read.push_back((message->is_text ? "text " : "binary ") + message->data);
    read.push_back("closed " + std::to_string(socket.close_code()) + " " + socket.close_reason());
  } catch (const WebSocketError& error) {
    read.push_back("error " + std::to_string(error.code()));
    EXPECT_EQ(stream.output().substr(0, 2), "\x88\x02");
    EXPECT_EQ(socket.read().why(), Why::closed) << "for good";
  }
  if (sent != nullptr) *sent = stream.output();
  return read;
}

struct Frames {
  std::string name;
  std::string frames;
  std::vector<std::string> read;
};

void PrintTo(const Frames& frames, std::ostream* out) { *out << frames.name; }

class WebSocketFramesTest : public ::testing::TestWithParam<Frames> {};

TEST_P(WebSocketFramesTest, AreReadInAnyPieces) {
  for (const std::size_t piece : {std::size_t{1}, std::size_t{3}, std::size_t{4096}}) {
    EXPECT_EQ(server_reads(GetParam().frames, piece, {.max_message = 100'000}), GetParam().read) << piece;
  }
}

using List = std::vector<std::string>;
const std::string kLong(70'000, 'l');

INSTANTIATE_TEST_SUITE_P(
    Table, WebSocketFramesTest,
    ::testing::Values(
        Frames{"Text", frame(0x81, "hello") + frame(0x88, "\x03\xE8" "bye"), List{"text hello", "closed 1000 bye"}},
        Frames{"Binary", frame(0x82, "\xFF\x00"s) + frame(0x88, ""), List{"binary \xFF\x00"s, "closed 1005 "}},
        Frames{"Empty", frame(0x81, "") + frame(0x88, ""), List{"text ", "closed 1005 "}},
        Frames{"Sizes", frame(0x82, std::string(125, 'a')) + frame(0x82, std::string(126, 'a')) + frame(0x82, std::string(65535, 'a')) + frame(0x82, std::string(65536, 'a')),
               List{"binary " + std::string(125, 'a'), "binary " + std::string(126, 'a'), "binary " + std::string(65535, 'a'),
                    "binary " + std::string(65536, 'a'), "closed 1006 "}},
        Frames{"Fragments", frame(0x01, "hel") + frame(0x89, "ping") + frame(0x00, "") + frame(0x80, "lo") + frame(0x88, ""), List{"text hello", "closed 1005 "}},
        Frames{"CharacterInTwoFragments", frame(0x01, "\xC3") + frame(0x80, "\xA4") + frame(0x88, ""), List{"text \xC3\xA4", "closed 1005 "}},
        Frames{"LongFragments", frame(0x02, kLong) + frame(0x80, "x") + frame(0x88, ""), List{"binary " + kLong + "x", "closed 1005 "}},
        Frames{"ControlsBetweenFragments", frame(0x01, "a") + frame(0x8A, "1") + frame(0x89, "2") + frame(0x00, "b") + frame(0x89, "3") + frame(0x80, "c") + frame(0x88, ""),
               List{"text abc", "closed 1005 "}},
        Frames{"CloseBetweenFragments", frame(0x01, "a") + frame(0x88, "\x03\xE8") + frame(0x80, "b"), List{"closed 1000 "}},
        Frames{"EmptyFragments", frame(0x02, "") + frame(0x00, "") + frame(0x00, "a") + frame(0x00, "") + frame(0x80, "") + frame(0x88, ""),
               List{"binary a", "closed 1005 "}},
        Frames{"OnlyEmptyFragments", frame(0x01, "") + frame(0x80, "") + frame(0x88, ""), List{"text ", "closed 1005 "}},
        Frames{"PingBetweenHalvesOfACharacter", frame(0x01, "\xC3") + frame(0x89, "\xFF") + frame(0x80, "\xA4") + frame(0x88, ""),
               List{"text \xC3\xA4", "closed 1005 "}},
        Frames{"LongestControls", frame(0x89, std::string(125, 'x')) + frame(0x8A, std::string(125, 'x')) + frame(0x88, "\x03\xE8" + std::string(123, 'x')),
               List{"closed 1000 " + std::string(123, 'x')}},
        Frames{"Gone", frame(0x81, "a") + frame(0x81, "bc").substr(0, 7), List{"text a", "closed 1006 "}},
        Frames{"AfterClose", frame(0x88, "\x03\xE8") + frame(0x81, "late"), List{"closed 1000 "}},
        Frames{"OwnCode", frame(0x88, "\x0F\xA0"), List{"closed 4000 "}}),
    [](const auto& its) { return its.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Wrong, WebSocketFramesTest,
    ::testing::Values(
        Frames{"FragmentedPong", frame(0x0A, "x"), List{"error 1002"}}, Frames{"FragmentedClose", frame(0x08, "\x03\xE8"), List{"error 1002"}},
        Frames{"LongPong", frame(0x8A, std::string(126, 'x')), List{"error 1002"}},
        Frames{"ContinuationBehindAMessage", frame(0x81, "x") + frame(0x80, "y"), List{"text x", "error 1002"}},
        Frames{"BinaryInText", frame(0x01, "x") + frame(0x82, "y"), List{"error 1002"}},
        Frames{"UnknownWithinAMessage", frame(0x01, "x") + frame(0x83, "y"), List{"error 1002"}},
        Frames{"ReservedBitWithinAMessage", frame(0x01, "x") + frame(0xC0, "y"), List{"error 1002"}},
        Frames{"HalfACharacterAtTheEnd", frame(0x01, "x") + frame(0x80, "\xE2\x82"), List{"error 1007"}},
        Frames{"HalfACharacterThenAnother", frame(0x01, "\xE2\x82") + frame(0x80, "x"), List{"error 1007"}},
        Frames{"NoMask", "\x81\x01x", List{"error 1002"}}, Frames{"ReservedBit", frame(0xC1, "x"), List{"error 1002"}},
        Frames{"UnknownData", frame(0x83, "x"), List{"error 1002"}}, Frames{"UnknownControl", frame(0x8B, "x"), List{"error 1002"}},
        Frames{"FragmentedPing", frame(0x09, "x"), List{"error 1002"}}, Frames{"LongPing", frame(0x89, std::string(126, 'x')), List{"error 1002"}},
        Frames{"LongClose", frame(0x88, "\x03\xE8" + std::string(124, 'x')), List{"error 1002"}},
        Frames{"ContinuationOfNothing", frame(0x80, "x"), List{"error 1002"}},
        Frames{"MessageInMessage", frame(0x01, "x") + frame(0x81, "y"), List{"error 1002"}},
        Frames{"NotShortest", "\x81\xFE\x00\x05\x00\x00\x00\x00hello"s, List{"error 1002"}},
        Frames{"NotShortestOfEight", "\x81\xFF\x00\x00\x00\x00\x00\x00\xFF\xFF\x00\x00\x00\x00"s, List{"error 1002"}},
        Frames{"NegativeLength", "\x81\xFF\x80\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"s, List{"error 1002"}},
        Frames{"HugeLength", "\x81\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x00\x00\x00\x00"s, List{"error 1009"}},
        Frames{"NoUtf8", frame(0x81, "\xC3"), List{"error 1007"}}, Frames{"Surrogate", frame(0x81, "\xED\xA0\x80"), List{"error 1007"}},
        Frames{"HalfACode", frame(0x88, "\x03"), List{"error 1002"}}, Frames{"NoCode", frame(0x88, "\x00\x00"s), List{"error 1002"}},
        Frames{"CodeNeverSent", frame(0x88, "\x03\xED"), List{"error 1002"}}, Frames{"CodeOfNobody", frame(0x88, "\x07\xD0"), List{"error 1002"}},
        Frames{"CodeTooBig", frame(0x88, "\x13\x88"), List{"error 1002"}}, Frames{"ReasonNoUtf8", frame(0x88, "\x03\xE8\xC3"), List{"error 1007"}}),
    [](const auto& its) { return its.param.name; });

TEST(WebSocketReadingTest, AMessageHasALimit) {
  const WebSocketOptions options{.max_message = 10};
  EXPECT_THAT(server_reads(frame(0x82, std::string(10, 'x')), 3, options), ElementsAre("binary xxxxxxxxxx", "closed 1006 "));
  EXPECT_THAT(server_reads(frame(0x82, std::string(11, 'x')), 3, options), ElementsAre("error 1009"));
  EXPECT_THAT(server_reads(frame(0x02, std::string(9, 'x')) + frame(0x80, "y"), 3, options), ElementsAre("binary xxxxxxxxxy", "closed 1006 "));
  EXPECT_THAT(server_reads(frame(0x02, std::string(9, 'x')) + frame(0x80, "yz"), 3, options), ElementsAre("error 1009"));
}

TEST(WebSocketReadingTest, PingsAndClosesAreAnswered) {
  std::string sent;
  server_reads(frame(0x89, "are you there") + frame(0x8A, "unasked") + frame(0x88, "\x03\xE9" "away"), 2, {}, &sent);
  EXPECT_EQ(sent, "\x8A\x0D" "are you there\x88\x02\x03\xE9");
}

TEST(WebSocketReadingTest, Utf8) {
  using internal::is_utf8;
  for (const std::string& good : {""s, "ascii of more than eight"s, "\0"s, "\xC2\x80"s, "\xDF\xBF"s, "\xE0\xA0\x80"s, "\xED\x9F\xBF"s, "\xEE\x80\x80"s, "\xEF\xBF\xBF"s,
                                 "\xF0\x90\x80\x80"s, "\xF4\x8F\xBF\xBF"s}) {
    EXPECT_TRUE(is_utf8(good));
    EXPECT_TRUE(is_utf8("12345678" + good + "x"));
  }
  for (const std::string& bad : {"\x80"s, "\xBF"s, "\xC0\x80"s, "\xC1\xBF"s, "\xC2"s, "\xE0\x9F\xBF"s, "\xED\xA0\x80"s, "\xE1\x80"s, "\xE1\x80\xC0"s, "\xF0\x8F\xBF\xBF"s, "\xF4\x90\x80\x80"s, "\xF5\x80\x80\x80"s, "\xFF"s}) {
    EXPECT_FALSE(is_utf8(bad));
    EXPECT_FALSE(is_utf8("12345678" + bad));
  }
}

TEST(WebSocketReadingTest, ReservedBitsAndKindsOfFramesAreRefused) {
  for (const int known : {0x0, 0x1, 0x2, 0x8, 0x9, 0xA}) {
    for (const int bits : {0x10, 0x20, 0x40, 0x70}) {
      EXPECT_THAT(server_reads(frame(0x80 | bits | known, "x"), 3), ElementsAre("error 1002")) << known << " with " << bits;
    }
  }
  for (const int unknown : {0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF}) {
    for (const int last : {0x00, 0x80}) EXPECT_THAT(server_reads(frame(last | unknown, "x"), 3), ElementsAre("error 1002")) << unknown;
  }
}

TEST(WebSocketReadingTest, CodesOfAClose) {
  const auto closed_with = [](int code) {
    return server_reads(frame(0x88, {static_cast<char>(code >> 8), static_cast<char>(code & 0xFF)}), 1);
  };
  for (const int code : {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999}) {
    EXPECT_THAT(closed_with(code), ElementsAre("closed " + std::to_string(code) + " ")) << code;
  }
  for (const int code : {0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 32768, 65535}) {
    EXPECT_THAT(closed_with(code), ElementsAre("error 1002")) << code;
  }
}

TEST(WebSocketReadingTest, ATextSplitAtAnyPlace) {
  const std::string text = "\xCE\xBA\xE1\xBD\xB9 \xF0\x9D\x84\x9E.\xED\x9F\xBF\xF4\x8F\xBF\xBF";
  for (std::size_t a = 0; a <= text.size(); ++a) {
    for (std::size_t b = a; b <= text.size(); ++b) {
      const std::string frames = frame(0x01, text.substr(0, a)) + frame(0x00, text.substr(a, b - a)) + frame(0x80, text.substr(b)) + frame(0x88, "");
      EXPECT_THAT(server_reads(frames, 1), ElementsAre("text " + text, "closed 1005 ")) << a << " " << b;
    }
  }
  const std::string bad = "\xCE\xBA\xED\xA0\x80.";
  for (std::size_t at = 0; at <= bad.size(); ++at) {
    EXPECT_THAT(server_reads(frame(0x01, bad.substr(0, at)) + frame(0x80, bad.substr(at)), 1), ElementsAre("error 1007")) << at;
  }
}

TEST(WebSocketReadingTest, ATextThatCannotBecomeUtf8IsRefusedBeforeItsEnd) {
  for (const char* const begin : {"\xCE\xBA\xED\xA0", "\xC0", "ascii of more than eight \xF5", "\xF0\x8F"}) {
    EXPECT_THAT(server_reads(frame(0x01, begin), 1), ElementsAre("error 1007")) << begin;
    EXPECT_THAT(server_reads(frame(0x81, begin + std::string(1000, 'x')).substr(0, 6 + 40), 1), ElementsAre("error 1007")) << begin;
  }
}

TEST(WebSocketReadingTest, AServerThatMasksIsRefused) {
  ScriptedStream stream(frame(0x81, "x"));
  WebSocket socket(std::make_unique<internal::WebSocketFrames>(stream, internal::WebSocketFrames::Role::client, WebSocketOptions{}, ""), mothreads::internal::kAccess);
  EXPECT_THROW(static_cast<void>(socket.read()), WebSocketError);
}

TEST(WebSocketReadingTest, PiecesOfATextAreOneText) {
  using internal::Utf8Check;
  const std::string text = "a\xC2\x80\xE0\xA0\x80\xF0\x90\x80\x80 ascii of more than eight";
  for (std::size_t at = 0; at <= text.size(); ++at) {
    Utf8Check check;
    EXPECT_TRUE(check.add(text.substr(0, at)) && check.add(text.substr(at)) && check.is_whole()) << at;
  }
  Utf8Check check;
  EXPECT_TRUE(check.add("\xF0"));
  EXPECT_FALSE(check.add("\x90\x80x"));
  EXPECT_FALSE(check.is_whole());
  EXPECT_TRUE(check.add("\x90\x80\x80")) << "nothing of the other piece was taken";
  EXPECT_TRUE(check.is_whole());
}

}  // namespace
}  // namespace cooperative::http
