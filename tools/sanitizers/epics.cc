// For programs that use EPICS, in the sanitizers' builds; else this file is empty.
//
// libCom keeps a record of each thread that makes or destroys a context of libca, for ever. And it detaches threads that it has joined, or that have ended, which the runtime takes for an error of its own and ends the program. What stays
// undetached is a few threads' memory, which a program of a test can spare.

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MO_ADDRESS_SANITIZER
#endif
#if __has_feature(thread_sanitizer)
#define MO_THREAD_SANITIZER
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define MO_THREAD_SANITIZER
#endif

#if defined(__SANITIZE_ADDRESS__)
#define MO_ADDRESS_SANITIZER
#endif

#if defined(MO_ADDRESS_SANITIZER)

extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:createImplicit\n"; }

#elif defined(MO_THREAD_SANITIZER)

#include <pthread.h>

extern "C" int pthread_detach(pthread_t) noexcept { return 0; }

#endif
