#pragma once

// Waiting for descriptors of others: those of a library, or of code that was here before. poll(2), for one fiber.
//
//     auto ready = co::poll_list({{fd, co::Ready::in}}, absl::Seconds(1));        // empty: the limit came first
//
// Several fibers may wait for the same descriptor: what comes goes to the first of them, errors and hang-ups to all. One bad descriptor
// is reported to who asked for it (Ready::nval), and hurts nobody else. Whoever closes a descriptor for which fibers may wait does it by
// close_descriptor(): the kernel tells nobody.
//
// When not to use it: for what the library owns, a Socket or a Descriptor, whose own calls wait.

#include <poll.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "cooperative/errors.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

// poll(2)'s, in its figures. The last three are always reported, asked for or not.
enum class Ready : short {
  in = POLLIN,
  pri = POLLPRI,
  out = POLLOUT,
  err = POLLERR,
  hup = POLLHUP,
  nval = POLLNVAL,
};
constexpr Ready operator|(Ready a, Ready b) { return static_cast<Ready>(static_cast<int>(a) | static_cast<int>(b)); }
constexpr Ready operator&(Ready a, Ready b) { return static_cast<Ready>(static_cast<int>(a) & static_cast<int>(b)); }
constexpr Ready& operator|=(Ready& a, Ready b) { return a = a | b; }
constexpr bool any(Ready ready) { return ready != Ready{}; }
std::string to_string(Ready ready);  // "in|hup"

struct PollItem {
  int descriptor;
  Ready ready;  // asked for, or found
};

// Waits until one of them is as asked, and gives those that are, with what they are, each descriptor once, in the order given. What is asked
// of one twice is asked together. Nothing when the limit came first; with no items it is a sleep. Throws Closed when close_descriptor()
// was called for one of them meanwhile, std::system_error when the kernel cannot watch one. Always lets others run first, whatever is ready;
// what is ready counts before a limit that has come.
std::vector<PollItem> poll_list(std::span<const PollItem> items, const mothreads::Until& until = {});
std::vector<PollItem> poll_list(std::initializer_list<PollItem> items, const mothreads::Until& until = {});

// The same with a list that is kept, as select.poll of Python.
class Poll {
 public:
  // The last word on a descriptor counts.
  void add(int descriptor, Ready ready = Ready::in | Ready::pri | Ready::out) { items_[descriptor] = ready; }
  // Throws std::out_of_range when it was not added.
  void modify(int descriptor, Ready ready);
  void remove(int descriptor);

  std::vector<PollItem> poll(const mothreads::Until& until = {}) const;

 private:
  std::map<int, Ready> items_;
};

// select() met a descriptor that has an error, or is none.
class SelectError : public std::runtime_error {
 public:
  SelectError(int descriptor, Ready ready);
  int descriptor() const { return descriptor_; }
  Ready ready() const { return ready_; }

 private:
  int descriptor_;
  Ready ready_;
};

struct Selected {
  std::vector<int> readable;
  std::vector<int> writable;
  std::vector<int> exceptional;
  explicit operator bool() const { return !readable.empty() || !writable.empty() || !exceptional.empty(); }
};

// select(2), in the order given; nothing when the limit came first. The end of a pipe makes it readable. Throws SelectError.
Selected select(std::span<const int> to_read, std::span<const int> to_write, std::span<const int> exceptional, const mothreads::Until& until = {});

// Closes a descriptor; fibers of this thread that wait for it in one of the above get Closed. Throws IoError.
void close_descriptor(int descriptor);

}  // namespace cooperative
