#include "catools/internal/channel.h"

#include <cadef.h>

#include <algorithm>
#include <array>
#include <utility>

#include "catools/internal/context.h"
#include "catools/internal/monitor.h"
#include "mothreads/foreign_thread.h"

namespace catools::inline v0::internal {

using mothreads::internal::TinyLock;

namespace {

Answer refused(Code code) { return failed(code, text_of(code)); }

Answer ended() { return failed(Code::closed, std::string(kEnded)); }

// A connection in one word: a flag, the lower bits of its number, its type, and its count.
constexpr std::uint64_t kReady = std::uint64_t{1} << 63;
constexpr int kNumberShift = 36;
constexpr std::uint64_t kNumberMask = (std::uint64_t{1} << 27) - 1;
constexpr int kTypeShift = 32;
constexpr std::uint64_t kTypeMask = 15;
constexpr std::uint64_t kCountMask = 0xffff'ffff;

// 0 where it does not fit.
std::uint64_t word_of(const Native& native, std::uint64_t number) noexcept {
  const auto type = static_cast<std::uint64_t>(native.type);
  if (type > kTypeMask || native.element_count > kCountMask) return 0;
  return kReady | (number & kNumberMask) << kNumberShift | type << kTypeShift | native.element_count;
}

}  // namespace

Channel::Channel(Context& context, std::string_view name)
    : context_(context), name_(std::make_shared<const std::string>(name)), kept_name_(name) {}

void Channel::open() {
  Code code = Code::closed;
  bool rights_are_watched = false;
  {
    const Section section(context_);
    // A zero byte would end the name that libca sees.
    if (name_->find('\0') != std::string::npos) {
      code = Code::bad_string;
    } else if (section) {
      // libca looks for the server by itself, without a flush.
      code = static_cast<Code>(ca_create_channel(name_->c_str(), on_connection, this, CA_PRIORITY_DEFAULT, &id_));
    }
    const TinyLock lock(mutex_);
    is_opened_ = code == Code::normal;
    if (!is_opened_) failure_ = code;
    rights_are_watched = rights_are_watched_;
  }
  if (code == Code::normal) {
    if (rights_are_watched) watch_rights();
    return;
  }
  refuse_all(refused(code));
  for (const std::shared_ptr<Monitor>& monitor : monitors()) monitor->refused(code, text_of(code));  // that came before
}

// libca tells them of each channel with a message of their own, which most would not look at.
void Channel::watch_rights() {
  const Section section(context_);
  if (section) ca_replace_access_rights_event(id_, on_access_rights);
}

ChannelLook Channel::look() const {
  ChannelLook look;
  {
    const TinyLock lock(mutex_);
    look = look_;
    const auto takes_values = [](const std::shared_ptr<Monitor>& monitor) { return !monitor->watches_channel(); };
    look.subscriptions = static_cast<std::size_t>(std::count_if(monitors_.begin(), monitors_.end(), takes_values));
  }
  const Section section(context_);
  if (look.is_connected && section) {
    look.may_read = ca_read_access(id_) != 0;
    look.may_write = ca_write_access(id_) != 0;
  }
  return look;
}

std::optional<Connection> Channel::ready() const noexcept {
  const std::uint64_t word = ready_.load(std::memory_order_acquire);  // pairs with set_ready(), which the id comes before
  if (word == 0) return std::nullopt;
  const Native native{.type = static_cast<long>(word >> kTypeShift & kTypeMask), .element_count = word & kCountMask};
  return Connection{.id = id_, .native = native, .number = word >> kNumberShift & kNumberMask};
}

void Channel::set_ready(bool is_ready) noexcept {
  ready_.store(is_ready ? word_of(look_.native, connections_) : 0, std::memory_order_release);  // pairs with ready()
}

void Channel::issue(Request& request) noexcept {
  std::optional<Connection> connection = ready();
  for (;;) {
    if (!connection) connection = ready_or_keep(request);
    if (!connection || send(request, *connection) == Sent::yes || keep(request, *connection) == Kept::yes) return;
    connection.reset();
  }
}

// None when the request is kept, or finished.
std::optional<Connection> Channel::ready_or_keep(Request& request) noexcept {
  Code failure = Code::normal;
  {
    const TinyLock lock(mutex_);
    failure = context_.is_closed() ? Code::closed : failure_;
    if (failure == Code::normal) {
      if (look_.is_connected && !is_sending_kept_ && kept_.is_empty()) return Connection{id_, look_.native, connections_};
      kept_.push_back(request);
      return std::nullopt;
    }
  }
  Batch::finish(request, failure == Code::closed ? ended() : refused(failure));
  return std::nullopt;
}

// The circuit was broken. No: libca has connected again meanwhile, and has told so before this was kept.
Channel::Kept Channel::keep(Request& request, const Connection& tried) noexcept {
  const TinyLock lock(mutex_);
  if (look_.is_connected && ((connections_ ^ tried.number) & kNumberMask) != 0) return Kept::no;
  set_ready(false);
  kept_.push_back(request);
  return Kept::yes;
}

bool Channel::withdraw(Request& request) noexcept {
  const TinyLock lock(mutex_);
  if (!RequestList::is_linked(request)) return false;
  kept_.take_out(request);
  return true;
}

// Sends the requests that were kept, in their order, and requests that come meanwhile. True when a request was sent.
bool Channel::send_kept(const Connection& connection) noexcept {
  bool has_sent = false;
  for (;;) {
    Request* request = nullptr;
    {
      const TinyLock lock(mutex_);
      request = look_.is_connected ? kept_.take_first() : nullptr;
      if (request == nullptr) {
        is_sending_kept_ = false;
        set_ready(look_.is_connected);
        return has_sent;
      }
    }
    if (request->batch->is_left()) {
      Batch::finish(*request);
      continue;
    }
    has_sent = has_sent || request->batch->kind != Batch::Kind::connect;
    if (send(*request, connection) == Sent::yes) continue;
    const TinyLock lock(mutex_);
    is_sending_kept_ = false;
    kept_.push_front(*request);
    return has_sent;
  }
}

// Yes: it is with libca, or finished, and may be gone. No: the circuit is broken.
Channel::Sent Channel::send(Request& request, const Connection& connection) noexcept {
  const Batch::Kind kind = request.batch->kind;
  try {
    const int status = hand_over(request, connection);
    if (status == ECA_DISCONN) return Sent::no;
    if (status != ECA_NORMAL) {
      Batch::finish(request, refused(static_cast<Code>(status)));
    } else if (kind == Batch::Kind::connect || kind == Batch::Kind::put) {
      Batch::finish(request);
    }
  } catch (const Error& error) {
    Batch::finish(request, failed(error.code(), error.text()));
  } catch (...) {
    Batch::finish(request, failed(Code::no_memory, {}));
  }
  return Sent::yes;
}

// The answer to a get or to a put that waits may come before libca's function returns, and the request go.
int Channel::hand_over(Request& request, const Connection& connection) {
  switch (request.batch->kind) {
    case Batch::Kind::get: return send_get(request, connection);
    case Batch::Kind::put:
    case Batch::Kind::put_and_wait: return send_put(request, connection);
    case Batch::Kind::connect: break;
  }
  return ECA_NORMAL;
}

int Channel::send_get(Request& request, const Connection& connection) {
  const Asked asked = asked_for(request.batch->plan, connection.native, *name_);
  request.as_text = asked.as_text;
  request.element_count = connection.native.element_count;
  return ca_array_get_callback(asked.type, asked.count, connection.id, on_value, &request);
}

int Channel::send_put(Request& request, const Connection& connection) {
  const Encoded encoded = encode(*request.outgoing, connection.native, *name_);
  if (request.batch->kind == Batch::Kind::put) return ca_array_put(encoded.type, encoded.count, connection.id, encoded.bytes());
  return ca_array_put_callback(encoded.type, encoded.count, connection.id, encoded.bytes(), on_put, &request);
}

// --- libca calls ---------------------------------------------------------------------------------------------------------------------

void Channel::on_value(event_handler_args args) noexcept {
  const mothreads::ForeignThread here(kThreadName);
  auto& request = *static_cast<Request*>(args.usr);
  if (args.status != ECA_NORMAL || args.dbr == nullptr) {
    request.answer = refused(args.status == ECA_NORMAL ? Code::get_failed : static_cast<Code>(args.status));
  } else {
    try {
      decode(request.answer.parts, request.element_count, request.as_text, args.type, args.count, args.dbr);
    } catch (...) {
      request.answer.parts.code = Code::no_memory;
    }
  }
  Batch::finish(request);
}

void Channel::on_put(event_handler_args args) noexcept {
  const mothreads::ForeignThread here(kThreadName);
  auto& request = *static_cast<Request*>(args.usr);
  if (args.status != ECA_NORMAL) request.answer = refused(static_cast<Code>(args.status));
  request.answer.is_of_server = true;
  Batch::finish(request);
}

void Channel::on_connection(connection_handler_args args) noexcept {
  const mothreads::ForeignThread here(kThreadName);
  auto& channel = *static_cast<Channel*>(ca_puser(args.chid));
  if (args.op == CA_OP_CONN_UP) {
    channel.connected();
  } else {
    channel.disconnected();
  }
}

// They are libca's to keep: who is told asks for them.
void Channel::on_access_rights(access_rights_handler_args args) noexcept {
  const mothreads::ForeignThread here(kThreadName);
  for (const std::shared_ptr<Monitor>& monitor : static_cast<Channel*>(ca_puser(args.chid))->monitors()) monitor->channel_changed();
}

void Channel::connected() {
  std::array<char, 128> host{};
  ca_get_host_name(id_, host.data(), host.size());
  Native native;
  native.type = ca_field_type(id_);
  native.element_count = ca_element_count(id_);
  if (native.type < 0) return;  // lost meanwhile: the next connection counts
  std::string host_text(host.data());
  Connection connection{.id = id_, .native = native, .number = 0};
  std::vector<std::shared_ptr<Monitor>> told;
  {
    const TinyLock lock(mutex_);
    connection.number = ++connections_;
    look_.is_connected = look_.was_connected = true;
    look_.native = native;
    look_.host.swap(host_text);
    look_.since = absl::Now();
    is_sending_kept_ = true;
    set_ready(false);
    told = monitors_;
  }
  Section section(context_);
  for (const std::shared_ptr<Monitor>& monitor : told) {
    if (section) monitor->connected(connection);
  }
  // Not closed: when the end of the context has begun, those that are kept are refused.
  const bool has_sent = section && send_kept(connection);
  // A flush for each of many channels that connect together would send their messages one by one.
  if (has_sent || !told.empty()) section.flush();
}

void Channel::disconnected() {
  {
    const TinyLock lock(mutex_);
    look_.is_connected = false;
    set_ready(false);
    look_.since = absl::Now();
  }
  for (const std::shared_ptr<Monitor>& monitor : monitors()) monitor->disconnected();
}

// --- monitors, and the end -----------------------------------------------------------------------------------------------------------

std::vector<std::shared_ptr<Monitor>> Channel::monitors() const {
  const TinyLock lock(mutex_);
  return monitors_;
}

void Channel::add(const std::shared_ptr<Monitor>& monitor) {
  Connection connection;
  bool is_connected = false;
  bool asks_for_rights = false;
  Code failure = Code::normal;
  {
    const TinyLock lock(mutex_);
    monitors_.push_back(monitor);
    is_connected = look_.is_connected;
    connection.native = look_.native;
    connection.number = connections_;
    failure = failure_;
    asks_for_rights = monitor->watches_channel() && !std::exchange(rights_are_watched_, true) && is_opened_;
  }
  Section section(context_);
  if (!section) {
    monitor->ended();
  } else if (failure != Code::normal) {
    monitor->refused(failure, text_of(failure));
  } else {
    if (asks_for_rights) watch_rights();
    if (!is_connected) return;
    connection.id = id_;
    monitor->connected(connection);
    section.flush();
  }
}

void Channel::remove(const Monitor& monitor) noexcept {
  std::shared_ptr<Monitor> removed;  // goes outside the lock
  const TinyLock lock(mutex_);
  const auto place = std::find_if(monitors_.begin(), monitors_.end(), [&](const auto& one) { return one.get() == &monitor; });
  if (place == monitors_.end()) return;
  removed = std::move(*place);
  monitors_.erase(place);
}

void Channel::note_error(Code, std::string text) noexcept {
  const TinyLock lock(mutex_);
  look_.last_error.swap(text);
}

void Channel::refuse_all(const Answer& answer) noexcept {
  for (;;) {
    Request* request = nullptr;
    {
      const TinyLock lock(mutex_);
      request = kept_.take_first();
    }
    if (request == nullptr) return;
    Batch::finish(*request, answer);
  }
}

void Channel::close() noexcept {
  refuse_all(ended());
  for (const std::shared_ptr<Monitor>& monitor : monitors()) monitor->ended();
}

void Channel::clear() noexcept {
  const Section section(context_);
  if (section && id_ != nullptr) ca_clear_channel(id_);
}

void Channel::clear_at_end() noexcept {
  for (const std::shared_ptr<Monitor>& monitor : monitors()) monitor->unsubscribe();
  if (id_ != nullptr) ca_clear_channel(id_);
}

}  // namespace catools::inline v0::internal
