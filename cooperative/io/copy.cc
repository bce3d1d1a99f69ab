#include "cooperative/io/copy.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/io/descriptor.h"
#include "cooperative/io/internal/quiet_write.h"
#include "cooperative/io/io_error.h"
#include "cooperative/io/pipe.h"
#include "cooperative/io/socket.h"

namespace cooperative::inline v0 {

using mothreads::Limit;
using mothreads::Until;
using mothreads::Why;

namespace {

// So much at a time: what a pipe holds, unless it was made larger.
constexpr std::size_t kPart = 64 * 1024;

// Of what can be spliced; null of what cannot.
Descriptor* descriptor_of(Stream& stream) {
  if (auto* const pipe = dynamic_cast<Pipe*>(&stream)) return &pipe->descriptor();
  auto* const socket = dynamic_cast<Socket*>(&stream);
  return socket != nullptr && socket->is_open() && socket->type() == SOCK_STREAM ? &socket->descriptor() : nullptr;
}

class Copying {
 public:
  Copying(Stream& from, Stream& to, std::uint64_t max) : from_(from), to_(to), left_(max) {
    Descriptor* const source = descriptor_of(from);
    Descriptor* const target = descriptor_of(to);
    const bool has_pipe = dynamic_cast<Pipe*>(&from) != nullptr || dynamic_cast<Pipe*>(&to) != nullptr;
    if (source == nullptr || target == nullptr || !has_pipe) return;
    source_ = source;
    target_ = target;
  }

  Copied run(Limit limit) {
    to_.flush(limit);
    while (left_ > 0) {
      const bool splices = source_ != nullptr && from_.buffered().empty() && from_.is_open() && to_.is_open();
      if (const Why why = splices ? splice(limit) : by_memory(limit); why != Why::ready) return {done_, why};
    }
    return {done_, Why::ready};
  }

 private:
  // By way of what is read ahead: so it is still there when the write is interrupted.
  Why by_memory(Limit limit) {
    if (from_.buffered().empty()) {
      if (const Why why = from_.fill(limit).why(); why != Why::ready) return why;
    }
    const std::string_view there = from_.buffered();
    const Sent sent = to_.write_some(there.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(there.size(), left_))), limit);
    from_.consume(sent.size());
    count(sent.size());
    return sent.why();
  }

  Why splice(Limit limit) {
    source_->check_thread("a stream");
    target_->check_thread("a stream");
    internal::SchedulerCore::current().spend_operation();
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, kPart));
    const ssize_t moved = internal::io::QuietWriter::splice_into(target_->native(), source_->native(), size);
    if (moved > 0) {
      waits_in_vain_ = 0;
      count(static_cast<std::size_t>(moved));
      return Why::ready;
    }
    if (moved == 0) return Why::closed;
    const int error = errno;
    switch (error) {
      case EINTR: return Why::ready;
      case EAGAIN: return wait_for_both(limit);
      case EINVAL: return source_ = nullptr, Why::ready;  // a terminal, say
      default: throw IoError(error, to_.name(), "copy " + from_.name() + " to it");
    }
  }

  // The system does not say which side it was.
  Why wait_for_both(Limit limit) {
    if (++waits_in_vain_ > 2) return by_memory(limit);  // both are ready, and still it does not go
    if (const Why why = source_->wait_readable(limit).why(); why != Why::ready) return why;
    return target_->wait_writable(limit).why();
  }

  void count(std::size_t size) {
    done_ += size;
    left_ -= size;
  }

  Stream& from_;
  Stream& to_;
  std::uint64_t left_;
  std::uint64_t done_ = 0;
  Descriptor* source_ = nullptr;
  Descriptor* target_ = nullptr;
  int waits_in_vain_ = 0;
};

}  // namespace

Copied copy(Stream& from, Stream& to, const Until& until) { return copy(from, to, {}, until); }

Copied copy(Stream& from, Stream& to, const CopyOptions& options, const Until& until) {
  return Copying(from, to, options.max).run(Limit(until));
}

}  // namespace cooperative
