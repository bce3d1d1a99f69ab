#pragma once

// The one context of libca in this process. Made at the first use, so that EPICS_CA_* may be set before; ended at exit(), before objects that are
// older than the first use are destroyed. A child of fork() gets another at its first use, and leaves this one alone.
//
//     user's contexts --Section--> libca --its threads, as "Channel Access"--> Channel, Monitor --> Batch::finish(): a waiter's own token
//
// Locks, outer before inner: libca's callback lock; the mutex of the Context; that of a Channel, a Monitor or a Batch; that of a Delivery; libca's
// own.
// ca_clear_subscription() and ca_clear_channel() wait for the first: no lock is held there.

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "catools/error.h"
#include "catools/internal/request.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/linked_list.h"
#include "mothreads/internal/base/tiny_mutex.h"

struct ca_client_context;

namespace catools::inline v0::internal {

class Context {
 public:
  // Never null, never freed. Throws an Error with `name` when libca cannot start.
  static Context& current(std::string_view name);
  // Whether the process has used Channel Access; a child of fork() begins anew.
  static bool is_made() noexcept;

  // The channel of that very name, made if there is none. Does not wait.
  std::shared_ptr<Channel> channel(std::string_view name);
  std::vector<std::shared_ptr<Channel>> channels() const;
  // Gives each request of the batch the channel of its name.
  void find_channels(std::span<const std::string_view> names, Batch& batch);
  // Takes those out that nobody uses; how many those were.
  std::size_t release_unused();

  // Somebody waits for the batch in between, and is told when the context ends.
  void begin_wait(Batch& batch) noexcept;
  void end_wait(Batch& batch) noexcept;

  // A batch whose owner has gone before the answers can be found here until the batch is freed.
  void keep(Batch& batch) noexcept;
  void forget(Batch& batch) noexcept;

  // Nothing is sent any more: after exit() has begun, and in a child of fork().
  bool is_closed() const noexcept { return is_closed_.load() || is_left_behind(); }
  bool is_left_behind() const noexcept { return born_.is_left_behind(); }

 private:
  friend class Section;
  friend struct Process;

  Context() = default;
  void open(std::string_view name);
  void close() noexcept;
  void destroy() noexcept;

  ca_client_context* ca_ = nullptr;
  const mothreads::internal::Born born_;
  // seq_cst, both: either a Section sees the end, or the end sees the Section.
  std::atomic<bool> is_closed_{false};
  std::atomic<std::int64_t> sections_{0};

  mutable mothreads::internal::TinyMutex mutex_;
  absl::flat_hash_map<std::string, std::shared_ptr<Channel>> channels_ ABSL_GUARDED_BY(mutex_);
  using BatchList = mothreads::internal::LinkedList<Batch, &Batch::previous_, &Batch::next_>;
  BatchList waiting_ ABSL_GUARDED_BY(mutex_);
  BatchList dropped_ ABSL_GUARDED_BY(mutex_);
};

// The calling thread uses libca, within a scope that waits for nothing: it is of that context there, whatever it was before.
class Section {
 public:
  explicit Section(Context& context) noexcept;
  ~Section();
  Section(const Section&) = delete;
  Section& operator=(const Section&) = delete;

  // False when the context is closed: then libca must not be called.
  explicit operator bool() const noexcept { return is_inside_; }

  // Sends what has been asked for.
  void flush() noexcept;

 private:
  Context& context_;
  bool is_inside_ = false;
  bool is_attached_ = false;
  ca_client_context* before_ = nullptr;
};

// libca's text for a code.
std::string text_of(Code code);

// Why nothing is sent after exit() has begun.
inline constexpr std::string_view kEnded = "Channel Access has ended with the process";

// The name of libca's threads in reports and logs.
inline constexpr std::string_view kThreadName = "Channel Access";

}  // namespace catools::inline v0::internal
