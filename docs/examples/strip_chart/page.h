#pragma once

// The chart as a page: / draws it, /history has what is there so far, /updates is a WebSocket with what comes. Both
// of these are refused to pages of other sites.

#include "cooperative/http/routes.h"
#include "docs/examples/strip_chart/board.h"
#include "docs/examples/strip_chart/updates.h"

namespace strip_chart {

// Both outlive the routes.
cooperative::http::Routes page(const Board& board, Updates& updates);

}  // namespace strip_chart
