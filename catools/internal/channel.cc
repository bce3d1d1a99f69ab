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

Outcome refused(Code code) { return {.code = code, .text = text_of(code)}; }

Outcome ended() { return {.code = Code::closed, .text = std::string(kEnded)}; }

}  // namespace

Channel::Channel(Context& context, std::string_view name)
    : context_(context), name_(std::make_shared<const std::string>(name)), kept_name_(name) {}

void Channel::open() {
  Code code = Code::closed;
  {
    Section section(context_);
    // A zero byte would end the name that libca sees.
    if (name_->find('\0') != std::string::npos) {
      code = Code::bad_string;
    } else if (section) {
      code = static_cast<Code>(ca_create_channel(name_->c_str(), on_connection, this, CA_PRIORITY_DEFAULT, &id_));
      if (code == Code::normal) ca_replace_access_rights_event(id_, on_access_rights);
      section.flush();
    }
  }
  if (code == Code::normal) return;
  {
    const TinyLock lock(mutex_);
    failure_ = code;
  }
  refuse_all(refused(code));
  for (const std::shared_ptr<Monitor>& monitor : monitors()) monitor->refused(code, text_of(code));  // that came before
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

bool Channel::issue(Request& request) noexcept {
  for (;;) {
    Connection connection;
    Code failure = Code::normal;
    {
      const TinyLock lock(mutex_);
      failure = context_.is_closed() ? Code::closed : failure_;
      if (failure == Code::normal) {
        if (!look_.is_connected) {
          kept_.push_back(request);
          return false;
        }
        connection = {id_, look_.native, connections_};
      }
    }
    if (failure != Code::normal) {
      Batch::finish(request, failure == Code::closed ? ended() : refused(failure));
      return true;
    }
    if (send(request, connection) == Sent::yes) return true;
    const TinyLock lock(mutex_);
    // Else libca has connected again meanwhile, and has told so before this was kept.
    if (!look_.is_connected || connections_ == connection.number) {
      kept_.push_back(request);
      return false;
    }
  }
}

bool Channel::withdraw(Request& request) noexcept {
  const TinyLock lock(mutex_);
  if (request.is_sent || !RequestList::is_linked(request)) return false;
  kept_.take_out(request);
  return true;
}

// Yes: it is with libca, or finished. No: the circuit is broken.
Channel::Sent Channel::send(Request& request, const Connection& connection) noexcept {
  if (request.keeps->is_left()) {
    Batch::finish(request, {});
    return Sent::yes;
  }
  int status = ECA_NORMAL;
  bool is_done = true;
  try {
    switch (request.kind) {
      case Request::Kind::connect: break;
      case Request::Kind::get:
        is_done = false;
        status = send_get(request, connection);
        break;
      case Request::Kind::put:
      case Request::Kind::put_and_wait: status = send_put(request, connection, is_done); break;
    }
  } catch (const Error& error) {
    Batch::finish(request, {.code = error.code(), .text = error.text()});
    return Sent::yes;
  } catch (...) {
    Batch::finish(request, {.code = Code::no_memory});
    return Sent::yes;
  }
  if (status == ECA_DISCONN) return Sent::no;
  if (status != ECA_NORMAL) {
    Batch::finish(request, refused(static_cast<Code>(status)));
  } else if (is_done) {
    Batch::finish(request, {});
  }
  return Sent::yes;
}

int Channel::send_get(Request& request, const Connection& connection) {
  const Asked asked = asked_for(request.plan, connection.native, *name_);
  request.as_text = asked.as_text;
  return send_noted(request, [&] { return ca_array_get_callback(asked.type, asked.count, connection.id, on_value, &request); });
}

int Channel::send_put(Request& request, const Connection& connection, bool& is_done) {
  const Encoded encoded = encode(*request.outgoing, connection.native, *name_);
  is_done = request.kind == Request::Kind::put;
  if (is_done) return ca_array_put(encoded.type, encoded.count, connection.id, encoded.bytes());
  return send_noted(request, [&] {
    return ca_array_put_callback(encoded.type, encoded.count, connection.id, encoded.bytes(), on_put, &request);
  });
}

// Sends a get or a put to libca. The answer may come before this function returns.
template <typename F>
int Channel::send_noted(Request& request, F send) {
  {
    const TinyLock lock(mutex_);
    request.is_sent = true;
    sent_.push_back(request);
  }
  const int status = send();
  if (status != ECA_NORMAL) note_answer(request);
  return status;
}

void Channel::note_answer(Request& request) noexcept {
  const TinyLock lock(mutex_);
  request.is_sent = false;
  sent_.take_out(request);
}

// --- libca calls ---------------------------------------------------------------------------------------------------------------------

void Channel::on_value(event_handler_args args) noexcept {
  const mothreads::ForeignThread here(kThreadName);
  auto& request = *static_cast<Request*>(args.usr);
  Outcome outcome;
  try {
    if (args.status != ECA_NORMAL || args.dbr == nullptr) {
      outcome = refused(args.status == ECA_NORMAL ? Code::get_failed : static_cast<Code>(args.status));
    } else {
      outcome.value.emplace(decode(request.channel->name(), ca_element_count(args.chid), request.as_text, args.type, args.count, args.dbr));
    }
  } catch (...) {
    outcome.code = Code::no_memory;
  }
  request.channel->note_answer(request);
  Batch::finish(request, std::move(outcome));
}

void Channel::on_put(event_handler_args args) noexcept {
  const mothreads::ForeignThread here(kThreadName);
  auto& request = *static_cast<Request*>(args.usr);
  request.channel->note_answer(request);
  Outcome outcome = args.status == ECA_NORMAL ? Outcome{} : refused(static_cast<Code>(args.status));
  outcome.is_answer = true;
  Batch::finish(request, std::move(outcome));
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
  std::uint64_t number = 0;
  {
    const TinyLock lock(mutex_);
    number = ++connections_;
    look_.is_connected = look_.was_connected = true;
    look_.native = native;
    look_.host.swap(host_text);
    look_.since = absl::Now();
  }
  Section section(context_);
  if (!section) return;
  for (const std::shared_ptr<Monitor>& monitor : monitors()) monitor->connected(id_, native);
  for (;;) {
    Request* request = nullptr;
    {
      const TinyLock lock(mutex_);
      if (!look_.is_connected || connections_ != number) break;
      request = kept_.take_first();
    }
    if (request == nullptr || !issue(*request)) break;
  }
  section.flush();
}

void Channel::disconnected() {
  {
    const TinyLock lock(mutex_);
    look_.is_connected = false;
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
  Native native;
  bool is_connected = false;
  Code failure = Code::normal;
  {
    const TinyLock lock(mutex_);
    monitors_.push_back(monitor);
    is_connected = look_.is_connected;
    native = look_.native;
    failure = failure_;
  }
  Section section(context_);
  if (!section) {
    monitor->ended();
  } else if (failure != Code::normal) {
    monitor->refused(failure, text_of(failure));
  } else if (is_connected) {
    monitor->connected(id_, native);
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

void Channel::refuse_all(const Outcome& outcome) noexcept {
  for (;;) {
    Request* request = nullptr;
    {
      const TinyLock lock(mutex_);
      request = kept_.take_first();
    }
    if (request == nullptr) return;
    Batch::finish(*request, outcome);
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
  // libca has dropped what it had. Nobody waits for it any more.
  for (;;) {
    std::shared_ptr<Batch> kept;
    const TinyLock lock(mutex_);
    Request* const request = sent_.take_first();
    if (request == nullptr) return;
    kept = std::move(request->keeps);
  }
}

}  // namespace catools::inline v0::internal
