#pragma once

// Files below a directory, for GET and HEAD.
//
//     const http::StaticFiles files("/srv/www");
//     http::serve_http_connection(client, files);
//
// Nothing outside of the directory is served: no "..", encoded or not, and no symbolic link leads out of it; the kernel sees to that where it
// can (openat2), and else each step is looked at. Links that stay below are followed. What is neither a file nor a directory is not there.
//
// A directory is its index.html; without the slash at its end it is redirected there. Answers carry Last-Modified and an ETag, and heed
// If-None-Match, If-Modified-Since, If-Match, If-Unmodified-Since, Range (also several) and If-Range: RFC 9110.
//
// A file that is in memory is opened and read at once; where a disk is asked, other threads do that while the fiber waits (docs/decisions/0008).
//
// Thread safety: one object may serve any number of fibers and threads.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "cooperative/http/message.h"

namespace cooperative::inline v0::http {

struct StaticFilesOptions {
  std::string index = "index.html";  // empty: a directory without more is 403
  std::size_t max_ranges = 16;       // asked for at once; more, and the whole file is sent
  std::size_t max_in_memory = 64 * 1024;  // bytes: files up to that go with their head in one call of the system
  std::string cache_control = {};    // sent with each file, unless empty
  bool show_hidden = false;          // also what has a name, or lies in a directory, that begins with a dot: ".git", ".env", ".well-known"; else 404
};

class StaticFiles {
 public:
  // Throws IoError when there is no such directory. It stays this directory, also when it is renamed.
  explicit StaticFiles(const std::string& root, StaticFilesOptions options = {});

  Response operator()(Request& request) const { return serve(request); }
  // 404 for what is not there, 405 for other methods.
  Response serve(const Request& request) const;
  // The same for a path of one's own, relative to the directory, already decoded.
  Response serve_path(const Request& request, std::string_view path) const;

 private:
  struct Found;
  Response redirect(const Request& request) const;
  Response respond(const Request& request, Found found, std::string_view path) const;

  std::shared_ptr<const OpenFile> root_;
  StaticFilesOptions options_;
};

// By the ending of the name; "application/octet-stream" for what is not known.
std::string_view content_type_of(std::string_view path);

}  // namespace cooperative::http
