#pragma once

// Opens what is below a directory, and nothing else.

#include <string>
#include <string_view>

namespace cooperative::inline v0::http::internal {

enum class BeneathBy : unsigned char {
  whatever_there_is,
  openat2,
  memory,  // of the kernel: EAGAIN when something on the way must be looked for on a disk, or this kernel cannot tell
  walk,    // without the kernel's help: each component is opened by itself
};

// Of a relative path, for reading; may wait for a disk. Gives a descriptor, or -1 with errno; EXDEV for a path that leads out. An empty path is the directory.
int open_beneath(int directory, std::string_view path, BeneathBy by = BeneathBy::whatever_there_is);

// Whether this kernel has openat2(), and lets us call it. Asked once.
bool has_openat2();

// The path of a request, "/a/./b/../c", as a relative one without "." and "..": "a/c"; a slash at its end stays. False when it would lead out,
// has a NUL, or an encoded slash, which would hide a component.
bool resolve_target_path(std::string_view raw_path, std::string& relative);

}  // namespace cooperative::http::internal
