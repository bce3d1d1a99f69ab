#pragma once

// A counted reference to something that counts its references itself, by ref() and unref().

#include <utility>

namespace mothreads::inline v0::internal {

template <typename T>
class Ref {
 public:
  Ref() = default;
  explicit Ref(T& node) : node_(&node) { node_->ref(); }
  Ref(const Ref& other) : node_(other.node_) {
    if (node_ != nullptr) node_->ref();
  }
  Ref(Ref&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
  template <typename U>
  explicit(false) Ref(Ref<U> other) noexcept : node_(other.take()) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~Ref() {
    if (node_ != nullptr) node_->unref();
  }

  // Takes over the reference that a new object is born with.
  static Ref adopt(T* node) {
    Ref ref;
    ref.node_ = node;
    return ref;
  }

  explicit operator bool() const { return node_ != nullptr; }
  T& operator*() const { return *node_; }
  T* operator->() const { return node_; }
  T* get() const { return node_; }
  T* take() { return std::exchange(node_, nullptr); }

 private:
  T* node_ = nullptr;
};

}  // namespace mothreads::internal
