#include "catools/caput.h"

#include "catools/internal/run_batch.h"

namespace catools::inline v0::internal {

std::vector<Reply<void>> put_each(std::span<const std::string_view> names, std::vector<Outgoing> values, const PutOptions& options,
                                  const mothreads::Until& until) {
  for (Outgoing& value : values) value.datatype = options.datatype;
  const RanBatch ran = run_batch(names, until, [&](Batch& batch) {
    batch.outgoing() = std::move(values);
    const bool is_one_for_all = batch.outgoing().size() == 1;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      batch[i].kind = options.wait ? Request::Kind::put_and_wait : Request::Kind::put;
      batch[i].outgoing = &batch.outgoing()[is_one_for_all ? 0 : i];
    }
  });
  std::vector<Reply<void>> replies;
  replies.reserve(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    Request& request = (*ran.batch)[i];
    if (is_fine(request)) {
      replies.emplace_back(name_of(request));
    } else {
      replies.emplace_back(name_of(request), error_of(request, ran.why));
    }
  }
  return replies;
}

}  // namespace catools::inline v0::internal
