#pragma once

// What the verbs share: a request for each name, issued together, and waited for.

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "catools/error.h"
#include "catools/internal/request.h"
#include "mothreads/limit.h"
#include "mothreads/until.h"

namespace catools::inline v0::internal {

struct RanBatch {
  BatchHandle batch;
  mothreads::Why why;
};

// `fill` sets what the requests ask for. No name is none.
RanBatch run_batch(std::span<const std::string_view> names, const mothreads::Until& until, absl::FunctionRef<void(Batch& batch)> fill);

const std::shared_ptr<const std::string>& name_of(const Request& request);
// The Error of a request that failed; `why` is how the wait ended.
Error error_of(const Batch& batch, std::size_t index, mothreads::Why why);
Error error_of(const Channel& channel, const Answer& answer);
// The Error of a wait that ended with `why` before the answer came.
Error error_of_wait(const Channel& channel, mothreads::Why why);
inline bool is_fine(const Batch& batch, std::size_t index) {
  const Answer* const answer = batch.answer(index);
  return answer != nullptr && answer->parts.code == Code::normal;
}

}  // namespace catools::inline v0::internal
