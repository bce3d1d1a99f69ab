#pragma once

// Requests on their way, each for one process variable, and the one context that waits for all of a batch.
//
//     the caller's context                        a thread of libca
//     Batch, a Request for each variable
//     channel.issue(request)   sent, or kept until the channel connects
//     batch->wait(limit)       parks once         batch.finish(request): the last one wakes the waiter
//     batch->leave()           takes back what is not sent
//
// A request that is under way keeps its batch, so that an answer which comes when the waiter has left finds its place. Each request is finished once,
// by whoever has it; what nobody waits for any more is dropped.

#include <cstddef>
#include <memory>
#include <optional>
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

struct Outcome {
  Code code = Code::normal;
  mothreads::Why why = mothreads::Why::closed;  // of a code that is not normal
  std::string text = {};                     // of a code that is not normal
  std::optional<Value> value = std::nullopt;  // of a get
  bool is_answer = false;                    // of the server, to a put
};

struct Request {
  enum class Kind : std::uint8_t { connect, get, put, put_and_wait };

  // Set before it is issued.
  Kind kind = Kind::connect;
  GetPlan plan = {};
  const Outgoing* outgoing = nullptr;  // the batch's
  std::shared_ptr<Channel> channel;

  // Whoever sends it: for the answer.
  bool as_text = false;

  std::shared_ptr<Batch> keeps;  // while it is under way

  // While the channel has it, under the channel's mutex.
  bool is_sent = false;  // libca has it, too
  Request* previous = nullptr;
  Request* next = nullptr;

  std::optional<Outcome> outcome;  // under the batch's mutex until the wait is over
};
using RequestList = mothreads::internal::LinkedList<Request, &Request::previous, &Request::next>;

class Batch : public std::enable_shared_from_this<Batch> {
 public:
  explicit Batch(std::size_t size) : requests_(size), left_(size) {}

  std::size_t size() const noexcept { return requests_.size(); }
  // For the waiter before it issues them, and when the wait is over.
  Request& operator[](std::size_t index) noexcept { return requests_[index]; }
  Request& front() noexcept { return requests_.front(); }
  // The values of the puts; set before the puts are issued.
  std::vector<Outgoing>& outgoing() noexcept { return outgoing_; }

  // Gives each to its channel, and flushes.
  void issue_all();
  // Issues the requests within a Section of the caller. The caller flushes.
  void issue_all(const Section& section);

  // For whoever has the request, which may be gone when this returns.
  static void finish(Request& request, Outcome outcome) noexcept;

  // The outcome of a request that ended without the server, so that the put was not sent.
  std::optional<Outcome> refusal(std::size_t index) const;

  // True when nobody waits for its answers any more.
  bool is_left() const noexcept;

  // The context ends: what has no answer gets this one.
  void end(const Outcome& outcome) noexcept;

  // Until all are finished. Leaves the batch in any case, also by an exception: afterwards the outcomes are the caller's, and do not change.
  mothreads::Why wait(mothreads::Limit limit);

 private:
  void leave() noexcept;

  friend class Context;  // which links those that wait, under its mutex
  Batch* previous_ = nullptr;
  Batch* next_ = nullptr;

  std::vector<Request> requests_;
  std::vector<Outgoing> outgoing_;
  mutable mothreads::internal::TinyMutex mutex_;
  std::size_t left_ ABSL_GUARDED_BY(mutex_);
  bool is_left_ ABSL_GUARDED_BY(mutex_) = false;
  mothreads::internal::WaitList waiters_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace catools::inline v0::internal
