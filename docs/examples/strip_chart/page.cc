#include "docs/examples/strip_chart/page.h"

#include <cmath>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "cooperative/http/json.h"
#include "docs/examples/strip_chart/page_text.h"

namespace strip_chart {

namespace http = cooperative::http;
using nlohmann::json;

namespace {

json number(double value) { return std::isfinite(value) ? json(value) : json(nullptr); }

json strip(const Trace& trace) {
  json points = json::array();
  for (std::size_t i = 0; i < trace.history.size(); ++i) {
    const Point& point = trace.history.at(i);
    points.push_back({absl::ToDoubleSeconds(point.at - absl::UnixEpoch()), number(point.value)});
  }
  return {{"name", trace.history.name()}, {"points", std::move(points)}};
}

json history(const Board& board) {
  json strips = json::array();
  for (const Trace& trace : board.strips) strips.push_back(strip(trace));
  json profile = json::array();
  for (const Trace& trace : board.profile) {
    const auto last = trace.history.last();
    profile.push_back({{"name", trace.history.name()}, {"value", last ? number(last->value) : json(nullptr)}});
  }
  return {{"window", absl::ToDoubleSeconds(board.window)}, {"strips", std::move(strips)}, {"profile", std::move(profile)}};
}

}  // namespace

http::Routes page(const Board& board, Updates& updates) {
  http::Routes routes;
  routes.get("/", [](http::Request&) { return http::Response::of(200, "text/html; charset=utf-8", std::string(kPage)); });
  routes.get("/history", [&board](http::Request&) { return http::json_response(200, history(board)); });
  routes.get("/updates", [&updates](http::Request& request) { return updates.open(request); });
  return routes;
}

}  // namespace strip_chart
