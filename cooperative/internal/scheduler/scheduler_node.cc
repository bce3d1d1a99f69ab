#include "cooperative/internal/scheduler/scheduler_node.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <utility>

#include "cooperative/internal/scheduler/picture.h"
#include "cooperative/internal/scheduler/posting.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "mothreads/internal/base/interrupt.h"

namespace cooperative::inline v0::internal {

using mothreads::Instant;
using mothreads::Signal;
using mothreads::internal::HostedContext;
using mothreads::internal::HostedContexts;
using mothreads::internal::Interrupted;
using mothreads::internal::Node;
using mothreads::internal::Ref;

namespace {

// None in a test world, where threads are contexts of one.
std::uint64_t os_thread_of(SchedulerCore& core) {
  return core.simulation() != nullptr ? 0 : static_cast<std::uint64_t>(syscall(SYS_gettid));
}

// What a picture is asked for with.
struct Question {
  const SchedulerCore* core;
  const SchedulerNode* node;
  FiberPicture picture;
};

// In a signal handler. Cores are recycled, and so are the numbers of threads: only that thread knows whether it is still the one.
void answer(void* question_pointer) {
  auto& question = *static_cast<Question*>(question_pointer);
  const SchedulerCore* const core = SchedulerCore::current_or_null();
  if (core != question.core || core->node() != question.node) {
    question.picture.state = FiberPicture::State::ended;
  } else {
    take_picture(*core, question.picture);
  }
}

HostedContext copy_of(const FiberPicture::Entry& entry) {
  return {.depth = entry.depth,
          .kind = "fiber",
          .state = std::string(entry.has_function_ended ? "has ended its function and " : "") + entry.state,
          .since = entry.since,
          .owner = std::string(entry.owner.view()),
          .name = entry.name,
          .takes_stop = entry.takes_stop,
          .told_to_stop = entry.told_to_stop,
          .is_cancelled = entry.is_cancelled,
          .stack = std::vector<void*>(entry.frames.begin(), entry.frames.begin() + entry.frame_count)};
}

HostedContexts copy_of(const FiberPicture& picture) {
  HostedContexts contexts;
  contexts.kinds = "fibers";
  for (std::size_t i = 0; i < picture.count; ++i) contexts.shown.push_back(copy_of(picture.entries[i]));
  contexts.left_out = picture.total + 1 - picture.count;
  contexts.told = picture.told;
  contexts.alive = picture.alive;
  return contexts;
}

}  // namespace

SchedulerNode::SchedulerNode(std::string_view name, SchedulerCore& core, mothreads::Clock& clock)
    : Node(name, Signal("please_stop for " + std::string(name)), clock),
      core_(core),
      mailbox_(core.rooms().callbacks.mailbox()),
      os_thread_id_(os_thread_of(core)) {}

void SchedulerNode::await_end() {
  if (SchedulerCore::current_or_null() == &core_) {
    core_.end();
  } else {
    stopped().wait();
  }
}

std::optional<HostedContexts> SchedulerNode::look_inside() const {
  auto question = std::make_unique<Question>();
  question->core = &core_;
  question->node = this;
  if (os_thread_id_ == 0) {
    if (core_.node() != this) return std::nullopt;
    take_picture_in_world(core_, question->picture);
    return copy_of(question->picture);
  }
  constexpr int kTries = 1000;
  for (int i = 0; i < kTries && question->picture.state == FiberPicture::State::busy; ++i) {
    if (i > 0) std::this_thread::yield();  // it is on its way out of a few instructions
    const Interrupted interrupted = mothreads::internal::interrupt_thread(os_thread_id_, answer, question.get());
    if (interrupted == Interrupted::runs) static_cast<void>(question.release());  // it may still write there
    if (interrupted != Interrupted::ran) return std::nullopt;
  }
  if (question->picture.state != FiberPicture::State::complete) return std::nullopt;
  return copy_of(question->picture);
}

// Through the mailbox of this life of the core: another thread may have the core by now.
std::vector<Ref<Node>> SchedulerNode::first_to_tell(const std::optional<Instant>& deadline) {
  post(core_, *mailbox_, make_call<Errand::yes>([&core = core_, deadline] { core.stopping().begin(deadline); }));
  return {};
}

}  // namespace cooperative::internal
