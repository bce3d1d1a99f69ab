#pragma once

// The channel to one process variable: one for each name, shared by all that use it, kept until release_unused() or the end of the process.
//
//     opened --> waits for a server <--connect, disconnect--> connected
//
// A request that comes while it is not connected is kept, and sent by the thread of libca that reports the connection. A request that finds the
// circuit broken, which this channel has not heard of yet, is kept, too: the next connection sends it.
//
// Thread safety: every member may be called from any thread; the callbacks of libca come one at a time.

#include <cstddef>
#include <cstdint>
#include <memory>
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

class Channel : public std::enable_shared_from_this<Channel> {
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

  // Sends it, or keeps it until it can be sent. The caller is in a Section, and flushes. False when it is kept.
  bool issue(Request& request) noexcept;
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
  struct Connection {
    oldChannelNotify* id = nullptr;
    Native native;
    std::uint64_t number = 0;
  };

  static void on_connection(connection_handler_args args) noexcept;
  static void on_access_rights(access_rights_handler_args args) noexcept;
  static void on_value(event_handler_args args) noexcept;
  static void on_put(event_handler_args args) noexcept;
  void connected();
  void disconnected();
  void refuse_all(const Outcome& outcome) noexcept;
  Sent send(Request& request, const Connection& connection) noexcept;
  template <typename F>
  int send_noted(Request& request, F send);
  void note_answer(Request& request) noexcept;
  int send_get(Request& request, const Connection& connection);
  int send_put(Request& request, const Connection& connection, bool& is_done);

  Context& context_;
  const std::shared_ptr<const std::string> name_;
  const mothreads::internal::KeptName kept_name_;
  oldChannelNotify* id_ = nullptr;  // set before the first callback; read by others when it is connected

  mutable mothreads::internal::TinyMutex mutex_;
  ChannelLook look_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t connections_ ABSL_GUARDED_BY(mutex_) = 0;
  Code failure_ ABSL_GUARDED_BY(mutex_) = Code::normal;  // it can never connect
  RequestList kept_ ABSL_GUARDED_BY(mutex_);  // for the connection
  RequestList sent_ ABSL_GUARDED_BY(mutex_);  // libca answers them
  std::vector<std::shared_ptr<Monitor>> monitors_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace catools::inline v0::internal
