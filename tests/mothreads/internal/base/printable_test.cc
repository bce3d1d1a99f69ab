#include "mothreads/internal/base/printable.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <string>
#include <string_view>

#include "mothreads/thread.h"

namespace mothreads::inline v0::internal {
namespace {

using namespace std::string_view_literals;

TEST(PrintableTest, WhatCanBePrintedStays) {
  EXPECT_EQ(printable(""), "");
  EXPECT_EQ(printable("plain ~text\\n"), "plain ~text\\n");
  EXPECT_EQ(printable("Gr\xc3\xbc\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\x98\x80"), "Gr\xc3\xbc\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\x98\x80");
}

TEST(PrintableTest, ControlCharactersAreEscaped) {
  EXPECT_EQ(printable("a\nb\rc\td\x1b[0m\x7f"), "a\\nb\\rc\\td\\x1b[0m\\x7f");
  EXPECT_EQ(printable("a\0b"sv), "a\\x00b");
  EXPECT_EQ(printable("\xc2\x85|\xc2\x9f|\xc2\xa0"), "\\xc2\\x85|\\xc2\\x9f|\xc2\xa0");  // U+0085, U+009F, U+00A0
  EXPECT_EQ(printable("\xe2\x80\xa8|\xe2\x80\xa9|\xe2\x80\xaa"), "\\xe2\\x80\\xa8|\\xe2\\x80\\xa9|\xe2\x80\xaa");
}

TEST(PrintableTest, WhatIsNoUtf8IsEscapedByteForByte) {
  EXPECT_EQ(printable("\xc3"), "\\xc3");
  EXPECT_EQ(printable("\xe2\x82"), "\\xe2\\x82");
  EXPECT_EQ(printable("\xf0\x9f\x98x"), "\\xf0\\x9f\\x98x");
  EXPECT_EQ(printable("\x80\xff\xfe"), "\\x80\\xff\\xfe");
  EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf");                  // longer than needed
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");         // half a pair
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // past the last
}

TEST(PrintableTest, KeptNewlinesAreContinued) {
  EXPECT_EQ(printable("a\nb\r\n", Newlines::kept), "a\n    | b\\r\n    | ");
}

TEST(PrintableTest, AKernelNameHas15BytesWithoutHalfACharacter) {
  const auto name = [](std::string_view text) { return std::string(kernel_name(text).data()); };
  EXPECT_EQ(name("short"), "short");
  EXPECT_EQ(name("123456789012345"), "123456789012345");
  EXPECT_EQ(name("1234567890123456"), "123456789012345");
  EXPECT_EQ(name("12345678901234\xc3\xa9"), "12345678901234");
  EXPECT_EQ(name("1234567890123\xc3\xa9"), "1234567890123\xc3\xa9");
  EXPECT_EQ(name("123456789012\xf0\x9f\x98\x80"), "123456789012");
  EXPECT_EQ(name("a\nb\0c\xc3"sv), "a?b?c?");
}

std::string kernel_name_of_thread(std::string_view name) {
  return Thread::run(name, [](Signal) {
           char its[16] = "";
           pthread_getname_np(pthread_self(), its, sizeof its);
           return std::string(its);
         }).join();
}

TEST(PrintableTest, AThreadHasSuchAName) {
  EXPECT_EQ(kernel_name_of_thread("line\nbreak"), "line?break");
  EXPECT_EQ(kernel_name_of_thread("12345678901234\xc3\xa9"), "12345678901234");
}

}  // namespace
}  // namespace mothreads::internal
