#pragma once

// The channel to one process variable: one for each name, shared by all that use it, kept until release_unused() or the end of the process.
//
//     opened --> waits for a server <--connect, disconnect--> connected
//
// A request that comes while it is not connected is kept, and sent by the thread of libca that reports the connection. A request that finds the
// circuit broken, which this channel has not heard of yet, is kept, too: the next connection sends it. While requests are kept or being sent from
// there, those that come are put behind them, so requests of one channel go out in the order in which they came.
//
// Thread safety: every member may be called from any thread; the callbacks of libca come one at a time.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "catools/error.h"
#include "catools/internal/request.h"
#include "catools/internal/wire.h"
#include "mothreads/internal/base/kept_name.h"
#include "mothreads/internal/base/tiny_mutex.h"

struct oldChannelNotify;
struct access_rights_handler_args;
struct connection_handler_args;
struct event_handler_args;

namespace catools::inline v0::internal {

class Context;
class Monitor;

// The state of a channel, as a caller may see it.
struct ChannelLook {
  bool was_connected = false;
  bool is_connected = false;
  Native native;
  std::string host;  // with the port; of the last connection
  bool may_read = false;
  bool may_write = false;
  absl::Time since = absl::InfinitePast();  // of the last change
  std::size_t subscriptions = 0;
  std::string last_error;
};

class Channel {
 public:
  Channel(Context& context, std::string_view name);
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  Context& context() const noexcept { return context_; }
  const std::shared_ptr<const std::string>& name() const noexcept { return name_; }
  std::uint32_t kept_name() const noexcept { return kept_name_.number(); }
  ChannelLook look() const;

  // Once, by whoever made it.
  void open();

  // Sends it, or keeps it until it can be sent. The caller is in a Section that is not closed, and flushes.
  void issue(Request& request) noexcept;
  // True when it was kept here, and is the caller's again.
  bool withdraw(Request& request) noexcept;

  void add(const std::shared_ptr<Monitor>& monitor);
  void remove(const Monitor& monitor) noexcept;
  std::vector<std::shared_ptr<Monitor>> monitors() const;

  void note_error(Code code, std::string text) noexcept;
  // The context ends: what waits for a connection is told, and so are the monitors.
  void close() noexcept;
  // Nobody uses it any more.
  void clear() noexcept;
  // Clears the channel just before the context is destroyed, in a thread that belongs to the context.
  void clear_at_end() noexcept;

 private:
  enum class Sent : bool { no, yes };
  enum class Kept : bool { no, yes };

  static void on_connection(connection_handler_args args) noexcept;
  static void on_access_rights(access_rights_handler_args args) noexcept;
  static void on_value(event_handler_args args) noexcept;
  static void on_put(event_handler_args args) noexcept;
  void connected();
  void disconnected();
  void refuse_all(const Answer& answer) noexcept;
  void watch_rights();

  std::optional<Connection> ready() const noexcept;
  void set_ready(bool is_ready) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::optional<Connection> ready_or_keep(Request& request) noexcept;
  Kept keep(Request& request, const Connection& tried) noexcept;
  bool send_kept(const Connection& connection) noexcept;
  Sent send(Request& request, const Connection& connection) noexcept;
  int hand_over(Request& request, const Connection& connection);
  int send_get(Request& request, const Connection& connection);
  int send_put(Request& request, const Connection& connection);

  Context& context_;
  const std::shared_ptr<const std::string> name_;
  const mothreads::internal::KeptName kept_name_;
  oldChannelNotify* id_ = nullptr;  // set before the first callback; read by others when it is connected

  // The connection, in one word, while a request may be sent at once; else 0. Written under the mutex.
  std::atomic<std::uint64_t> ready_{0};

  mutable mothreads::internal::TinyMutex mutex_;
  ChannelLook look_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t connections_ ABSL_GUARDED_BY(mutex_) = 0;
  Code failure_ ABSL_GUARDED_BY(mutex_) = Code::normal;      // it can never connect
  bool is_opened_ ABSL_GUARDED_BY(mutex_) = false;           // libca knows it
  bool rights_are_watched_ ABSL_GUARDED_BY(mutex_) = false;  // somebody has asked for changes of the rights
  bool is_sending_kept_ ABSL_GUARDED_BY(mutex_) = false;     // the thread of libca that reports the connection
  RequestList kept_ ABSL_GUARDED_BY(mutex_);                 // for the connection
  std::vector<std::shared_ptr<Monitor>> monitors_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace catools::inline v0::internal
