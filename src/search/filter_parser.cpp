#include <algorithm>
#include <charconv>
#include <cmath>

#include "filter_dates.hpp"
#include "filter_tree.hpp"
#include "knap/base/text.hpp"

namespace knap::search {
namespace {

using Node = Filter::Node;
using NodePtr = std::shared_ptr<const Node>;

struct Known {
  std::string_view name;
  FilterKind kind;
};
constexpr Known kKnown[] = {
    {"tag", FilterKind::kTag},
    {"path", FilterKind::kPath},
    {"file", FilterKind::kFile},
    {"title", FilterKind::kTitle},
    {"heading", FilterKind::kHeading},
    {"link", FilterKind::kLink},
    {"linked-from", FilterKind::kLinkedFrom},
    {"near", FilterKind::kNear},
    {"has", FilterKind::kHasProperty},
    {"created", FilterKind::kCreated},
    {"modified", FilterKind::kModified},
    {"type", FilterKind::kType},
    {"task", FilterKind::kTask},
    {"lang", FilterKind::kLanguage},
    {"prop", FilterKind::kProperty},
    {"trust", FilterKind::kProperty},  // see parse_trust
};

class Parser {
 public:
  Parser(std::string_view text, std::int64_t now_s) : text_(text), now_s_(now_s) {}

  tl::expected<NodePtr, FilterError> run() {
    if (text_.size() > kFilterBytesMax) {
      return fail(kFilterBytesMax,
                  "a filter may have " + std::to_string(kFilterBytesMax) + " bytes at most");
    }
    if (!text::is_valid_utf8(text_)) return fail(0, "the filter is not valid UTF-8");
    skip_space();
    if (at_end()) return std::make_shared<const Node>();
    auto root = parse_or(0);
    if (!root) return root;
    if (!at_end()) return fail(at_, "')' without '('");
    return root;
  }

 private:
  using Parsed = tl::expected<NodePtr, FilterError>;

  bool at_end() const { return at_ >= text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[at_]; }
  void skip_space() {
    while (!at_end()) {
      std::size_t next = at_;
      if (!text::is_space(text::decode(text_, next))) break;
      at_ = next;
    }
  }
  bool at_keyword(std::string_view word) const {
    if (text_.substr(at_, word.size()) != word) return false;
    const char next = at_ + word.size() < text_.size() ? text_[at_ + word.size()] : ' ';
    return next == ' ' || next == '\t' || next == '\n' || next == '\r' || next == '(' ||
           next == ')';
  }

  tl::unexpected<FilterError> fail(std::size_t offset, std::string message) const {
    offset = std::min(offset, text_.size());
    std::size_t character = 1;
    for (std::size_t i = 0; i < offset;) {
      text::decode(text_, i);
      ++character;
    }
    return tl::unexpected(FilterError{std::move(message), offset, character});
  }

  Parsed combine(FilterKind kind, std::vector<NodePtr> children) {
    if (children.size() == 1) return children.front();
    auto node = std::make_shared<Node>();
    node->kind = kind;
    node->children = std::move(children);
    return node;
  }

  Parsed parse_or(std::uint32_t depth);
  Parsed parse_and(std::uint32_t depth);
  Parsed parse_unary(std::uint32_t depth);
  Parsed parse_term();
  Parsed parse_property(std::size_t begin);
  Parsed parse_trust();
  Parsed unknown_term(std::size_t begin, std::string_view name) const;

  struct Value {
    std::size_t offset = 0;
    std::string text;
    bool quoted = false;
    bool link = false;
  };
  tl::expected<Value, FilterError> parse_value(std::string_view after);
  tl::expected<std::string, FilterError> parse_quoted();
  tl::expected<void, FilterError> fill(Node& node, const Value& value, std::string_view name);
  tl::expected<void, FilterError> fill_choices(Node& node, const Value& value,
                                               std::string_view name);
  tl::expected<void, FilterError> fill_link(Node& node, const Value& value);

  std::string_view text_;
  std::int64_t now_s_;
  std::size_t at_ = 0;
  std::uint32_t nodes_ = 0;
};

Parser::Parsed Parser::parse_or(std::uint32_t depth) {
  if (depth > kFilterDepthMax) return fail(at_, "parentheses are nested too deeply");
  std::vector<NodePtr> children;
  for (;;) {
    auto child = parse_and(depth);
    if (!child) return child;
    children.push_back(std::move(*child));
    if (!at_keyword("OR")) return combine(FilterKind::kOr, std::move(children));
    at_ += 2;
    skip_space();
  }
}

Parser::Parsed Parser::parse_and(std::uint32_t depth) {
  std::vector<NodePtr> children;
  while (!at_end() && peek() != ')' && !at_keyword("OR")) {
    if (at_keyword("AND") && !children.empty()) {
      at_ += 3;
      skip_space();
      if (at_end() || peek() == ')' || at_keyword("OR"))
        return fail(at_, "a term is missing after AND");
      continue;
    }
    auto child = parse_unary(depth);
    if (!child) return child;
    children.push_back(std::move(*child));
    skip_space();
  }
  if (children.empty()) {
    return fail(at_, at_keyword("OR") ? "a term is missing before OR"
                     : peek() == ')'  ? "a term is missing before ')'"
                                      : "a term is missing at the end");
  }
  return combine(FilterKind::kAnd, std::move(children));
}

Parser::Parsed Parser::parse_unary(std::uint32_t depth) {
  if (++nodes_ > kFilterNodesMax)
    return fail(at_, "a filter may have " + std::to_string(kFilterNodesMax) + " terms at most");
  if (peek() == '-') {
    ++at_;
    if (depth >= kFilterDepthMax) return fail(at_, "terms are nested too deeply");
    if (at_end() || text::is_space(static_cast<unsigned char>(peek())) || peek() == ')')
      return fail(at_, "a term must follow '-' directly");
    auto child = parse_unary(depth + 1);
    if (!child) return child;
    auto node = std::make_shared<Node>();
    node->kind = FilterKind::kNot;
    node->children.push_back(std::move(*child));
    return node;
  }
  if (peek() != '(') return parse_term();
  const std::size_t open = at_++;
  skip_space();
  auto inner = parse_or(depth + 1);
  if (!inner) return inner;
  if (peek() != ')') return fail(open, "'(' without ')'");
  ++at_;
  return inner;
}

Parser::Parsed Parser::unknown_term(std::size_t begin, std::string_view name) const {
  std::string_view nearest = kKnown[0].name;
  std::size_t least = std::string_view::npos;
  const std::string folded = text::fold_case(name);
  for (const Known& known : kKnown) {
    const std::size_t distance = text::edit_distance(folded, known.name, 8);
    if (distance < least) least = distance, nearest = known.name;
  }
  std::string message = "unknown term \"" + std::string(text::truncate(name, 40)) + "\"";
  message +=
      least <= 3
          ? "; did you mean " + std::string(nearest) + (nearest == "prop" ? ".NAME:" : ":") + "?"
          : "; a filter is made of terms such as tag:, path:, file:, prop.NAME:, modified:";
  return fail(begin, std::move(message));
}

Parser::Parsed Parser::parse_term() {
  const std::size_t begin = at_;
  if (text_.substr(at_).starts_with("prop.")) return parse_property(begin);
  // A quote without a field reads as an unknown term, pointed at where it begins.
  while (!at_end() &&
         ((peek() >= 'a' && peek() <= 'z') || (peek() >= 'A' && peek() <= 'Z') || peek() == '-'))
    ++at_;
  std::string name(text_.substr(begin, at_ - begin));
  if (peek() != ':' || name.empty()) {
    while (!at_end() && peek() != ' ' && peek() != ')' && peek() != '(' && peek() != ':') ++at_;
    return unknown_term(begin, text_.substr(begin, std::max<std::size_t>(at_ - begin, 1)));
  }
  for (char& c : name)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  ++at_;
  const auto known = std::find_if(std::begin(kKnown), std::end(kKnown),
                                  [&](const Known& row) { return row.name == name; });
  if (name == "trust") return parse_trust();
  if (known == std::end(kKnown) || known->kind == FilterKind::kProperty)
    return unknown_term(begin, name);
  auto value = parse_value(name + ":");
  if (!value) return tl::unexpected(value.error());
  auto node = std::make_shared<Node>();
  node->kind = known->kind;
  if (auto filled = fill(*node, *value, name); !filled) return tl::unexpected(filled.error());
  return node;
}

tl::expected<std::string, FilterError> Parser::parse_quoted() {
  const std::size_t open = at_++;
  std::string out;
  while (!at_end() && peek() != '"') {
    if (peek() == '\\' && at_ + 1 < text_.size() &&
        (text_[at_ + 1] == '"' || text_[at_ + 1] == '\\'))
      ++at_;
    out += text_[at_++];
  }
  if (at_end()) return fail(open, "the quote is not closed");
  ++at_;
  return out;
}

tl::expected<Parser::Value, FilterError> Parser::parse_value(std::string_view after) {
  Value value;
  value.offset = at_;
  if (text_.substr(at_).starts_with("[[")) {
    const auto close = text_.find("]]", at_);
    if (close == std::string_view::npos) return fail(at_, "'[[' without ']]'");
    value.text = text_.substr(at_ + 2, close - at_ - 2);
    value.link = true;
    at_ = close + 2;
  } else if (peek() == '"') {
    auto text = parse_quoted();
    if (!text) return tl::unexpected(text.error());
    value.text = std::move(*text);
    value.quoted = true;
  } else {
    while (!at_end() && peek() != ')' && peek() != '(') {
      std::size_t next = at_;
      if (text::is_space(text::decode(text_, next))) break;
      value.text.append(text_, at_, next - at_);
      at_ = next;
    }
  }
  if (value.text.empty() && !value.quoted)
    return fail(value.offset, "a value is missing after " + std::string(after));
  return value;
}

tl::expected<void, FilterError> Parser::fill_link(Node& node, const Value& value) {
  std::string target = value.text;
  const auto read_distance = [&](std::string_view digits) {
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), node.distance);
    return error == std::errc() && end == digits.data() + digits.size() && node.distance >= 1 &&
           node.distance <= kNearDistanceMax;
  };
  if (node.kind == FilterKind::kNear) {
    std::string digits;
    const std::size_t offset = at_;
    if ((value.link || value.quoted) && peek() == '~') {
      ++at_;
      while (!at_end() && peek() != ' ' && peek() != ')') digits += text_[at_++];
    } else if (const auto tilde = target.rfind('~');
               !value.link && !value.quoted && tilde != std::string::npos) {
      digits = target.substr(tilde + 1);
      target.resize(tilde);
    } else {
      digits = "1";
    }
    if (!read_distance(digits))
      return fail(offset, "near: takes a distance of 1 to " + std::to_string(kNearDistanceMax) +
                              ", as in near:[[Note]]~2");
  }
  if (value.link) target.resize(std::min(target.find_first_of("|#^"), target.size()));
  target = text::fold_case(text::trim(text::nfc(target)));
  if (target.empty()) return fail(value.offset, "the name of a note is missing");
  node.values.push_back(std::move(target));
  return {};
}

tl::expected<void, FilterError> Parser::fill_choices(Node& node, const Value& value,
                                                     std::string_view name) {
  // a|b is either; a quoted value is taken as it is.
  std::size_t begin = 0;
  do {
    const std::size_t end =
        value.quoted ? value.text.size() : std::min(value.text.find('|', begin), value.text.size());
    std::string choice =
        text::fold_case(text::nfc(std::string_view(value.text).substr(begin, end - begin)));
    if (node.kind == FilterKind::kTag && choice.starts_with('#')) choice.erase(0, 1);
    if (node.kind == FilterKind::kTag && choice.ends_with('/')) choice.pop_back();
    if (node.kind == FilterKind::kPath && choice.starts_with('/')) choice.erase(0, 1);
    if (choice.empty() && node.kind != FilterKind::kPath)
      return fail(value.offset + begin, "a value is missing for " + std::string(name) + ":");
    if (node.kind == FilterKind::kTask && choice != "todo" && choice != "done")
      return fail(value.offset + begin, "task: takes todo or done");
    node.values.push_back(std::move(choice));
    begin = end + 1;
  } while (begin <= value.text.size() && !value.quoted);
  std::sort(node.values.begin(), node.values.end());
  node.values.erase(std::unique(node.values.begin(), node.values.end()), node.values.end());
  return {};
}

tl::expected<void, FilterError> Parser::fill(Node& node, const Value& value,
                                             std::string_view name) {
  switch (node.kind) {
    case FilterKind::kLink:
    case FilterKind::kLinkedFrom:
    case FilterKind::kNear: return fill_link(node, value);
    case FilterKind::kCreated:
    case FilterKind::kModified: {
      const auto span = parse_time_span(value.text, now_s_);
      if (!span) {
        return fail(
            value.offset,
            std::string(name) +
                ": takes a date (2026-01-31, 2026-01, 2026), a range a..b, today, yesterday, an "
                "age (7d, 2w), or one of these after >, >=, < or <=");
      }
      node.time = *span;
      return {};
    }
    case FilterKind::kHasProperty: {
      std::string_view property = value.text;
      if (!property.starts_with("prop.") || property.size() == 5)
        return fail(value.offset, "has: takes a property, as in has:prop.due");
      node.values.push_back(text::fold_case(text::nfc(property.substr(5))));
      return {};
    }
    default: return fill_choices(node, value, name);
  }
}

std::optional<double> parse_number(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(number))
    return std::nullopt;
  return number;
}

std::string_view operator_text(PropertyTest::Compare compare) {
  switch (compare) {
    case PropertyTest::Compare::kLess: return "<";
    case PropertyTest::Compare::kLessEqual: return "<=";
    case PropertyTest::Compare::kGreater: return ">";
    case PropertyTest::Compare::kGreaterEqual: return ">=";
    case PropertyTest::Compare::kEqual:
    case PropertyTest::Compare::kRange: return "";
  }
  return "";
}

Parser::Parsed Parser::parse_property(std::size_t begin) {
  at_ += 5;
  std::string name;
  if (peek() == '"') {
    auto quoted = parse_quoted();
    if (!quoted) return tl::unexpected(quoted.error());
    name = std::move(*quoted);
  } else {
    while (!at_end() && std::string_view(":<>= ()\"").find(peek()) == std::string_view::npos)
      name += text_[at_++];
  }
  if (name.empty()) return fail(at_, "the name of a property is missing after prop.");
  using Compare = PropertyTest::Compare;
  struct Operator {
    std::string_view text;
    Compare compare;
  };
  static constexpr Operator kOperators[] = {
      {":>=", Compare::kGreaterEqual}, {":<=", Compare::kLessEqual},   {":>", Compare::kGreater},
      {":<", Compare::kLess},          {">=", Compare::kGreaterEqual}, {"<=", Compare::kLessEqual},
      {">", Compare::kGreater},        {"<", Compare::kLess},          {":", Compare::kEqual},
      {"=", Compare::kEqual}};
  const auto found =
      std::find_if(std::begin(kOperators), std::end(kOperators),
                   [&](const Operator& row) { return text_.substr(at_).starts_with(row.text); });
  if (found == std::end(kOperators))
    return fail(at_,
                "one of : > >= < <= must follow prop." + std::string(text::truncate(name, 40)));
  at_ += found->text.size();
  auto value = parse_value(text_.substr(begin, at_ - begin));
  if (!value) return tl::unexpected(value.error());

  auto node = std::make_shared<Node>();
  node->kind = FilterKind::kProperty;
  node->values.push_back(text::fold_case(text::nfc(name)));
  PropertyTest& test = node->property;
  test.compare = found->compare;
  test.text = text::fold_case(text::nfc(value->text));
  if (value->quoted) return node;
  test.number = parse_number(test.text);
  test.time = parse_time_span(std::string(operator_text(test.compare)) + test.text, now_s_);
  if (const auto dots = test.text.find("..");
      dots != std::string::npos && test.compare == Compare::kEqual) {
    test.number = parse_number(std::string_view(test.text).substr(0, dots));
    test.number_to = parse_number(std::string_view(test.text).substr(dots + 2));
    if ((test.number && test.number_to) || test.time) test.compare = Compare::kRange;
    if (!test.number_to) test.number.reset();
  }
  return node;
}

// A property that importing writes into a note; notes without it are trusted.
Parser::Parsed Parser::parse_trust() {
  auto value = parse_value("trust:");
  if (!value) return tl::unexpected(value.error());
  const std::string choice = text::fold_case(value->text);
  if (choice != "trusted" && choice != "untrusted")
    return fail(value->offset, "trust: takes trusted or untrusted");
  auto node = std::make_shared<Node>();
  node->kind = FilterKind::kProperty;
  node->values.emplace_back("trust");
  node->property.text = "untrusted";
  if (choice == "untrusted") return node;
  auto rest = std::make_shared<Node>();
  rest->kind = FilterKind::kNot;
  rest->children.push_back(std::move(node));
  return rest;
}

// ---- canonical text

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

void collect(const Node& node, FilterKind kind, std::vector<std::string>& out);

std::string write(const Node& node) {
  if (node.kind == FilterKind::kAll) return {};
  if (node.kind == FilterKind::kNot) {
    const Node& child = *node.children.front();
    return child.kind == FilterKind::kNot ? write(*child.children.front()) : "-" + write(child);
  }
  std::string out;
  if (node.kind == FilterKind::kAnd || node.kind == FilterKind::kOr) {
    std::vector<std::string> parts;
    collect(node, node.kind, parts);
    std::sort(parts.begin(), parts.end());
    parts.erase(std::unique(parts.begin(), parts.end()), parts.end());
    if (parts.size() == 1) return parts.front();
    for (const std::string& part : parts)
      out += (out.empty() ? "(" : node.kind == FilterKind::kOr ? " OR " : " ") + part;
    return out + ")";
  }
  const auto* known = std::find_if(std::begin(kKnown), std::end(kKnown),
                                   [&](const Known& row) { return row.kind == node.kind; });
  out = known->name;
  for (const std::string& value : node.values) {
    out += value == node.values.front() ? ':' : '|';
    append_quoted(out, value);
  }
  if (node.kind == FilterKind::kNear) out += "~" + std::to_string(node.distance);
  if (node.kind == FilterKind::kCreated || node.kind == FilterKind::kModified)
    out += ":" + std::to_string(node.time.begin) + ".." + std::to_string(node.time.end);
  if (node.kind == FilterKind::kProperty) {
    out += "#" + std::to_string(static_cast<int>(node.property.compare));
    append_quoted(out, node.property.text);
    if (node.property.number) out += "n";
    if (node.property.time)
      out += std::to_string(node.property.time->begin) + ".." +
             std::to_string(node.property.time->end);
  }
  return out;
}

void collect(const Node& node, FilterKind kind, std::vector<std::string>& out) {
  for (const NodePtr& child : node.children) {
    if (child->kind == kind) {
      collect(*child, kind, out);
    } else {
      out.push_back(write(*child));
    }
  }
}

}  // namespace

tl::expected<Filter, FilterError> Filter::parse(std::string_view text, std::int64_t now_s) {
  auto root = Parser(text, now_s).run();
  if (!root) return tl::unexpected(root.error());
  return Filter(std::move(*root));
}

std::string Filter::canonical() const { return write(*root_); }

}  // namespace knap::search
