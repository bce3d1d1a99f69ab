#pragma once

// The templates of thread.h.

#include "mothreads/internal/start_thread.h"
#include "mothreads/thread.h"

namespace mothreads::inline v0 {

namespace internal {

// A thread that has not been started.
template <typename F, typename... Args>
auto make_thread(const ThreadOptions& options, F&& function, Args&&... args) {
  constexpr bool takes_please_stop = std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>..., Signal>;
  constexpr bool forgets_ref = !takes_please_stop && std::is_invocable_v<std::decay_t<F>, std::remove_reference_t<Args>&..., Signal>;
  static_assert(!forgets_ref,
                "the thread's function takes a reference, and an argument would be a copy that is the thread's own: pass std::ref(x) "
                "for the caller's x, or let the function take it by value");
  static_assert(takes_please_stop || forgets_ref,
                "a thread's function must take please_stop, for signalling shutdown: add `Signal please_stop` as its last "
                "parameter, after those that you pass to Thread::run, and return soon after it goes");
  if constexpr (takes_please_stop) {
    using R = std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>..., Signal>;
    Signal please_stop = please_stop_for(options);
    absl::AnyInvocable<R()> bound;
    // Without arguments no tuple is made of them: every thread's function would be compiled longer.
    if constexpr (sizeof...(Args) == 0) {
      bound = [f = std::decay_t<F>(std::forward<F>(function)), please_stop]() mutable -> R {
        return std::invoke(std::move(f), std::move(please_stop));
      };
    } else {
      bound = [f = std::decay_t<F>(std::forward<F>(function)), a = std::tuple<std::decay_t<Args>...>(std::forward<Args>(args)...),
               please_stop]() mutable -> R {
        return std::apply(
            [&](auto&... arg) -> R { return std::invoke(std::move(f), std::move(arg)..., std::move(please_stop)); }, a);
      };
    }
    return Ref<ThreadState<R>>::adopt(new ThreadState<R>(options.name, please_stop, Clock::current(), std::move(bound)));
  }
}

template <typename R>
ThreadHandle<R> start(Ref<ThreadState<R>> state, const ThreadOptions& options) {
  start_thread(*state, options);
  return ThreadHandle<R>(std::move(state), kAccess);
}

}  // namespace internal

template <typename F, typename... Args>
auto Thread::run(const ThreadOptions& options, F&& function, Args&&... args) {
  return internal::start(internal::make_thread(options, std::forward<F>(function), std::forward<Args>(args)...), options);
}

template <typename F, typename... Args>
auto Thread::run(std::string_view name, F&& function, Args&&... args) {
  return run(ThreadOptions{.name = std::string(name)}, std::forward<F>(function), std::forward<Args>(args)...);
}

template <typename R>
R ThreadHandle<R>::join(const Until& until) {
  internal::ThreadState<R>& thread = state();
  if (const Ended ended = internal::wait_to_join(thread, until); !ended) internal::throw_timeout(thread, ended.why());
  const internal::Ref<internal::ThreadState<R>> joined = std::move(state_);
  std::exception_ptr failure = joined->take_failure();
  joined->leave();
  if (failure) std::rethrow_exception(std::move(failure));
  return joined->take_result();
}

template <typename R>
void ThreadHandle<R>::stop_and_wait() {
  if (const internal::Ref<internal::ThreadState<R>> state = std::exchange(state_, {})) internal::stop_and_wait(*state);
}

template <typename R>
auto join_all(std::vector<ThreadHandle<R>>& handles, const Until& until) {
  for (const ThreadHandle<R>& handle : handles) static_cast<void>(handle.name());  // Misuse, before anything is joined
  std::vector<EndRecord> ends;
  const Limit limit(until);  // one for all: a duration must not start anew for each
  std::vector<Member> late;
  const auto join_one = [&](ThreadHandle<R>& handle) { return handle.join(limit); };
  const auto note_end = [&](const Thread& thread) {
    EndRecord end = thread.end().value();
    if (!end.exception) end.exception = std::current_exception();  // of moving its result
    ends.push_back(std::move(end));
  };
  const auto attempt = [&](ThreadHandle<R>& handle, auto&& use) {
    const Thread thread = handle.thread();
    try {
      use();
    } catch (const EndedEarly&) {
      if (handle.owns()) {
        late.push_back(thread);
      } else {
        note_end(thread);
      }
    } catch (...) {
      if (handle.owns()) throw;  // the calling fiber is unwound
      note_end(thread);
    }
  };
  if constexpr (std::is_void_v<R>) {
    for (ThreadHandle<R>& handle : handles) attempt(handle, [&] { join_one(handle); });
    if (!ends.empty() || !late.empty()) throw ThreadsFailed(std::move(ends), std::move(late));
  } else {
    std::vector<R> results;
    results.reserve(handles.size());
    for (ThreadHandle<R>& handle : handles) attempt(handle, [&] { results.push_back(join_one(handle)); });
    if (!ends.empty() || !late.empty()) throw ThreadsFailed(std::move(ends), std::move(late));
    return results;
  }
}

}  // namespace mothreads
