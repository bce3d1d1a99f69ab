#pragma once

// NothingLeft for tests whose own thread waits for descriptors: what its scheduler has for that stays, and is made before it is counted.

#include <array>
#include <cstddef>

#include "absl/time/time.h"
#include "cooperative/io/pipe.h"
#include "tests/support/nothing_left.h"

namespace cooperative::inline v0::testing {

class NothingLeftOpen : public mothreads::testing::NothingLeft {
 protected:
  void SetUp() override {
    std::array<std::byte, 1> room;
    PipeEnds ends = make_pipe();
    static_cast<void>(ends.reader.read_some(room, absl::ZeroDuration()));
    ends = {};
    NothingLeft::SetUp();
  }
};

}  // namespace cooperative::testing
