#include "docs/examples/relay/screen.h"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <system_error>

#include <gtest/gtest.h>

namespace relay {
namespace {

// A file whose content can be looked at.
class Memory {
 public:
  Memory() : file_(open_memstream(&text_, &size_)) {}
  ~Memory() {
    std::fclose(file_);
    std::free(text_);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  std::FILE* file() const { return file_; }
  std::string text() const {
    std::fflush(file_);
    return {text_, size_};
  }

 private:
  char* text_ = nullptr;
  std::size_t size_ = 0;
  std::FILE* file_;
};

const Second kSecond{.number = 7, .rows = {{.count = 2, .least = -1.5, .sum = 1, .greatest = 2.5}, {}, {.count = 1, .least = 3, .sum = 3, .greatest = 3}}};

TEST(Screen, TableHasALineForEachSensor) {
  EXPECT_EQ(table(kSecond),
            "second 7\n"
            "sensor  readings     least      mean  greatest\n"
            "     1         2     -1.50      0.50      2.50\n"
            "     2         -         -         -         -\n"
            "     3         1      3.00      3.00      3.00\n");
}

TEST(Screen, LinesAreForSensorsWithReadings) {
  EXPECT_EQ(lines(kSecond),
            "second 7, sensor 1: 2 readings, -1.50 to 2.50, mean 0.50\n"
            "second 7, sensor 3: 1 reading, 3.00 to 3.00, mean 3.00\n");
  EXPECT_EQ(lines({.number = 1, .rows = {{}}}), "");
}

TEST(Screen, InItsPlaceATableReplacesTheOneBefore) {
  Memory terminal;
  Screen screen(terminal.file(), terminal.file(), true);
  screen.show(kSecond);
  screen.show(kSecond);
  EXPECT_EQ(terminal.text(), table(kSecond) + "\r\x1b[5A\x1b[J" + table(kSecond));
}

TEST(Screen, InItsPlaceAMessageGoesAboveTheTable) {
  Memory terminal;
  Screen screen(terminal.file(), terminal.file(), true);
  screen.message("first");
  screen.show(kSecond);
  screen.message("second");
  EXPECT_EQ(terminal.text(), "relay: first\n" + table(kSecond) + "\r\x1b[5A\x1b[Jrelay: second\n" + table(kSecond));
}

TEST(Screen, ATableThatIsKeptStaysAboveWhatFollows) {
  Memory terminal;
  Screen screen(terminal.file(), terminal.file(), true);
  screen.show(kSecond);
  screen.keep_table();
  screen.message("the end");
  EXPECT_EQ(terminal.text(), table(kSecond) + "relay: the end\n");
}

TEST(Screen, ElsewhereThereAreNoControlCharacters) {
  Memory output;
  Memory messages;
  Screen screen(output.file(), messages.file(), false);
  screen.show(kSecond);
  screen.message("hello");
  screen.show(kSecond);
  EXPECT_EQ(output.text(), lines(kSecond) + lines(kSecond));
  EXPECT_EQ(messages.text(), "relay: hello\n");
}

TEST(Screen, AFullDiskIsAnError) {
  std::FILE* const full = std::fopen("/dev/full", "w");
  ASSERT_NE(full, nullptr);
  Memory messages;
  Screen screen(full, messages.file(), false);
  EXPECT_THROW(screen.show(kSecond), std::system_error);
  std::fclose(full);
}

}  // namespace
}  // namespace relay
