#include "mothreads/register_thread.h"

#include <fmt/core.h>

#include "mothreads/clock.h"
#include "mothreads/internal/runtime.h"
#include "mothreads/internal/wait/thread_context.h"
#include "mothreads/misuse.h"

namespace mothreads::inline v0 {
namespace {

class RegisteredNode final : public internal::Node {
 public:
  using Node::Node;
  MemberKind kind() const override { return MemberKind::registered_thread; }
};

}  // namespace

RegisterThread::RegisterThread(std::string_view name) {
  internal::Context& context = internal::Context::current();
  if (context.care.must_not_block) {
    throw Misuse(fmt::format("RegisterThread on \"{}\", a thread of the library's own, which cannot wait for what is started in a scope: "
                             "let the then() function start a thread, which belongs to the main thread",
                             context.name));
  }
  if (context.node->takes_children()) {
    throw Misuse(fmt::format("RegisterThread on \"{}\", which is known already: it is for threads that the library did not start",
                             context.name));
  }
  const std::string known_as(name.empty() ? std::string_view(context.name) : name);
  node_ = internal::Ref<internal::Node>::adopt(new RegisteredNode(known_as, Signal("please_stop for " + known_as), Clock::current()));
  node_->attach_to(internal::main_node());
  before_ = std::exchange(context.node, node_.get());
  name_before_ = std::exchange(context.name, node_->name().c_str());
  if (auto* const thread = internal::ThreadContext::of(context)) thread->set_registered_name(node_->name());
  node_->context().set(&context);
}

RegisterThread::~RegisterThread() {
  if (node_->is_left_behind()) return;  // in a child of fork(), where the thread is the main thread
  internal::Context& context = internal::Context::current();
  node_->end_children();
  node_->context().set(nullptr);
  context.node = before_;
  context.name = name_before_;
  if (auto* const thread = internal::ThreadContext::of(context)) thread->set_registered_name({});
  node_->mark_stopped();
  node_->detach();
}

}  // namespace mothreads
