#pragma once

// The end of a program of fibers.
//
//     int main() {
//       auto server = co::spawn("server", serve);
//       co::wait_for_quit();                        // Ctrl-C, or somebody calls co::quit()
//     }                                             // leaving the scope stops the server
//
// It is the end of the whole program: quit() asks the main thread to stop, as SIGINT and SIGTERM do (but without a drain), and so all threads and fibers below
// it, newest first, within stop_deadline(). A fiber whose function takes no please_stop is cancelled then. To end one's own loop only,
// wait for a Signal or an Event. Thread safety: both may be called from any thread and any fiber.

#include "mothreads/until.h"

namespace cooperative::inline v0 {

// Never waits; once more changes nothing.
void quit();

// Waits until the program is asked to stop, by quit(), MainThread::stop() or a signal; suspends only the fiber that waits. At once when
// that has happened. When the limit comes first throws Timedout. In a program without MainThread::run it takes SIGINT and SIGTERM, from
// the first call on until the program ends; inside run() its options say who does.
void wait_for_quit(const mothreads::Until& until = {});

}  // namespace cooperative
