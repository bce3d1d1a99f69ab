#include "cooperative/http/static_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <random>
#include <utility>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cooperative/http/internal/beneath.h"
#include "cooperative/http/internal/conditions.h"
#include "cooperative/http/internal/http_date.h"
#include "cooperative/internal/stack/page_memory.h"
#include "cooperative/io/file_pool.h"
#include "cooperative/io/io_error.h"
#include "mothreads/log.h"

namespace cooperative::inline v0::http {

using cooperative::internal::kWorthAPage;
using internal::HttpRange;
using internal::HttpValidators;

namespace {

struct TypeOfEnding {
  std::string_view ending;
  std::string_view type;
};

constexpr std::array kTypes = std::to_array<TypeOfEnding>({
    {"html", "text/html; charset=utf-8"},
    {"htm", "text/html; charset=utf-8"},
    {"css", "text/css; charset=utf-8"},
    {"js", "text/javascript; charset=utf-8"},
    {"mjs", "text/javascript; charset=utf-8"},
    {"json", "application/json"},
    {"txt", "text/plain; charset=utf-8"},
    {"md", "text/markdown; charset=utf-8"},
    {"csv", "text/csv; charset=utf-8"},
    {"xml", "application/xml"},
    {"svg", "image/svg+xml"},
    {"png", "image/png"},
    {"jpg", "image/jpeg"},
    {"jpeg", "image/jpeg"},
    {"gif", "image/gif"},
    {"webp", "image/webp"},
    {"avif", "image/avif"},
    {"ico", "image/x-icon"},
    {"pdf", "application/pdf"},
    {"wasm", "application/wasm"},
    {"gz", "application/gzip"},
    {"tar", "application/x-tar"},
    {"zip", "application/zip"},
    {"mp3", "audio/mpeg"},
    {"ogg", "audio/ogg"},
    {"mp4", "video/mp4"},
    {"webm", "video/webm"},
    {"woff", "font/woff"},
    {"woff2", "font/woff2"},
    {"ttf", "font/ttf"},
});

// Why a file could not be opened, as an answer.
Response not_opened(int error, std::string_view path) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case EXDEV:
    case ELOOP:
    case ENAMETOOLONG:
    case ENXIO:  // a socket
    case ENODEV: return Response::error(404);
    case EACCES:
    case EPERM: return Response::error(403);
    case EMFILE:
    case ENFILE:
    case ENOMEM: {
      mothreads::log::warning("{}", IoError(error, path, "open it").what());
      Response busy = Response::error(503);
      busy.headers.add("Retry-After", "1");
      return busy;
    }
    default: throw IoError(error, path, "open it");
  }
}

// With errno where there is none.
OpenFile open_below(const OpenFile& root, std::string_view path) {
  const int directory = root.native();
  if (!cooperative::internal::io::must_call_for_file()) {
    const int file = internal::open_beneath(directory, path, internal::BeneathBy::memory);
    if (file >= 0 || errno != EAGAIN) return OpenFile(file);
  }
  FileCall call;
  absl::Cleanup close_unused = [&] {
    if (call.result >= 0) ::close(static_cast<int>(call.result));
  };
  // Without a limit it is done when this returns.
  static_cast<void>(call_for_file(call, [&] { return internal::open_beneath(directory, path); }, {}));
  std::move(close_unused).Cancel();
  errno = call.error;
  return OpenFile(static_cast<int>(call.result));
}

std::string read_part(const OpenFile& file, const HttpRange& range) {
  const auto size = static_cast<std::size_t>(range.size);
  std::string text;
  std::size_t done = 0;
  if (size < kWorthAPage) {
    text.resize(size);
    static_cast<void>(read_from_file(file.native(), text, range.offset, done, {}));
    text.resize(done);
    return text;
  }
  // By way of memory that begins at a page, which a string's does not: see cooperative/internal/stack/page_memory.h.
  const auto room = cooperative::internal::make_memory<char>(size);
  static_cast<void>(read_from_file(file.native(), {room.get(), size}, range.offset, done, {}));
  cooperative::internal::append_much(text, {room.get(), done});
  return text;
}

std::string make_boundary() {
  thread_local std::mt19937_64 random(std::random_device{}());
  return fmt::format("part-{:016x}{:016x}", random(), random());
}

std::string content_range(const HttpRange& range, std::uint64_t size) {
  return fmt::format("bytes {}-{}/{}", range.offset, range.offset + range.size - 1, size);
}

// Whether a component of it begins with a dot, and is not "." or "..".
bool is_hidden(std::string_view path) {
  for (std::size_t at = 0; at < path.size(); at = std::min(path.find('/', at), path.size() - 1) + 1) {
    const std::string_view name = path.substr(at, path.find('/', at) - at);
    if (name.starts_with('.') && name != "." && name != "..") return true;
  }
  return false;
}

}  // namespace

std::string_view content_type_of(std::string_view path) {
  const std::string_view name = path.substr(path.rfind('/') + 1);  // npos + 1 is 0
  if (const std::size_t dot = name.rfind('.'); dot != std::string_view::npos && dot > 0) {
    const std::string_view ending = name.substr(dot + 1);
    for (const auto& [known, type] : kTypes) {
      if (http_iequals(known, ending)) return type;
    }
  }
  return "application/octet-stream";
}

struct StaticFiles::Found {
  OpenFile file;
  struct stat status;
};

StaticFiles::StaticFiles(const std::string& root, StaticFilesOptions options) : options_(std::move(options)) {
  if (root.find('\0') != std::string::npos) throw IoError(EINVAL, root, "serve the files below it");
  const int directory = ::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) throw IoError(errno, root, "serve the files below it");
  root_ = std::make_shared<const OpenFile>(directory);
}

Response StaticFiles::serve(const Request& request) const {
  std::string path;
  if (!internal::resolve_target_path(request.raw_path(), path)) return Response::error(400);
  return serve_path(request, path);
}

Response StaticFiles::serve_path(const Request& request, std::string_view path) const {
  if (request.method() != "GET" && request.method() != "HEAD") return Response::not_allowed("GET, HEAD");
  if (!options_.show_hidden && is_hidden(path)) return Response::error(404);
  const bool wants_directory = path.empty() || path.ends_with('/');
  std::string name(path);
  while (name.ends_with('/')) name.pop_back();
  if (wants_directory && !options_.index.empty()) {
    // Most often there is one: asked for at once, and not the directory first.
    name.append(name.empty() ? "" : "/").append(options_.index);
  }
  Found found{open_below(*root_, name), {}};
  if (found.file.native() < 0) {
    const int error = errno;
    if (!wants_directory || error != ENOENT || options_.index.empty()) return not_opened(error, name);
    const OpenFile directory = open_below(*root_, path.empty() ? path : path.substr(0, path.size() - 1));
    if (directory.native() < 0) return not_opened(errno, path);
    return Response::error(403);
  }
  if (::fstat(found.file.native(), &found.status) != 0) throw IoError(errno, name, "look at it");
  if (S_ISDIR(found.status.st_mode)) return wants_directory ? Response::error(403) : redirect(request);
  if (!S_ISREG(found.status.st_mode) || (wants_directory && options_.index.empty())) return Response::error(404);
  return respond(request, std::move(found), name);
}

// To the same path with a slash. Two at its beginning, in any of the forms that browsers take for them, would name another host.
Response StaticFiles::redirect(const Request& request) const {
  std::string_view rest = request.raw_path();
  rest.remove_prefix(std::min(rest.find_first_not_of("/\\"), rest.size()));
  std::string location = "/";
  for (const char c : rest) c == '\\' ? location.append("%5C") : location.append(1, c);
  location.push_back('/');
  if (!request.query().empty()) location.append("?").append(request.query());
  Response response = Response::error(301);
  response.headers.add("Location", location);
  return response;
}

Response StaticFiles::respond(const Request& request, Found found, std::string_view path) const {
  const auto size = static_cast<std::uint64_t>(found.status.st_size);
  const absl::Time changed = absl::TimeFromTimespec(found.status.st_mtim);
  // Not later than the response itself: RFC 9110, section 8.8.2.1.
  const absl::Time last_modified = absl::FromUnixSeconds(absl::ToUnixSeconds(std::min(changed, absl::Now())));
  const std::string etag = fmt::format("\"{:x}-{:x}-{:x}\"", static_cast<std::uint64_t>(found.status.st_ino), size,
                                       static_cast<std::uint64_t>(absl::ToUnixNanos(changed)));
  const HttpValidators validators{etag, last_modified};

  Response response;
  Headers& headers = response.headers;
  const auto add_common = [&] {
    headers.add("Last-Modified", internal::format_http_date(absl::ToTimeT(last_modified)));
    headers.add("ETag", etag);
    headers.add("Accept-Ranges", "bytes");
    if (!options_.cache_control.empty()) headers.add("Cache-Control", options_.cache_control);
  };
  response.status = internal::check_conditions(request.headers(), validators);
  if (response.status == 412) return Response::error(412);
  if (response.status == 304) {
    add_common();
    return response;
  }

  std::vector<HttpRange> ranges;
  response.status = 200;
  if (request.method() == "GET") {
    if (auto asked = internal::ranges_of(request.headers(), validators, size, options_.max_ranges)) {
      if (asked->empty()) {
        Response refused = Response::error(416);
        refused.headers.add("Content-Range", fmt::format("bytes */{}", size));
        return refused;
      }
      ranges = *std::move(asked);
      response.status = 206;
    }
  }
  const std::string_view type = content_type_of(path);
  if (ranges.size() > 1) {
    const std::string boundary = make_boundary();
    headers.add("Content-Type", "multipart/byteranges; boundary=" + boundary);
    add_common();
    FileParts parts;
    for (const HttpRange& range : ranges) {
      parts.parts.push_back({fmt::format("{}--{}\r\nContent-Type: {}\r\nContent-Range: {}\r\n\r\n", parts.parts.empty() ? "" : "\r\n", boundary,
                                         type, content_range(range, size)),
                             range.offset, range.size});
    }
    parts.after = fmt::format("\r\n--{}--\r\n", boundary);
    parts.file = std::make_shared<const OpenFile>(std::move(found.file));
    response.body = std::move(parts);
    return response;
  }

  headers.add("Content-Type", type);
  add_common();
  const HttpRange range = ranges.empty() ? HttpRange{0, size} : ranges.front();
  if (!ranges.empty()) headers.add("Content-Range", content_range(range, size));
  if (request.method() == "GET" && range.size <= options_.max_in_memory) {
    std::string text = read_part(found.file, range);
    if (text.size() < range.size) throw std::runtime_error(fmt::format("{}: became shorter while it was read", path));
    response.body = std::move(text);
  } else {
    FileParts parts;
    parts.parts.push_back({{}, range.offset, range.size});
    parts.file = std::make_shared<const OpenFile>(std::move(found.file));
    response.body = std::move(parts);
  }
  return response;
}

}  // namespace cooperative::http
