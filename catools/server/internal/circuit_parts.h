#pragma once

// The parts of a Circuit, for its own files.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "catools/server/internal/circuit.h"

namespace catools::inline v0::internal {

class Circuit::Channel final : public PvWatcher {
 public:
  Channel(Circuit& circuit, std::uint32_t id, std::uint32_t client_id, std::shared_ptr<ServedPv> pv);
  ~Channel() override;
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  std::uint32_t client_id() const { return client_id_; }
  const std::shared_ptr<ServedPv>& pv() const { return pv_; }
  bool may_read() const { return (static_cast<unsigned>(pv_->rights()) & static_cast<unsigned>(AccessRights::read)) != 0; }
  bool may_write() const { return (static_cast<unsigned>(pv_->rights()) & static_cast<unsigned>(AccessRights::write)) != 0; }
  std::vector<Monitor*>& monitors() { return monitors_; }
  void tell_rights();

  void has_new(const SamplePtr& sample) noexcept override;
  void has_other_rights() noexcept override;
  void is_gone() noexcept override;

 private:
  Circuit& circuit_;
  const std::uint32_t id_;
  const std::uint32_t client_id_;
  const std::shared_ptr<ServedPv> pv_;
  std::vector<Monitor*> monitors_;
};

struct Circuit::Monitor {
  Channel& channel;
  Header request;  // with the type and the count that were asked for
  Layout layout;
  std::uint16_t events;
  SampleQueue queue = {};
  std::uint64_t last = 0;    // the number of the newest sample that was queued
  bool is_ready = false;     // it is in the list of those that have something to send
};

// A put whose elements have not come whole.
struct Circuit::PutInput {
  Header header;
  std::shared_ptr<ServedPv> pv;  // null where the channel has gone
  std::uint32_t channel_id;
  Status status;
  std::string text;       // why it is refused
  Form form;
  Cells cells;
  std::size_t left;       // bytes of elements to come
  std::size_t behind;     // bytes to pass over behind them
};

}  // namespace catools::inline v0::internal
