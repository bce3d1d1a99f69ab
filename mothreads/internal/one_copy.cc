// Two copies of the library in one process would have two shutdown trees, two logs and two owners of each signal: the second is refused.

#include <elf.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "mothreads/misuse.h"

// The mark of a copy: a note of the ELF file. Linkers put it into a segment of the program's, where the others find it without a symbol, and
// keep it under --gc-sections.
asm(R"(
    .pushsection .note.mothreads, "a", @note
    .balign 4
    .long 10, 4, 1
    .asciz "mothreads"
    .balign 4
    .long 1
    .balign 4
    .popsection
)");

namespace mothreads::inline v0::internal {
namespace {

constexpr std::string_view kOwner("mothreads", sizeof("mothreads"));  // with the zero at its end, as notes have it

std::size_t rounded_up(std::size_t size, std::size_t alignment) { return (size + alignment - 1) / alignment * alignment; }

bool has_mark(const char* notes, std::size_t size, std::size_t alignment) {
  while (size >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) header;
    std::memcpy(&header, notes, sizeof(header));
    const std::size_t text_at = rounded_up(sizeof(header) + header.n_namesz, alignment);
    const std::size_t whole = rounded_up(text_at + header.n_descsz, alignment);
    if (sizeof(header) + header.n_namesz > size) return false;
    if (std::string_view(notes + sizeof(header), header.n_namesz) == kOwner) return true;
    if (whole >= size) return false;
    notes += whole;
    size -= whole;
  }
  return false;
}

bool has_mark(const dl_phdr_info& object) {
  for (int i = 0; i < object.dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = object.dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    const auto* const notes = reinterpret_cast<const char*>(object.dlpi_addr + segment.p_vaddr);
    if (has_mark(notes, segment.p_memsz, std::max<std::size_t>(segment.p_align, 4))) return true;
  }
  return false;
}

std::string file_of(const dl_phdr_info& object) {
  if (object.dlpi_name != nullptr && *object.dlpi_name != '\0') return object.dlpi_name;
  std::array<char, PATH_MAX> path;  // the program has no name there
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  return length > 0 ? std::string(path.data(), static_cast<std::size_t>(length)) : "the program";
}

// Each copy looks as it is loaded: 101 comes before all that a program has.
__attribute__((constructor(101))) void refuse_second_copy() {
  std::vector<std::string> files;
  ::dl_iterate_phdr(
      [](dl_phdr_info* object, std::size_t, void* found) {
        if (has_mark(*object)) static_cast<std::vector<std::string>*>(found)->push_back(file_of(*object));
        return 0;
      },
      &files);
  if (files.size() < 2) return;
  fatal_misuse("two copies of the library are in this process, one in " + files[0] + ", one in " + files[1] +
               ": link the program and the module with the shared object, libmothreads.so");
}

}  // namespace
}  // namespace mothreads::internal
