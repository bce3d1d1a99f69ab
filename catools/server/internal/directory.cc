#include "catools/server/internal/directory.h"

#include <utility>

#include <fmt/core.h>

#include "mothreads/misuse.h"

namespace catools::inline v0::internal {

void Directory::add(std::shared_ptr<ServedPv> pv) {
  const std::string& name = pv->name();
  if (name.empty() || name.find('\0') != std::string::npos) throw mothreads::Misuse("a process variable needs a name without zero bytes");
  std::lock_guard held(mutex_);
  if (!pvs_.try_emplace(name, std::move(pv)).second) {
    throw mothreads::Misuse(fmt::format("\"{}\" is served already: remove it before another is added", name));
  }
}

std::shared_ptr<ServedPv> Directory::find(std::string_view name) const {
  std::lock_guard held(mutex_);
  const auto found = pvs_.find(name);
  return found == pvs_.end() ? nullptr : found->second;
}

std::shared_ptr<ServedPv> Directory::remove(std::string_view name) {
  std::lock_guard held(mutex_);
  const auto found = pvs_.find(name);
  if (found == pvs_.end()) return nullptr;
  std::shared_ptr<ServedPv> pv = std::move(found->second);
  pvs_.erase(found);
  return pv;
}

std::vector<std::string> Directory::names() const {
  std::lock_guard held(mutex_);
  std::vector<std::string> names;
  names.reserve(pvs_.size());
  for (const auto& [name, pv] : pvs_) names.push_back(name);
  return names;
}

}  // namespace catools::inline v0::internal
