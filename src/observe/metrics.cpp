#include "knap/observe/metrics.hpp"

#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "knap/base/assert.hpp"
#include "knap/base/mutex.hpp"

namespace knap::observe {
namespace {

constexpr std::size_t kSeriesMax = 4'000;
/// Of one name: the routes, each with its methods and classes of status, are the most.
constexpr std::size_t kFamilyMax = 512;
constexpr std::size_t kLabelBytesMax = 128;
constexpr std::string_view kOverflowName = "knap_metrics_overflow_total";
constexpr std::string_view kOverflowHelp = "Series refused because of the limits";

bool is_name(std::string_view name) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  return !name.empty() && letter(name.front()) &&
         std::ranges::all_of(name, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

bool holds(const Labels& labels, const Labels& match) {
  return std::ranges::all_of(
      match, [&](const auto& pair) { return std::ranges::find(labels, pair) != labels.end(); });
}

/// Values that are too long are cut: they come from us, but some name files or models.
Labels bounded(const Labels& labels) {
  Labels out = labels;
  for (auto& [name, value] : out) {
    KNAP_ASSERT(is_name(name));
    if (value.size() > kLabelBytesMax) value.resize(kLabelBytesMax);
  }
  return out;
}

Labels all_other(const Labels& labels) {
  Labels out = labels;
  for (auto& pair : out) pair.second = "other";
  return out;
}

std::string escape_label(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    out += c;
  }
  return out;
}

std::string escape_help(std::string_view help) {
  std::string out;
  for (const char c : help) {
    if (c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    out += c;
  }
  return out;
}

/// {a="x",b="y"} with `extra` (already formatted) appended; empty without labels.
std::string format_labels(const Labels& labels, std::string_view extra = {}) {
  if (labels.empty() && extra.empty()) return {};
  std::string out = "{";
  for (const auto& [name, value] : labels) {
    if (out.size() > 1) out += ',';
    out += fmt::format("{}=\"{}\"", name, escape_label(value));
  }
  if (!extra.empty()) {
    if (out.size() > 1) out += ',';
    out += extra;
  }
  return out + "}";
}

}  // namespace

namespace {
/// Of a name: what is needed to write it after the lock was given back. Series and texts never go
/// and never change, so pointers to them stay good.
template <typename T>
struct FamilyView {
  std::string_view name, help;
  const std::string* alias = nullptr;
  std::vector<std::pair<const Labels*, const T*>> series;
};

}  // namespace

struct Registry::Impl {
  template <typename T>
  struct Family {
    std::string help;
    std::map<Labels, std::unique_ptr<T>> series;
  };
  template <typename T>
  using Families = std::map<std::string, Family<T>, std::less<>>;

  mutable Mutex mutex;
  Families<Counter> counters KNAP_GUARDED_BY(mutex);
  Families<Gauge> gauges KNAP_GUARDED_BY(mutex);
  Families<Gauge> totals KNAP_GUARDED_BY(mutex);
  Families<Histogram> histograms KNAP_GUARDED_BY(mutex);
  std::map<std::string, std::string, std::less<>> aliases KNAP_GUARDED_BY(mutex);
  std::size_t count KNAP_GUARDED_BY(mutex) = 0;
  Counter overflow_counter, overflow;
  Gauge overflow_gauge;
  Histogram overflow_histogram, overflow_rates{Scale::kRate};

  template <typename T, typename Make>
  T& find(Families<T>& families, T& spare, std::string_view name, std::string_view help,
          const Labels& labels, const Make& make) KNAP_REQUIRES(mutex) {
    KNAP_ASSERT(is_name(name));
    auto family = families.find(name);
    if (family == families.end())
      family = families.emplace(std::string(name), Family<T>{std::string(help), {}}).first;
    auto& series = family->second.series;
    Labels key = bounded(labels);
    if (const auto found = series.find(key); found != series.end()) return *found->second;
    if (count >= kSeriesMax) {
      overflow.add();
      return spare;
    }
    if (series.size() >= kFamilyMax) {
      overflow.add();
      key = all_other(key);
      if (const auto found = series.find(key); found != series.end()) return *found->second;
    }
    ++count;
    return *series.emplace(std::move(key), make()).first->second;
  }

  bool is_taken(std::string_view name) const KNAP_REQUIRES(mutex) {
    return counters.contains(name) || gauges.contains(name) || totals.contains(name) ||
           histograms.contains(name);
  }

  template <typename T>
  std::vector<FamilyView<T>> view(const Families<T>& families) const KNAP_REQUIRES(mutex) {
    std::vector<FamilyView<T>> out;
    out.reserve(families.size());
    for (const auto& [name, family] : families) {
      FamilyView<T> view{name, family.help, nullptr, {}};
      if (const auto found = aliases.find(name); found != aliases.end() && !is_taken(found->second))
        view.alias = &found->second;
      view.series.reserve(family.series.size());
      for (const auto& [labels, series] : family.series)
        view.series.emplace_back(&labels, series.get());
      out.push_back(std::move(view));
    }
    return out;
  }
};

Registry::Registry() : impl_(std::make_unique<Impl>()) {}
Registry::~Registry() = default;

Counter& Registry::counter(std::string_view name, std::string_view help, const Labels& labels) {
  const MutexLock lock(impl_->mutex);
  return impl_->find(impl_->counters, impl_->overflow_counter, name, help, labels,
                     [] { return std::make_unique<Counter>(); });
}

Gauge& Registry::gauge(std::string_view name, std::string_view help, const Labels& labels) {
  const MutexLock lock(impl_->mutex);
  return impl_->find(impl_->gauges, impl_->overflow_gauge, name, help, labels,
                     [] { return std::make_unique<Gauge>(); });
}

Gauge& Registry::total(std::string_view name, std::string_view help, const Labels& labels) {
  const MutexLock lock(impl_->mutex);
  return impl_->find(impl_->totals, impl_->overflow_gauge, name, help, labels,
                     [] { return std::make_unique<Gauge>(); });
}

Histogram& Registry::histogram(std::string_view name, std::string_view help, const Labels& labels,
                               Scale scale) {
  const MutexLock lock(impl_->mutex);
  Histogram& spare = scale == Scale::kRate ? impl_->overflow_rates : impl_->overflow_histogram;
  return impl_->find(impl_->histograms, spare, name, help, labels,
                     [scale] { return std::make_unique<Histogram>(scale); });
}

void Registry::alias(std::string_view name, std::string_view common) {
  KNAP_ASSERT(is_name(name) && is_name(common));
  const MutexLock lock(impl_->mutex);
  impl_->aliases.emplace(name, common);
}

namespace {

void write_head(std::string& out, std::string_view name, std::string_view help,
                std::string_view type) {
  out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, escape_help(help), name, type);
}

template <typename T>
void write_values(std::string& out, std::string_view name, const FamilyView<T>& family,
                  std::string_view type) {
  write_head(out, name, family.help, type);
  for (const auto& [labels, series] : family.series)
    out += fmt::format("{}{} {}\n", name, format_labels(*labels), series->value());
}

void write_histogram(std::string& out, std::string_view name, const Labels& labels,
                     const Histogram& histogram) {
  const Histogram::Cumulative now = histogram.cumulative();
  const auto edges = edges_of(histogram.scale());
  for (std::size_t i = 0; i < edges.size(); ++i) {
    out += fmt::format("{}_bucket{} {}\n", name,
                       format_labels(labels, fmt::format("le=\"{}\"", edges[i])), now.at[i]);
  }
  const std::string plain = format_labels(labels);
  out += fmt::format("{}_bucket{} {}\n{}_sum{} {}\n{}_count{} {}\n", name,
                     format_labels(labels, "le=\"+Inf\""), now.count, name, plain, now.sum, name,
                     plain, now.count);
}

void write_histograms(std::string& out, std::string_view name,
                      const FamilyView<Histogram>& family) {
  bool begun = false;
  for (const auto& [labels, series] : family.series) {
    if (series->count() == 0) continue;
    if (!std::exchange(begun, true)) write_head(out, name, family.help, "histogram");
    write_histogram(out, name, *labels, *series);
  }
}

}  // namespace

std::string Registry::prometheus() const {
  std::vector<FamilyView<Counter>> counters;
  std::vector<FamilyView<Gauge>> totals, gauges;
  std::vector<FamilyView<Histogram>> histograms;
  {
    const MutexLock lock(impl_->mutex);
    counters = impl_->view(impl_->counters);
    totals = impl_->view(impl_->totals);
    gauges = impl_->view(impl_->gauges);
    histograms = impl_->view(impl_->histograms);
  }
  std::string out;
  const auto write_all = [](const auto& families, const auto& write) {
    for (const auto& family : families) {
      write(family.name, family);
      if (family.alias != nullptr) write(*family.alias, family);
    }
  };
  const auto as = [&out](std::string_view type) {
    return [&out, type](std::string_view name, const auto& family) {
      write_values(out, name, family, type);
    };
  };
  write_all(counters, as("counter"));
  write_all(totals, as("counter"));
  write_all(gauges, as("gauge"));
  write_all(histograms, [&out](std::string_view name, const auto& family) {
    write_histograms(out, name, family);
  });
  write_head(out, kOverflowName, kOverflowHelp, "counter");
  out += fmt::format("{} {}\n", kOverflowName, impl_->overflow.value());
  return out;
}

std::vector<Registry::SeriesValue> Registry::values() const {
  std::vector<SeriesValue> out;
  std::vector<const Histogram*> histograms;
  {
    const MutexLock lock(impl_->mutex);
    const auto add = [&](const auto& families, SeriesValue::Kind kind) {
      for (const auto& [name, family] : families)
        for (const auto& [labels, series] : family.series)
          out.push_back({name, labels, kind, static_cast<double>(series->value())});
    };
    add(impl_->counters, SeriesValue::Kind::kCounter);
    add(impl_->totals, SeriesValue::Kind::kCounter);
    add(impl_->gauges, SeriesValue::Kind::kGauge);
    for (const auto& [name, family] : impl_->histograms) {
      for (const auto& [labels, series] : family.series) {
        out.push_back({name, labels, SeriesValue::Kind::kHistogram});
        histograms.push_back(series.get());
      }
    }
  }
  auto value = out.end() - static_cast<std::ptrdiff_t>(histograms.size());
  for (const Histogram* histogram : histograms) {
    value->value = static_cast<double>(histogram->count());
    value->p50 = histogram->quantile_seconds(.5);
    value->p95 = histogram->quantile_seconds(.95);
    value->p99 = histogram->quantile_seconds(.99);
    value->sum = histogram->sum_seconds();
    ++value;
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
    return std::tie(a.name, a.labels) < std::tie(b.name, b.labels);
  });
  return out;
}

std::optional<double> Registry::sum(std::string_view name, const Labels& match) const {
  const MutexLock lock(impl_->mutex);
  std::optional<double> total;
  const auto add = [&](const auto& families) {
    const auto family = families.find(name);
    if (family == families.end()) return;
    for (const auto& [labels, series] : family->second.series)
      if (holds(labels, match)) total = total.value_or(0) + static_cast<double>(series->value());
  };
  add(impl_->counters);
  add(impl_->totals);
  add(impl_->gauges);
  return total;
}

std::vector<const Histogram*> Registry::histograms(std::string_view name,
                                                   const Labels& match) const {
  const MutexLock lock(impl_->mutex);
  std::vector<const Histogram*> out;
  const auto family = impl_->histograms.find(name);
  if (family == impl_->histograms.end()) return out;
  for (const auto& [labels, series] : family->second.series)
    if (holds(labels, match)) out.push_back(series.get());
  return out;
}

}  // namespace knap::observe
