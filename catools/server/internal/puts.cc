#include "catools/server/internal/puts.h"

#include <exception>
#include <utility>

#include "catools/server/put_refused.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "mothreads/log.h"

namespace catools::inline v0::internal {

using mothreads::Signal;
namespace log = mothreads::log;

namespace {

constexpr const char* kStopped = "the server has been stopped";

void end_first(ServedPv& pv, const std::string& refusal) {
  Put put = std::move(pv.puts().front());
  pv.puts().pop_front();
  put.ended(refusal);
}

// Gives why the put was refused, or nothing. Throws what cancels the fiber.
std::string perform_first(ServedPv& pv, const Signal& please_stop) {
  const std::string client = pv.puts().front().client;
  try {
    pv.set(pv.on_put().call(std::move(pv.puts().front().cells), please_stop), {});
    return {};
  } catch (const cooperative::FiberCancelled&) {
    throw;
  } catch (const PutRefused& refused) {
    log::info("a put to \"{}\" by {} was refused: {}", pv.name(), client, refused.what());
    return std::string("refused: ") + refused.what();
  } catch (...) {
    const std::string text = log::describe(std::current_exception());
    log::error("a put to \"{}\" by {} failed: {}", pv.name(), client, text);
    return "failed: " + text;
  }
}

void perform_all(ServedPv& pv, const Signal& please_stop) {
  try {
    while (!pv.puts().empty()) end_first(pv, perform_first(pv, please_stop));
  } catch (...) {
    while (!pv.puts().empty()) end_first(pv, kStopped);
    throw;
  }
}

}  // namespace

void Puts::start(const std::shared_ptr<ServedPv>& pv, Put put) {
  if (pv->puts().size() >= kMaxWaiting) {
    log::info("a put to \"{}\" by {} was refused: {} wait already", pv->name(), put.client, kMaxWaiting);
    return put.ended("too many puts wait already");
  }
  pv->puts().push_back(std::move(put));
  if (pv->puts().size() > 1) return;
  bool begins = false;
  const cooperative::FiberOptions options{.name = "put to " + pv->name(), .stack_size = stack_size_, .start = cooperative::Start::at_once};
  try {
    if (pv->on_put().takes_please_stop) {
      fibers_.spawn(options, [pv, &begins](const Signal& please_stop) {
        begins = true;
        perform_all(*pv, please_stop);
      });
    } else {
      fibers_.spawn(options, [pv, &begins] {
        begins = true;
        perform_all(*pv, mothreads::NEVER);
      });
    }
  } catch (const std::exception& error) {
    log::error("a put to \"{}\" was refused: {}", pv->name(), error.what());
  }
  if (begins) return;
  while (!pv->puts().empty()) end_first(*pv, "there is no room for its fiber");
}

}  // namespace catools::inline v0::internal
