#pragma once

// Threads that the library did not make get a context at their first call, and give it back when they end; so do the threads
// that serve the library. What else such a thread gets is for the shutdown tree to say, where a program has one.

namespace mothreads::internal {

class ThreadContext;

struct AlienHooks {
  void (*adopted)(ThreadContext& context) = nullptr;  // it has a name already
  void (*ended)(ThreadContext& context) = nullptr;    // not called for the main thread
};

void set_alien_hooks(const AlienHooks& hooks);

// The calling thread serves the library, in this scope: then() functions run on it, and nothing may block it.
class LibraryThread {
 public:
  explicit LibraryThread(const char* name);  // which must stay valid
  ~LibraryThread();
  LibraryThread(const LibraryThread&) = delete;
  LibraryThread& operator=(const LibraryThread&) = delete;

 private:
  ThreadContext& context_;
};

}  // namespace mothreads::internal
