#include "mothreads/internal/shared_name.h"

#include <atomic>
#include <new>
#include <string>

namespace mothreads::inline v0::internal {

struct SharedName::Long {
  explicit Long(std::string_view its_text) : text(its_text) {}
  std::atomic<std::uint32_t> users{1};
  const std::string text;
};

SharedName::Long* SharedName::shared() const noexcept {
  Long* shared = nullptr;
  std::memcpy(&shared, bytes_, sizeof shared);
  return shared;
}

void SharedName::make_long(std::string_view text) {
  Long* const made = new Long(text);
  std::memcpy(bytes_, &made, sizeof made);
  size_ = kLong;
}

// relaxed: who copies has a use of its own, so that the count cannot reach zero meanwhile.
void SharedName::share() const noexcept { shared()->users.fetch_add(1, std::memory_order_relaxed); }

void SharedName::drop() noexcept {
  // acq_rel: the release of each user's last look pairs with the acquire of the one that deletes.
  if (shared()->users.fetch_sub(1, std::memory_order_acq_rel) == 1) delete shared();
}

std::string_view SharedName::long_view() const noexcept { return shared()->text; }

}  // namespace mothreads::internal
