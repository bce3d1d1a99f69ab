#pragma once

// The time that a test has before it counts as a deadlock begins anew: for a test that does many things, one after the other, each
// of which has that time.

namespace mothreads::inline v0::testing {

void restart_watchdog();

}  // namespace mothreads::testing
