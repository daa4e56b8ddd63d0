#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "pdf_text.hpp"

namespace knap::extract {
namespace {

constexpr float kMargin = .2F;         // of the height, at the top and at the bottom
constexpr std::size_t kPagesMin = 3;   // fewer pages show no habit
constexpr std::uint32_t kReach = 4;    // pages before and after that are compared
constexpr std::size_t kOthersMin = 2;  // of them that have the line too
constexpr float kSameHeight = 4;       // points
constexpr float kTitleSizes = 1.3F;    // larger than the usual line: the title of a slide
constexpr std::size_t kLinesMax = 8;   // of each margin

/// What stays the same from page to page: digits are left out.
std::string key_of(const TextLine& line) {
  std::string key;
  for (const char c : line.text) {
    if (c >= '0' && c <= '9') {
      if (key.empty() || key.back() != '#') key += '#';
    } else {
      key += c;
    }
  }
  return key;
}

struct Place {
  std::size_t page = 0, line = 0;
  float top = 0;
};

/// The outermost lines of a margin.
std::vector<std::size_t> margin_lines(const Page& page, bool at_top) {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < page.lines.size(); ++i) {
    const Box& box = page.lines[i].box;
    if (at_top ? box.bottom < kMargin * page.height : box.top > (1 - kMargin) * page.height)
      out.push_back(i);
  }
  std::sort(out.begin(), out.end(), [&](std::size_t a, std::size_t b) {
    const float first = page.lines[a].box.top;
    const float second = page.lines[b].box.top;
    return at_top ? first < second : first > second;
  });
  if (out.size() > kLinesMax) out.resize(kLinesMax);
  return out;
}

float usual_size(const std::vector<Page>& pages) {
  std::map<int, std::size_t> bytes;
  for (const Page& page : pages) {
    for (const TextLine& line : page.lines)
      bytes[static_cast<int>(std::lround(line.size * 2))] += line.text.size();
  }
  const auto most = std::max_element(
      bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == bytes.end() ? 0 : static_cast<float>(most->first) / 2;
}

}  // namespace

void drop_running_lines(std::vector<Page>& pages) {
  if (pages.size() < kPagesMin) return;
  const float usual = usual_size(pages);
  std::vector<std::vector<bool>> dropped(pages.size());
  for (std::size_t i = 0; i < pages.size(); ++i) dropped[i].resize(pages[i].lines.size());
  for (const bool at_top : {true, false}) {
    std::map<std::string, std::vector<Place>> places;
    for (std::size_t i = 0; i < pages.size(); ++i) {
      for (const std::size_t line : margin_lines(pages[i], at_top)) {
        const TextLine& it = pages[i].lines[line];
        if (it.size <= kTitleSizes * usual) places[key_of(it)].push_back({i, line, it.box.top});
      }
    }
    for (const auto& [key, found] : places) {
      for (std::size_t i = 0; i < found.size(); ++i) {
        std::size_t others = 0;
        const auto alike = [&](const Place& other) {
          return other.page != found[i].page && std::abs(other.top - found[i].top) <= kSameHeight;
        };
        for (std::size_t k = i; k-- > 0 && found[k].page + kReach >= found[i].page;)
          others += alike(found[k]) ? 1 : 0;
        for (std::size_t k = i + 1; k < found.size() && found[k].page <= found[i].page + kReach;
             ++k)
          others += alike(found[k]) ? 1 : 0;
        if (others >= kOthersMin) dropped[found[i].page][found[i].line] = true;
      }
    }
  }
  for (std::size_t i = 0; i < pages.size(); ++i) {
    std::size_t kept = 0;
    for (std::size_t line = 0; line < pages[i].lines.size(); ++line) {
      if (!dropped[i][line]) std::swap(pages[i].lines[kept++], pages[i].lines[line]);
    }
    pages[i].lines.resize(kept);
  }
}

}  // namespace knap::extract
