#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "catools/server/internal/circuit.h"
#include "catools/server/internal/search.h"
#include "catools/server/internal/updates.h"
#include "mothreads/log.h"
#include "tests/fuzz/entries.h"
#include "tests/fuzz/entry_parts.h"

namespace cooperative::inline v0::fuzz {

namespace {

using catools::internal::Cells;
using catools::internal::Circuit;
using catools::internal::Command;
using catools::internal::Directory;
using catools::internal::Put;
using catools::internal::PvSetup;
using catools::internal::ServedPv;

unsigned take_first_byte(std::string_view& input) {
  if (input.empty()) return 0;
  const auto first = static_cast<unsigned char>(input.front());
  input.remove_prefix(1);
  return first;
}

// Numbers, choices, arrays, one with a handler, and one that may not be written.
class Served {
 public:
  Served() {
    add({.name = "a", .initial = std::vector<double>{1.5}});
    add({.name = "c", .initial = std::vector<std::uint16_t>{1}}, {.texts = {"off", "on"}});
    add({.name = "d", .initial = std::vector<std::int32_t>{1, 2, 3}, .is_array = true, .max_count = 20});
    add({.name = "f", .initial = std::vector<std::int16_t>{-4}, .on_put = {.call = [](Cells&& cells, const mothreads::Signal&) { return cells; }}});
    add({.name = "g", .initial = std::vector<float>{2}, .rights = catools::AccessRights::read});
    add({.name = "h", .initial = std::vector<double>(600), .is_array = true, .max_count = 1000});
  }
  const Directory& directory() const { return directory_; }
  void tell() {
    for (const auto& pv : pvs_) pv->tell();
  }

 private:
  void add(PvSetup setup, catools::internal::Properties properties = {}) {
    setup.properties = std::make_shared<const catools::internal::Properties>(std::move(properties));
    pvs_.push_back(std::make_shared<ServedPv>(std::move(setup), std::make_shared<catools::internal::Updates>()));
    directory_.add(pvs_.back());
  }

  Directory directory_;
  std::vector<std::shared_ptr<ServedPv>> pvs_;
};

class Side final : public catools::internal::CircuitHost {
 public:
  // Gives the client's messages, without the times, which are the clock's.
  std::string run(std::string_view input, std::size_t piece) {
    std::string waiting;
    try {
      while (true) {
        waiting.erase(0, circuit_->take(waiting));
        if (!circuit_->has_room()) {
          drain();
          continue;
        }
        if (input.empty()) break;
        const std::size_t size = std::min(piece, input.size());
        waiting += input.substr(0, size);
        input.remove_prefix(size);
        require(waiting.size() <= Circuit::kMaxPayload + piece + 24, "more bytes wait than a message has");
      }
    } catch (const catools::internal::ProtocolError& error) {
      circuit_->refuse(error.what());
    }
    drain();
    drain();
    return seen_;
  }

  void has_output() override {}
  void has_room() override {}
  void start_put(const std::shared_ptr<ServedPv>& pv, Put put) override { puts_.emplace_back(pv, std::move(put)); }

 private:
  void drain() {
    for (auto& [pv, put] : std::exchange(puts_, {})) {
      pv->set(std::move(put.cells), {});
      put.ended(puts_.size() % 2 == 0 ? "" : "no");
    }
    served_.tell();
    std::string all;
    std::string some;
    while (circuit_->next_output(some)) {
      require(some.size() <= Circuit::kPiece + 24 + 512 + 48, "a piece that is larger than one may be");
      all += some;
    }
    note(all);
  }
  void note(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto parsed = catools::internal::parse_header(bytes);
      require(parsed && bytes.size() >= parsed->length + parsed->header.size, "a message that is cut short");
      require(parsed->header.size % 8 == 0, "a payload without its padding");
      const bool has_time = parsed->header.type >= 14 && parsed->header.type <= 20;
      seen_ += bytes.substr(0, has_time ? parsed->length : parsed->length + parsed->header.size);
      bytes.remove_prefix(parsed->length + parsed->header.size);
    }
  }

  Served served_;
  catools::internal::Counters counters_;
  std::vector<std::pair<std::shared_ptr<ServedPv>, Put>> puts_;
  std::shared_ptr<Circuit> circuit_ = std::make_shared<Circuit>(served_.directory(), 5064, *this, counters_,
                                                                catools::internal::CircuitLimits{.max_channels = 20, .max_monitors = 20}, "fuzzer");
  std::string seen_;
};

}  // namespace

void ca_circuit(std::string_view input) {
  mothreads::log::set_level(mothreads::log::Level::critical);
  constexpr std::array<std::size_t, 4> kPieces{1, 7, 16, 100};
  const unsigned choice = take_first_byte(input);
  const std::string seen = Side().run(input, kPieces[choice & 3]);
  require(Side().run(input, std::max<std::size_t>(input.size(), 1)) == seen, "in other pieces, another meaning");
}

void ca_search(std::string_view input) {
  static const Served served;
  for (const std::string& reply : catools::internal::answer_search(input, served.directory(), 5064)) {
    require(reply.size() <= 1024, "a datagram that is too long");
    require(reply.size() % 8 == 0 && reply.size() >= 40, "a datagram without an answer");
  }
}

}  // namespace cooperative::fuzz
