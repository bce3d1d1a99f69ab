#include "cooperative/http/http_body.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/errors.h"
#include "cooperative/http/client.h"
#include "tests/support/scripted_stream.h"

namespace cooperative::inline v0::http {
namespace {

using mothreads::Why;
using testing::ScriptedStream;

// What came of a body, and how it ended.
struct Read {
  std::string text;
  std::string end;
};

Read read_to_the_end(const std::string& response, std::size_t piece, std::size_t at_once, const ClientOptions& options = {}) {
  ScriptedStream stream(response, piece);
  Client client(stream, "a", options);
  Read read;
  try {
    client.begin({});
    std::string room(at_once, '\0');
    while (true) {
      const Received got = client.body().read_some(std::as_writable_bytes(std::span(room)));
      read.text.append(room, 0, got.size());
      if (!got) {
        read.end = to_string(got.why());
        break;
      }
    }
    EXPECT_TRUE(client.body().is_at_end());
    std::byte one[1];
    EXPECT_EQ(client.body().read_some(one).why(), Why::closed) << "for good";
  } catch (const BadReply& error) {
    EXPECT_EQ(error.status(), 502);
    read.end = error.fault() == BadReply::Fault::long_body ? "long body" : "malformed";
  } catch (const CutShort&) {
    read.end = "cut short";
  }
  return read;
}

TEST(HttpBodyTest, AllKindsInAllPieces) {
  const std::string sized = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n012\r\n7;x\r\n3456789\r\n0\r\nT: x\r\n\r\n";
  const std::string to_the_end = "HTTP/1.0 200 OK\r\n\r\n0123456789";
  for (const std::size_t piece : {1u, 2u, 5u, 1000u}) {
    for (const std::size_t at_once : {1u, 4u, 10u, 100u}) {
      for (const std::string& response : {sized, chunked, to_the_end}) {
        const Read read = read_to_the_end(response, piece, at_once);
        EXPECT_EQ(read.text, "0123456789") << response << " in pieces of " << piece << ", at once " << at_once;
        EXPECT_EQ(read.end, "closed");
      }
    }
  }
}

TEST(HttpBodyTest, WhatIsMissingIsSaid) {
  for (const std::size_t piece : {1u, 1000u}) {
    const Read sized = read_to_the_end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n012345678", piece, 4);
    EXPECT_EQ(sized.text, "012345678");
    EXPECT_EQ(sized.end, "cut short");
    for (const char* const tail : {"3\r\n012", "3\r\n012\r\n", "3\r\n012\r\n0\r\n", "3\r\n012\r\n0\r\n\r"}) {
      const Read chunked = read_to_the_end(std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") + tail, piece, 4);
      EXPECT_EQ(chunked.text, "012");
      EXPECT_EQ(chunked.end, "cut short") << tail;
    }
  }
}

TEST(HttpBodyTest, ItsLimit) {
  const ClientOptions options{.max_body = 10};
  EXPECT_EQ(read_to_the_end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", 3, 4, options).end, "closed");
  EXPECT_EQ(read_to_the_end("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n0123456789a", 3, 4, options).end, "long body");
  EXPECT_EQ(read_to_the_end("HTTP/1.0 200 OK\r\n\r\n0123456789", 3, 4, options).end, "closed");
  EXPECT_EQ(read_to_the_end("HTTP/1.0 200 OK\r\n\r\n0123456789a", 3, 4, options).end, "long body");
  EXPECT_EQ(read_to_the_end("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n", 3, 4, options).end, "closed");
  EXPECT_EQ(read_to_the_end("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n", 3, 4, options).end, "long body");
}

// Whatever asks for much at a time gives memory that begins at a page: cooperative/internal/stack/page_memory.h.
class BodyOfZeros final : public Stream {
 public:
  BodyOfZeros(std::string head, std::size_t size) : head_(std::move(head)), left_(size) {}

  std::size_t large_reads = 0;

  void close() override {}
  bool is_open() const override { return true; }
  std::string name() const override { return "zeros"; }

 protected:
  Received receive(std::span<std::byte> into, mothreads::Limit) override {
    if (into.size() >= 16 * 1024) {
      ++large_reads;
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(into.data()) % 4096, 0u);
    }
    const std::size_t from_head = head_.copy(reinterpret_cast<char*>(into.data()), into.size());
    head_.erase(0, from_head);
    if (from_head > 0) return {from_head, Why::ready};
    const std::size_t size = std::min(into.size(), left_);
    std::memset(into.data(), '0', size);
    left_ -= size;
    return {size, size > 0 ? Why::ready : Why::closed};
  }
  Sent send_pieces(std::span<const std::string_view> pieces, mothreads::Limit) override { return {pieces.front().size(), Why::ready}; }
  void end_writing(mothreads::Limit) override {}

 private:
  std::string head_;
  std::size_t left_;
};

TEST(HttpBodyTest, MuchIsReadIntoMemoryThatBeginsAtAPage) {
  constexpr std::size_t kSize = (1 << 20) + 5;
  for (const std::string& fields : {"Content-Length: " + std::to_string(kSize) + "\r\n", std::string()}) {
    BodyOfZeros stream("HTTP/1.1 200 OK\r\n" + fields + "\r\n", kSize);
    EXPECT_TRUE(Client(stream, "a").request({}).body == std::string(kSize, '0'));
    EXPECT_GT(stream.large_reads, 3u);
    EXPECT_LT(stream.large_reads, 20u);
  }
}

// Between two chunks: their size, what is behind it, and trailers.
TEST(HttpBodyTest, WhatStandsBetweenChunksHasALimit) {
  constexpr std::size_t kLimit = 8 * 1024;
  const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const std::size_t piece : {std::size_t{1000}, std::string::npos}) {
    for (const std::size_t over : {0u, 1u}) {
      const std::string extension = "3;" + std::string(kLimit - 4 + over, 'x') + "\r\nabc\r\n0\r\n\r\n";
      EXPECT_EQ(read_to_the_end(head + extension, piece, 10).end, over == 0 ? "closed" : "malformed");
      const std::string frame = "0\r\nT: \r\n\r\n";
      const std::string trailers = "0\r\nT: " + std::string(kLimit - frame.size() + over, 'x') + "\r\n\r\n";
      EXPECT_EQ(read_to_the_end(head + trailers, piece, 10).end, over == 0 ? "closed" : "malformed");
    }
  }
}

TEST(HttpBodyTest, ALimitOfTimeLosesNothing) {
  ScriptedStream stream("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n01", 1, ScriptedStream::Then::silence);
  Client client(stream, "a");
  client.begin({});
  std::byte room[10];
  EXPECT_EQ(client.body().read_some(room).size(), 2u);
  EXPECT_EQ(client.body().read_some(room).why(), Why::timed_out);
  EXPECT_THROW(client.body().read_all(10), Timedout);
  stream.send("2\r\n0\r\n\r\n");
  EXPECT_EQ(client.body().read_all(10), "2");
  EXPECT_TRUE(client.is_reusable());
}

TEST(HttpBodyTest, WhatCannotBeTakenCannotBeAskedForAgain) {
  ScriptedStream stream("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n5\r\nGET /\r\n");
  Client client(stream, "a");
  client.begin({});
  EXPECT_THROW(client.body().read_all(10), BadReply);
  EXPECT_THROW(client.body().read_all(10), BadReply);
  EXPECT_FALSE(client.is_reusable());
}

}  // namespace
}  // namespace cooperative::http
