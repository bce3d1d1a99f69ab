#pragma once

// Chooses the handler of a request by its method and path.
//
//     http::Routes routes;
//     routes.get("/jobs/{id}", [&](http::Request& request) { return http::Response::json(200, jobs.describe(request.parameter("id"))); });
//     routes.post("/jobs", [&](http::Request& request) { return http::Response::json(201, jobs.add(request.body().read_all(1 << 20))); });
//     routes.add("GET", "/{path...}", http::StaticFiles("www"));
//     auto site = http::serve_http(co::Address::loopback(8080), std::move(routes), {.name = "api"});      // serve_http.h
//
// A pattern is a path. A "{name}" stands for one component, which is not empty; a "{name...}" at the end for all that is left, also nothing. Both
// are in Request::parameter(), decoded; a component may have had a "/" encoded. Where several patterns fit, the one with a text where the others have
// a name goes first, then the one with a "{name}", and this for the first component that differs.
//
// A path that no pattern fits is answered with 404; one that fits for other methods with 405, and Allow. HEAD is answered by the handler of GET, where it
// has none of its own. A "/" at the end counts: "/jobs/" is not "/jobs". Several in a row count as one. A path with "." or ".." as a component is
// answered with 400, and so is an encoded "/" in what is left for a "{name...}": else the handler of one pattern could be led to what another guards.
//
// A handler is chosen before anything of the body is read. Thread safety: adding needs one thread, and nobody who asks; asking any number.

#include <memory>
#include <string_view>

#include "cooperative/http/message.h"
#include "cooperative/http/server.h"

namespace cooperative::inline v0::http {

class Routes {
 public:
  Routes();
  Routes(Routes&&) noexcept;
  Routes& operator=(Routes&&) noexcept;
  ~Routes();

  // Throws mothreads::Misuse, which says why, for what is no pattern, or is there already for that method.
  Routes& add(std::string_view method, std::string_view pattern, Handler handler);
  Routes& get(std::string_view pattern, Handler handler) { return add("GET", pattern, std::move(handler)); }
  Routes& post(std::string_view pattern, Handler handler) { return add("POST", pattern, std::move(handler)); }
  Routes& put(std::string_view pattern, Handler handler) { return add("PUT", pattern, std::move(handler)); }
  Routes& patch(std::string_view pattern, Handler handler) { return add("PATCH", pattern, std::move(handler)); }
  Routes& del(std::string_view pattern, Handler handler) { return add("DELETE", pattern, std::move(handler)); }

  // Gives or throws as the chosen handler does; without one, gives the answer of the routes themselves.
  Response handle(Request& request) const;
  Response handle(Request&& request) const { return handle(request); }
  Response operator()(Request& request) const { return handle(request); }

 private:
  struct Tree;
  std::unique_ptr<Tree> tree_;
};

}  // namespace cooperative::http
