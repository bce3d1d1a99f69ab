#pragma once

// Requests on their way, each for one process variable, and the one context that waits for all of a batch.
//
//     the caller's context                        a thread of libca
//     make_batch(), a Request for each variable
//     channel.issue(request)   sent, or kept until the channel connects
//     batch->wait(limit)       parks once         batch.finish(request): the last one wakes the waiter
//     the BatchHandle goes     takes back what is not sent
//
// Each request is finished once, by whoever has it: that writes its answer, and nobody else does. The batch is freed when its handle has gone and all of its
// requests are finished, so an answer which comes when the waiter has left finds its place.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "catools/error.h"
#include "catools/internal/wire.h"
#include "catools/value.h"
#include "mothreads/internal/base/linked_list.h"
#include "mothreads/internal/base/tiny_mutex.h"
#include "mothreads/internal/wait/wait_list.h"
#include "mothreads/ended.h"
#include "mothreads/limit.h"

namespace catools::inline v0::internal {

class Batch;
class Channel;
class Section;

// How a request ended.
struct Answer {
  ValueParts parts = {};                         // the value of a get, and the code of each answer; the request has the name
  mothreads::Why why = mothreads::Why::closed;   // belongs to a code that is not normal
  bool is_of_server = false;                     // to a put
};

// The Answer of a request that failed.
Answer failed(Code code, std::string text);

struct Request {
  // Set before it is issued.
  Batch* batch = nullptr;
  std::shared_ptr<Channel> channel;
  const Outgoing* outgoing = nullptr;  // the batch's

  // For the answer, by whoever sends it.
  std::size_t element_count = 0;
  bool as_text = false;

  bool is_seen = false;                // the waiter's: it was there when the wait ended
  std::atomic<bool> is_there = false;  // the answer

  // While the channel keeps it, under the channel's mutex.
  Request* previous = nullptr;
  Request* next = nullptr;

  Answer answer;  // belongs to the holder of the request; to the waiter, once the end is seen
};
using RequestList = mothreads::internal::LinkedList<Request, &Request::previous, &Request::next>;

// The handle of a batch's only owner, which may go at any time.
struct DropBatch {
  void operator()(Batch* batch) const noexcept;
};
using BatchHandle = std::unique_ptr<Batch, DropBatch>;

class Batch {
 public:
  enum class Kind : std::uint8_t { connect, get, put, put_and_wait };

  static BatchHandle make(std::size_t size) { return BatchHandle(new Batch(size)); }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  // Holds for all requests of the batch; set before they are issued.
  Kind kind = Kind::connect;
  GetPlan plan = {};
  std::vector<Outgoing> outgoing = {};

  std::size_t size() const noexcept { return requests_.size(); }
  // For the waiter before it issues them, and when the wait is over.
  Request& operator[](std::size_t index) noexcept { return requests_[index]; }
  const Request& operator[](std::size_t index) const noexcept { return requests_[index]; }
  Request& front() noexcept { return requests_.front(); }

  // Gives each to its channel, and flushes.
  void issue_all();
  // Issues the requests within a Section of the caller. The caller flushes.
  void issue_all(const Section& section);

  // For whoever has the request, which may be gone when this returns. Its answer is written.
  static void finish(Request& request) noexcept;
  static void finish(Request& request, Answer answer) noexcept;

  // The answer that the waiter has; null for none. Once the wait is over.
  const Answer* answer(std::size_t index) const noexcept;

  // How a put ended that was not sent; null for others. At any time.
  const Answer* refusal(std::size_t index) const noexcept;

  // True when nobody waits for its answers any more. acquire: pairs with leave(), and so does what is done because of it.
  bool is_left() const noexcept { return is_left_.load(std::memory_order_acquire); }

  // The context ends, and with it the wait: what has no answer gets that of the end.
  void end() noexcept;

  // Until all are finished. Leaves the batch in any case, also by an exception: afterwards the answers are the caller's, and do not change.
  mothreads::Why wait(mothreads::Limit limit);

 private:
  explicit Batch(std::size_t size);
  ~Batch() = default;
  void leave() noexcept;
  void drop() noexcept;
  void all_finished() noexcept;

  friend struct DropBatch;
  friend class Context;  // which links those that wait, and those that are dropped before their end, under its mutex
  Batch* previous_ = nullptr;
  Batch* next_ = nullptr;

  std::vector<Request> requests_;
  std::atomic<std::size_t> under_way_{0};  // requests that are issued and not finished
  std::atomic<bool> is_left_{false};
  bool is_issued_ = false;  // the waiter's
  bool all_seen_ = false;   // the waiter's
  std::atomic<bool> has_ended_{false};
  mutable mothreads::internal::TinyMutex mutex_;
  bool is_over_ ABSL_GUARDED_BY(mutex_) = false;     // all are finished
  bool is_dropped_ ABSL_GUARDED_BY(mutex_) = false;  // the handle has gone
  mothreads::internal::WaitList waiters_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace catools::inline v0::internal
