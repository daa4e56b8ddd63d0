#include <algorithm>
#include <cmath>
#include <optional>

#include "knap/base/text.hpp"
#include "pdf_page.hpp"

namespace knap::extract {
namespace {

constexpr int kDepthMax = 16;              // of cuts within cuts
constexpr std::size_t kSideLinesMin = 3;   // fewer lines beside others are no column
constexpr float kCrossingShare = .25F;     // of the lines may cross a gutter: titles, figures
constexpr float kGutterSizes = .8F;        // least width of a gutter, in heights of a line
constexpr float kGapSizes = 1.1F;          // least gap between lines that separates regions
constexpr float kAlignedShare = .6F;       // of the lines stand beside one: rows of a table
constexpr std::size_t kProseBytes = 25;    // median of a line in a column of running text
constexpr float kProseFill = .6F;          // median width of such a line, of its column
constexpr int kStripsMax = 64;             // looked at for a gutter
constexpr std::size_t kBucketsMax = 4096;  // of the width of a page, a point each
constexpr std::size_t kMarkerBytesMax = 4;

using Lines = std::vector<const TextLine*>;

float median(std::vector<float> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

float median_size(const Lines& lines) {
  std::vector<float> sizes;
  sizes.reserve(lines.size());
  for (const TextLine* line : lines) sizes.push_back(line->size);
  return std::max(1.0F, median(std::move(sizes)));
}

Box bounds(const Lines& lines) {
  Box box = lines.front()->box;
  for (const TextLine* line : lines) {
    box.left = std::min(box.left, line->box.left);
    box.top = std::min(box.top, line->box.top);
    box.right = std::max(box.right, line->box.right);
    box.bottom = std::max(box.bottom, line->box.bottom);
  }
  return box;
}

struct Gutter {
  float left = 0, right = 0;
  bool crossed_by(const Box& box) const { return box.left < left && box.right > right; }
};

/// How many lines stand over each point of the width.
std::vector<std::size_t> cover_of(const Lines& lines, const Box& box) {
  const auto buckets = static_cast<std::size_t>(std::min<float>(kBucketsMax, box.width())) + 1;
  std::vector<std::ptrdiff_t> change(buckets + 1);
  const auto bucket = [&](float x) {
    return static_cast<std::size_t>(
        std::clamp(x - box.left, 0.0F, static_cast<float>(buckets - 1)));
  };
  for (const TextLine* line : lines) {
    ++change[bucket(line->box.left)];
    --change[bucket(std::ceil(line->box.right)) + 1];
  }
  std::vector<std::size_t> cover(buckets);
  std::ptrdiff_t now = 0;
  for (std::size_t i = 0; i < buckets; ++i) {
    now += change[i];
    cover[i] = static_cast<std::size_t>(std::max<std::ptrdiff_t>(0, now));
  }
  return cover;
}

/// The strip with most lines on its poorer side that few lines cross.
std::optional<Gutter> find_gutter(const Lines& lines) {
  if (lines.size() < 2 * kSideLinesMin) return std::nullopt;
  const Box box = bounds(lines);
  const std::vector<std::size_t> cover = cover_of(lines, box);
  const auto allowed = static_cast<std::size_t>(kCrossingShare * static_cast<float>(lines.size()));
  const float width_min = kGutterSizes * median_size(lines);
  std::optional<Gutter> best;
  std::size_t best_side = kSideLinesMin - 1;
  int strips = 0;
  for (std::size_t i = 0; i < cover.size();) {
    if (cover[i] > allowed) {
      ++i;
      continue;
    }
    std::size_t end = i;
    while (end < cover.size() && cover[end] == cover[i]) ++end;
    const Gutter gutter{box.left + static_cast<float>(i), box.left + static_cast<float>(end)};
    i = end;
    if (gutter.right - gutter.left < width_min || ++strips > kStripsMax) continue;
    std::size_t left = 0;
    std::size_t right = 0;
    for (const TextLine* line : lines) {
      if (line->box.right <= gutter.left + 1) ++left;
      if (line->box.left >= gutter.right - 1) ++right;
    }
    if (std::min(left, right) <= best_side) continue;
    best_side = std::min(left, right);
    best = gutter;
  }
  return best;
}

bool is_prose(const Lines& lines) {
  const Box box = bounds(lines);
  std::vector<float> bytes;
  std::vector<float> widths;
  for (const TextLine* line : lines) {
    bytes.push_back(static_cast<float>(line->text.size()));
    widths.push_back(line->box.width());
  }
  return median(std::move(bytes)) >= static_cast<float>(kProseBytes) &&
         median(std::move(widths)) >= kProseFill * box.width();
}

bool beside(const Box& a, const Box& b) {
  return a.middle() > b.top && a.middle() < b.bottom && b.middle() > a.top && b.middle() < a.bottom;
}

/// Cells, not columns: lines stand beside each other, and one side at least is no running text.
bool is_table(const Lines& left, const Lines& right) {
  if (is_prose(left) && is_prose(right)) return false;
  const Lines& fewer = left.size() <= right.size() ? left : right;
  const Lines& more = left.size() <= right.size() ? right : left;
  std::size_t aligned = 0;
  for (const TextLine* line : fewer) {
    const bool found = std::any_of(more.begin(), more.end(), [&](const TextLine* other) {
      return beside(line->box, other->box);
    });
    if (found) ++aligned;
  }
  return static_cast<float>(aligned) >= kAlignedShare * static_cast<float>(fewer.size());
}

/// "•", "1.", "a)": belongs to the text beside it.
bool is_marker(const std::string& text) {
  if (text.size() > kMarkerBytesMax) return false;
  return text.find_first_of("().") != std::string::npos || text == "-" || text == "*" ||
         static_cast<unsigned char>(text.front()) >= 0xE2;
}

void join_cells(Row& row) {
  TextLine joined = std::move(row.cells.front());
  for (std::size_t i = 1; i < row.cells.size(); ++i) {
    TextLine& cell = row.cells[i];
    joined.text += ' ' + cell.text;
    joined.box.right = std::max(joined.box.right, cell.box.right);
    joined.box.top = std::min(joined.box.top, cell.box.top);
    joined.box.bottom = std::max(joined.box.bottom, cell.box.bottom);
    joined.size = std::max(joined.size, cell.size);
  }
  row.cells.clear();
  row.cells.push_back(std::move(joined));
}

Column rows_of(Lines lines) {
  std::stable_sort(lines.begin(), lines.end(), [](const TextLine* a, const TextLine* b) {
    return a->box.middle() < b->box.middle();
  });
  Column rows;
  for (const TextLine* line : lines) {
    const bool same = !rows.empty() && beside(line->box, rows.back().cells.front().box);
    if (!same) rows.emplace_back();
    rows.back().cells.push_back(*line);
  }
  for (Row& row : rows) {
    std::stable_sort(row.cells.begin(), row.cells.end(),
                     [](const TextLine& a, const TextLine& b) { return a.box.left < b.box.left; });
    if (row.cells.size() == 2 && is_marker(row.cells.front().text)) join_cells(row);
  }
  // Two rows of several cells, one after the other, are a table; one alone is a line with a gap.
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto several = [&](std::size_t k) { return k < rows.size() && rows[k].cells.size() > 1; };
    rows[i].table = several(i) && (several(i + 1) || (i > 0 && rows[i - 1].table));
  }
  for (Row& row : rows) {
    if (!row.table && row.cells.size() > 1) join_cells(row);
  }
  return rows;
}

class Cutter {
 public:
  std::vector<Column> run(Lines lines) {
    cut(std::move(lines), 0);
    return std::move(columns_);
  }

 private:
  void cut(Lines lines, int depth) {
    if (lines.empty()) return;
    if (depth < kDepthMax) {
      if (const auto gutter = find_gutter(lines); gutter && cut_at(*gutter, lines, depth)) return;
      if (cut_between(lines, depth)) return;
    }
    columns_.push_back(rows_of(std::move(lines)));
  }

  /// Bands of what crosses the gutter, and between them what stands left and right of it.
  bool cut_at(const Gutter& gutter, const Lines& lines, int depth) {
    Lines left;
    Lines right;
    Lines crossing;
    const float middle = (gutter.left + gutter.right) / 2;
    for (const TextLine* line : lines) {
      if (gutter.crossed_by(line->box)) {
        crossing.push_back(line);
      } else {
        ((line->box.left + line->box.right) / 2 < middle ? left : right).push_back(line);
      }
    }
    if (left.empty() || right.empty() || is_table(left, right)) return false;
    std::sort(crossing.begin(), crossing.end(),
              [](const TextLine* a, const TextLine* b) { return a->box.top < b->box.top; });
    std::size_t done = 0;
    while (done <= crossing.size()) {
      const float from = done == 0 ? -INFINITY : crossing[done - 1]->box.middle();
      const float to = done == crossing.size() ? INFINITY : crossing[done]->box.middle();
      const auto within = [&](const Lines& side) {
        Lines out;
        for (const TextLine* line : side) {
          if (line->box.middle() >= from && line->box.middle() < to) out.push_back(line);
        }
        return out;
      };
      cut(within(left), depth + 1);
      cut(within(right), depth + 1);
      if (done == crossing.size()) break;
      done = cut_band(crossing, done, left, right, depth);
    }
    return true;
  }

  /// Crossing lines with nothing of the sides between them are one region.
  std::size_t cut_band(const Lines& crossing, std::size_t from, const Lines& left,
                       const Lines& right, int depth) {
    Lines band{crossing[from]};
    std::size_t next = from + 1;
    for (; next < crossing.size(); ++next) {
      const float above = crossing[next - 1]->box.middle();
      const float below = crossing[next]->box.middle();
      const auto between = [&](const TextLine* line) {
        return line->box.middle() >= above && line->box.middle() < below;
      };
      if (std::any_of(left.begin(), left.end(), between) ||
          std::any_of(right.begin(), right.end(), between))
        break;
      band.push_back(crossing[next]);
    }
    cut(std::move(band), depth + 1);
    return next;
  }

  /// Above and below the widest gap.
  bool cut_between(Lines& lines, int depth) {
    std::sort(lines.begin(), lines.end(),
              [](const TextLine* a, const TextLine* b) { return a->box.top < b->box.top; });
    float widest = kGapSizes * median_size(lines);
    std::size_t at = 0;
    float bottom = lines.front()->box.bottom;
    for (std::size_t i = 1; i < lines.size(); ++i) {
      const float gap = lines[i]->box.top - bottom;
      if (gap > widest) {
        widest = gap;
        at = i;
      }
      bottom = std::max(bottom, lines[i]->box.bottom);
    }
    if (at == 0) return false;
    const auto middle = lines.begin() + static_cast<std::ptrdiff_t>(at);
    cut(Lines(lines.begin(), middle), depth + 1);
    cut(Lines(middle, lines.end()), depth + 1);
    return true;
  }

  std::vector<Column> columns_;
};

}  // namespace

std::vector<Column> reading_order(const Page& page) {
  Lines lines;
  lines.reserve(page.lines.size());
  for (const TextLine& line : page.lines) lines.push_back(&line);
  return Cutter().run(std::move(lines));
}

}  // namespace knap::extract
