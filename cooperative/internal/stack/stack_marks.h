#pragma once

// How much of their stacks fibers have used. Looks at no page that is not in memory already, as that would bring it there.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cooperative/internal/stack/stacks.h"

namespace cooperative::inline v0::internal {

// From its top to the deepest byte that is not zero or, when its fiber did not begin with a clean stack, to the last page in memory.
std::size_t most_used(const Stack& stack) noexcept;

// For who asks for it: the most that fibers of each name have used. Costs each fiber some microseconds.
class StackMarks {
 public:
  // Names beyond these share one entry.
  static constexpr std::size_t kMaxNames = 1000;

  struct Mark {
    std::size_t most = 0;
    std::size_t size = 0;  // of the stack where that was
    std::uint64_t fibers = 0;
  };

  // Zeroes what is below the caller on its own stack, which is `stack`.
  static void clean(Stack& stack) noexcept;
  // The fiber of that name ends, which began with a clean stack.
  void record(const Stack& stack, std::string_view name);

  const std::map<std::string, Mark, std::less<>>& marks() const noexcept { return marks_; }

 private:
  std::map<std::string, Mark, std::less<>> marks_;
};

}  // namespace cooperative::internal
