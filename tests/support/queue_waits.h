#pragma once

// Those who wait at a queue, and what a pop gave, for the tests of queues.

#include <utility>

#include <gtest/gtest.h>

#include "mothreads/ended.h"
#include "mothreads/queue.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/support/sleeping.h"

namespace mothreads::inline v0::testing {

// The item; fails when there is none.
template <typename T>
T value_of(Result<T> popped) {
  if (!popped) {
    ADD_FAILURE() << "no item: " << popped.why();
    return T{};
  }
  return *std::move(popped);
}

// Why there is no item; fails when there is one.
template <typename T>
Why why_not(Result<T> popped) {
  EXPECT_FALSE(popped) << "there was an item";
  return popped.why();
}

// An add that waits in a thread of its own, once it sleeps there.
template <typename T>
ThreadHandle<void> waiting_add(Queue<T>& queue, T value) {
  auto thread = Thread::run("producer", [&queue, value = std::move(value)](Signal) mutable { queue.add(std::move(value)); });
  await_sleeping(thread.thread(), "waits for room in queue");
  return thread;
}

// A pop that waits in a thread of its own.
template <typename T>
ThreadHandle<Result<T>> waiting_pop(Queue<T>& queue) {
  auto thread = Thread::run("consumer", [&queue](Signal) { return queue.pop(); });
  await_sleeping(thread.thread(), "pops from queue");
  return thread;
}

}  // namespace mothreads::testing
