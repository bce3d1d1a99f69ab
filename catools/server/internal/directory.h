#pragma once

// The process variables that a server serves, by their names. Any thread.

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "catools/server/internal/served_pv.h"

namespace catools::inline v0::internal {

class Directory {
 public:
  // Throws mothreads::Misuse for a name that is there, or that cannot be one.
  void add(std::shared_ptr<ServedPv> pv);
  // Null where there is none.
  std::shared_ptr<ServedPv> find(std::string_view name) const;
  std::shared_ptr<ServedPv> remove(std::string_view name);
  std::vector<std::string> names() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<ServedPv>, std::less<>> pvs_;
};

}  // namespace catools::inline v0::internal
