#pragma once

// One end of a pipe, for fibers: what a process reads or writes, a FIFO, a terminal.
//
//     auto [reader, writer] = co::make_pipe();
//     writer.write_all("hello\n");
//     auto line = reader.read_line(absl::Seconds(1));
//
//     co::Pipe in = co::Pipe::standard_input();
//     while (auto line = in.read_line()) ...
//
// It is read and written by the verbs of Stream (stream.h). SIGPIPE is never raised: writing where nobody reads any more throws IoError
// with std::errc::broken_pipe.
//
// What others have, too (adopt(), the standard streams) is non-blocking for them as well as long as one of ours is open, and then as it was
// again. A process that is killed meanwhile leaves it so.
//
// Which thread: see descriptor.h.

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "cooperative/io/descriptor.h"
#include "cooperative/io/internal/quiet_write.h"
#include "cooperative/io/internal/shared_mode.h"
#include "cooperative/io/stream.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

struct PipeEnds;

class Pipe final : public Stream {
 public:
  Pipe() = default;  // closed
  // Takes over an end that somebody else made, a FIFO, a terminal: whatever can be read or written, and waited for. A file can be adopted,
  // too, and then is never waited for. Throws IoError when there is no such descriptor.
  static Pipe adopt(int descriptor);
  // Another descriptor for the process' own; closing it leaves that open. Throws IoError when it is closed.
  static Pipe standard_input();
  static Pipe standard_output();
  static Pipe standard_error();

  Pipe(Pipe&&) noexcept = default;
  Pipe& operator=(Pipe&&) noexcept = default;
  ~Pipe() override { mode_.reset(); }  // before it is closed

  // shut_down_writing() closes an end that only writes, does nothing for one that only reads, and throws mothreads::Misuse for what does both,
  // as terminals do.
  void close() override;
  bool is_open() const override { return descriptor_.is_open(); }
  // The caller's own, as it was adopted; one of make_pipe() blocks from then on. -1 when it is closed. What reading looked ahead is lost: it
  // throws mothreads::Misuse where buffered() is not empty.
  [[nodiscard]] int release();

  bool is_reader() const;
  bool is_writer() const;
  std::string name() const override;
  int native() const { return descriptor_.native(); }
  Descriptor& descriptor() { return descriptor_; }

 protected:
  Received receive(std::span<std::byte> into, mothreads::Limit limit) override;
  Sent send_pieces(std::span<const std::string_view> pieces, mothreads::Limit limit) override;
  void end_writing(mothreads::Limit limit) override;

 private:
  friend PipeEnds make_pipe();
  Pipe(Descriptor&& descriptor, bool is_fifo) : descriptor_(std::move(descriptor)), is_fifo_(is_fifo) {}

  int access() const;

  mothreads::internal::Born born_;
  std::unique_ptr<internal::io::SharedMode> mode_;  // of one that was adopted; before the descriptor, which closes it
  Descriptor descriptor_;
  internal::io::QuietWriter writer_;
  bool is_fifo_ = false;  // a read that stops short has taken all there was
};

struct PipeEnds {
  Pipe reader;
  Pipe writer;
};

// A new one. Throws IoError when the process has no more descriptors.
PipeEnds make_pipe();

}  // namespace cooperative
