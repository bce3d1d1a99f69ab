#include "docs/examples/plugins/ticker.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "cooperative/timer.h"
#include "mothreads/log.h"

namespace plugins {
namespace {

// Blocks the thread until somebody has opened the FIFO for writing: a call that knows no please_stop.
void read_device(const std::string& path) {
  int device = -1;
  do {
    device = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  } while (device < 0 && errno == EINTR);
  if (device >= 0) ::close(device);
}

void tick(const Settings& settings, const mothreads::Signal& please_stop) {
  int ticks = 0;
  const auto greeting = cooperative::spawn("greeting", [] { mothreads::log::info("ticker: runs"); });
  {
    const cooperative::Timer timer(absl::Milliseconds(10), [&ticks] { ++ticks; }, {.repeat = cooperative::TimerRepeat::at_fixed_rate});
    please_stop.wait();
  }
  mothreads::log::info("ticker: stops after {} ticks", ticks);
  if (!settings.device.empty()) read_device(settings.device);
}

}  // namespace

const Plugin kTicker{.name = "ticker", .run = [](Settings settings, mothreads::Signal please_stop) { tick(settings, please_stop); }};

}  // namespace plugins
