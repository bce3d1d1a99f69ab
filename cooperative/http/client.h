#pragma once

// HTTP/1.1: a client's side.
//
//     http::Reply page = http::get("http://127.0.0.1:8080/", absl::Seconds(3));
//
//     co::Socket socket = co::connect("example.org", 80);                 // or TLS, which is a Stream, too
//     http::Client client(socket, "example.org");                       // keeps the connection
//     for (auto& path : paths) show(client.request({.target = path}).body);
//
// A limit is for the whole of a request and its response. Redirects are answers like any other, and not followed.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "cooperative/http/message.h"
#include "cooperative/io/stream.h"
#include "mothreads/until.h"

namespace cooperative::inline v0::http {

struct ClientRequest {
  std::string method = "GET";
  std::string target = "/";  // encoded already: percent_encode()
  // Without Content-Length and Transfer-Encoding, which follow from the body; Host is added where it is missing.
  Headers headers = {};
  std::string body = {};
};

struct Reply {
  int status = 0;
  std::string reason;
  int minor_version = 1;
  Headers headers;
  std::string body;
};

struct ClientOptions {
  std::size_t max_head = 64 * 1024;                // bytes of status line and header fields together
  std::uint64_t max_body = 64 * 1024 * 1024;
};

// The requests of one connection, one after the other. It borrows the stream, and is its fiber's.
class [[nodiscard]] Client {
 public:
  // `host` goes into the field Host: with the port, unless that is the usual one.
  [[nodiscard]] Client(Stream& stream, std::string_view host, const ClientOptions& options = {});
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Throws Timedout when the limit comes first, CutShort when the connection ended (before any answer: the server may have closed it while
  // it was idle, and a request that changes nothing may be tried on another), BadReply for a response that is malformed or too long, IoError;
  // mothreads::Misuse when the connection is not reusable, or the call cannot be sent as it is.
  Reply request(const ClientRequest& call, const mothreads::Until& until = {});

  // The same without the body, which is in body(), to be read piece by piece, and to its end before the next request.
  Reply begin(const ClientRequest& call, const mothreads::Until& until = {});
  Body& body();

  // Whether it can take another request: the last response has been read to its end, did not end the connection, and nothing has come since. Looks
  // at the connection, without waiting.
  bool is_reusable() const;

 private:
  const std::unique_ptr<internal::HttpReader> reader_;
};

// One request on a connection that is there, or on a new one to the host of a URL, "http://host:port/path?query". Throws as Client and
// connect() do, and std::invalid_argument for another kind of URL: for "https://" connect a TLS stream, and use Client.
Reply request(Stream& stream, std::string_view host, const ClientRequest& call, const mothreads::Until& until = {});
Reply request(std::string_view url, const ClientRequest& call, const mothreads::Until& until = {});
Reply get(std::string_view url, const mothreads::Until& until = {});

}  // namespace cooperative::http
