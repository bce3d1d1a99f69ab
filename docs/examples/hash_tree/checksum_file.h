#pragma once

// Where the checksum lines go: a file, or standard output. It has whole lines only, whatever happens to a write.
//
// Thread safety: lines_written() from any thread, the rest from one at a time.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>

#include "docs/examples/hash_tree/hash_file.h"
#include "mothreads/signal.h"

namespace hash_tree {

class ChecksumFile {
 public:
  enum class Existing : std::uint8_t { replace, keep };

  // Standard output.
  ChecksumFile();
  // The file at `path`, made where there is none. Throws std::system_error, naming it.
  ChecksumFile(std::string path, Existing existing);
  ~ChecksumFile();
  ChecksumFile(const ChecksumFile&) = delete;
  ChecksumFile& operator=(const ChecksumFile&) = delete;

  // The paths that it has lines of; what is written follows them. A last line without its end, left by a process that was
  // killed or a disk that was full, is dropped. Throws, with the file unchanged, when it is not made of checksum lines.
  std::unordered_set<std::string> read_paths(const mothreads::Signal& please_stop);

  // Writes whole lines. When it throws, naming the file, a last line that came out in part is taken back. A pipe or terminal
  // that takes nothing is waited for, until please_stop and half a second more; no line of up to PIPE_BUF bytes is torn
  // there.
  void write(std::string_view lines, const mothreads::Signal& please_stop);

  // Throws when the system says now that earlier writes have failed.
  void close();

  FileId id() const { return id_; }
  std::uint64_t lines_written() const { return lines_written_.load(std::memory_order_relaxed); }

 private:
  void write_piece(std::string_view piece, const mothreads::Signal& please_stop);
  void wait_until_taken(const mothreads::Signal& please_stop);
  void take_back(std::size_t bytes) const;

  const std::string name_;
  int file_;
  const bool is_own_;
  bool is_regular_ = false;
  FileId id_;
  int waits_after_stop_ = 0;
  std::atomic<std::uint64_t> lines_written_{0};
};

}  // namespace hash_tree
