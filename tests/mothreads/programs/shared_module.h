#pragma once

// The contract of shared_program and its modules.

#include <optional>

#include "cooperative/scheduler.h"
#include "mothreads/member.h"
#include "mothreads/signal.h"

struct Visit {
  mothreads::Signal arrived{"arrived"};
  mothreads::Member thread = {};
  std::optional<cooperative::Scheduler> scheduler = std::nullopt;
  bool fiber_of_program_ran = false;
  bool fiber_of_module_ran = false;
};

using VisitFunction = void(Visit& visit);
extern "C" VisitFunction visit;
