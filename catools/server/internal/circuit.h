#pragma once

// A client's circuit: it takes the bytes that the client sends, and gives those to send back. It reads and writes nothing itself, and never waits.
//
//     socket.consume(circuit->take(socket.buffered()));
//     while (circuit->next_output(bytes)) socket.write_all(bytes);
//
// Memory: replies are kept up to kMaxReplies bytes, with one that may pass it, and puts up to kMaxPuts, of each PV fewer (puts.h); then take() takes no more until they have gone. A put's elements are
// kept as they come, never more than the process variable holds; the payload of any other message is at most kMaxPayload bytes. A monitor's
// queue has the limit of its PV. Values are encoded as they are sent, in pieces of kPiece bytes.
//
// On the serving thread alone.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/functional/function_ref.h"
#include "catools/server/internal/cells.h"
#include "catools/server/internal/counters.h"
#include "catools/server/internal/dbr.h"
#include "catools/server/internal/directory.h"
#include "catools/server/internal/served_pv.h"
#include "catools/server/internal/wire.h"

namespace catools::inline v0::internal {

// The client sent what no client sends: its circuit ends.
class ProtocolError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class CircuitHost {
 public:
  virtual ~CircuitHost() = default;
  // There is something for next_output().
  virtual void has_output() = 0;
  // take() may take more again.
  virtual void has_room() = 0;
  // Calls the handler of the PV, and then put.ended, maybe before it returns.
  virtual void start_put(const std::shared_ptr<ServedPv>& pv, Put put) = 0;
};

struct CircuitLimits {
  std::size_t max_channels = 100'000;
  std::size_t max_monitors = 100'000;
};

class Circuit final : public std::enable_shared_from_this<Circuit> {
 public:
  static constexpr std::size_t kMaxPayload = 16 * 1024;
  static constexpr std::size_t kMaxReplies = 256 * 1024;
  static constexpr std::size_t kMaxPuts = 256;
  static constexpr std::size_t kPiece = 64 * 1024;

  // `client` is what the log calls it until it says its name.
  Circuit(const Directory& directory, std::uint16_t port, CircuitHost& host, Counters& counters, const CircuitLimits& limits, std::string client);
  ~Circuit();
  Circuit(const Circuit&) = delete;
  Circuit& operator=(const Circuit&) = delete;

  // Takes whole messages, and parts of a put, off the front; gives how many bytes that were. Throws ProtocolError.
  std::size_t take(std::string_view bytes);
  bool has_room() const { return reply_bytes_ < kMaxReplies && puts_.size() < kMaxPuts; }
  std::size_t puts() const { return puts_.size(); }

  // The next bytes to send, up to about kPiece, in the place of what is in `out`; false when there are none.
  bool next_output(std::string& out);
  // The last that the client is told: why its circuit ends. Its monitors are told nothing more.
  void refuse(std::string_view why);
  void drop_monitors();
  // There was no memory for what the client has to be told: its circuit has to end, so that it comes again, and asks anew.
  bool has_given_up() const noexcept { return has_given_up_; }

  const std::string& client() const { return client_; }

 private:
  class Channel;
  struct Monitor;
  struct PutInput;
  // A part of what is to be sent: bytes, and then the cells of a sample, zeros behind them.
  struct Reply {
    std::string bytes = {};
    SamplePtr sample = {};
    std::size_t next = 0;  // cell
    std::size_t end = 0;   // the cell behind the last to send
    std::size_t left = 0;  // bytes, of cells and zeros

    std::size_t size() const { return bytes.size() + left; }
  };

  std::size_t take_message(std::string_view bytes);
  void handle(const Header& header, std::string_view payload);
  void create_channel(const Header& header, std::string_view payload);
  void clear_channel(const Header& header);
  void read(const Header& header);
  void add_monitor(const Header& header, std::string_view payload);
  void cancel_monitor(const Header& header);
  void answer_search(const Header& header, std::string_view payload);
  void name_client(const Header& header, std::string_view payload);

  // Puts: circuit_puts.cc.
  void begin_put(const Header& header);
  Status check_put(const Header& header, const Channel& channel, std::string& text) const;
  std::size_t take_put(std::string_view bytes);
  void finish_put();
  void perform_put(PutInput& input);
  void acknowledge(const PutInput& input, std::uint16_t number);
  void put_has_ended(std::uint64_t number, const std::string& refusal);
  void answer_put(const Header& header, std::uint32_t channel_id, Status status, std::string_view text);

  // Output: circuit_output.cc.
  std::string& reply_text();
  void append_reply(const Header& header, std::string_view payload = {});
  void append_error(const Header& request, std::uint32_t channel_id, Status status, std::string_view text);
  void append_value(Command command, const Header& request, const Layout& layout, SamplePtr sample, std::uint32_t first, std::uint32_t second);
  Reply make_reply(Command command, const Header& request, const Layout& layout, SamplePtr sample, std::uint32_t first, std::uint32_t second) const;
  Reply make_update(Monitor& monitor);
  static bool append_part(Reply& reply, std::string& out, std::size_t most);
  bool begin_next();
  void wake();
  void or_give_up(absl::FunctionRef<void()> tell) noexcept;

  // Null, and an error that says so, for a channel that was there; throws ProtocolError for one that never was.
  Channel* channel_of(std::uint32_t id);
  void drop_channel(std::uint32_t id);
  void drop_monitor(std::uint32_t id);
  void enqueue(Monitor& monitor, const SamplePtr& sample);
  std::optional<std::uint32_t> count_of_request(const Header& header, const ServedPv& pv) const;

  const Directory& directory_;
  const std::uint16_t port_;
  CircuitHost& host_;
  Counters& counters_;
  const CircuitLimits limits_;
  std::string client_;
  std::string user_;
  std::string host_name_;
  std::uint32_t client_version_ = 0;

  std::uint32_t next_channel_ = 1;
  std::unordered_map<std::uint32_t, std::unique_ptr<Channel>> channels_;  // by the server's number
  std::unordered_map<std::uint32_t, std::unique_ptr<Monitor>> monitors_;  // by the client's number
  std::deque<std::uint32_t> ready_monitors_;
  bool is_held_ = false;  // by EVENTS_OFF
  bool is_refused_ = false;
  bool has_given_up_ = false;

  std::unique_ptr<PutInput> input_;
  struct PutAnswer {
    Header header;
    std::uint32_t channel_id;
  };
  std::unordered_map<std::uint64_t, PutAnswer> puts_;
  std::uint64_t next_put_ = 0;

  std::deque<Reply> replies_;
  std::size_t reply_bytes_ = 0;
  std::unique_ptr<Reply> current_;  // a part of it was sent
  bool is_update_next_ = false;
};

}  // namespace catools::inline v0::internal
