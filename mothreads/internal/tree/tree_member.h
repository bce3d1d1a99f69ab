#pragma once

// The object that a Member (mothreads/member.h) refers to: anything in the shutdown tree. Threads and groups are Nodes; a fiber has an object of its
// own for this, made when somebody asks for it.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mothreads/end_record.h"
#include "mothreads/internal/base/ref.h"
#include "mothreads/signal.h"
#include "mothreads/wait_report.h"

namespace mothreads::inline v0::internal {

class Node;

class TreeMember {
 public:
  TreeMember(const TreeMember&) = delete;
  TreeMember& operator=(const TreeMember&) = delete;

  virtual void ref() noexcept = 0;
  virtual void unref() noexcept = 0;

  virtual MemberKind kind() const = 0;
  virtual const std::string& name() const = 0;
  virtual std::uint64_t id() const = 0;
  virtual const Signal& please_stop() const = 0;  // Misuse where it has none
  virtual const Signal& stopped() const = 0;
  virtual void ask_to_stop() = 0;  // never blocks
  virtual std::optional<WaitReport> waits_on() const = 0;  // none where it does not wait
  // None while it has not ended.
  virtual std::optional<EndRecord> end() const = 0;

  virtual Ref<TreeMember> above() const = 0;
  virtual std::vector<Ref<TreeMember>> below() const = 0;  // in the order they were made

  // Where a thread belongs that has this for a parent.
  virtual Ref<Node> home_of_threads() = 0;

 protected:
  TreeMember() = default;
  ~TreeMember() = default;
};

}  // namespace mothreads::internal
