#include "docs/examples/strip_chart/page.h"

#include <cmath>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "cooperative/http/json.h"
#include "cooperative/http/websocket.h"
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

// The data is for this page alone: not for a page of another site in the same browser, nor for a page whose name leads here.
bool may_read(const http::Request& request) {
  const std::string_view host = request.host();
  const std::string_view name = host.substr(0, host.find(':'));
  return (name == "127.0.0.1" || name == "localhost") && http::is_same_origin(request);
}

http::Handler guarded(http::Handler handler) {
  return [handler = std::move(handler)](http::Request& request) {
    if (may_read(request)) return handler(request);
    return http::Response::text(403, "this page is for http://localhost alone\n");
  };
}

}  // namespace

http::Routes page(const Board& board, Updates& updates) {
  http::Routes routes;
  routes.get("/", [](http::Request&) { return http::Response::of(200, "text/html; charset=utf-8", std::string(kPage)); });
  routes.get("/history", guarded([&board](http::Request&) { return http::json_response(200, history(board)); }));
  routes.get("/updates", guarded([&updates](http::Request& request) { return updates.open(request); }));
  return routes;
}

}  // namespace strip_chart
