#pragma once

// Files, for fibers: a disk that takes its time stops nobody but the fiber that asks.
//
//     co::File log = co::File::open("/var/log/app.log");
//     while (auto line = log.read_line()) ...
//
//     co::File table = co::File::open(path, {.write = true, .create = true});
//     table.write_at(record, 4096 * number);
//     table.sync();
//
// What is in memory is read at once, by the thread that runs the fiber; all else is done by other threads, while the fiber waits
// (docs/decisions/0008). That costs some microseconds a call, so write what belongs together with one: several pieces, or write_later().
//
// A File is a Stream (stream.h) that reads and writes at its position; after shut_down_writing() it only reads. read_at() and write_at()
// take a place of their own, and do not touch the position; any number of fibers may be at them. A limit ends a call that waits for its turn;
// one that is with the system goes on to its end, which is awaited, and what it gave counts.
//
// Memory for much at a time should begin at a page: see stream.h.
//
// When not to use it: for pipes, terminals and sockets, which have classes of their own; for a whole file at once (whole_file.h).
//
// Which thread: one at a time for read_at() and its like; the verbs of Stream those of the scheduler on which it was opened.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "cooperative/internal/wait/home.h"
#include "cooperative/internal/wait/turn.h"
#include "cooperative/io/stream.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/limit.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

struct FileOptions {
  bool read = true;
  bool write = false;
  bool create = false;     // when there is none
  bool exclusive = false;  // with create: there must be none
  bool truncate = false;   // what is there is thrown away
  bool append = false;     // every write goes to the end, wherever that is by then
  bool direct = false;     // past the system's memory, in whole blocks: O_DIRECT
  mode_t permissions = 0666;  // of one that is made, but for what umask(2) takes away
};

class File final : public Stream {
 public:
  File() = default;  // closed
  // Throws IoError, which names the path; Timedout; mothreads::Misuse for options that contradict each other.
  static File open(const std::string& path, const mothreads::Until& until = {}) { return open(path, FileOptions{}, until); }
  static File open(const std::string& path, const FileOptions& options, const mothreads::Until& until = {});
  // To write to, made or emptied.
  static File create(const std::string& path, const mothreads::Until& until = {}) {
    return open(path, {.read = false, .write = true, .create = true, .truncate = true}, until);
  }
  // Takes over a descriptor. Throws IoError when there is none.
  static File adopt(int descriptor);

  File(File&&) noexcept = default;
  File& operator=(File&&) noexcept = default;
  ~File() override = default;

  // As much as `into` has room for; `closed` at the end of the file, with what was before it. Throws IoError.
  Received read_at(std::span<std::byte> into, std::uint64_t offset, const mothreads::Until& until = {});
  Received read_at(std::span<char> into, std::uint64_t offset, const mothreads::Until& until = {}) {
    return read_at(std::as_writable_bytes(into), offset, until);
  }
  // The same into several places, one after the other.
  Received read_at(std::span<const std::span<std::byte>> into, std::uint64_t offset, const mothreads::Until& until = {});
  // All. Throws IoError, and WriteTimedout, which says how much was written. A file opened to append has its own idea of the place.
  void write_at(std::string_view data, std::uint64_t offset, const mothreads::Until& until = {});
  void write_at(std::span<const std::string_view> pieces, std::uint64_t offset, const mothreads::Until& until = {});

  std::uint64_t size() const;
  // Makes it so long, with zeros, or so short. Throws Timedout, as the next two.
  void truncate(std::uint64_t size, const mothreads::Until& until = {});
  // Until all that was written is on the disk.
  void sync(const mothreads::Until& until = {});
  // The same, but for what is only about the file, as the time of its last change.
  void sync_data(const mothreads::Until& until = {});

  // Where the next byte is read or written. What reading has looked ahead counts as not read.
  std::uint64_t position() const { return position_ - buffered().size(); }
  void seek(std::uint64_t position);
  void seek_to_end() { seek(size()); }

  // What is under way goes on to its end.
  void close() override;
  bool is_open() const override { return opened_ != nullptr; }
  std::string name() const override;
  int native() const;

 protected:
  Received receive(std::span<std::byte> into, mothreads::Limit limit) override;
  Received receive_ahead(Ahead& ahead, mothreads::Limit limit) override;
  Sent send_pieces(std::span<const std::string_view> pieces, mothreads::Limit limit) override;
  void end_writing(mothreads::Limit limit) override;

 private:
  struct Opened;
  // To be at the position.
  struct AtPosition {
    AtPosition() = default;
    ~AtPosition();
    internal::Home home;
    internal::Turn turn;
    mothreads::internal::Born born;
  };
  friend std::uint64_t copy_file(File& from, File& to, std::uint64_t max, const mothreads::Until& until);
  explicit File(std::shared_ptr<Opened> opened) : opened_(std::move(opened)), place_(std::make_unique<AtPosition>()) {}

  std::shared_ptr<Opened> opened(const char* verb) const;
  void do_whole(const char* verb, absl::FunctionRef<ssize_t(int)> act, const mothreads::Until& until);

  std::shared_ptr<Opened> opened_;  // kept by each call that is under way, too: its number must not become another's
  std::unique_ptr<AtPosition> place_;    // null when it was never open
  std::uint64_t position_ = 0;      // of the next byte that is not in the buffer of Stream
  bool writes_ = true;
};

// From where the one stands to where the other stands, `max` bytes or all to the end, without a way through this process' memory where the
// file systems can do it. Gives how many. Throws IoError, Timedout: both stand behind what was copied.
std::uint64_t copy_file(File& from, File& to, std::uint64_t max = UINT64_MAX, const mothreads::Until& until = {});

}  // namespace cooperative
