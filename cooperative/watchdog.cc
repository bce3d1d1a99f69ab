#include "cooperative/watchdog.h"

#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "mothreads/log.h"

namespace cooperative::inline v0 {

using mothreads::Signal;
namespace log = mothreads::log;

Watchdog::Watchdog(mothreads::ServiceManager& manager, WatchdogOptions options) : manager_(manager), options_(std::move(options)) {
  const std::optional<absl::Duration> interval = manager.watchdog_interval();
  if (!interval) return;
  // It takes a please_stop, and does not look at it: a stop is no reason to be taken for hung.
  fiber_ = spawn("watchdog", [this, pause = *interval / 2](const Signal&) { run(pause); });
}

Watchdog::~Watchdog() { ended_.go(); }

void Watchdog::run(absl::Duration pause) {
  do {
    if (is_well()) static_cast<void>(manager_.feed_watchdog());
  } while (!ended_.wait(pause));
}

bool Watchdog::is_well() {
  if (!options_.is_well) return true;
  bool well = false;
  std::string why = "it is not well";
  try {
    well = options_.is_well();
  } catch (const std::exception& error) {
    why = error.what();
  }
  if (well != std::exchange(was_well_, well)) {
    if (well) {
      log::info("the watchdog is fed again");
    } else {
      log::warning("the watchdog is not fed: {}", why);
    }
  }
  return well;
}

}  // namespace cooperative
