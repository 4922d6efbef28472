// A tensor as the operators see it: address, type, sizes and strides.
#pragma once
#include <torch/headeronly/core/ScalarType.h>

#include <cstdint>

namespace vosplug {

using torch::headeronly::ScalarType;

struct View {
  static constexpr int MOST = 4;  // dimensions whose sizes and strides are kept

  void* data = nullptr;
  int64_t dim = -1;               // -1: there is no tensor
  int64_t count = 0;              // elements
  int64_t size[MOST] = {}, stride[MOST] = {};
  ScalarType type = ScalarType::Undefined;
  bool contiguous = true;

  View() = default;
  View(void* data, ScalarType type, int64_t dim, const int64_t* sizes, const int64_t* strides)
      : data(data), dim(dim), count(1), type(type) {
    for (int64_t i = 0; i < dim && i < MOST; ++i) size[i] = sizes[i], stride[i] = strides[i];
    for (int64_t i = dim - 1; i >= 0; --i) {
      contiguous = contiguous && (sizes[i] == 1 || strides[i] == count);
      count *= sizes[i];
    }
    contiguous = contiguous || count == 0;
  }
  explicit operator bool() const { return dim >= 0; }
  template <class T>
  const T* as() const {
    return (const T*)data;
  }
};

}  // namespace vosplug
