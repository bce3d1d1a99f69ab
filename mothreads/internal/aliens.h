#pragma once

// Threads that the library did not make get a context at their first call, and give it back when they end; so do the threads
// that serve the library. What else such a thread gets is for the shutdown tree to say, where a program has one.

namespace mothreads::inline v0::internal {

class ThreadContext;

struct AlienHooks {
  void (*adopted)(ThreadContext& context);  // it has a name already
  void (*ended)(ThreadContext& context);    // not called for the main thread
};

// The tree's, where a program has one: a weak symbol, since static objects of the program's may be made before any of the library's.
extern const AlienHooks tree_hooks __attribute__((weak));

// The context of the calling thread, where that is one that the library did not make, as long as it has it; else null. The main thread is
// the library's.
inline constinit thread_local ThreadContext* alien_here = nullptr;

// The same, where nothing has registered the thread and the caller is no fiber; a thread that has no context yet gets one. Null elsewhere, also
// where there is no memory for that.
ThreadContext* unknown_thread_here() noexcept;

// In a child of fork(): the calling thread is its main thread now.
void forget_alien() noexcept;

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
