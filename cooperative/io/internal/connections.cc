#include "cooperative/io/internal/connections.h"

#include <exception>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "cooperative/errors.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/io/io_error.h"
#include "mothreads/log.h"
#include "mothreads/result.h"

namespace cooperative::inline v0::internal::io {

using mothreads::Signal;
using mothreads::Until;
using mothreads::Why;
using mothreads::internal::TimerNode;
using mothreads::internal::TimerOps;
namespace log = mothreads::log;

class ServingConnections::Connection final : SessionOwner, ReadinessWatcher, TimerNode {
 public:
  Connection(ServingConnections& serving, Socket&& client) : TimerNode(kOps), serving_(serving), place_(serving), client_(std::move(client)) {}
  ~Connection() { stop_waiting(); }

  void is_at(Connections::iterator self) { self_ = self; }
  const Admission& place() const { return place_; }
  std::string name() const { return client_.name(); }
  void has_rested(Why why) { why_ = why; }

  // In its fiber. Nothing when it has ended.
  std::optional<Session::Rest> serve(const Signal& please_stop) {
    if (session_ == nullptr) session_ = serving_.make_(client_, *this, serving_.please_stop_);
    return session_->serve(std::exchange(why_, Why::ready), please_stop);
  }

  // False when there is nothing to wait for.
  bool begin_waiting(const Session::Rest& rest) {
    if (!rest.source->is_open() || !rest.source->readiness().watch(rest.source->native(), *this)) return false;
    source_ = rest.source;
    if (rest.limit > absl::Hours(24 * 365 * 100)) return true;
    SchedulerCore& core = SchedulerCore::current();
    core_ = &core;
    const std::int64_t duration = absl::ToInt64Nanoseconds(rest.limit);
    Timers& timers = core.rooms().timers;
    timers.add_near(*this, timers.now_for(duration).time_since_epoch().count() + duration);
    return true;
  }
  void stop_waiting() noexcept {
    if (source_ != nullptr) source_->readiness().unwatch();
    source_ = nullptr;
    if (is_linked()) core_->cancel_timer(*this);
  }

 private:
  static void fire(TimerNode& node) {
    auto& self = static_cast<Connection&>(node);
    self.serving_.rest_ends(self.self_, Why::timed_out);
  }
  static constexpr TimerOps kOps{.take = [](TimerNode&) { return true; }, .fire = fire};
  void arrived() noexcept override { serving_.rest_ends(self_, Why::ready); }
  void end_rest() noexcept override {
    if (source_ != nullptr) serving_.rest_ends(self_, Why::ready);
  }
  FiberParent parent() const override { return FiberParent(serving_.server_, mothreads::internal::kAccess); }

  ServingConnections& serving_;
  const Admission place_;
  Socket client_;
  std::unique_ptr<Session> session_;
  Connections::iterator self_;
  Descriptor* source_ = nullptr;  // while it rests
  SchedulerCore* core_ = nullptr;
  Why why_ = Why::ready;
};

// One fiber's time with a connection.
class ServingConnections::Turn {
 public:
  // Says to its maker whether it has begun, which it does before spawn() returns or throws, or never.
  Turn(ServingConnections& serving, Connections::iterator connection, bool& begins) : serving_(&serving), connection_(connection), begins_(&begins) {}
  Turn(Turn&& other) noexcept
      : serving_(std::exchange(other.serving_, nullptr)), connection_(other.connection_), begins_(other.begins_), has_begun_(other.has_begun_) {}
  Turn& operator=(Turn&&) = delete;
  // A connection whose turn has not begun is still its maker's.
  ~Turn() {
    if (serving_ != nullptr && has_begun_) serving_->serving_.erase(connection_);
  }

  void begins() {
    has_begun_ = *begins_ = true;
    connection_->place().begins();
  }
  std::string describe() const { return connection_->name(); }
  void operator()(const Signal& please_stop) {
    const std::optional<Session::Rest> rest = connection_->serve(please_stop);
    if (!rest || serving_->has_ended_) return;
    serving_->rest(connection_, *rest);
    serving_ = nullptr;
  }

 private:
  ServingConnections* serving_;
  Connections::iterator connection_;
  bool* begins_;  // only until it has begun
  bool has_begun_ = false;
};

ServingConnections::ServingConnections(Socket&& listener, SessionMaker&& make, const Signal& ends_rests, const ServerOptions& options)
    : Serving(std::move(listener), options), make_(std::move(make)), ends_rests_(ends_rests) {}

// In a child of fork() they are the parent's, with what users have in them.
ServingConnections::~ServingConnections() {
  if (!is_left_behind()) return;
  for (Connections* const connections : {&serving_, &resting_, &due_}) static_cast<void>(new Connections(std::move(*connections)));
}

void ServingConnections::begin(const Signal& please_stop) {
  please_stop_ = please_stop;
  ends_rests_ = ends_rests_ | please_stop;
  FiberBlock* const fiber = SchedulerCore::current().running_fiber();
  server_ = {fiber, fiber->id};
}

bool ServingConnections::take_one(const Until& until) {
  mothreads::Result<Socket> connection = socket_.next_connection(until);
  if (connection.why() == Why::closed) static_cast<void>(connection.value());
  if (!connection) return false;
  if (address_.is_ip()) connection->set_no_delay(true);
  if (options_.idle_timeout != absl::InfiniteDuration()) connection->set_timeout(options_.idle_timeout);
  const auto client = serving_.emplace(serving_.end(), *this, *std::move(connection));
  client->is_at(client);
  bool begins = false;
  const absl::Cleanup drop = [&] {
    if (!begins) serving_.erase(client);
  };
  spawn_taken(Turn(*this, client, begins));
  return true;
}

// These clients have been told that they are connected, and may have sent a request: closed with the listener they would be lost
// without a word. Not more than a backlog holds: who comes faster than that is not what was there.
void ServingConnections::take_what_waits() {
  constexpr int kMost = SOMAXCONN + 1;
  int taken = 0;
  int turned_away = 0;
  try {
    while (socket_.is_open() && taken < kMost && has_room() && take_one(absl::ZeroDuration())) ++taken;
    while (socket_.is_open() && taken + turned_away < kMost && !has_room() && socket_.next_connection(absl::ZeroDuration())) ++turned_away;
  } catch (const std::exception& error) {
    log::warning("{}: connections that waited when it was told to stop may have been closed: {}", options_.name, error.what());
  }
  if (turned_away > 0) {
    log::warning("{}: {} connections that waited when it was told to stop were closed: there were {} under way already", options_.name, turned_away,
                 options_.max_connections);
  }
  if (taken + turned_away == kMost) {
    log::warning("{}: more connections than {} waited when it was told to stop, or went on coming: the others are closed", options_.name, kMost);
  }
}

void ServingConnections::close() {
  if (!socket_.is_open()) return;
  socket_.close();
  remove_path();
}

void ServingConnections::end() noexcept {
  has_ended_ = true;
  became_due_.signal();
  keeper_.reset();
  for (Connection& one : resting_) one.stop_waiting();
  // One by one: what a session holds may wait while it is destroyed.
  for (Connections* const connections : {&resting_, &due_}) {
    while (!connections->empty()) {
      Connections one;
      one.splice(one.begin(), *connections, connections->begin());
    }
  }
}

// --- rests -------------------------------------------------------------------------------------------------------------------

void ServingConnections::rest(Connections::iterator connection, const Session::Rest& rest) {
  if (!keeper_ || !keeper_->is_alive()) {
    // Below the server, not in the group of the connections: it ends after them.
    keeper_ = cooperative::spawn(
        {.name = options_.name + "'s connections that rest", .parent = FiberParent(server_, mothreads::internal::kAccess), .start = Start::at_once},
        [this](const Signal& please_stop) { keep(please_stop); });
    if (!keeper_->is_alive()) std::exchange(keeper_, std::nullopt)->join();  // throws why: there was no stack for it
  }
  connection->place().rests();
  if (!ends_rests_ && connection->begin_waiting(rest)) {
    resting_.splice(resting_.end(), serving_, connection);
    return;
  }
  connection->has_rested(ends_rests_ ? Why::stopped : Why::ready);
  due_.splice(due_.end(), serving_, connection);
  became_due_.signal();
}

void ServingConnections::rest_ends(Connections::iterator connection, Why why) noexcept {
  connection->stop_waiting();
  connection->has_rested(why);
  due_.splice(due_.end(), resting_, connection);
  became_due_.signal();
}

void ServingConnections::end_all_rests() noexcept {
  while (!resting_.empty()) rest_ends(resting_.begin(), Why::stopped);
}

// The keeper.
void ServingConnections::keep(const Signal& please_stop) {
  while (!has_ended_) {
    // The Signal may have gone at any time since the last wait.
    if (ends_rests_) end_all_rests();
    if (!due_.empty()) {
      serve_due(please_stop);
      continue;
    }
    try {
      ends_rests_ ? became_due_.wait() : became_due_.wait(ends_rests_);
    } catch (const EndedEarly&) {
    }
  }
}

void ServingConnections::serve_due(const Signal& please_stop) {
  SchedulerCore::current().spend_operation();
  if (due_.empty()) return;
  const auto connection = due_.begin();
  serving_.splice(serving_.end(), due_, connection);
  bool begins = false;
  absl::Cleanup drop = [&] {
    if (!begins) serving_.erase(connection);
  };
  try {
    spawn(Turn(*this, connection, begins));
  } catch (const std::exception& error) {
    if (begins) {
      log::error("{}: a connection failed: {}", options_.name, error.what());
      return;
    }
    // For want of a stack, or of memory. It has waited so long, and waits on.
    std::move(drop).Cancel();
    due_.splice(due_.begin(), serving_, connection);
    wait_for_more(error.what(), please_stop | kAcceptPause);
  }
}

}  // namespace cooperative::internal::io
