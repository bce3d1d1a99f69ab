#pragma once

// Runs plugins, each in a ThreadGroup of its own, and survives one that gets stuck.

#include <list>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "docs/examples/plugins/module.h"
#include "mothreads/member.h"
#include "mothreads/signal.h"
#include "mothreads/thread_group.h"

namespace plugins {

struct Options {
  std::vector<std::string> modules;
  std::string device;       // for the first plugin
  double stop_seconds = 5;  // by when a plugin must have stopped
};

class Host {
 public:
  // Loads the modules, in order. Throws std::runtime_error when there is none of a name; nothing runs then.
  explicit Host(const Options& options);

  // Runs them on the main thread's tree, which stops them, until all have ended or are lost. Reads commands from standard input meanwhile.
  // The exit code: 0, or 1 when a plugin has failed or was lost.
  int operator()();

 private:
  struct Slot {
    Slot(const std::string& path, Settings its_settings);

    Module module;  // first: all that follows may have its code
    std::string name;
    Settings settings;
    std::optional<mothreads::ThreadGroup> group;
    mothreads::Member thread;
    mothreads::Signal settled;  // it is unloaded, or lost
  };

  void start(Slot& slot);
  // In a fiber for each plugin. One that is lost is waited for until `no_more`.
  void keep(Slot& slot, const mothreads::Signal& no_more);
  // False when it has failed or is lost.
  static bool ends_well(Slot& slot);
  static void unload(Slot& slot);
  void obey(const mothreads::Signal& no_more);
  void stop(const std::string& name);

  const absl::Duration stop_limit_;
  std::list<Slot> slots_;
  bool all_well_ = true;
};

}  // namespace plugins
