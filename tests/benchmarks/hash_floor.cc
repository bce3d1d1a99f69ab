// The limit for hash_tree: two bare threads that only open, read and hash the files of a list. hash_floor LIST
//
// LIST has the paths one after the other, each ended by a NUL, as `find -print0` writes them. What cannot be read is left
// out.

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <openssl/evp.h>

namespace {

constexpr std::size_t kBlock = 256 * 1024;  // as hash_tree's

void hash(const std::string& list, const std::vector<std::size_t>& begins, std::atomic<std::size_t>& next) {
  EVP_MD* algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  // Begins at a page, as hash_tree's.
  const std::unique_ptr<unsigned char, decltype(&std::free)> buffer(static_cast<unsigned char*>(std::aligned_alloc(4096, kBlock)), &std::free);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  for (std::size_t i = next++; i < begins.size(); i = next++) {
    const int file = open(list.c_str() + begins[i], O_RDONLY | O_CLOEXEC);
    if (file < 0) continue;
    EVP_DigestInit_ex2(context, algorithm, nullptr);
    ssize_t got = 0;
    do {
      got = read(file, buffer.get(), kBlock);
      if (got > 0) EVP_DigestUpdate(context, buffer.get(), static_cast<std::size_t>(got));
    } while (got == static_cast<ssize_t>(kBlock));
    EVP_DigestFinal_ex(context, digest.data(), nullptr);
    close(file);
  }
  EVP_MD_CTX_free(context);
  EVP_MD_free(algorithm);
}

}  // namespace

int main(int argc, char** argv) {
  std::ifstream in(argc == 2 ? argv[1] : "", std::ios::binary);
  if (!in) {
    std::fputs("usage: hash_floor LIST\n", stderr);
    return EXIT_FAILURE;
  }
  std::string list{std::istreambuf_iterator<char>(in), {}};
  if (!list.ends_with('\0')) list += '\0';
  std::vector<std::size_t> begins;
  for (std::size_t i = 0; i < list.size(); i = list.find('\0', i) + 1) begins.push_back(i);

  std::atomic<std::size_t> next{0};
  std::thread other(hash, std::cref(list), std::cref(begins), std::ref(next));
  hash(list, begins, next);
  other.join();
}
