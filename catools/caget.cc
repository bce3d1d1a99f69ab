#include "catools/caget.h"

#include "catools/internal/run_batch.h"

namespace catools::inline v0::internal {

void get_each(std::span<const std::string_view> names, Wish wish, const GetOptions& options, const mothreads::Until& until,
              absl::FunctionRef<void(const Got&)> take) {
  const RanBatch ran = run_batch(names, until, [&](Batch& batch) {
    batch.kind = Batch::Kind::get;
    batch.plan = {.wish = wish, .datatype = options.datatype, .format = options.format, .count = options.count};
  });
  for (std::size_t i = 0; i < names.size(); ++i) {
    Request& request = (*ran.batch)[i];
    if (is_fine(*ran.batch, i)) {
      take({.name = name_of(request), .parts = &request.answer.parts, .error = nullptr});
    } else {
      const Error error = error_of(*ran.batch, i, ran.why);
      take({.name = name_of(request), .parts = nullptr, .error = &error});
    }
  }
}

}  // namespace catools::inline v0::internal
