#pragma once

// A scheduler's servants of calls that block its fibers, for io/: made there when first needed, ended with the scheduler after all fibers.

#include <array>
#include <cstddef>
#include <memory>

namespace cooperative::inline v0::internal {

struct Service {
  virtual ~Service() = default;
};
enum class ServiceOf : unsigned char { file_pool, file_ring };

class Services {
 public:
  std::unique_ptr<Service>& of(ServiceOf which) noexcept { return all_[static_cast<std::size_t>(which)]; }
  void end() noexcept {
    for (std::unique_ptr<Service>& service : all_) service.reset();
  }
  // In the child of a fork(): they are left as they are, with their threads, and their ring.
  void leave_behind() noexcept {
    for (std::unique_ptr<Service>& service : all_) static_cast<void>(service.release());
  }

 private:
  std::array<std::unique_ptr<Service>, 2> all_;
};

}  // namespace cooperative::internal
