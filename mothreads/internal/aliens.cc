#include "mothreads/internal/aliens.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "mothreads/internal/base/made_once.h"
#include "mothreads/internal/wait/host.h"
#include "mothreads/internal/wait/thread_context.h"

namespace mothreads::inline v0::internal {
namespace {

#if defined(__SANITIZE_THREAD__)
#define MOTHREADS_TSAN
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MOTHREADS_TSAN
#endif
#endif

// So often the C library calls the destructors of a thread's keys, as long as they set some again. ThreadSanitizer needs the last for itself:
// code that it has instrumented cannot run in that any more.
#ifdef MOTHREADS_TSAN
constexpr int kLastRound = PTHREAD_DESTRUCTOR_ITERATIONS - 1;
#else
constexpr int kLastRound = PTHREAD_DESTRUCTOR_ITERATIONS;
#endif
constinit thread_local int round_of_end = 0;

struct Alien {
  ThreadContext& context;
  const std::string name;
};

std::string name_of_this_thread() {
  char os_name[16] = "";
  pthread_getname_np(pthread_self(), os_name, sizeof os_name);
  // A thread that nobody named goes by the program's name.
  const std::string_view of_program = std::string_view(program_invocation_short_name).substr(0, 15);
  if (os_name[0] != '\0' && os_name != of_program) return os_name;
  return "Unknown Thread " + std::to_string(syscall(SYS_gettid));
}

// What its host still runs ends here, too.
void give_back(ThreadContext& context) {
  if (context.host != nullptr) context.host->thread_ends();
  if (&tree_hooks != nullptr && context.node != nullptr) tree_hooks.ended(context);
  Context::set_current(nullptr);
  ThreadContext::release(context);
}

pthread_key_t end_key();

// A round of the end. The key is set again each time, so that the rounds are counted.
void end_round(void* pointer) {
  ++round_of_end;
  auto* const alien = static_cast<Alien*>(pointer);
  if (round_of_end < kLastRound) pthread_setspecific(end_key(), &round_of_end);
  if (pointer == &round_of_end) return;
  Context::set_current(&alien->context);
  give_back(alien->context);
  alien_here = nullptr;
  delete alien;
}

// By a key of the C library, whose functions come after the destructors of thread_local objects, so that those may still use the
// library, as may the functions of other keys. For the main thread it is not called.
constinit MadeOnce<const pthread_key_t> made_key;
pthread_key_t end_key() {
  return made_key.get([] {
    pthread_key_t key{};
    const int error = pthread_key_create(&key, end_round);
    if (error != 0) throw std::system_error(error, std::generic_category(), "cannot make the key for threads' ends");
    return new const pthread_key_t(key);
  });
}

}  // namespace

void forget_alien() noexcept {
  pthread_setspecific(end_key(), nullptr);
  alien_here = nullptr;
}

ThreadContext* unknown_thread_here() noexcept {
  if (Context::current_or_null() == nullptr) [[unlikely]] {
    try {
      static_cast<void>(Context::current());
    } catch (...) {
      return nullptr;
    }
  }
  ThreadContext* const alien = alien_here;
  return alien != nullptr && Context::current_or_null() == alien && alien->is_unknown() ? alien : nullptr;
}

LibraryThread::LibraryThread(const char* name) : context_(ThreadContext::acquire()) {
  context_.set_name(name);
  context_.care.must_not_block = true;
  Context::set_current(&context_);
  if (&tree_hooks != nullptr) tree_hooks.adopted(context_);
}

LibraryThread::~LibraryThread() { give_back(context_); }

// Where there is no memory for it, the thread has no context, as before.
Context& Context::adopt_alien() {
  ThreadContext& context = ThreadContext::acquire();
  set_current(&context);
  absl::Cleanup undo = [&context] {
    set_current(nullptr);
    ThreadContext::release(context);
  };
  std::unique_ptr<Alien> alien;
  pthread_key_t key{};
  if (syscall(SYS_gettid) == getpid()) {
    context.set_name("main");  // as long as the process: it may exit() after its thread_local objects are gone
  } else {
    key = end_key();
    alien.reset(new Alien{context, name_of_this_thread()});
    context.set_name(alien->name.c_str());
    context.care.has_no_end = round_of_end >= kLastRound;
  }
  if (&tree_hooks != nullptr) tree_hooks.adopted(context);
  std::move(undo).Cancel();
  if (alien != nullptr) {
    pthread_setspecific(key, alien.release());
    context.set_alien();
    alien_here = &context;
  }
  return context;
}

}  // namespace mothreads::internal
