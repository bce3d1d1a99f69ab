#pragma once

// What other folders keep for one life of a scheduler, as io/ does the threads that serve its files: made there when first needed, ended with the scheduler
// after all fibers, the newest first. The scheduler knows nothing of them.

#include <deque>
#include <memory>
#include <utility>

namespace cooperative::inline v0::internal {

struct Service {
  virtual ~Service() = default;
};
// A constant of whoever has such a service, which is known by its address.
struct ServiceKind {
  constexpr ServiceKind() noexcept {}
  ServiceKind(const ServiceKind&) = delete;
  ServiceKind& operator=(const ServiceKind&) = delete;
};

class Services {
 public:
  // Null before one was put there. The place stays where it is.
  std::unique_ptr<Service>& of(const ServiceKind& kind) {
    for (auto& [known, service] : all_) {
      if (known == &kind) return service;
    }
    return all_.emplace_back(&kind, nullptr).second;
  }
  void end() noexcept {
    while (!all_.empty()) all_.pop_back();
  }
  // In the child of a fork(): they are left as they are, with their threads, and their ring.
  void leave_behind() noexcept {
    for (auto& [kind, service] : all_) static_cast<void>(service.release());
    all_.clear();
  }

 private:
  std::deque<std::pair<const ServiceKind*, std::unique_ptr<Service>>> all_;
};

}  // namespace cooperative::internal
