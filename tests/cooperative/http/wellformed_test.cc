// Requests that may look odd and are right by RFC 9110 and 9112: each is taken, for what it says, in whatever pieces it comes.

#include <string>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/http/server.h"
#include "tests/cooperative/http/serving.h"

namespace cooperative::inline v0::http {
namespace {

using testing::serve;
using testing::Served;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::SizeIs;
using namespace std::string_literals;

// What a handler saw: its line, its host, its fields but for Host, its body.
struct Seen {
  std::string line, host, fields, body;
  bool operator==(const Seen&) const = default;
};

void PrintTo(const Seen& seen, std::ostream* out) { *out << seen.line << "|" << seen.host << "|" << seen.fields << "|" << seen.body; }

Seen see(Request& request) {
  Seen seen{std::string(request.method()) + " " + std::string(request.raw_path()), std::string(request.host()), "", ""};
  if (!request.query().empty()) seen.line.append("?").append(request.query());
  for (std::size_t i = 0; i < request.headers().size(); ++i) {
    const auto [name, value] = request.headers()[i];
    if (!http_iequals(name, "Host")) seen.fields.append(name).append("=").append(value).append(";");
  }
  seen.body = request.body().read_all(1000);
  return seen;
}

struct Wellformed {
  std::string name;
  std::string request;
  Seen seen;
};

void PrintTo(const Wellformed& wellformed, std::ostream* out) { *out << wellformed.name; }

class WellformedRequestTest : public ::testing::TestWithParam<std::tuple<Wellformed, std::size_t>> {};

std::string name_of(const ::testing::TestParamInfo<std::tuple<Wellformed, std::size_t>>& info) {
  const std::size_t piece = std::get<1>(info.param);
  return std::get<0>(info.param).name + (piece == std::string::npos ? "Whole" : "By" + std::to_string(piece));
}

// Twice on one connection: what comes behind it is another request.
TEST_P(WellformedRequestTest, IsTakenForWhatItSays) {
  const auto& [wellformed, piece] = GetParam();
  std::vector<Seen> seen;
  const Served served = serve(
      wellformed.request + wellformed.request,
      [&](Request& request) {
        seen.push_back(see(request));
        return Response::text(200, "");
      },
      {}, piece);
  EXPECT_THAT(served.statuses(), ElementsAre(200, 200));
  EXPECT_THAT(seen, SizeIs(2));
  EXPECT_THAT(seen, Each(wellformed.seen));
}

const auto kPieces = ::testing::Values(std::size_t{1}, std::size_t{3}, std::string::npos);

Wellformed get(const std::string& name, const std::string& target, const std::string& line, const std::string& host = "a") {
  return {name, "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n", {"GET " + line, host, "", ""}};
}

INSTANTIATE_TEST_SUITE_P(
    Targets, WellformedRequestTest,
    ::testing::Combine(
        ::testing::Values(get("TwoSlashes", "//b//c", "//b//c"), get("Dots", "/../b/./c", "/../b/./c"),
                          get("UrlInQuery", "/?u=http://b/?c", "/?u=http://b/?c"), get("EmptyQuery", "/b?", "/b"),
                          get("QuestionsInQuery", "/b??c?", "/b??c?"), get("Escapes", "/%41%2f%00?%20", "/%41%2f%00?%20"),
                          get("Signs", "/!$&'()*+,;=:@-._~", "/!$&'()*+,;=:@-._~"), get("BareSigns", "/\"<>\\^`{|}[]", "/\"<>\\^`{|}[]"),
                          get("Absolute", "http://b/c?d", "/c?d", "b"), get("AbsoluteWithoutPath", "http://b", "/", "b"),
                          get("AbsoluteWithPort", "http://b:81/", "/", "b:81"), get("AbsoluteUpperCase", "HTTP://B/", "/", "B"),
                          get("AbsoluteWithQueryAlone", "http://b?c", "/?c", "b"), get("AbsoluteAddress", "http://[::1]:80/", "/", "[::1]:80"),
                          get("AbsoluteOfTls", "https://b/", "/", "b"),
                          Wellformed{"AsteriskOfOptions", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", {"OPTIONS *", "a", "", ""}}),
        kPieces),
    name_of);

Wellformed of_method(const std::string& name, const std::string& method) {
  return {name, method + " / HTTP/1.1\r\nHost: a\r\n\r\n", {method + " /", "a", "", ""}};
}

INSTANTIATE_TEST_SUITE_P(Methods, WellformedRequestTest,
                         ::testing::Combine(::testing::Values(of_method("Delete", "DELETE"), of_method("Trace", "TRACE"), of_method("Patch", "PATCH"),
                                                              of_method("Hyphen", "M-SEARCH"), of_method("Propfind", "PROPFIND"),
                                                              of_method("BeginsAsAnother", "GETS"), of_method("BeginOfAnother", "GE"),
                                                              of_method("OneLetter", "G"), of_method("Signs", "!#$%&'*+-.^_`|~09azAZ"),
                                                              of_method("Long", std::string(500, 'M'))),
                                            kPieces),
                         name_of);

Wellformed with_fields(const std::string& name, const std::string& fields, const std::string& seen) {
  return {name, "GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n", {"GET /", "a", seen, ""}};
}

INSTANTIATE_TEST_SUITE_P(
    Fields, WellformedRequestTest,
    ::testing::Combine(
        ::testing::Values(with_fields("NoSpace", "X:y\r\n", "X=y;"), with_fields("ManySpaces", "X: \t  y \t \r\n", "X=y;"),
                          with_fields("SpacesInside", "X: y  \t z\r\n", "X=y  \t z;"), with_fields("Empty", "X:\r\n", "X=;"),
                          with_fields("SpacesAlone", "X: \t \r\n", "X=;"), with_fields("Colons", "X: :y:\r\n", "X=:y:;"),
                          with_fields("TwoColons", "X::y\r\n", "X=:y;"), with_fields("OtherThanAscii", "X: \xc3\xa4\xff\x80\r\n", "X=\xc3\xa4\xff\x80;"),
                          with_fields("NameOfSigns", "!#$%&'*+-.^_`|~9: y\r\n", "!#$%&'*+-.^_`|~9=y;"), with_fields("NameOfOneByte", "x: y\r\n", "x=y;"),
                          with_fields("Twice", "X: 1\r\nx: 2\r\nX: 1\r\n", "X=1;x=2;X=1;"), with_fields("QuotedPair", "X: \"a\\\"b\"\r\n", "X=\"a\\\"b\";"),
                          with_fields("OtherNamesOfTheFraming", "Content_Length: 3\r\nTransfer_Encoding: chunked\r\nX-Content-Length: 3\r\n",
                                      "Content_Length=3;Transfer_Encoding=chunked;X-Content-Length=3;"),
                          with_fields("UpgradeThatNobodyWants", "Connection: Upgrade\r\nUpgrade: h2c\r\n", "Connection=Upgrade;Upgrade=h2c;"),
                          Wellformed{"HostLast", "GET / HTTP/1.1\r\nX: y\r\nhOsT:a\r\n\r\n", {"GET /", "a", "X=y;", ""}}),
        kPieces),
    name_of);

Wellformed with_host(const std::string& name, const std::string& host) {
  return {name, "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n", {"GET /", host, "", ""}};
}

INSTANTIATE_TEST_SUITE_P(Hosts, WellformedRequestTest,
                         ::testing::Combine(::testing::Values(with_host("Empty", ""), with_host("Port", "a:8080"), with_host("EmptyPort", "a:"),
                                                              with_host("Address", "127.0.0.1:1"), with_host("LongAddress", "[2001:db8::1]:65535"),
                                                              with_host("AddressOfBothKinds", "[::ffff:1.2.3.4]"), with_host("Escape", "a%41b"),
                                                              with_host("Underscore", "a_b.c-d"), with_host("LastDot", "a.b.")),
                                            kPieces),
                         name_of);

Wellformed post(const std::string& name, const std::string& fields, const std::string& body, const std::string& seen) {
  std::string shown;
  for (std::size_t at = 0; at < fields.size();) {
    const std::size_t end = fields.find("\r\n", at);
    const std::size_t colon = fields.find(':', at);
    shown.append(fields, at, colon - at).append("=").append(http_trim(std::string_view(fields).substr(colon + 1, end - colon - 1))).append(";");
    at = end + 2;
  }
  return {name, "POST / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n" + body, {"POST /", "a", shown, seen}};
}

const std::string kChunked = "Transfer-Encoding: chunked\r\n";

INSTANTIATE_TEST_SUITE_P(
    Bodies, WellformedRequestTest,
    ::testing::Combine(
        ::testing::Values(post("LengthZero", "Content-Length: 0\r\n", "", ""), post("LengthWithZeros", "Content-Length: 0003\r\n", "abc", "abc"),
                          post("LengthWithSpaces", "Content-Length: \t 3 \t\r\n", "abc", "abc"), post("LengthInCapitals", "CONTENT-LENGTH:3\r\n", "abc", "abc"),
                          post("BodyLikeARequest", "Content-Length: 18\r\n", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"),
                          post("BodyOfAllBytes", "Content-Length: 4\r\n", "\0\r\n\xff"s, "\0\r\n\xff"s),
                          post("CodingInCapitals", "TRANSFER-ENCODING: CHUNKED\r\n", "3\r\nabc\r\n0\r\n\r\n", "abc"),
                          post("CodingWithSpaces", "Transfer-Encoding: \t chunked \t\r\n", "3\r\nabc\r\n0\r\n\r\n", "abc"),
                          post("ChunksInCapitals", kChunked, "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"),
                          post("ChunkSizeWithZeros", kChunked, "0000000000000003\r\nabc\r\n0000\r\n\r\n", "abc"),
                          post("ChunkSizeWithManyZeros", kChunked, "000000000000000000000000000000003\r\nabc\r\n0\r\n\r\n", "abc"),
                          post("ChunkOfEnds", kChunked, "4\r\n\r\n\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n0\r\n\r\n"),
                          post("Extensions", kChunked, "3;a;b=c;d=\"e;f\\\"\"\r\nabc\r\n0;g\r\n\r\n", "abc"),
                          post("Trailers", kChunked, "3\r\nabc\r\n0\r\nX: y\r\nDigest: z\r\n\r\n", "abc"),
                          post("HostAsTrailer", kChunked, "3\r\nabc\r\n0\r\nHost: b\r\nX:\r\n\r\n", "abc"),
                          Wellformed{"GetWithABody", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", {"GET /", "a", "Content-Length=3;", "abc"}}),
        kPieces),
    name_of);

// --- what the field Connection says ----------------------------------------------------------------------------------------------

struct Persistence {
  std::string version;
  std::string fields;
  bool is_kept;
};

TEST(ConnectionFieldTest, CloseCountsBeforeAllElse) {
  const Persistence table[] = {
      {"1.1", "Connection: close, keep-alive\r\n", false},
      {"1.1", "Connection: keep-alive, close\r\n", false},
      {"1.1", "Connection: keep-alive\r\nConnection: close\r\n", false},
      {"1.1", "Connection: close\r\nConnection: keep-alive\r\n", false},
      {"1.1", "Connection:close\r\n", false},
      {"1.1", "Connection: \tCLOSE\t \r\n", false},
      {"1.1", "Connection: ,, close ,\r\n", false},
      {"1.1", "Connection: x,close,y\r\n", false},
      {"1.1", "Connection: closed\r\n", true},
      {"1.1", "Connection: clos\r\n", true},
      {"1.1", "Connection: close-not\r\n", true},
      {"1.1", "Connection:\r\n", true},
      {"1.1", "Connection: Upgrade\r\n", true},
      {"1.1", "Proxy-Connection: close\r\n", true},
      {"1.0", "Proxy-Connection: keep-alive\r\n", false},
      {"1.0", "", false},
      {"1.0", "Connection: keep-alive\r\n", true},
      {"1.0", "Connection: x , KEEP-ALIVE\r\n", true},
      {"1.0", "Connection: keep-alive, close\r\n", false},
      {"1.0", "Connection: close\r\nConnection: keep-alive\r\n", false},
      {"1.0", "Connection: keep-alives\r\n", false},
      {"1.0", "Keep-Alive: timeout=5\r\n", false},
  };
  for (const auto& [version, fields, is_kept] : table) {
    for (const std::size_t piece : {std::size_t{1}, std::string::npos}) {
      const Served served = serve("GET / HTTP/" + version + "\r\nHost: a\r\n" + fields + "\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n", testing::say_hello, {}, piece);
      EXPECT_THAT(served.statuses(), SizeIs(is_kept ? 2 : 1)) << version << " " << fields;
    }
  }
}

}  // namespace
}  // namespace cooperative::http
