#pragma once

// SHA-256 of files, with OpenSSL. A FileHasher keeps what one thread needs for one file after the other.

#include <sys/stat.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include <openssl/evp.h>

#include "absl/functional/function_ref.h"
#include "docs/examples/hash_tree/checksum_line.h"

namespace hash_tree {

// Which file it is, whatever its names are.
struct FileId {
  explicit FileId(const struct stat& status) : device(status.st_dev), inode(status.st_ino) {}
  friend bool operator==(const FileId&, const FileId&) = default;

  dev_t device;
  ino_t inode;
};

class FileHasher {
 public:
  // So much is read at once, and so much work is done at most between two looks at whether to go on.
  static constexpr std::size_t kBlock = 256 * 1024;

  // `left_out` is never hashed: the file that the checksums go to.
  explicit FileHasher(std::optional<FileId> left_out = std::nullopt);
  ~FileHasher();

  // Calls on_block(bytes) after each block, to count and to ask whether to go on: when it says false, or for the file that
  // is left out, there is no result. Throws std::runtime_error, naming the file, when it is no regular file or cannot be
  // read to its end. Does not wait for a file that has nothing to read yet, such as /proc/kmsg.
  std::optional<Digest> hash(const std::string& path, absl::FunctionRef<bool(std::size_t bytes)> on_block);

 private:
  struct Free {
    void operator()(EVP_MD* algorithm) const { EVP_MD_free(algorithm); }
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };

  // Begins at a page: some processors copy from the page cache three times as slowly to an address a few bytes behind one, which is
  // what malloc gives for so much (docs/performance.md).
  struct Block;

  int open(const std::string& path);

  const std::optional<FileId> left_out_;
  const std::unique_ptr<EVP_MD, Free> algorithm_;  // fetched once, since looking it up takes longer than a small file
  const std::unique_ptr<EVP_MD_CTX, Free> context_;
  std::unique_ptr<Block> buffer_;
  int no_atime_;  // O_NOATIME as long as it is permitted
};

// "fifo", "directory" ... for messages; `type` as in st_mode.
const char* name_of_file_type(mode_t type);

}  // namespace hash_tree
