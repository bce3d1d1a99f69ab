#include "catools/server/server.h"

#include <variant>

#include <fmt/core.h>

#include "catools/server/internal/serving.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "mothreads/misuse.h"
#include "mothreads/thread.h"

namespace catools::inline v0 {

using mothreads::Misuse;
using mothreads::Signal;

class Server::Running {
 public:
  explicit Running(const ServerOptions& options)
      : serving_(std::make_shared<internal::Serving>(
            internal::ServingOptions{.name = options.name,
                                     .host = options.host,
                                     .port = options.port,
                                     .max_circuits = options.max_circuits,
                                     .circuit = {.max_channels = options.max_channels, .max_monitors = options.max_monitors},
                                     .drain = options.drain,
                                     .draining = options.draining,
                                     .put_stack_size = options.put_stack_size})),
        queue_{.samples = std::max<std::size_t>(options.monitor_queue, 1), .bytes = options.monitor_queue_bytes} {
    auto serve = [serving = serving_](const Signal& please_stop) { serving->run(please_stop); };
    if (options.own_thread) {
      runs_ = mothreads::Thread::run(mothreads::ThreadOptions{.name = options.name, .parent = options.parent}, std::move(serve));
    } else {
      runs_ = cooperative::spawn({.name = options.name, .parent = options.parent}, std::move(serve));
    }
    stopped_ = std::visit([](auto& handle) { return handle.stopped(); }, runs_);
  }

  internal::Serving& serving() { return *serving_; }
  const internal::QueueLimit& queue() const { return queue_; }
  const Signal& stopped() const { return stopped_; }
  void stop() {
    std::visit([](auto& handle) { handle.stop(); }, runs_);
  }
  void join(const mothreads::Until& until) {
    try {
      std::visit([&](auto& handle) { handle.join(until); }, runs_);
    } catch (const cooperative::WasCancelled&) {
      // The deadline of a stop has cut the drain.
    }
  }

 private:
  const std::shared_ptr<internal::Serving> serving_;
  const internal::QueueLimit queue_;
  std::variant<mothreads::ThreadHandle<void>, cooperative::Fiber<void>> runs_;
  Signal stopped_;
};

namespace {

ServerOptions named(std::string_view name, ServerOptions options) {
  options.name = name;
  return options;
}

// The fields of a message have their sizes; what does not fit would be cut.
void check_properties(const internal::PvSetup& setup, bool is_enum) {
  const internal::Properties& properties = *setup.properties;
  internal::check_units(setup.name, properties.units);
  constexpr int kMostDigits = 17;
  if (properties.precision != internal::Properties::kNoPrecision && (properties.precision < 0 || properties.precision > kMostDigits)) {
    throw Misuse(fmt::format("\"{}\" has a precision of {}: give 0 to {} digits", setup.name, properties.precision, kMostDigits));
  }
  constexpr std::size_t kMostElements = 100'000'000;  // a message has less than 4 GiB, also where each is sent as text of 40 bytes
  if (setup.max_count > kMostElements) {
    throw Misuse(fmt::format("\"{}\" has up to {} elements: {} can be sent", setup.name, setup.max_count, kMostElements));
  }
  if (is_enum && properties.texts.empty()) throw Misuse(fmt::format("\"{}\" is an enum: give its texts", setup.name));
  if (!is_enum && !properties.texts.empty()) throw Misuse(fmt::format("\"{}\" has texts and is no enum: leave them out", setup.name));
  if (properties.texts.size() > internal::kMaxChoices) {
    throw Misuse(fmt::format("\"{}\" has {} texts: up to {} are sent", setup.name, properties.texts.size(), internal::kMaxChoices));
  }
  for (const std::string& text : properties.texts) {
    if (text.find('\0') != std::string::npos) throw Misuse(fmt::format("\"{}\" has a text with a zero byte, which would end it", setup.name));
    if (text.size() < internal::kChoiceSize) continue;
    throw Misuse(fmt::format("\"{}\" has the text \"{}\": up to {} bytes are sent", setup.name, text, internal::kChoiceSize - 1));
  }
}

}  // namespace

Server::Server(ServerOptions options) : running_(std::make_unique<Running>(options)) {}
Server::Server(std::string_view name, ServerOptions options) : Server(named(name, std::move(options))) {}
Server::Server(Server&&) noexcept = default;
Server& Server::operator=(Server&&) noexcept = default;
Server::~Server() = default;

Server::Running& Server::running() const {
  if (running_ == nullptr) throw Misuse("this Server serves nothing: it was moved from");
  return *running_;
}

std::shared_ptr<internal::ServedPv> Server::add_pv(internal::PvSetup setup, bool is_enum) {
  internal::Serving& serving = running().serving();
  check_properties(setup, is_enum);
  setup.queue = running().queue();
  auto pv = std::make_shared<internal::ServedPv>(std::move(setup), serving.updates());
  serving.directory().add(pv);
  return pv;
}

bool Server::remove(std::string_view name) {
  const std::shared_ptr<internal::ServedPv> pv = running().serving().directory().remove(name);
  return pv != nullptr && pv->remove();
}

std::vector<std::string> Server::names() const { return running().serving().directory().names(); }
const cooperative::Address& Server::address() const { return running().serving().address(); }
Signal Server::stopped() const { return running().stopped(); }
void Server::join(const mothreads::Until& until) { running().join(until); }
Server& Server::stop() {
  running().stop();
  return *this;
}

ServerStatistics Server::statistics() const {
  const internal::Counters& counters = running().serving().counters();
  return {.circuits = counters.circuits.value(),
          .channels = counters.channels.value(),
          .monitors = counters.monitors.value(),
          .updates = counters.updates.value(),
          .dropped = counters.dropped.value(),
          .puts = counters.puts.value(),
          .refused = counters.refused.value(),
          .malformed = counters.malformed.value()};
}

}  // namespace catools::inline v0
