#include "docs/examples/plugins/host.h"

#include <algorithm>
#include <utility>

#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/io/io_error.h"
#include "cooperative/io/pipe.h"
#include "mothreads/end_record.h"
#include "mothreads/log.h"
#include "mothreads/thread.h"
#include "mothreads/when_stuck.h"

namespace co = cooperative;
using namespace mothreads;

namespace plugins {

Host::Slot::Slot(const std::string& path, Settings its_settings)
    : module(path), name(module.plugin().name), settings(std::move(its_settings)), settled(name + " settled") {}

Host::Host(const Options& options) : stop_limit_(absl::Seconds(options.stop_seconds)) {
  for (const std::string& path : options.modules) slots_.emplace_back(path, Settings{.device = slots_.empty() ? options.device : ""});
}

int Host::operator()() {
  for (Slot& slot : slots_) start(slot);
  co::FiberGroup keepers("keepers");
  for (Slot& slot : slots_) keepers.spawn("keeper of " + slot.name, [&](const Signal& no_more) { keep(slot, no_more); });
  const auto commands = co::spawn("commands", [&](const Signal& no_more) { obey(no_more); });
  for (Slot& slot : slots_) slot.settled.wait();
  return all_well_ ? 0 : 1;
}

void Host::start(Slot& slot) {
  slot.group.emplace(slot.name, ThreadGroupOptions{.stop_limit = stop_limit_, .when_stuck = WhenStuck::mark_lost});
  slot.thread = slot.group->run(slot.name, slot.module.plugin().run, slot.settings);
}

void Host::keep(Slot& slot, const Signal& no_more) {
  if (!ends_well(slot)) all_well_ = false;
  if (slot.thread.is_alive()) {
    log::warning("{} is lost: its module stays loaded", slot.name);
    slot.settled.go();
    if (!slot.thread.stopped().wait(no_more)) return;
    log::info("{} has ended after all", slot.name);
  }
  unload(slot);
  slot.settled.go();
}

bool Host::ends_well(Slot& slot) {
  try {
    slot.group->join();
    return true;
  } catch (const ThreadsFailed& failed) {  // destroyed here: what a plugin has thrown may be of its module
    for (const EndRecord& end : failed.ends()) log::error("{}: {} {} {}", slot.name, to_string(end.kind), end.name, to_string(end.how));
  }
  return false;
}

// Nothing is left whose code is in the module: its threads have ended, and the records of how they ended go before it.
void Host::unload(Slot& slot) {
  slot.thread = {};
  slot.group.reset();
  slot.module.unload();
  log::info("{} is unloaded", slot.name);
}

// "stop NAME"
void Host::obey(const Signal& no_more) {
  try {
    co::Pipe in = co::Pipe::standard_input();
    while (const co::ReceivedText line = in.read_line(no_more)) {
      constexpr std::string_view kStop = "stop ";
      if (line->starts_with(kStop)) {
        stop(line->substr(kStop.size()));
      } else {
        log::warning("not understood: {}", *line);
      }
    }
  } catch (const co::IoError& problem) {
    log::warning("no commands: {}", problem.what());
  }
}

void Host::stop(const std::string& name) {
  const auto slot = std::find_if(slots_.begin(), slots_.end(), [&](const Slot& one) { return one.name == name && one.group; });
  if (slot == slots_.end()) {
    log::warning("no plugin \"{}\" runs", name);
  } else {
    slot->group->stop();
  }
}

}  // namespace plugins
