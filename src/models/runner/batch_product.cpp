#include "runner/batch_product.hpp"

#include <algorithm>
#include <atomic>
#include <memory>
#include <new>

namespace knap::models::runner {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kRowsAtOnce = 8;  // of activations, for one thread

template <typename T>
class Aligned {
 public:
  T* make_room(std::size_t count) {
    if (count > size_) {
      data_.reset(static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t(kAlignment))));
      size_ = count;
    }
    return data_.get();
  }

 private:
  struct Free {
    void operator()(T* data) const { ::operator delete(data, std::align_val_t(kAlignment)); }
  };
  std::unique_ptr<T, Free> data_;
  std::size_t size_ = 0;
};

/// What a thread makes panels in; kept between calls.
struct PanelSpace {
  Aligned<std::uint8_t> rows, bytes;
  Aligned<float> scales;
  RowLevels levels;
  RowValues values;
};

Panel make_panel(const PanelKernels& kernels, const WeightMatrix& weights, std::size_t first,
                 PanelSpace& space) {
  Panel panel{.columns = weights.columns, .group = group_of(weights.columns)};
  panel.row = space.rows.make_room(weights.columns * kPanelRows);
  panel.byte = space.bytes.make_room(weights.columns * kPanelRows);
  panel.scale = space.scales.make_room(weights.columns / panel.group * kPanelRows);
  for (std::size_t o = 0; o < kPanelRows; ++o) {
    if (row_form(weights) == RowForm::kLevels) {
      read_levels(weights, first + o, space.levels);
      kernels.pack_levels(space.levels, panel, o);
    } else {
      read_values(weights, first + o, space.values);
      kernels.pack_values(space.values, panel, o);
    }
  }
  kernels.weave(panel);
  return panel;
}

}  // namespace

bool BatchProduct::takes(const WeightMatrix& weights) {
  return weights.columns > 0 && weights.columns <= kPanelColumnsMax &&
         group_of(weights.columns) > 0 && weights.rows % kPanelRows == 0 && can_read_rows(weights);
}

void BatchProduct::multiply(const WeightMatrix& weights, const float* values, std::size_t count,
                            std::size_t threads, float* out) {
  TokenRows rows{.columns = weights.columns, .group = group_of(weights.columns)};
  const std::size_t groups = rows.columns / rows.group;
  bytes_.resize(std::max(bytes_.size(), count * rows.columns));
  scales_.resize(std::max(scales_.size(), count * groups));
  starts_.resize(std::max(starts_.size(), count * groups));
  rows.value = bytes_.data();
  rows.scale = scales_.data();
  rows.start = starts_.data();

  std::atomic<std::size_t> next_row = 0;
  team_.run(threads, [&] {
    while (true) {
      const std::size_t begin = next_row.fetch_add(kRowsAtOnce, std::memory_order_relaxed);
      if (begin >= count) return;
      for (std::size_t r = begin; r < std::min(begin + kRowsAtOnce, count); ++r)
        kernels_.quantise(values + r * rows.columns, rows, r);
    }
  });

  const std::size_t panels = weights.rows / kPanelRows;
  std::atomic<std::size_t> next_panel = 0;
  std::atomic<bool> no_memory = false;
  team_.run(threads, [&] {
    static thread_local PanelSpace space;
    // Nothing may leave a thread while others still work for this call.
    try {
      while (true) {
        const std::size_t p = next_panel.fetch_add(1, std::memory_order_relaxed);
        if (p >= panels) return;
        const Panel panel = make_panel(kernels_, weights, p * kPanelRows, space);
        kernels_.multiply(panel, rows, 0, count, out + p * kPanelRows, weights.rows);
      }
    } catch (const std::bad_alloc&) {
      no_memory = true;
    }
  });
  if (no_memory) throw std::bad_alloc();
}

}  // namespace knap::models::runner
