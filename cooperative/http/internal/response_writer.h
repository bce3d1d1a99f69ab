#pragma once

// Puts a response on a connection, with as few calls of the system as that takes.

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "cooperative/http/message.h"

namespace cooperative::inline v0::http::internal {

class ResponseWriter {
 public:
  struct To {
    bool is_head = false;
    int minor_version = 1;
    bool keeps_alive = true;
  };

  // `scratch` is memory that is kept from one response to the next; `request` is what is answered.
  ResponseWriter(Stream& stream, std::string& scratch, absl::Duration limit, const Request& request)
      : stream_(stream), head_(scratch), limit_(limit), request_(request) {}

  // False when the connection ends after it. Throws when it did not get there.
  bool write(Response& response, const To& to);
  // The head of a 101; its own headers say what it is.
  void write_upgrade(const Response& response);
  // True once a part of a response without a length has been sent: the client takes the connection's end for the body's end.
  bool ends_with_connection() const { return ends_with_connection_; }

 private:
  class Chunks;

  void begin_head(const Response& response, bool is_upgrade, bool keeps_length);
  void end_head(const To& to, bool keeps);
  void add_length(std::uint64_t size);
  void write_file(const FileParts& body);
  bool write_streamed(Response& response, const To& to);

  Stream& stream_;
  std::string& head_;
  const absl::Duration limit_;
  const Request& request_;
  bool ends_with_connection_ = false;
};

}  // namespace cooperative::http::internal
