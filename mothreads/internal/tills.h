#pragma once

// What MainThread does to all Tills of the process.

namespace mothreads::inline v0::internal {

// Makes every Till that exists go now, on every clock; in a simulation on that one's. Their then() functions run in the caller.
void send_tills_early();

// From now on new Tills are DONE, or are not any more.
void set_tills_ended(bool ended);

}  // namespace mothreads::internal
