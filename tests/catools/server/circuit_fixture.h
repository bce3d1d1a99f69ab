#pragma once

// A circuit without sockets and fibers: what a client sends, and what it gets.

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "catools/server/internal/circuit.h"
#include "catools/server/internal/updates.h"
#include "tests/catools/server/ca_messages.h"

namespace catools::inline v0::testing {

class CircuitSide final : public internal::CircuitHost {
 public:
  explicit CircuitSide(const internal::Directory& directory, internal::CircuitLimits limits = {})
      : circuit_(std::make_shared<internal::Circuit>(directory, 5064, *this, counters, limits, "a test")) {}

  // All that was sent is taken, or waits until there is room. A message that is refused is forgotten.
  void send(std::string_view bytes) {
    waiting_ += bytes;
    try {
      waiting_.erase(0, circuit_->take(waiting_));
    } catch (const internal::ProtocolError&) {
      waiting_.clear();
      throw;
    }
  }
  // The messages that the client gets next; reading them makes room for requests that wait.
  std::vector<CaMessage> received() {
    std::string all;
    std::string some;
    while (circuit_->next_output(some)) {
      largest = std::max(largest, some.size());
      all += some;
      send({});
    }
    return messages_in(all);
  }
  std::size_t waiting() const { return waiting_.size(); }
  internal::Circuit& circuit() { return *circuit_; }
  void drop() { circuit_.reset(); }

  void has_output() override {}
  void has_room() override {}
  void start_put(const std::shared_ptr<internal::ServedPv>&, internal::Put put) override { puts.push_back(std::move(put)); }

  internal::Counters counters;
  std::vector<internal::Put> puts;  // that wait for their handler
  std::size_t largest = 0;          // piece of output

 private:
  std::shared_ptr<internal::Circuit> circuit_;
  std::string waiting_;
};

inline std::shared_ptr<internal::ServedPv> make_pv(internal::PvSetup setup) {
  if (setup.properties == nullptr) setup.properties = std::make_shared<const internal::Properties>();
  return std::make_shared<internal::ServedPv>(std::move(setup), std::make_shared<internal::Updates>());
}

}  // namespace catools::inline v0::testing
