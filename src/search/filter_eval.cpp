#include <algorithm>
#include <deque>

#include "filter_tree.hpp"
#include "knap/base/text.hpp"

namespace knap::search {
namespace {

template <typename Test>
bool any(const std::vector<std::string>& values, Test&& test) {
  return std::any_of(values.begin(), values.end(), test);
}

bool contains(std::string_view text, std::string_view part) {
  return part.find('*') == std::string_view::npos ? text.find(part) != std::string_view::npos
                                                  : matches_glob(part, text);
}

bool tag_matches(std::string_view tag, std::string_view wanted) {
  if (wanted.find('*') != std::string_view::npos) return matches_glob(wanted, tag);
  return tag.starts_with(wanted) && (tag.size() == wanted.size() || tag[wanted.size()] == '/');
}

bool path_matches(std::string_view path, std::string_view wanted) {
  if (wanted.find('*') != std::string_view::npos) return matches_glob(wanted, path);
  return path.starts_with(wanted);
}

bool within(TimeSpan span, std::int64_t time) { return time >= span.begin && time < span.end; }

bool compares(PropertyTest::Compare compare, double value, const PropertyTest& test) {
  switch (compare) {
    case PropertyTest::Compare::kEqual: return value == *test.number;
    case PropertyTest::Compare::kLess: return value < *test.number;
    case PropertyTest::Compare::kLessEqual: return value <= *test.number;
    case PropertyTest::Compare::kGreater: return value > *test.number;
    case PropertyTest::Compare::kGreaterEqual: return value >= *test.number;
    case PropertyTest::Compare::kRange:
      return value >= *test.number && test.number_to.has_value() && value <= *test.number_to;
  }
  return false;
}

bool text_compares(const std::string& value, const PropertyTest& test) {
  if (test.time) {
    if (const auto date = parse_date(value)) return within(*test.time, date->begin);
  }
  const int order = value.compare(test.text);
  switch (test.compare) {
    case PropertyTest::Compare::kEqual:
      return order == 0 ||
             (test.text.find('*') != std::string::npos && matches_glob(test.text, value));
    case PropertyTest::Compare::kLess: return order < 0;
    case PropertyTest::Compare::kLessEqual: return order <= 0;
    case PropertyTest::Compare::kGreater: return order > 0;
    case PropertyTest::Compare::kGreaterEqual: return order >= 0;
    case PropertyTest::Compare::kRange: return false;
  }
  return false;
}

bool value_matches(const FoldedFacts::Property& property, const PropertyTest& test) {
  for (const auto& value : property.values) {
    if (const auto* number = std::get_if<double>(&value)) {
      if (test.number && compares(test.compare, *number, test)) return true;
    } else if (const auto* flag = std::get_if<bool>(&value)) {
      if (test.compare == PropertyTest::Compare::kEqual && test.text == (*flag ? "true" : "false"))
        return true;
    } else if (const auto* text = std::get_if<std::string>(&value)) {
      if (text_compares(*text, test)) return true;
    } else if (test.compare == PropertyTest::Compare::kEqual && test.text.empty()) {
      return true;
    }
  }
  return property.values.empty() && test.compare == PropertyTest::Compare::kEqual &&
         test.text.empty();
}

bool property_matches(const Filter::Node& node, const FoldedFacts& facts) {
  return std::any_of(facts.properties.begin(), facts.properties.end(), [&](const auto& property) {
    return property.name == node.values.front() &&
           (node.kind == FilterKind::kHasProperty || value_matches(property, node.property));
  });
}

std::string_view file_of(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

bool task_matches(std::string_view wanted, const FoldedFacts& facts) {
  return wanted == "todo" ? facts.has_open_task : facts.has_done_task;
}

}  // namespace

bool matches_glob(std::string_view pattern, std::string_view text) {
  // Greedy with one point of return: linear in the text for each star, never exponential.
  std::size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool names_path(std::string_view written, std::string_view path) {
  if (written.empty()) return false;
  const auto ends_there = [&](std::string_view whole) {
    return whole.ends_with(written) &&
           (whole.size() == written.size() || whole[whole.size() - written.size() - 1] == '/');
  };
  if (ends_there(path)) return true;
  const auto dot = path.rfind('.');
  return dot != std::string_view::npos && path.find('/', dot) == std::string_view::npos &&
         ends_there(path.substr(0, dot));
}

bool evaluate(const Filter::Node& node, const FoldedFacts& facts, const GraphSets* graph) {
  const auto& values = node.values;
  switch (node.kind) {
    case FilterKind::kAll: return true;
    case FilterKind::kAnd:
      return std::all_of(node.children.begin(), node.children.end(),
                         [&](const auto& child) { return evaluate(*child, facts, graph); });
    case FilterKind::kOr:
      return std::any_of(node.children.begin(), node.children.end(),
                         [&](const auto& child) { return evaluate(*child, facts, graph); });
    case FilterKind::kNot: return !evaluate(*node.children.front(), facts, graph);
    case FilterKind::kTag:
      return any(values, [&](const auto& wanted) {
        return any(facts.tags, [&](const auto& tag) { return tag_matches(tag, wanted); });
      });
    case FilterKind::kPath:
      return any(values, [&](const auto& wanted) { return path_matches(facts.path, wanted); });
    case FilterKind::kFile:
      return any(values, [&](const auto& wanted) { return contains(file_of(facts.path), wanted); });
    case FilterKind::kTitle:
      return any(values, [&](const auto& wanted) { return contains(facts.title, wanted); });
    case FilterKind::kHeading:
      return any(values, [&](const auto& wanted) {
        return any(facts.headings, [&](const auto& heading) { return contains(heading, wanted); });
      });
    case FilterKind::kLink:
    case FilterKind::kLinkedFrom:
    case FilterKind::kNear: {
      if (graph == nullptr) {
        return node.kind == FilterKind::kLink && any(facts.links_to, [&](const auto& path) {
                 return names_path(values.front(), path);
               });
      }
      const auto found = graph->find(&node);
      return found != graph->end() && found->second.contains(facts.path_hash);
    }
    case FilterKind::kProperty:
    case FilterKind::kHasProperty: return property_matches(node, facts);
    case FilterKind::kCreated: return facts.created_s != 0 && within(node.time, facts.created_s);
    case FilterKind::kModified: return within(node.time, facts.modified_s);
    case FilterKind::kType:
      return any(values, [&](const auto& type) { return facts.type == type; });
    case FilterKind::kTask:
      return any(values, [&](const auto& task) { return task_matches(task, facts); });
    case FilterKind::kLanguage:
      return any(values, [&](const auto& code) { return facts.language == code; });
  }
  return false;
}

bool Filter::matches(const NoteFacts& facts) const {
  return evaluate(*root_, fold_facts(facts), nullptr);
}

}  // namespace knap::search
