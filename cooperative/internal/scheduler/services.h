#pragma once

// Services: objects that other folders keep for one life of a scheduler, as io/ keeps the threads that serve its files. Each is made when first needed, and
// ends with the scheduler after all fibers, the newest first. The scheduler knows nothing of them.

#include <memory>
#include <utility>
#include <vector>

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
  Services() = default;
  Services(const Services&) = delete;
  Services& operator=(const Services&) = delete;
  ~Services() { end(); }

  // Null before one was put there. The place stays where it is.
  std::unique_ptr<Service>& of(const ServiceKind& kind) {
    for (const std::unique_ptr<Entry>& entry : all_) {
      if (entry->kind == &kind) return entry->service;
    }
    return all_.emplace_back(new Entry{&kind, nullptr})->service;
  }
  void end() noexcept {
    while (!all_.empty()) {
      const std::unique_ptr<Service> newest = std::move(all_.back()->service);  // what it waits for at its end may ask for another
      all_.pop_back();
    }
  }
  // In the child of a fork(): they are left as they are, with their threads, and their ring.
  void leave_behind() noexcept {
    for (const std::unique_ptr<Entry>& entry : all_) static_cast<void>(entry->service.release());
    all_.clear();
  }

 private:
  struct Entry {
    const ServiceKind* kind;
    std::unique_ptr<Service> service;
  };
  std::vector<std::unique_ptr<Entry>> all_;
};

}  // namespace cooperative::internal
