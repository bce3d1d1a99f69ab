#pragma once

// Makes a thread that the library did not start known to it, within a scope.
//
//     void on_foreign_thread() {
//       RegisterThread registered("camera driver");
//       ... registered.please_stop() goes when the main thread is asked to stop, which then waits for the end of this scope
//     }
//
// The thread has a name and is a child of the main thread; what it starts inside the scope is stopped and waited for at the
// scope's end. Without it a foreign thread can still wait, log and use queues, but nobody waits for it.
// Throws Misuse on a thread that the library knows already, and on one of the library's own.

#include <string_view>

#include "mothreads/thread.h"

namespace mothreads::inline v0 {

class [[nodiscard]] RegisterThread {
 public:
  // Without a name the thread's own is used, as the system knows it.
  [[nodiscard]] explicit RegisterThread(std::string_view name = {});
  ~RegisterThread();
  RegisterThread(const RegisterThread&) = delete;
  RegisterThread& operator=(const RegisterThread&) = delete;

  Thread thread() const { return Thread(node_, internal::kAccess); }
  const Signal& please_stop() const { return node_->please_stop(); }

 private:
  internal::Ref<internal::Node> node_;
  internal::Node* before_;
  const char* name_before_;
};

}  // namespace mothreads
