// Reading files, from memory and from the disk: our File, its pool alone, io_uring driven by the same scheduler, and the bare system call.
// Rows: file.warm_4k, file.warm_1m, file.cold_4k, file.direct_4k, per read; io.read_aligned, per gibibyte.

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

// Before liburing.h, which defines BLOCK_SIZE.
#include "cooperative/blocking_pool.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/io/descriptor.h"
#include "cooperative/io/file.h"
#include "mothreads/signal.h"

#include <liburing.h>

namespace {

using cooperative::BlockingPool;
using cooperative::Descriptor;
using cooperative::Event;
using cooperative::Fiber;
using cooperative::File;

constexpr std::size_t kFileSize = std::size_t{256} << 20;
constexpr std::size_t kBlock = 4096;
constexpr int kFibers = 64;
constexpr int kReadsOfEach = 32;

// A file that is on a disk, and not in a file system that is memory: FILE_BENCHMARK_FOLDER says where.
class BigFile {
 public:
  BigFile() : path_(std::string(folder()) + "/file_benchmark_" + std::to_string(getpid())) {
    const int descriptor = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const std::string part(1 << 20, 'x');
    for (std::size_t at = 0; at < kFileSize; at += part.size()) {
      if (::write(descriptor, part.data(), part.size()) != static_cast<ssize_t>(part.size())) std::abort();
    }
    fsync(descriptor);
    ::close(descriptor);
  }
  ~BigFile() { ::unlink(path_.c_str()); }
  const std::string& path() const { return path_; }

  void make_cold() const {
    const int descriptor = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
    ::close(descriptor);
  }
  // Its first part.
  void make_warm() const {
    const int descriptor = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    std::string part(1 << 20, 'x');
    for (int i = 0; i < 4; ++i) {
      if (::read(descriptor, part.data(), part.size()) < 0) std::abort();
    }
    ::close(descriptor);
  }

  static const char* folder() {
    const char* const given = std::getenv("FILE_BENCHMARK_FOLDER");
    return given != nullptr ? given : "/var/tmp";
  }

 private:
  const std::string path_;
};

const BigFile& big_file() {
  static const BigFile file;
  return file;
}

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};
std::unique_ptr<std::byte[], Free> block(std::size_t size) {
  return std::unique_ptr<std::byte[], Free>(static_cast<std::byte*>(std::aligned_alloc(kBlock, size)));
}

int open_raw(bool direct) {
  const int descriptor = ::open(big_file().path().c_str(), O_RDONLY | O_CLOEXEC | (direct ? O_DIRECT : 0));
  posix_fadvise(descriptor, 0, 0, POSIX_FADV_RANDOM);
  return descriptor;
}

// --- ways to read ------------------------------------------------------------------------------------------------------------

class Bare {
 public:
  explicit Bare(bool direct) : descriptor_(open_raw(direct)) {}
  ~Bare() { ::close(descriptor_); }
  void read(std::span<std::byte> into, std::uint64_t offset) {
    if (pread(descriptor_, into.data(), into.size(), static_cast<off_t>(offset)) != static_cast<ssize_t>(into.size())) std::abort();
  }

 private:
  const int descriptor_;
};

class Ours {
 public:
  explicit Ours(bool direct) : file_(File::open(big_file().path(), {.direct = direct})) {
    posix_fadvise(file_.native(), 0, 0, POSIX_FADV_RANDOM);
  }
  void read(std::span<std::byte> into, std::uint64_t offset) {
    if (!file_.read_at(into, offset)) std::abort();
  }

 private:
  File file_;
};

template <std::size_t threads>
class Pool {
 public:
  explicit Pool(bool direct) : bare_(direct), pool_("files", {.threads = threads}) {}
  void read(std::span<std::byte> into, std::uint64_t offset) {
    pool_.call([&] { bare_.read(into, offset); });
  }

 private:
  Bare bare_;
  BlockingPool pool_;
};

// As an io_uring for files would be made here: a fiber submits, the poller says that something has come, one fiber takes it.
class Ring {
 public:
  explicit Ring(bool direct) : file_(open_raw(direct)) {
    if (const int error = io_uring_queue_init(2 * kFibers, &ring_, 0); error < 0) {
      std::fprintf(stderr, "no io_uring here: %s\n", std::strerror(-error));
      std::abort();
    }
    descriptor_ = Descriptor(fcntl(ring_.ring_fd, F_DUPFD_CLOEXEC, 0), Descriptor::NonBlocking{});
    reaper_.emplace(cooperative::spawn("reaper", [this] {
      while (descriptor_.wait_readable()) take();
    }));
  }
  ~Ring() {
    descriptor_.close();
    reaper_->join();
    io_uring_queue_exit(&ring_);
    ::close(file_);
  }
  void read(std::span<std::byte> into, std::uint64_t offset) {
    io_uring_sqe* const request = io_uring_get_sqe(&ring_);
    Event<int> done;
    io_uring_prep_read(request, file_, into.data(), static_cast<unsigned>(into.size()), offset);
    io_uring_sqe_set_data(request, &done);
    io_uring_submit(&ring_);
    take();  // what was in memory is done already
    if (done.wait() != static_cast<int>(into.size())) std::abort();
  }

 private:
  void take() {
    io_uring_cqe* answer = nullptr;
    while (io_uring_peek_cqe(&ring_, &answer) == 0) {
      static_cast<Event<int>*>(io_uring_cqe_get_data(answer))->signal(answer->res);
      io_uring_cqe_seen(&ring_, answer);
    }
  }
  const int file_;
  io_uring ring_;
  Descriptor descriptor_;
  std::optional<Fiber<void>> reaper_;
};

// --- rows --------------------------------------------------------------------------------------------------------------------

template <typename Way, std::size_t size>
void warm(benchmark::State& state) {
  Way way(false);
  big_file().make_warm();
  const auto room = block(size);
  std::uint64_t offset = 0;
  for (auto _ : state) {
    way.read({room.get(), size}, offset);
    offset = (offset + size) % (std::size_t{4} << 20);
  }
  state.SetItemsProcessed(state.iterations());
}

// 64 fibers, each reading anywhere. A thread for each of the bare ones would need no library at all: they are left out.
template <typename Way>
void parallel(benchmark::State& state, bool direct) {
  Way way(direct);
  std::mt19937_64 random(1);
  for (auto _ : state) {
    state.PauseTiming();
    if (!direct) big_file().make_cold();
    state.ResumeTiming();
    std::vector<Fiber<void>> fibers;
    for (int i = 0; i < kFibers; ++i) {
      fibers.push_back(cooperative::spawn("reader", [&] {
        const auto room = block(kBlock);
        for (int k = 0; k < kReadsOfEach; ++k) way.read({room.get(), kBlock}, random() % (kFileSize / kBlock) * kBlock);
      }));
    }
    for (auto& fiber : fibers) fiber.join();
  }
  state.SetItemsProcessed(state.iterations() * kFibers * kReadsOfEach);
}

template <typename Way>
void one_cold(benchmark::State& state) {
  Way way(true);
  const auto room = block(kBlock);
  std::mt19937_64 random(1);
  for (auto _ : state) way.read({room.get(), kBlock}, random() % (kFileSize / kBlock) * kBlock);
  state.SetItemsProcessed(state.iterations());
}

template <typename Way>
void cold(benchmark::State& state) {
  parallel<Way>(state, false);
}
template <typename Way>
void direct(benchmark::State& state) {
  parallel<Way>(state, true);
}

// 1 GiB that is in memory, without a disk: what was never written is read as zeros, and kept as any file's pages are.
class WarmFile {
 public:
  static constexpr std::size_t kSize = std::size_t{1} << 30;
  static constexpr std::size_t kPart = 256 * 1024;

  WarmFile() : path_(std::string(BigFile::folder()) + "/file_benchmark_warm_" + std::to_string(getpid())) {
    const int descriptor = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (ftruncate(descriptor, kSize) != 0) std::abort();
    const auto room = block(kPart);
    while (const ssize_t got = ::read(descriptor, room.get(), kPart)) {
      if (got < 0) std::abort();
    }
    ::close(descriptor);
  }
  ~WarmFile() { ::unlink(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

void read_aligned_floor(benchmark::State& state) {
  const WarmFile file;
  const auto room = block(WarmFile::kPart);
  for (auto _ : state) {
    const int descriptor = ::open(file.path().c_str(), O_RDONLY | O_CLOEXEC);
    std::size_t done = 0;
    while (const ssize_t got = ::read(descriptor, room.get(), WarmFile::kPart)) done += static_cast<std::size_t>(got);
    if (done != WarmFile::kSize) std::abort();
    ::close(descriptor);
  }
}

void read_aligned_ours(benchmark::State& state) {
  const WarmFile file;
  const auto room = block(WarmFile::kPart);
  for (auto _ : state) {
    File opened = File::open(file.path());
    std::size_t done = 0;
    while (const cooperative::Received got = opened.read_some({room.get(), WarmFile::kPart})) done += got.size();
    if (done != WarmFile::kSize) std::abort();
  }
}

#define ROWS(row, function, ...) \
  BENCHMARK(function<Bare __VA_OPT__(, ) __VA_ARGS__>)->Name(row "/pread")->UseRealTime();    \
  BENCHMARK(function<Ours __VA_OPT__(, ) __VA_ARGS__>)->Name(row "/ours")->UseRealTime();     \
  BENCHMARK(function<Pool<64> __VA_OPT__(, ) __VA_ARGS__>)->Name(row "/pool_64")->UseRealTime(); \
  BENCHMARK(function<Pool<16> __VA_OPT__(, ) __VA_ARGS__>)->Name(row "/pool_16")->UseRealTime(); \
  BENCHMARK(function<Ring __VA_OPT__(, ) __VA_ARGS__>)->Name(row "/io_uring")->UseRealTime()

BENCHMARK(read_aligned_floor)->Name("io.read_aligned/floor")->UseRealTime();
BENCHMARK(read_aligned_ours)->Name("io.read_aligned/ours")->UseRealTime();
ROWS("file.warm_4k", warm, 4096);
ROWS("file.warm_1m", warm, 1 << 20);
ROWS("file.direct_4k_alone", one_cold);
ROWS("file.cold_4k", cold);
ROWS("file.direct_4k", direct);

}  // namespace

BENCHMARK_MAIN();
