#pragma once

// Items in a circle of links of their own; the list is one pointer, to the first, and owns none of them. An item can be taken out wherever it
// stands, in constant time, and can be in several lists at a time, with links for each. The next of one that is in no list is null.
// Not thread-safe: whatever guards the list guards the links.

namespace mothreads::inline v0::internal {

template <typename T, T* T::* kPrevious, T* T::* kNext>
class LinkedList {
 public:
  constexpr LinkedList() = default;
  LinkedList(const LinkedList&) = delete;
  LinkedList& operator=(const LinkedList&) = delete;

  static bool is_linked(const T& item) noexcept { return item.*kNext != nullptr; }

  bool is_empty() const noexcept { return first_ == nullptr; }
  T* first() const noexcept { return first_; }
  T* last() const noexcept { return first_ == nullptr ? nullptr : first_->*kPrevious; }
  // Null behind the last.
  T* after(const T& item) const noexcept { return item.*kNext == first_ ? nullptr : item.*kNext; }

  void push_back(T& item) noexcept {
    if (first_ == nullptr) {
      item.*kPrevious = item.*kNext = first_ = &item;
      return;
    }
    item.*kNext = first_;
    item.*kPrevious = first_->*kPrevious;
    item.*kPrevious->*kNext = &item;
    first_->*kPrevious = &item;
  }
  void push_front(T& item) noexcept {
    push_back(item);
    first_ = &item;
  }

  // Of an item that is in this list. True when it was the only one.
  bool take_out(T& item) noexcept {
    const bool was_only = item.*kNext == &item;
    if (was_only) {
      first_ = nullptr;
    } else {
      item.*kPrevious->*kNext = item.*kNext;
      item.*kNext->*kPrevious = item.*kPrevious;
      if (first_ == &item) first_ = item.*kNext;
    }
    item.*kNext = nullptr;
    return was_only;
  }
  // Null when the list is empty.
  T* take_first() noexcept {
    T* const item = first_;
    if (item != nullptr) take_out(*item);
    return item;
  }

  // Empties the list. Its items are a plain chain from then on, from the one that this gives: the last has no next.
  T* take_all() noexcept {
    T* const first = first_;
    if (first != nullptr) first->*kPrevious->*kNext = nullptr;
    first_ = nullptr;
    return first;
  }

 private:
  T* first_ = nullptr;
};

}  // namespace mothreads::internal
