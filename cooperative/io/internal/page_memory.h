#pragma once

// Its place until io/server.cc includes the other.

#include "cooperative/internal/page_memory.h"
