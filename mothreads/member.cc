#include "mothreads/member.h"

#include "mothreads/misuse.h"

namespace mothreads::inline v0 {

std::optional<Member> Member::parent() const {
  internal::Ref<internal::TreeMember> above = get().above();
  if (!above) return std::nullopt;
  return Member(std::move(above), internal::kAccess);
}

std::vector<Member> Member::children() const {
  std::vector<Member> children;
  for (internal::Ref<internal::TreeMember>& child : get().below()) children.emplace_back(std::move(child), internal::kAccess);
  return children;
}

void Member::refuse_empty() { throw Misuse("this Member is empty: it was made without anything that it refers to"); }

}  // namespace mothreads
