#pragma once

// Whether this program runs under a sanitizer, which makes it slower and calls the system on its own.

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MOTHREADS_TESTS_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MOTHREADS_TESTS_SANITIZED
#endif
#endif

namespace mothreads::inline v0::testing {

#ifdef MOTHREADS_TESTS_SANITIZED
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace mothreads::testing
