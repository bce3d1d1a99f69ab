#include "catools/caget.h"

#include "catools/internal/run_batch.h"

namespace catools::inline v0::internal {

std::vector<Reply<Value>> get_each(std::span<const std::string_view> names, Wish wish, const GetOptions& options, const mothreads::Until& until) {
  const RanBatch ran = run_batch(names, until, [&](Batch& batch) {
    for (std::size_t i = 0; i < batch.size(); ++i) {
      batch[i].kind = Request::Kind::get;
      batch[i].plan = {.wish = wish, .datatype = options.datatype, .format = options.format, .count = options.count};
    }
  });
  std::vector<Reply<Value>> replies;
  replies.reserve(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    Request& request = (*ran.batch)[i];
    if (is_fine(request)) {
      replies.emplace_back(name_of(request), *std::move(request.outcome->value));
    } else {
      replies.emplace_back(name_of(request), error_of(request, ran.why));
    }
  }
  return replies;
}

}  // namespace catools::inline v0::internal
