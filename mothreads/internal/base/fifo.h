#pragma once

// First in, first out; linked through `next`. Items are whoever's they were: the list owns none.

namespace mothreads::inline v0::internal {

template <typename T>
class Fifo {
 public:
  bool is_empty() const noexcept { return first_ == nullptr; }
  T* first() const noexcept { return first_; }
  void push_back(T& item) noexcept {
    item.next = nullptr;
    if (first_ == nullptr) {
      first_ = &item;
    } else {
      last_->next = &item;
    }
    last_ = &item;
  }
  void push_front(T& item) noexcept {
    item.next = first_;
    if (first_ == nullptr) last_ = &item;
    first_ = &item;
  }
  // All of `other`, when this one is empty.
  void take(Fifo& other) noexcept {
    first_ = other.first_;
    last_ = other.last_;
    other.first_ = nullptr;
  }
  T* pop_front() noexcept {
    T* item = first_;
    if (item != nullptr) first_ = static_cast<T*>(item->next);
    return item;
  }
  void append(Fifo& other) noexcept {
    if (other.first_ == nullptr) return;
    if (first_ == nullptr) {
      first_ = other.first_;
    } else {
      last_->next = other.first_;
    }
    last_ = other.last_;
    other.first_ = nullptr;
  }

 private:
  T* first_ = nullptr;
  T* last_ = nullptr;
};

}  // namespace mothreads::internal
