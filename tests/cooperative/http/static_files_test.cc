#include "cooperative/http/static_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "cooperative/http/client.h"
#include "cooperative/http/internal/beneath.h"
#include "cooperative/http/internal/conditions.h"
#include "cooperative/http/server.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/io/file_pool.h"
#include "cooperative/io/socket.h"
#include "cooperative/testing/world.h"
#include "mothreads/thread.h"
#include "tests/cooperative/http/serving.h"
#include "tests/support/nothing_left.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/scripted_stream.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0::http {
namespace {

namespace fs = std::filesystem;
using internal::HttpRange;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using testing::ScriptedStream;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class StaticFilesTest : public mothreads::testing::NothingLeft {
 protected:
  StaticFilesTest() {
    top_.write("secret", "secret");
    top_.write("root/a.txt", "0123456789");
    top_.write("root/index.html", "<top>");
    top_.write("root/sub/index.html", "<sub>");
    top_.write("root/sub/b", "b");
    top_.write("root/none/x", "x");
    top_.write("root/big", std::string(200'000, 'b'));
    top_.write("root/a b%.txt", "odd");
    fs::create_symlink("a.txt", root() + "/link");
    fs::create_symlink("../a.txt", root() + "/sub/up");
    fs::create_symlink("sub", root() + "/dir");
    fs::create_symlink("../secret", root() + "/out");
    fs::create_symlink("..", root() + "/parent");
    fs::create_symlink(top_.path("secret"), root() + "/absolute");
    fs::create_symlink(root() + "/a.txt", root() + "/absolute_inside");
    fs::create_symlink("round", root() + "/round");
    fs::create_symlink("nowhere", root() + "/dangling");
    fs::create_symlink("sub/../../secret", root() + "/devious");
    mkfifo((root() + "/fifo").c_str(), 0600);
  }

  std::string root() const { return top_.path("root"); }

  Reply get(const std::string& target, const Headers& headers = {}, const std::string& method = "GET", StaticFilesOptions options = {}) {
    const StaticFiles files(root(), std::move(options));
    std::string request = method + " " + target + " HTTP/1.1\r\nHost: a\r\n";
    for (std::size_t i = 0; i < headers.size(); ++i) request.append(headers[i].name).append(": ").append(headers[i].value).append("\r\n");
    ScriptedStream stream(testing::serve(request + "\r\n", files).output);
    return Client(stream, "a").request({.method = method});
  }

  mothreads::testing::ScratchFolder top_;
};

TEST_F(StaticFilesTest, AFile) {
  const Reply reply = get("/a.txt?x");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "0123456789");
  EXPECT_EQ(reply.headers.get("Content-Type"), "text/plain; charset=utf-8");
  EXPECT_EQ(reply.headers.get("Content-Length"), "10");
  EXPECT_EQ(reply.headers.get("Accept-Ranges"), "bytes");
  EXPECT_TRUE(reply.headers.get("ETag"));
  EXPECT_TRUE(reply.headers.get("Last-Modified"));
  EXPECT_EQ(get("/big").body, std::string(200'000, 'b'));
  EXPECT_EQ(get("/a%20b%25.txt").body, "odd");
  EXPECT_EQ(get("//sub/./x/..//b").body, "b");
}

TEST_F(StaticFilesTest, AFileByHand) {
  const StaticFiles files(root());
  for (const auto& [target, size] : {std::pair("/a.txt", 10u), std::pair("/big", 200'000u)}) {
    Request request = Request::make("GET", target);
    Response response = files(request);
    EXPECT_EQ(take_body(response, request).size(), size);
  }
}

TEST_F(StaticFilesTest, HeadHasTheSameHead) {
  for (const char* const target : {"/a.txt", "/big", "/"}) {
    const Reply head = get(target, {}, "HEAD");
    const Reply whole = get(target);
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(head.body, "");
    for (const char* const name : {"Content-Length", "Content-Type", "ETag", "Last-Modified"}) EXPECT_EQ(head.headers.get(name), whole.headers.get(name));
  }
}

TEST_F(StaticFilesTest, OtherMethods) {
  for (const char* const method : {"POST", "PUT", "DELETE", "OPTIONS"}) {
    const Reply reply = get("/a.txt", {}, method);
    EXPECT_EQ(reply.status, 405);
    EXPECT_EQ(reply.headers.get("Allow"), "GET, HEAD");
  }
}

TEST_F(StaticFilesTest, Directories) {
  EXPECT_EQ(get("/").body, "<top>");
  EXPECT_EQ(get("/sub/").body, "<sub>");
  EXPECT_EQ(get("/sub/").headers.get("Content-Type"), "text/html; charset=utf-8");
  EXPECT_EQ(get("/dir/").body, "<sub>");
  EXPECT_EQ(get("/sub/..").body, "<top>");
  const Reply moved = get("/sub?x=y");
  EXPECT_EQ(moved.status, 301);
  EXPECT_EQ(moved.headers.get("Location"), "/sub/?x=y");
  EXPECT_EQ(get("/none/").status, 403);
  EXPECT_EQ(get("/gone/").status, 404);
  EXPECT_EQ(get("/a.txt/").status, 404);
  EXPECT_EQ(get("/sub/", {}, "GET", {.index = ""}).status, 403);
  EXPECT_EQ(get("/sub/", {}, "GET", {.index = "b"}).body, "b");
}

// A redirect that begins with two slashes, or what browsers take for them, leads to another host.
TEST_F(StaticFilesTest, ARedirectStaysHere) {
  top_.write("root/example.org/x", "x");
  for (const char* const target : {"//example.org", "///example.org", "/\\example.org", "//\\/example.org"}) {
    const Reply reply = get(target);
    if (reply.status == 301) {
      EXPECT_EQ(reply.headers.get("Location"), "/example.org/") << target;
    } else {
      EXPECT_EQ(reply.status, 404) << target;
    }
  }
  EXPECT_EQ(get("//example.org").status, 301);
}

class BeneathTest : public StaticFilesTest, public ::testing::WithParamInterface<internal::BeneathBy> {
 protected:
  std::string open(const std::string& path) {
    const int directory = ::open(root().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    const int file = internal::open_beneath(directory, path, GetParam());
    const int error = errno;
    ::close(directory);
    if (file < 0) return strerrorname_np(error);
    struct stat status;
    fstat(file, &status);
    std::string text = S_ISDIR(status.st_mode) ? "directory" : S_ISFIFO(status.st_mode) ? "fifo" : "";
    char room[100];
    if (text.empty()) text.assign(room, static_cast<std::size_t>(::read(file, room, 10)));
    ::close(file);
    return text;
  }
};

TEST_P(BeneathTest, WhatIsBelowAndNothingElse) {
  if (GetParam() == internal::BeneathBy::openat2 && !internal::has_openat2()) {
    EXPECT_EQ(open("a.txt"), "ENOSYS");
    return;
  }
  const std::pair<const char*, const char*> table[] = {
      {"a.txt", "0123456789"}, {"sub/b", "b"},        {"", "directory"},        {".", "directory"},           {"sub", "directory"},
      {"link", "0123456789"},  {"sub/up", "0123456789"}, {"dir/b", "b"},        {"dir/up", "0123456789"},     {"sub/../a.txt", "0123456789"},
      {"fifo", "fifo"},        {"out", "EXDEV"},      {"parent", "EXDEV"},      {"parent/secret", "EXDEV"},   {"..", "EXDEV"},
      {"../root/a.txt", "EXDEV"}, {"sub/../../secret", "EXDEV"}, {"absolute", "EXDEV"}, {"absolute_inside", "EXDEV"}, {"devious", "EXDEV"},
      {"round", "ELOOP"},      {"dangling", "ENOENT"}, {"gone", "ENOENT"},      {"a.txt/x", "ENOTDIR"},       {"gone/x", "ENOENT"},
  };
  for (const auto& [path, found] : table) EXPECT_EQ(open(path), found) << path;
  EXPECT_EQ(open(std::string("a.txt\0x", 7)), "EINVAL");
  EXPECT_EQ(open(std::string(300, 'x')), "ENAMETOOLONG");
}

INSTANTIATE_TEST_SUITE_P(By, BeneathTest, ::testing::Values(internal::BeneathBy::openat2, internal::BeneathBy::walk),
                         [](const auto& its) { return its.param == internal::BeneathBy::walk ? "Walk" : "Openat2"; });

TEST_F(StaticFilesTest, NothingElseIsServed) {
  for (const char* const target : {"/../secret", "/%2e%2e/secret", "/.%2e/secret", "/sub/../../secret", "/..", "/a%2ftxt", "/sub%2fb", "/%00", "/a.txt%00", "/..%2fsecret"}) {
    EXPECT_EQ(get(target).status, 400) << target;
  }
  for (const char* const target : {"/out", "/parent/secret", "/absolute", "/absolute_inside", "/devious", "/round", "/dangling", "/gone", "/fifo", "/..\\secret", "/sub/b/c"}) {
    EXPECT_EQ(get(target).status, 404) << target;
  }
  EXPECT_EQ(get("/link").body, "0123456789");
  EXPECT_EQ(get("/sub/up").body, "0123456789");
}

TEST_F(StaticFilesTest, WhatBeginsWithADotIsHidden) {
  top_.write("root/.env", "password");
  top_.write("root/.git/config", "git");
  top_.write("root/sub/.hidden/x", "x");
  top_.write("root/dotted.name/..x", "y");
  for (const char* const target : {"/.env", "/.git/config", "/.git/", "/.git", "/sub/.hidden/x", "/%2eenv", "/sub/../.env", "/a/../.git/config", "//.env",
                                   "/dotted.name/..x"}) {
    EXPECT_EQ(get(target).status, 404) << target;
  }
  EXPECT_EQ(get("/.env", {}, "GET", {.show_hidden = true}).body, "password");
  EXPECT_EQ(get("/.git/config", {}, "GET", {.show_hidden = true}).body, "git");
  EXPECT_EQ(get("/./sub/./b").body, "b") << "a component of one dot is none";
}

TEST_F(StaticFilesTest, AFileThatMayNotBeRead) {
  fs::permissions(root() + "/a.txt", fs::perms::none);
  EXPECT_EQ(get("/a.txt").status, ::geteuid() == 0 ? 200 : 403);
}

// --- conditions --------------------------------------------------------------------------------------------------------------

TEST_F(StaticFilesTest, Conditions) {
  const Reply plain = get("/a.txt");
  const std::string etag(*plain.headers.get("ETag"));
  const std::string modified(*plain.headers.get("Last-Modified"));
  const std::string later = "Fri, 31 Dec 2199 23:59:59 GMT";
  const std::string earlier = "Sun, 06 Nov 1994 08:49:37 GMT";
  const std::pair<Headers, int> table[] = {
      {{{"If-None-Match", etag}}, 304},
      {{{"If-None-Match", "W/" + etag}}, 304},
      {{{"If-None-Match", "\"a,b\", " + etag}}, 304},
      {{{"If-None-Match", "\"x\""}, {"if-none-match", etag}}, 304},
      {{{"If-None-Match", "*"}}, 304},
      {{{"If-None-Match", "\"other\""}}, 200},
      {{{"If-None-Match", "\"other\""}, {"If-Modified-Since", later}}, 200},  // the date does not count then
      {{{"If-None-Match", "nonsense"}}, 200},
      {{{"If-Modified-Since", modified}}, 304},
      {{{"If-Modified-Since", later}}, 304},
      {{{"If-Modified-Since", earlier}}, 200},
      {{{"If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT"}}, 200},
      {{{"If-Modified-Since", "Sun Nov  6 08:49:37 1994"}}, 200},
      {{{"If-Modified-Since", "infinite-future         "}}, 200},
      {{{"If-Modified-Since", "yesterday"}}, 200},
      {{{"If-Match", etag}}, 200},
      {{{"If-Match", "*"}}, 200},
      {{{"If-Match", "W/" + etag}}, 412},
      {{{"If-Match", "\"other\""}}, 412},
      {{{"If-Unmodified-Since", modified}}, 200},
      {{{"If-Unmodified-Since", earlier}}, 412},
      {{{"If-Match", etag}, {"If-Unmodified-Since", earlier}}, 200},
  };
  for (const auto& [headers, status] : table) {
    const Reply reply = get("/a.txt", headers);
    EXPECT_EQ(reply.status, status) << headers[0].name << ": " << headers[0].value;
    EXPECT_EQ(reply.body.empty(), status == 304);
    if (status == 304) {
      EXPECT_EQ(reply.headers.get("ETag"), etag);
    }
  }
}

TEST_F(StaticFilesTest, AChangedFileHasAnotherETag) {
  const Reply before = get("/a.txt");
  top_.write("root/a.txt", "other");
  EXPECT_NE(get("/a.txt").headers.get("ETag"), before.headers.get("ETag"));
  EXPECT_EQ(get("/a.txt", {{"If-None-Match", *before.headers.get("ETag")}}).body, "other");
}

// --- ranges ------------------------------------------------------------------------------------------------------------------

TEST(HttpRangesTest, WhatTheyAskFor) {
  using Ranges = std::vector<HttpRange>;
  const std::pair<const char*, Ranges> table[] = {
      {"bytes=0-0", {{0, 1}}},
      {"bytes=0-9", {{0, 10}}},
      {"Bytes=2-4", {{2, 3}}},
      {"bytes=2-", {{2, 8}}},
      {"bytes=-3", {{7, 3}}},
      {"bytes=-99", {{0, 10}}},
      {"bytes=9-99", {{9, 1}}},
      {"bytes=9-99999999999999999999999", {{9, 1}}},
      {"bytes=0-1, 4-5 ,\t8-", {{0, 2}, {4, 2}, {8, 2}}},
      {"bytes=8-9,0-1", {{8, 2}, {0, 2}}},
      {"bytes=0-0,99-", {{0, 1}}},
      {"bytes=,0-0,", {{0, 1}}},
      {"bytes=10-", {}},
      {"bytes=10-11,99-", {}},
      {"bytes=-0", {}},
      {"bytes=99999999999999999999999-", {}},
  };
  for (const auto& [text, ranges] : table) EXPECT_EQ(internal::parse_ranges(text, 10, 16), ranges) << text;
  for (const char* const text : {"", "bytes", "bytes=", "bytes= ", "bytes=,", "bytes=-", "bytes=a-b", "bytes=1", "bytes=2-1", "bytes=1-2-3", "bytes=+1-2",
                                 "bytes=0x1-2", "lines=0-1", "bytes:0-1", "bytes=0-1;2-3", "bytes=0-9,0-9", "bytes=0-5,5-9"}) {
    EXPECT_EQ(internal::parse_ranges(text, 10, 16), std::nullopt) << text;
  }
  EXPECT_EQ(internal::parse_ranges("bytes=0-", 0, 16), Ranges());
  EXPECT_EQ(internal::parse_ranges("bytes=0-0,1-1,2-2", 10, 3)->size(), 3u);
  EXPECT_EQ(internal::parse_ranges("bytes=0-0,1-1,2-2,3-3", 10, 3), std::nullopt);
}

TEST_F(StaticFilesTest, OneRange) {
  const Reply reply = get("/a.txt", {{"Range", "bytes=2-4"}});
  EXPECT_EQ(reply.status, 206);
  EXPECT_EQ(reply.body, "234");
  EXPECT_EQ(reply.headers.get("Content-Range"), "bytes 2-4/10");
  EXPECT_EQ(reply.headers.get("Content-Length"), "3");
  EXPECT_EQ(get("/big", {{"Range", "bytes=100000-"}}).body.size(), 100'000u);
  EXPECT_EQ(get("/a.txt", {{"Range", "bytes=2-4"}}, "HEAD").status, 200) << "Range is for GET";
  EXPECT_EQ(get("/a.txt", {{"Range", "bytes=2-4"}, {"Range", "bytes=5-6"}}).status, 200);
  EXPECT_EQ(get("/a.txt", {{"Range", "bytes=4-2"}}).body, "0123456789");
}

TEST_F(StaticFilesTest, ARangeOfNothing) {
  const Reply reply = get("/a.txt", {{"Range", "bytes=10-"}});
  EXPECT_EQ(reply.status, 416);
  EXPECT_EQ(reply.headers.get("Content-Range"), "bytes */10");
}

TEST_F(StaticFilesTest, SeveralRanges) {
  const Reply reply = get("/a.txt", {{"Range", "bytes=0-1,-2"}});
  EXPECT_EQ(reply.status, 206);
  const std::string type(*reply.headers.get("Content-Type"));
  ASSERT_THAT(type, StartsWith("multipart/byteranges; boundary="));
  const std::string boundary = type.substr(type.find('=') + 1);
  EXPECT_EQ(reply.body, "--" + boundary + "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n--" + boundary +
                            "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 8-9/10\r\n\r\n89\r\n--" + boundary + "--\r\n");
  EXPECT_EQ(reply.headers.get("Content-Range"), std::nullopt);
}

TEST_F(StaticFilesTest, ARangeIfItIsStillTheSame) {
  const Reply plain = get("/a.txt");
  const std::string etag(*plain.headers.get("ETag"));
  const std::pair<std::string, int> table[] = {
      {etag, 206},
      {"W/" + etag, 200},
      {"\"other\"", 200},
      {std::string(*plain.headers.get("Last-Modified")), 206},
      {"Sun, 06 Nov 1994 08:49:37 GMT", 200},
      {"nonsense", 200},
  };
  for (const auto& [condition, status] : table) {
    EXPECT_EQ(get("/a.txt", {{"Range", "bytes=2-4"}, {"If-Range", condition}}).status, status) << condition;
  }
}

// --- sending -----------------------------------------------------------------------------------------------------------------

TEST_F(StaticFilesTest, OverASocket) {
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += std::to_string(i);
  top_.write("root/numbers", text);
  on_virtual_time([&](VirtualClock&) {
    const StaticFiles files(root(), {.max_in_memory = 0});
    auto [here, there] = Socket::pair();
    auto server = spawn("server", [&, socket = std::move(there)]() mutable { serve_http_connection(socket, files); });
    Client client(here, "a");
    EXPECT_TRUE(client.request({.target = "/numbers"}).body == text);
    EXPECT_EQ(client.request({.target = "/numbers", .headers = {{"Range", "bytes=1000000-1000009"}}}).body, text.substr(1'000'000, 10));
    EXPECT_EQ(client.request({.target = "/a.txt"}).body, "0123456789");
    here.close();
    server.join();
  });
}

TEST_F(StaticFilesTest, AFileThatShrinksEndsTheConnection) {
  on_virtual_time([&](VirtualClock&) {
    auto [here, there] = Socket::pair();
    const StaticFiles files(root(), {.max_in_memory = 0});
    auto server = spawn("server", [&, socket = std::move(there)]() mutable {
      serve_http_connection(socket, [&](Request& request) {
        Response response = files(request);
        top_.write("root/a.txt", "012");
        return response;
      });
    });
    Client client(here, "a");
    EXPECT_THROW(client.request({.target = "/a.txt"}), CutShort);
    server.join();
  });
}

TEST_F(StaticFilesTest, AClientThatGoesAwayRaisesNoSignal) {
  on_virtual_time([&](VirtualClock&) {
    auto ends = Socket::pair();
    const StaticFiles files(root(), {.max_in_memory = 0});
    ends.first.write_all("GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    auto server = spawn("server", [&, socket = std::move(ends.second)]() mutable {
      serve_http_connection(socket, [&](Request& request) {
        ends.first.close();
        return files(request);
      });
    });
    server.join();  // SIGPIPE would have ended the program
  });
}

TEST_F(StaticFilesTest, TypesByTheirEndings) {
  EXPECT_EQ(content_type_of("a.html"), "text/html; charset=utf-8");
  EXPECT_EQ(content_type_of("x/a.PNG"), "image/png");
  EXPECT_EQ(content_type_of("a.tar.gz"), "application/gzip");
  EXPECT_EQ(content_type_of("a.html/b"), "application/octet-stream");
  EXPECT_EQ(content_type_of(".html"), "application/octet-stream");
  EXPECT_EQ(content_type_of(""), "application/octet-stream");
}

TEST_F(StaticFilesTest, ARootThatIsNone) {
  EXPECT_THROW(StaticFiles(top_.path("gone")), IoError);
  EXPECT_THROW(StaticFiles(top_.path("secret")), IoError);
  EXPECT_THROW(StaticFiles(root() + std::string(1, '\0') + "more"), IoError) << "the system would see another name";
}

// --- disks -------------------------------------------------------------------------------------------------------------------

// Where nothing counts as being in memory, others open and read; and it is the same.
TEST_F(StaticFilesTest, OthersWaitForTheDisk) {
  cooperative::testing::World world({.seed = 1});
  world.run([this] {
    EXPECT_EQ(get("/a.txt").body, "0123456789");
    EXPECT_EQ(get("/big").body, std::string(200'000, 'b'));
    EXPECT_EQ(get("/link").body, "0123456789");
    EXPECT_EQ(get("/gone").status, 404);
    EXPECT_EQ(get("/gone/").status, 404);
    EXPECT_EQ(get("/out").status, 404);
    EXPECT_EQ(get("/none/").status, 403);
    const auto& pool = cooperative::internal::SchedulerCore::current().service(cooperative::internal::io::kFilePool);
    EXPECT_NE(pool, nullptr);
  });
}

TEST_F(StaticFilesTest, WhatIsNotInMemoryIsTheSame) {
  mothreads::Thread::run("host", [this](mothreads::Signal) {
    for (const char* const name : {"root/a.txt", "root/big"}) top_.make_cold(name);
    EXPECT_EQ(get("/a.txt").body, "0123456789");
    EXPECT_EQ(get("/big").body, std::string(200'000, 'b'));
  }).join();
}

}  // namespace
}  // namespace cooperative::http
