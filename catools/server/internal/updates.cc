#include "catools/server/internal/updates.h"

#include <utility>

#include "cooperative/sleep.h"

namespace catools::inline v0::internal {

void Updates::note(ServedPv& pv) noexcept {
  const std::lock_guard held(mutex_);
  if (has_ended_) return;
  noted_.push_back(pv);
  // Where others were noted before, the callback is on its way.
  if (++count_ == 1) post();
}

// With the mutex.
void Updates::post() noexcept {
  if (callback_ != nullptr && callback_->post()) is_posted_ = true;
}

void Updates::forget(ServedPv& pv) noexcept {
  const std::lock_guard held(mutex_);
  if (!noted_.is_linked(pv)) return;
  noted_.take_out(pv);
  --count_;
}

void Updates::begin(const cooperative::Scheduler& scheduler) {
  const std::lock_guard held(mutex_);
  callback_ = std::make_unique<cooperative::HandlerCallback>(scheduler, [this] { tell(); });
  if (count_ > 0) post();
}

void Updates::tell() {
  std::size_t left = 0;  // PVs that are noted meanwhile have their turn later
  {
    const std::lock_guard held(mutex_);
    is_posted_ = false;
    left = count_;
  }
  for (; left > 0; --left) {
    std::shared_ptr<ServedPv> pv;
    {
      const std::lock_guard held(mutex_);
      ServedPv* const first = noted_.take_first();
      if (first == nullptr) return;
      --count_;
      pv = first->weak_from_this().lock();  // null for one whose destructor waits for the mutex
    }
    if (pv != nullptr) pv->tell();
  }
  const std::lock_guard held(mutex_);
  if (count_ > 0) post();
}

void Updates::drop() noexcept {
  std::unique_ptr<cooperative::HandlerCallback> callback;  // its destructor waits for one that runs: no lock is held there
  const std::lock_guard held(mutex_);
  has_ended_ = true;
  while (noted_.take_first() != nullptr) {
  }
  count_ = 0;
  callback = std::move(callback_);
}

void Updates::end() {
  {
    const std::lock_guard held(mutex_);
    has_ended_ = true;
  }
  const auto is_posted = [this] {
    const std::lock_guard held(mutex_);
    return is_posted_;
  };
  while (is_posted()) cooperative::yield();
  drop();
}

}  // namespace catools::inline v0::internal
