#pragma once

// glibc leaves the atomics out of std::mutex while a process has one thread only. A program that needs locks has more: with
// this header included there is a second thread, asleep, for everything that the program measures.

#include <atomic>
#include <thread>

namespace benchmarks {

struct SecondThread {
  ~SecondThread() {
    ended = true;
    ended.notify_one();
  }
  std::atomic<bool> ended{false};
  std::jthread sleeper{[this] { ended.wait(false); }};
};

inline SecondThread second_thread;

}  // namespace benchmarks
