#include "mothreads/internal/tree/lost.h"

#include <algorithm>
#include <cstddef>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/made_once.h"
#include "mothreads/internal/base/tiny_mutex.h"
#include "mothreads/internal/stop_report.h"
#include "mothreads/log.h"
#include "mothreads/when_stuck.h"

namespace mothreads::inline v0::internal {
namespace {

// --- who is lost ---------------------------------------------------------------------------------------------------------------

constinit TinyMutex registry_mutex;
constinit std::vector<Ref<TreeMember>>* registry ABSL_GUARDED_BY(registry_mutex) = nullptr;  // for ever, as the lost are

// The lost of the parent are none of the child's, and one of its other threads may have been at the mutex.
void forget_all() noexcept {
  new (&registry_mutex) TinyMutex;
  const TinyLock lock(registry_mutex);
  registry = nullptr;
}
constinit ForkPart part{.rank = ForkPart::Rank::tree, .in_child = forget_all};

// --- who is stuck --------------------------------------------------------------------------------------------------------------

struct Candidate {
  Ref<Node> node;
  std::size_t above = 0;  // its index
  bool is_running = false;
  bool has_running_below = false;
};

bool is_running(const Node& node) {
  return !node.is_part_of_parent() && !node.is_only_its_children() && !node.stopped() && !node.ending().is_lost();
}

// Each before those below it.
std::vector<Candidate> all_below(Node& top) {
  std::vector<Candidate> candidates{{.node = Ref<Node>(top), .above = 0, .is_running = is_running(top)}};
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const Ref<Node> node = candidates[i].node;
    for (Ref<Node>& child : node->children()) {
      const bool runs = is_running(*child);
      candidates.push_back({.node = std::move(child), .above = i, .is_running = runs});
    }
  }
  for (std::size_t i = candidates.size(); i-- > 1;) {
    if (candidates[i].is_running || candidates[i].has_running_below) candidates[candidates[i].above].has_running_below = true;
  }
  return candidates;
}

struct Choice {
  Ref<Node> chooser;
  std::vector<Ref<Node>> stuck;
};

// The node that made the nearest choice: this one or one above; null where none has.
Ref<Node> chooser_of(Ref<Node> node) {
  while (node && node->when_stuck() == nullptr) node = node->parent();
  return node;
}

std::vector<Choice> find_stuck(Node& top) {
  std::vector<Choice> choices;
  for (Candidate& candidate : all_below(top)) {
    // A member whose turn to stop has not come has not been told.
    if (!candidate.is_running || candidate.has_running_below || !candidate.node->was_told_to_stop()) continue;
    Ref<Node> chooser = chooser_of(candidate.node);
    if (!chooser || chooser->when_stuck()->ends_process()) continue;
    auto same = std::find_if(choices.begin(), choices.end(), [&](const Choice& choice) { return choice.chooser.get() == chooser.get(); });
    if (same == choices.end()) same = choices.insert(choices.end(), Choice{.chooser = std::move(chooser), .stuck = {}});
    same->stuck.push_back(std::move(candidate.node));
  }
  return choices;
}

void go_on_without(Node& node, const EndRecord& loss) {
  node.is_marked_lost(loss);
  node.ending().tell_of_loss();
  if (node.stopped()) forget_lost(node);  // it did so meanwhile, and may have looked before
}

void give_up(const Choice& choice) {
  std::string text = describe_with_stacks(*choice.chooser);
  std::vector<std::pair<Ref<Node>, EndRecord>> losses;
  std::vector<EndRecord> records;
  std::string names;
  for (const Ref<Node>& node : choice.stuck) {
    const std::optional<EndRecord> loss = node->note_loss();
    if (!loss) continue;  // it has just ended
    losses.emplace_back(node, *loss);
    records.push_back(*loss);
    names += names.empty() ? "\"" : "\", \"";
    names += node->name();
  }
  if (losses.empty()) return;
  log::error("\"{}\" was told to stop and did not by its deadline; who did not stop:{}\nThe stop goes on without {}\", which {} marked lost",
             choice.chooser->name(), text, names, losses.size() == 1 ? "is" : "are");
  // Before those go on who wait for them: they may end what the chooser's function uses.
  choice.chooser->tell_chooser(StopReport(std::move(text), std::move(records)));
  for (const auto& [node, loss] : losses) go_on_without(*node, loss);
}

}  // namespace

bool give_up_below(Node& top) {
  const std::vector<Choice> choices = find_stuck(top);
  for (const Choice& choice : choices) give_up(choice);
  return !choices.empty();
}

Ended wait_stopped_or_lost(const Node& node, const Until& until) {
  if (!node.ending().may_be_lost()) return node.stopped().wait(until);
  return (node.stopped() | node.ending().lost()).wait(until);
}

std::string describe_with_stacks(const Node& top) { return describe_unstopped(top, /*with_stacks=*/true); }

void keep_lost(TreeMember& member) {
  static constinit MadeOnce<ForkPart> told;
  told.get([] {
    take_part_in_forks(part);
    return &part;
  });
  const TinyLock lock(registry_mutex);
  if (registry == nullptr) registry = new std::vector<Ref<TreeMember>>;
  registry->emplace_back(member);
}

void forget_lost(TreeMember& member) {
  Ref<TreeMember> forgotten;  // the last reference goes without the mutex
  const TinyLock lock(registry_mutex);
  if (registry == nullptr) return;
  const auto at = std::find_if(registry->begin(), registry->end(), [&](const Ref<TreeMember>& lost) { return lost.get() == &member; });
  if (at == registry->end()) return;
  forgotten = std::move(*at);
  registry->erase(at);
}

std::vector<Ref<TreeMember>> lost_in_process() {
  const TinyLock lock(registry_mutex);
  return registry == nullptr ? std::vector<Ref<TreeMember>>() : *registry;
}

}  // namespace mothreads::internal
