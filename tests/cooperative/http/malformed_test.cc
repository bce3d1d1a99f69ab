// What is no request, or might be taken for another: 400, the end of the connection, and never more.

#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/http/server.h"
#include "tests/cooperative/http/serving.h"

namespace cooperative::inline v0::http {
namespace {

using testing::serve;
using testing::Served;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using namespace std::string_literals;

struct Malformed {
  std::string name;
  std::string head;
  int status = 400;
};

void PrintTo(const Malformed& malformed, std::ostream* out) { *out << malformed.name; }

std::string piece_name(std::size_t piece) { return piece == std::string::npos ? "Whole" : "By" + std::to_string(piece); }

std::string name_of(const ::testing::TestParamInfo<std::tuple<Malformed, std::size_t>>& info) {
  return std::get<0>(info.param).name + piece_name(std::get<1>(info.param));
}

class MalformedRequestTest : public ::testing::TestWithParam<std::tuple<Malformed, std::size_t>> {};

TEST_P(MalformedRequestTest, IsRefusedAndNothingFollows) {
  const auto& [malformed, piece] = GetParam();
  const Served served = serve(malformed.head + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", testing::say_hello, {}, piece);
  EXPECT_THAT(served.statuses(), ElementsAre(malformed.status));
  EXPECT_THAT(served.requests, IsEmpty());
  EXPECT_THAT(served.output, HasSubstr("\r\nConnection: close\r\n"));
  EXPECT_TRUE(served.is_closed);
}

const std::string kHost = "Host: a\r\n";

INSTANTIATE_TEST_SUITE_P(
    Table, MalformedRequestTest,
    ::testing::Combine(
        ::testing::Values(
            Malformed{"NoVersion", "GET /\r\n" + kHost + "\r\n"}, Malformed{"NoTarget", "GET HTTP/1.1\r\n" + kHost + "\r\n"},
            Malformed{"OnlySpaces", "   \r\n\r\n"}, Malformed{"TwoEmptyLines", "\r\n\r\nGET / HTTP/1.1\r\n" + kHost + "\r\n"},
            Malformed{"SpaceBefore", " GET / HTTP/1.1\r\n" + kHost + "\r\n"}, Malformed{"TwoSpaces", "GET  / HTTP/1.1\r\n" + kHost + "\r\n"},
            Malformed{"SpaceInTarget", "GET /a b HTTP/1.1\r\n" + kHost + "\r\n"},
            Malformed{"SpaceBehind", "GET / HTTP/1.1 \r\n" + kHost + "\r\n"}, Malformed{"Tab", "GET\t/\tHTTP/1.1\r\n" + kHost + "\r\n"},
            Malformed{"MethodNoToken", "G@T / HTTP/1.1\r\n" + kHost + "\r\n"},
            Malformed{"LowerVersion", "GET / http/1.1\r\n" + kHost + "\r\n"}, Malformed{"LongVersion", "GET / HTTP/1.10\r\n" + kHost + "\r\n"},
            Malformed{"VersionLetters", "GET / HTTP/a.b\r\n" + kHost + "\r\n"},
            Malformed{"BareNewline", "GET / HTTP/1.1\nHost: a\n\n"}, Malformed{"BareNewlineInFields", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"},
            Malformed{"BareReturn", "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"}, Malformed{"BareReturnFirst", "GET / HTTP/1.1\rHost: a\r\n\r\n"},
            Malformed{"NulInTarget", "GET /\0 HTTP/1.1\r\n"s + kHost + "\r\n"}, Malformed{"NulInName", "GET / HTTP/1.1\r\nHost: a\r\nX\0Y: b\r\n\r\n"s},
            Malformed{"NulInValue", "GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n"s},
            Malformed{"ControlInValue", "GET / HTTP/1.1\r\nHost: a\r\nX: b\x01" "c\r\n\r\n"},
            Malformed{"DeleteInValue", "GET / HTTP/1.1\r\nHost: a\r\nX: b\x7f\r\n\r\n"},
            Malformed{"NewlineFirst", "\nGET / HTTP/1.1\r\n" + kHost + "\r\n"}, Malformed{"NulFirst", "\0GET / HTTP/1.1\r\n"s + kHost + "\r\n"},
            Malformed{"HelloOfTls", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n"s},
            Malformed{"VersionWithoutMinor", "GET / HTTP/1\r\n" + kHost + "\r\n"}, Malformed{"VersionWithoutDigit", "GET / HTTP/1.\r\n" + kHost + "\r\n"},
            Malformed{"VersionOfTwoDigits", "GET / HTTP/11.1\r\n" + kHost + "\r\n"}, Malformed{"VersionWithMore", "GET / HTTP/1.1x\r\n" + kHost + "\r\n"},
            Malformed{"OtherProtocol", "GET / HTTQ/1.1\r\n" + kHost + "\r\n"}, Malformed{"MethodAlone", "GET\r\n" + kHost + "\r\n"},
            Malformed{"MethodNotAscii", "G\xC3\x89T / HTTP/1.1\r\n" + kHost + "\r\n"}, Malformed{"MethodWithColon", "GET: / HTTP/1.1\r\n" + kHost + "\r\n"},
            Malformed{"VerticalTab", "GET\x0b/ HTTP/1.1\r\n" + kHost + "\r\n"}, Malformed{"ReturnInLine", "GET /\r HTTP/1.1\r\n" + kHost + "\r\n"},
            Malformed{"TwoReturns", "GET / HTTP/1.1\r\r\n" + kHost + "\r\n"}, Malformed{"NewlineBehindFields", "GET / HTTP/1.1\r\nHost: a\r\n\n"},
            Malformed{"ReturnBehindFields", "GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n"},
            Malformed{"TwoReturnsBehindAField", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"}, Malformed{"EscapeInValue", "GET / HTTP/1.1\r\nHost: a\r\nX: \x1b\r\n\r\n"},
            Malformed{"VerticalTabInValue", "GET / HTTP/1.1\r\nHost: a\r\nX: b\x0b" "c\r\n\r\n"}),
        ::testing::Values(std::size_t{1}, std::size_t{3}, std::string::npos)),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Fields, MalformedRequestTest,
    ::testing::Combine(
        ::testing::Values(
            Malformed{"SpaceBeforeColon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"}, Malformed{"TabBeforeColon", "GET / HTTP/1.1\r\nHost\t: a\r\n\r\n"},
            Malformed{"SpaceBeforeName", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"}, Malformed{"NoColon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"},
            Malformed{"NoName", "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n"}, Malformed{"NameNoToken", "GET / HTTP/1.1\r\nHost: a\r\nX(Y): x\r\n\r\n"},
            Malformed{"NameNotAscii", "GET / HTTP/1.1\r\nHost: a\r\nX\xC3\xA4: x\r\n\r\n"},
            Malformed{"Fold", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n"}, Malformed{"FoldByTab", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n"},
            Malformed{"EmptyFold", "GET / HTTP/1.1\r\nHost: a\r\nX:\r\n \r\n\r\n"}, Malformed{"FoldOfNothing", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n \r\n\r\n"},
            Malformed{"NoHost", "GET / HTTP/1.1\r\n\r\n"}, Malformed{"TwoHosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"},
            Malformed{"TwoHostsOldVersion", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"}, Malformed{"HostList", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"},
            Malformed{"HostPath", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"}, Malformed{"HostUser", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"},
            Malformed{"HostSpace", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"}, Malformed{"HostPort", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"},
            Malformed{"HostOnlyPort", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n"}, Malformed{"HostBracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"},
            Malformed{"HostAfterBracket", "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n"},
            Malformed{"Fragment", "GET /a#b HTTP/1.1\r\n" + kHost + "\r\n"}, Malformed{"TargetNotAscii", "GET /\xC3\xA4 HTTP/1.1\r\n" + kHost + "\r\n"},
            Malformed{"BadPercent", "GET /%zz HTTP/1.1\r\n" + kHost + "\r\n"}, Malformed{"ShortPercent", "GET /%4 HTTP/1.1\r\n" + kHost + "\r\n"},
            Malformed{"Relative", "GET a HTTP/1.1\r\n" + kHost + "\r\n"}, Malformed{"OtherScheme", "GET ftp://a/ HTTP/1.1\r\n" + kHost + "\r\n"},
            Malformed{"EmptyAuthority", "GET http:///x HTTP/1.1\r\n" + kHost + "\r\n"}, Malformed{"UserInAuthority", "GET http://u@a/x HTTP/1.1\r\n" + kHost + "\r\n"},
            Malformed{"Asterisk", "GET * HTTP/1.1\r\n" + kHost + "\r\n"},
            Malformed{"TabBeforeName", "GET / HTTP/1.1\r\n\tHost: a\r\n\r\n"}, Malformed{"SpaceInName", "GET / HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n"},
            Malformed{"TabInName", "GET / HTTP/1.1\r\nHost: a\r\nX\tY: z\r\n\r\n"}, Malformed{"QuotedName", "GET / HTTP/1.1\r\nHost: a\r\n\"X\": z\r\n\r\n"},
            Malformed{"ReturnInName", "GET / HTTP/1.1\r\nHost: a\r\nX\rY: z\r\n\r\n"}, Malformed{"ColonAlone", "GET / HTTP/1.1\r\nHost: a\r\n:\r\n\r\n"},
            Malformed{"FoldOfTheFraming", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n"},
            Malformed{"HostQuery", "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n"}, Malformed{"HostFragment", "GET / HTTP/1.1\r\nHost: a#b\r\n\r\n"},
            Malformed{"HostBackslash", "GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n"}, Malformed{"HostUrl", "GET / HTTP/1.1\r\nHost: http://a\r\n\r\n"},
            Malformed{"HostTwoPorts", "GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n"}, Malformed{"HostNegativePort", "GET / HTTP/1.1\r\nHost: a:-1\r\n\r\n"},
            Malformed{"HostLongPort", "GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n"}, Malformed{"HostEmptyBrackets", "GET / HTTP/1.1\r\nHost: []\r\n\r\n"},
            Malformed{"HostNotAscii", "GET / HTTP/1.1\r\nHost: \xC3\xA4\r\n\r\n"}, Malformed{"HostBareAddress", "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n"},
            Malformed{"HostBadPercent", "GET / HTTP/1.1\r\nHost: a%zz\r\n\r\n"}, Malformed{"HostShortPercent", "GET / HTTP/1.1\r\nHost: a%4\r\n\r\n"},
            Malformed{"HostPercentOfPort", "GET / HTTP/1.1\r\nHost: a%:80\r\n\r\n"},
            Malformed{"HostAndAbsoluteOther", "GET http://a/ HTTP/1.1\r\nHost: b c\r\n\r\n"}, Malformed{"AbsoluteWithoutHost", "GET http://a/ HTTP/1.1\r\n\r\n"},
            Malformed{"OnlyQuery", "GET ?a HTTP/1.1\r\n" + kHost + "\r\n"}, Malformed{"DotsFirst", "GET ../a HTTP/1.1\r\n" + kHost + "\r\n"},
            Malformed{"NoSlashes", "GET http:a HTTP/1.1\r\n" + kHost + "\r\n"}, Malformed{"Mailto", "GET mailto:a HTTP/1.1\r\n" + kHost + "\r\n"},
            Malformed{"AuthorityOfGet", "GET a:80 HTTP/1.1\r\n" + kHost + "\r\n"}, Malformed{"DeleteInTarget", "GET /\x7f HTTP/1.1\r\n" + kHost + "\r\n"},
            Malformed{"AbsoluteBadPort", "GET http://a:b/ HTTP/1.1\r\n" + kHost + "\r\n"}, Malformed{"AbsoluteOnlyPort", "GET http://:80/ HTTP/1.1\r\n" + kHost + "\r\n"},
            Malformed{"AbsoluteOpenBracket", "GET http://[::1/ HTTP/1.1\r\n" + kHost + "\r\n"},
            Malformed{"AbsoluteBadPercent", "GET http://a%zz/ HTTP/1.1\r\n" + kHost + "\r\n"},
            Malformed{"AsteriskWithMore", "OPTIONS *a HTTP/1.1\r\n" + kHost + "\r\n"}, Malformed{"ConnectPath", "CONNECT /a HTTP/1.1\r\n" + kHost + "\r\n"},
            Malformed{"ConnectOnlyPort", "CONNECT :443 HTTP/1.1\r\n" + kHost + "\r\n"}),
        ::testing::Values(std::size_t{1}, std::size_t{3}, std::string::npos)),
    name_of);

Malformed of_length(const std::string& name, const std::string& value) {
  return {name, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + value + "\r\n\r\n"};
}
Malformed of_coding(const std::string& name, const std::string& value, int status = 400) {
  return {name, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: " + value + "\r\n\r\n", status};
}

INSTANTIATE_TEST_SUITE_P(
    Framing, MalformedRequestTest,
    ::testing::Combine(
        ::testing::Values(
            Malformed{"LengthAndChunked", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"},
            Malformed{"ChunkedAndLength", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"},
            Malformed{"TwoLengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n"},
            Malformed{"SameLengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n"},
            Malformed{"LengthList", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n"},
            Malformed{"NegativeLength", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"},
            Malformed{"SignedLength", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n"},
            Malformed{"HexLength", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\n"},
            Malformed{"EmptyLength", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n"},
            Malformed{"HugeLength", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n"},
            Malformed{"LengthWithMore", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3 4\r\n\r\n"},
            Malformed{"TwoCodings", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"},
            Malformed{"ChunkedTwice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"},
            Malformed{"ChunkedNotLast", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n"},
            Malformed{"OtherCoding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"},
            Malformed{"CodedAndChunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
            Malformed{"CodingWithVerticalTab", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0b" "chunked\r\n\r\n"},
            Malformed{"QuotedCoding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n"},
            Malformed{"EmptyCoding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n"},
            Malformed{"ChunkedInOldVersion", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"},
            of_length("LengthLetters", "3a"), of_length("LengthPoint", "3.0"), of_length("LengthExponent", "1e1"), of_length("LengthListOpen", "3,"),
            of_length("LengthListBegins", ",3"), of_length("LengthParameter", "3;x"), of_length("LengthQuoted", "\"3\""), of_length("LengthSpaces", " \t "),
            of_length("LengthNegativeZero", "-0"), of_length("LengthLong", std::string(400, '9')), of_length("LengthVerticalTab", "\x0b" "3"),
            of_length("LengthNotAscii", "\xD9\xA3"), of_length("LengthUnderscore", "1_0"), of_length("LengthNul", "3\0"s), of_length("LengthTab", "3\t3"),
            of_length("EmptyLengthAndAnother", "\r\nContent-Length: 3"), of_length("LengthsOfOtherCase", "3\r\ncontent-LENGTH: 4"),
            of_length("LengthZeroAndChunked", "0\r\nTransfer-Encoding: chunked"), of_coding("CodingBegins", "chunke"), of_coding("CodingLonger", "chunkedx"),
            of_coding("CodingWithAPrefix", "xchunked"), of_coding("CodingParameter", "chunked;q=1", 501), of_coding("CodingNul", "chunked\0"s),
            of_coding("CodingIdentity", "identity"), of_coding("CodingSpace", "chun ked"), of_coding("CodingNewline", "chunked\nX: y"),
            of_coding("CodingFormFeed", "chunked\x0c"), of_coding("CodingTwoFields", "gzip\r\nTransfer-Encoding: chunked"),
            of_coding("CodingEmptyAndAnother", "\r\nTransfer-Encoding: chunked"), of_coding("CodingNotAscii", "chunk\xC3\xA9" "d")),
        ::testing::Values(std::size_t{1}, std::size_t{3}, std::string::npos)),
    name_of);

// Well-formed, and not to be had.
INSTANTIATE_TEST_SUITE_P(
    NotTaken, MalformedRequestTest,
    ::testing::Combine(::testing::Values(Malformed{"NextVersion", "GET / HTTP/2.0\r\n" + kHost + "\r\n", 505},
                                         Malformed{"OldestVersion", "GET / HTTP/0.9\r\n" + kHost + "\r\n", 505},
                                         Malformed{"Preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
                                         Malformed{"Connect", "CONNECT a:443 HTTP/1.1\r\n" + kHost + "\r\n", 501},
                                         Malformed{"Expectation", "GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", 417}),
                       ::testing::Values(std::size_t{1}, std::size_t{3}, std::string::npos)),
    name_of);

// --- bodies in chunks that are none -------------------------------------------------------------------------------------------

class MalformedChunkTest : public MalformedRequestTest {};

TEST_P(MalformedChunkTest, IsRefusedAndNothingFollows) {
  const auto& [malformed, piece] = GetParam();
  const Served served = serve("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + malformed.head + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
                              [](Request& request) { return Response::text(200, request.body().read_all(1000)); }, {}, piece);
  EXPECT_THAT(served.statuses(), ElementsAre(400));
  EXPECT_THAT(served.requests, ElementsAre("POST /"));
  EXPECT_THAT(served.output, HasSubstr("\r\nConnection: close\r\n"));
  EXPECT_TRUE(served.is_closed);
}

INSTANTIATE_TEST_SUITE_P(
    Table, MalformedChunkTest,
    ::testing::Combine(
        ::testing::Values(
            Malformed{"NoSize", "x\r\n"}, Malformed{"Empty", "\r\n"}, Malformed{"Negative", "-1\r\nabc\r\n0\r\n\r\n"},
            Malformed{"BareNewline", "3\nabc\n0\n\n"}, Malformed{"TooMuch", "3\r\nabcd\r\n0\r\n\r\n"},
            Malformed{"NoEndOfLine", "3\r\nabc0\r\n\r\n"}, Malformed{"Plus", "+3\r\nabc\r\n0\r\n\r\n"},
            Malformed{"Prefix", "0x3\r\nabc\r\n0\r\n\r\n"}, Malformed{"TwoSizes", "3 4\r\nabc\r\n0\r\n\r\n"},
            Malformed{"Huge", "10000000000000000\r\nabc\r\n0\r\n\r\n"}, Malformed{"BareReturnBehind", "3\r\nabc\r0\r\n\r\n"},
            Malformed{"BareReturn", "3\rabc\r\n0\r\n\r\n"}, Malformed{"ControlInExtension", "3;a=\x01\r\nabc\r\n0\r\n\r\n"},
            Malformed{"NewlineInQuotes", "3;a=\"\n\"\r\nabc\r\n0\r\n\r\n"}, Malformed{"NulInQuotes", "3;a=\"\0\"\r\nabc\r\n0\r\n\r\n"s},
            Malformed{"ReturnInQuotes", "3;a=\"\r\"\r\nabc\r\n0\r\n\r\n"}, Malformed{"DeleteInQuotes", "3;a=\"\x7f\"\r\nabc\r\n0\r\n\r\n"},
            Malformed{"EscapedNewline", "3;a=\"\\\n\"\r\nabc\r\n0\r\n\r\n"}, Malformed{"OpenQuotes", "3;a=\"b\r\nabc\r\n0\r\n\r\n"},
            Malformed{"EscapedLastQuote", "3;a=\"b\\\"\r\nabc\r\n0\r\n\r\n"}, Malformed{"NewlineInName", "3;a\nb\r\nabc\r\n0\r\n\r\n"},
            Malformed{"NulBehindSize", "3\0\r\nabc\r\n0\r\n\r\n"s}, Malformed{"OpenQuotesOfTheLast", "3\r\nabc\r\n0;a=\"\r\n\r\n"},
            Malformed{"NewlineInTheLast", "3\r\nabc\r\n0;a=\"\n\"\r\n\r\n"}, Malformed{"ExtensionAlone", ";a=b\r\nabc\r\n0\r\n\r\n"},
            Malformed{"BadTrailer", "3\r\nabc\r\n0\r\nBad Trailer\r\n\r\n"},
            Malformed{"LengthAsTrailer", "3\r\nabc\r\n0\r\nContent-Length: 3\r\n\r\n"},
            Malformed{"CodingAsTrailer", "3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"},
            Malformed{"LongExtension", "3;" + std::string(9000, 'a') + "\r\nabc\r\n0\r\n\r\n"},
            Malformed{"SpaceBeforeSize", " 3\r\nabc\r\n0\r\n\r\n"}, Malformed{"TabBeforeSize", "\t3\r\nabc\r\n0\r\n\r\n"},
            Malformed{"SpaceBehindSize", "3 \r\nabc\r\n0\r\n\r\n"}, Malformed{"SizeLetters", "3g\r\nabc\r\n0\r\n\r\n"},
            Malformed{"SizeNotAscii", "\xC3\xA4\r\nabc\r\n0\r\n\r\n"}, Malformed{"SizeComma", "3,\r\nabc\r\n0\r\n\r\n"},
            Malformed{"SizeUnderscore", "0_3\r\nabc\r\n0\r\n\r\n"}, Malformed{"SizePoint", "3.0\r\nabc\r\n0\r\n\r\n"},
            Malformed{"SizeSmallerThanItsData", "2\r\nabc\r\n0\r\n\r\n"}, Malformed{"TwoReturnsBehindSize", "3\r\r\nabc\r\n0\r\n\r\n"},
            Malformed{"NewlineBehindData", "3\r\nabc\n0\r\n\r\n"}, Malformed{"NewlineOfTheLast", "3\r\nabc\r\n0\n\r\n"},
            Malformed{"NewlinesOfTheLast", "3\r\nabc\r\n0\r\n\n"}, Malformed{"DataOfTheLast", "3\r\nabc\r\n0\r\nabc\r\n\r\n"},
            Malformed{"NoEndOfTheLast", "3\r\nabc\r\n0\r\n"}, Malformed{"NewlineInTrailers", "3\r\nabc\r\n0\r\nX: y\nZ: w\r\n\r\n"},
            Malformed{"NulInTrailers", "3\r\nabc\r\n0\r\nX: \0\r\n\r\n"s}, Malformed{"FoldInTrailers", "3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n"},
            Malformed{"EmptyFoldInTrailers", "3\r\nabc\r\n0\r\nX:\r\n \r\n\r\n"}, Malformed{"FoldBeforeTrailers", "3\r\nabc\r\n0\r\n\tX: y\r\n\r\n"},
            Malformed{"SpaceInTrailers", "3\r\nabc\r\n0\r\nX : y\r\n\r\n"}, Malformed{"ReturnInTrailers", "3\r\nabc\r\n0\r\nX: y\rZ: w\r\n\r\n"},
            Malformed{"LongTrailer", "3\r\nabc\r\n0\r\nX: " + std::string(9000, 'a') + "\r\n\r\n"}),
        ::testing::Values(std::size_t{1}, std::size_t{7}, std::string::npos)),
    name_of);

// What the quotes of an extension may have.
TEST(ChunkExtensionTest, IsPassedOver) {
  for (const std::string& line : {"3;a=\"b c\""s, "3;a=\"\\\"\""s, "3;a=\"\\\\\""s, "3;a=\"\t;=\xc3\xa4\""s, "3;a;b=c;d=\"\""s, "3 ; a"s, "3; a = b"s}) {
    for (const std::size_t piece : {std::size_t{1}, std::string::npos}) {
      const Served served =
          serve("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + line + "\r\nabc\r\n0;z=\"y\"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
                [](Request& request) { return Response::text(200, request.body().read_all(1000)); }, {}, piece);
      EXPECT_THAT(served.statuses(), ElementsAre(200, 200)) << line;
    }
  }
}

// A chunk that cannot be one is refused at once: nothing else has to come.
TEST(MalformedChunkSilenceTest, IsRefusedBeforeMoreComes) {
  for (const std::string& chunk : {"x"s, "-"s, " "s, "3g"s, "3 4"s, "3;a=\"b\r\n"s, "3;a=\"\n"s, "3;\0"s, "3\r\nabcX"s}) {
    const Served served = serve("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk,
                                [](Request& request) { return Response::text(200, request.body().read_all(1000)); }, {}, std::string::npos,
                                testing::ScriptedStream::Then::silence);
    EXPECT_THAT(served.statuses(), ElementsAre(400)) << chunk;
  }
}

// Methods are the handler's own, also those that nobody has named.
TEST(UnknownMethodTest, ReachesTheHandler) {
  for (const std::string& method : {"QUERY"s, "BREW"s, "get"s, "X-1.2!"s}) {
    for (const std::size_t piece : {std::size_t{1}, std::string::npos}) {
      const Served served = serve(method + " /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
                                  [](Request& request) { return Response::text(200, request.body().read_all(10)); }, {}, piece);
      EXPECT_THAT(served.requests, ElementsAre(method + " /a"));
      EXPECT_THAT(served.output, ::testing::EndsWith("\r\n\r\nabc"));
    }
  }
}

// The handler has answered before it is seen: then there is no second answer.
TEST(MalformedChunkAfterAnswerTest, EndsTheConnection) {
  const Served served = serve("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(served.statuses(), ElementsAre(200));
  EXPECT_THAT(served.requests, ElementsAre("POST /"));
  EXPECT_TRUE(served.is_closed);
}

}  // namespace
}  // namespace cooperative::http
