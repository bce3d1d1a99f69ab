#include "cooperative/http/routes.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/core.h>
#include <fmt/format.h>

#include "absl/container/inlined_vector.h"
#include "mothreads/internal/base/printable.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::http {

using mothreads::Misuse;
using mothreads::internal::printable;

namespace {

// A path in its components. What is behind the last "/" is one, unless it is empty.
struct Path {
  absl::InlinedVector<std::string_view, 8> components;
  bool has_end = false;  // a "/" at its end
};

Path split(std::string_view text) {
  Path path;
  path.has_end = text.ends_with('/');
  while (!text.empty()) {
    const std::size_t slash = std::min(text.find('/'), text.size());
    if (slash > 0) path.components.push_back(text.substr(0, slash));
    text.remove_prefix(std::min(slash + 1, text.size()));
  }
  return path;
}

}  // namespace

struct Routes::Tree {
  struct Route {
    std::string method;
    std::string pattern;
    std::vector<std::pair<std::string, std::size_t>> names;  // and of which component
    std::optional<std::string> rest_name;
    Handler handler;
  };
  // A component: the nodes below it; and the routes that end here, without and with a "/", or take all that is left.
  struct Node {
    std::map<std::string, std::size_t, std::less<>> texts;
    std::optional<std::size_t> name;
    std::vector<Route> ends, slash_ends, rests;
  };
  struct Found {
    const Route* route = nullptr;
    std::size_t depth = 0;           // so many components are before what is left
    std::set<std::string> allowed;  // the methods of what fits
  };

  std::vector<Route>& place_of(const Path& path, bool is_rest);
  Found find(std::string_view method, const std::vector<std::string>& components, bool has_end) const;

  std::vector<Node> nodes = std::vector<Node>(1);  // the first is the root
};

// Makes what is missing on the way.
std::vector<Routes::Tree::Route>& Routes::Tree::place_of(const Path& path, bool is_rest) {
  std::size_t at = 0;
  for (const std::string_view component : path.components) {
    const std::size_t next = nodes.size();
    nodes.emplace_back();  // before anything refers to it
    if (component.starts_with('{')) {
      at = nodes[at].name ? *nodes[at].name : nodes[at].name.emplace(next);
    } else {
      at = nodes[at].texts.try_emplace(std::string(component), next).first->second;
    }
    if (at != next) nodes.pop_back();
  }
  return is_rest ? nodes[at].rests : path.has_end ? nodes[at].slash_ends : nodes[at].ends;
}

// Each node is looked at once at most, so the cost has the size of the routes for a bound.
Routes::Tree::Found Routes::Tree::find(std::string_view method, const std::vector<std::string>& components, bool has_end) const {
  struct Step {
    std::size_t node, depth;
    bool takes_rest;
  };
  Found found;
  const auto look = [&](const std::vector<Route>& routes, std::size_t depth) {
    const auto of = [&](std::string_view wanted) {
      const auto it = std::find_if(routes.begin(), routes.end(), [&](const Route& route) { return route.method == wanted; });
      return it == routes.end() ? nullptr : &*it;
    };
    found.route = of(method);
    if (found.route == nullptr && method == "HEAD") found.route = of("GET");
    found.depth = depth;
    for (const Route& route : routes) {
      found.allowed.insert(route.method);
      if (route.method == "GET") found.allowed.insert("HEAD");
    }
    return found.route != nullptr;
  };

  std::vector<Step> left{{0, 0, false}};  // the next is the last
  while (!left.empty()) {
    const Step step = left.back();
    left.pop_back();
    const Node& node = nodes[step.node];
    if (step.takes_rest) {
      if (look(node.rests, step.depth)) break;
      continue;
    }
    const bool is_end = step.depth == components.size();
    if (!node.rests.empty() && (!is_end || has_end)) left.push_back({step.node, step.depth, true});
    if (is_end) {
      if (look(has_end ? node.slash_ends : node.ends, step.depth)) break;
      continue;
    }
    if (node.name) left.push_back({*node.name, step.depth + 1, false});
    if (const auto it = node.texts.find(components[step.depth]); it != node.texts.end()) left.push_back({it->second, step.depth + 1, false});
  }
  return found;
}

Routes::Routes() : tree_(std::make_unique<Tree>()) {}
Routes::Routes(Routes&&) noexcept = default;
Routes& Routes::operator=(Routes&&) noexcept = default;
Routes::~Routes() = default;

Routes& Routes::add(std::string_view method, std::string_view pattern, Handler handler) {
  const auto refuse = [&](std::string_view why) {
    throw Misuse(fmt::format("the route {} {}: {}", printable(method), printable(pattern), printable(why)));
  };
  if (tree_ == nullptr) refuse("these routes were moved from");
  if (!is_http_token(method)) refuse("its method is none");
  if (method == "CONNECT") refuse("CONNECT has no path, and is for proxies");
  if (!handler) refuse("it has no handler");
  if (!pattern.starts_with('/')) refuse("begin the pattern with a \"/\"");
  if (pattern.find("//") != std::string_view::npos) refuse("a component is empty");
  if (pattern.find_first_of("?#%") != std::string_view::npos) refuse("give the path as it is when it is decoded, without a query");

  Path path = split(pattern);
  Tree::Route route{std::string(method), std::string(pattern), {}, std::nullopt, std::move(handler)};
  for (std::size_t i = 0; i < path.components.size(); ++i) {
    std::string_view name = path.components[i];
    if (name == "." || name == "..") refuse("no path has \".\" or \"..\" as a component");
    if (name.find_first_of("{}") == std::string_view::npos) continue;
    if (!name.starts_with('{') || !name.ends_with('}')) refuse("a \"{name}\" is a whole component");
    name = name.substr(1, name.size() - 2);
    const bool is_rest = name.ends_with("...");
    if (is_rest) name.remove_suffix(3);
    if (name.empty() || name.find_first_of("{}.") != std::string_view::npos) refuse("a name is missing, or has \"{\", \"}\" or \".\"");
    const auto is_same = [&](const auto& other) { return other.first == name; };
    if (std::any_of(route.names.begin(), route.names.end(), is_same)) refuse("a name is there twice");
    if (!is_rest) {
      route.names.emplace_back(name, i);
    } else if (i + 1 < path.components.size() || path.has_end) {
      refuse("a \"{name...}\" takes all that is left, so nothing can follow");
    } else {
      route.rest_name = name;
    }
  }
  if (route.rest_name) path.components.pop_back();

  std::vector<Tree::Route>& place = tree_->place_of(path, route.rest_name.has_value());
  const auto it = std::find_if(place.begin(), place.end(), [&](const Tree::Route& other) { return other.method == method; });
  if (it != place.end()) refuse(fmt::format("{} fits the same paths", it->pattern));
  place.push_back(std::move(route));
  return *this;
}

Response Routes::handle(Request& request) const {
  if (tree_ == nullptr) throw Misuse("routes were asked that were moved from");
  request.parameters_.clear();
  if (!request.raw_path().starts_with('/')) return Response::error(404);  // the "*" of OPTIONS
  const Path path = split(request.raw_path());
  std::vector<std::string> components;
  components.reserve(path.components.size());
  for (const std::string_view component : path.components) {
    std::optional<std::string> decoded = percent_decode(component);
    if (!decoded || *decoded == "." || *decoded == "..") return Response::error(400);
    components.push_back(*std::move(decoded));
  }
  const Tree::Found found = tree_->find(request.method(), components, path.has_end);
  if (found.route == nullptr) {
    return found.allowed.empty() ? Response::error(404) : Response::not_allowed(fmt::format("{}", fmt::join(found.allowed, ", ")));
  }
  const Tree::Route& route = *found.route;
  if (route.rest_name) {
    std::string rest;
    for (std::size_t i = found.depth; i < components.size(); ++i) {
      if (components[i].find('/') != std::string::npos) return Response::error(400);
      rest.append(components[i]);
      if (i + 1 < components.size() || path.has_end) rest.push_back('/');
    }
    request.parameters_.emplace_back(*route.rest_name, std::move(rest));
  }
  for (const auto& [name, index] : route.names) request.parameters_.emplace_back(name, std::move(components[index]));
  return route.handler(request);
}

}  // namespace cooperative::http
