#include "mothreads/internal/aliens.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>

#include "mothreads/contexts/thread_context.h"

namespace mothreads::internal {
namespace {

constinit AlienHooks hooks;

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

void give_back(ThreadContext& context) {
  if (hooks.ended != nullptr && context.node != nullptr) hooks.ended(context);
  if (Context::current_or_null() == &context) Context::set_current(nullptr);
  ThreadContext::release(context);
}

// By a key of the C library, whose functions come after the destructors of thread_local objects, so that those may still use the
// library. For the main thread it is not called.
pthread_key_t end_key() {
  static const pthread_key_t key = [] {
    pthread_key_t made{};
    const int error = pthread_key_create(&made, [](void* pointer) {
      auto* alien = static_cast<Alien*>(pointer);
      give_back(alien->context);
      delete alien;
    });
    if (error != 0) throw std::system_error(error, std::generic_category(), "cannot make the key for threads' ends");
    return made;
  }();
  return key;
}

}  // namespace

void set_alien_hooks(const AlienHooks& installed) { hooks = installed; }

LibraryThread::LibraryThread(const char* name) : context_(ThreadContext::acquire()) {
  context_.name = name;
  context_.must_not_block = true;
  Context::set_current(&context_);
  if (hooks.adopted != nullptr) hooks.adopted(context_);
}

LibraryThread::~LibraryThread() { give_back(context_); }

Context& Context::adopt_alien() {
  ThreadContext& context = ThreadContext::acquire();
  set_current(&context);
  if (syscall(SYS_gettid) == getpid()) {
    context.name = "main";  // as long as the process: it may exit() after its thread_local objects are gone
  } else {
    auto* alien = new Alien{context, name_of_this_thread()};
    context.name = alien->name.c_str();
    pthread_setspecific(end_key(), alien);
  }
  if (hooks.adopted != nullptr) hooks.adopted(context);
  return context;
}

}  // namespace mothreads::internal
