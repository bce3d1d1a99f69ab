#pragma once

// How far it is, in numbers and in words.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace hash_tree {

// Counted by those who do the work, read by who shows it. Each number is right by itself.
struct Progress {
  std::atomic<std::uint64_t> bytes{0};        // read and hashed, in part also of files that are not finished
  std::atomic<std::uint64_t> failed{0};       // files and directories that an error was reported for
  std::atomic<std::uint64_t> skipped{0};      // that --resume found in the file
  std::atomic<std::uint64_t> total_bytes{0};  // what there is to do, as far as it has been counted
  std::atomic<bool> total_is_known{false};
};

// "1234 files, 5.6 GiB in 3.2 s (1.8 GiB/s), 2 failed"
std::string describe(const Progress& progress, std::uint64_t files, absl::Duration elapsed);

// The same as a bar, no wider than `columns`: "[#####     ]  50 %  512.0 MiB/s  1:02 left  1234 files". Without the total
// known there is no bar and no time.
std::string bar(const Progress& progress, std::uint64_t files, absl::Duration elapsed, std::size_t columns);

}  // namespace hash_tree
