#include "cooperative/io/whole_file.h"

#include <sys/stat.h>

#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/io/file.h"
#include "cooperative/io/io_error.h"
#include "mothreads/signal.h"
#include "tests/cooperative/io/on_file_host.h"
#include "tests/support/exceptions.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::DONE;
using mothreads::testing::what_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class WholeFileTest : public testing::OnFileHost {};

TEST_P(WholeFileTest, AWholeFileHasALimit) {
  on_host([this] {
    const std::string text(10'000, 'x');
    write_file_atomically(path(), text, {.sync = false});
    EXPECT_EQ(read_file(path(), 10'000), text);
    EXPECT_THAT(what_of<TooLong>([&] { read_file(path(), 9'999); }), HasSubstr("more than 9999 bytes"));
    write_file_atomically(path(), "", {.sync = false});
    EXPECT_EQ(read_file(path(), 0), "");
  });
}

TEST_P(WholeFileTest, AFileIsReplacedAsAWhole) {
  on_host([this] {
    write_file_atomically(path(), "old", {.permissions = 0600});
    File reader = File::open(path());
    write_file_atomically(path(), "new content", {.permissions = 0640});
    EXPECT_EQ(*reader.read_all(100), "old") << "who has it open has what it was";
    EXPECT_EQ(read_file(path(), 100), "new content");
    struct stat status {};
    ASSERT_EQ(stat(path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0640u);
    EXPECT_THAT(names(), ElementsAre("file"));
  });
}

TEST_P(WholeFileTest, AReplacementThatFailsLeavesNothing) {
  on_host([this] {
    std::filesystem::create_directory(path("taken"));
    EXPECT_THAT(what_of<IoError>([&] { write_file_atomically(path("taken"), "x"); }), HasSubstr("cannot write it: Is a directory"));
    EXPECT_THAT(what_of<IoError>([&] { write_file_atomically(path("none/file"), "x"); }), HasSubstr("No such file or directory"));
    EXPECT_THAT(names(), ElementsAre("taken"));
  });
}

// A call that another thread has begun before it could be withdrawn goes on to its end, and counts.
TEST_P(WholeFileTest, AfterALimitItIsTheOldOneOrTheNew) {
  on_host([this] {
    write_file_atomically(path(), "old", {.sync = false});
    bool was_withdrawn = false;
    try {
      write_file_atomically(path(), "new", {.sync = false}, DONE);
    } catch (const Stopped&) {
      was_withdrawn = true;
    }
    EXPECT_EQ(read_file(path(), 100), was_withdrawn ? "old" : "new");
    EXPECT_THAT(names(), ElementsAre("file"));
  });
}

INSTANTIATE_TEST_SUITE_P(Ways, WholeFileTest, ::testing::Bool(), [](const auto& ring) { return ring.param ? "with_io_uring" : "without"; });

}  // namespace
}  // namespace cooperative
