#include "docs/examples/hash_tree/hash_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <system_error>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"

namespace hash_tree {
namespace {

void must_work(int result) {
  if (result != 1) throw std::runtime_error("OpenSSL cannot compute SHA-256");
}

ssize_t read_some(int file, std::span<unsigned char> into) {
  ssize_t got = 0;
  do {
    got = ::read(file, into.data(), into.size());
  } while (got < 0 && errno == EINTR);
  return got;
}

}  // namespace

const char* name_of_file_type(mode_t type) {
  switch (type & S_IFMT) {
    case S_IFREG:
      return "regular file";
    case S_IFDIR:
      return "directory";
    case S_IFLNK:
      return "symbolic link";
    case S_IFIFO:
      return "fifo";
    case S_IFSOCK:
      return "socket";
    case S_IFBLK:
    case S_IFCHR:
      return "device";
    default:
      return "file of unknown type";
  }
}

struct FileHasher::Block {
  static constexpr std::size_t kPage = 4096;
  alignas(kPage) std::array<unsigned char, kBlock> bytes;
};

FileHasher::FileHasher(std::optional<FileId> left_out)
    : left_out_(left_out),
      algorithm_(EVP_MD_fetch(nullptr, "SHA256", nullptr)),
      context_(EVP_MD_CTX_new()),
      buffer_(new Block),
      no_atime_(O_NOATIME) {
  must_work(algorithm_ != nullptr && context_ != nullptr);
}

FileHasher::~FileHasher() = default;

int FileHasher::open(const std::string& path) {
  // Whatever has come to this place since the scan: opening it must not block, and not lead elsewhere.
  constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK;
  int file = ::open(path.c_str(), kFlags | no_atime_);
  if (file < 0 && errno == EPERM && no_atime_ != 0) {
    no_atime_ = 0;  // only the owner may read without a trace
    file = ::open(path.c_str(), kFlags);
  }
  if (file < 0) throw std::system_error(errno, std::generic_category(), escaped(path));
  return file;
}

std::optional<Digest> FileHasher::hash(const std::string& path, absl::FunctionRef<bool(std::size_t bytes)> on_block) {
  const int file = open(path);
  const absl::Cleanup close_file = [file] { ::close(file); };
  struct stat status {};
  if (::fstat(file, &status) != 0) throw std::system_error(errno, std::generic_category(), escaped(path));
  if (!S_ISREG(status.st_mode)) {
    throw std::runtime_error(
        fmt::format("{}: is a {}, not a regular file", escaped(path), name_of_file_type(status.st_mode)));
  }
  if (left_out_ == FileId(status)) return std::nullopt;

  must_work(EVP_DigestInit_ex2(context_.get(), algorithm_.get(), nullptr));
  const auto size = static_cast<std::uint64_t>(status.st_size);
  std::uint64_t done = 0;
  do {
    const ssize_t got = read_some(file, buffer_->bytes);
    if (got < 0) {
      throw std::system_error(errno, std::generic_category(),
                              fmt::format("{}: cannot read on at byte {}", escaped(path), done));
    }
    if (got == 0) break;
    const auto bytes = static_cast<std::size_t>(got);
    must_work(EVP_DigestUpdate(context_.get(), buffer_->bytes.data(), bytes));
    done += bytes;
    if (!on_block(bytes)) return std::nullopt;
  } while (done != size);  // with all of it seen, a read that only says so is saved

  // What the kernel makes up, as in /sys, is shorter than it says and has no blocks on a disk.
  if (done < size && status.st_blocks > 0) {
    throw std::runtime_error(
        fmt::format("{}: ended at byte {} of {}: it was cut while it was read", escaped(path), done, size));
  }
  Digest digest;
  must_work(EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr));
  return digest;
}

}  // namespace hash_tree
