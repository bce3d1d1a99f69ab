#pragma once

// Makes any further system call of the calling thread end the program by SIGSYS. For the child of a death test. Under a
// sanitizer, whose runtime calls the system whenever it likes, it does nothing, and the test checks the rest of what it says:
//
//     EXPECT_EXIT({ refuse_system_calls(); work(); leave(0); }, ::testing::ExitedWithCode(0), "");

namespace mothreads::inline v0::testing {

void refuse_system_calls();

// The one way out.
[[noreturn]] void leave(int status);

}  // namespace mothreads::testing
