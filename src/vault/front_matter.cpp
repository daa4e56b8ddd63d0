#include "front_matter.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <exception>
#include <sstream>
#include <unordered_map>

#include <fmt/format.h>
#include <yaml-cpp/anchor.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include "knap/base/text.hpp"

namespace knap::vault {
namespace {

constexpr std::size_t kYamlBytesMax = 256U << 10;  ///< Larger front matter is no properties.
constexpr std::size_t kYamlNodesMax = 20'000;
constexpr std::size_t kNestedTextBytesMax = 16U << 10;  ///< Text kept of one nested value.

/// Refuses before yaml-cpp sees it what would nest too deep for its recursive parser.
std::string nesting_problem(std::string_view yaml, std::uint32_t max_nesting) {
  std::size_t flow = 0;
  std::size_t line_marks = 0;
  bool line_start = true;
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    const char c = yaml[i];
    if (c == '\n') {
      line_start = true;
      line_marks = 0;
      continue;
    }
    if (c == '[' || c == '{') {
      if (++flow > max_nesting) return "nested too deep";
    } else if ((c == ']' || c == '}') && flow > 0) {
      --flow;
    }
    if (!line_start) continue;
    if (c == ' ' || c == '\t') {
      if (++line_marks > 2U * max_nesting + 64U) return "indented too deep";
    } else if ((c == '-' || c == '?' || c == ':') && i + 1 < yaml.size() &&
               (yaml[i + 1] == ' ' || yaml[i + 1] == '\t')) {
      if (++line_marks > 2U * max_nesting + 64U) return "nested too deep";
    } else {
      line_start = false;
    }
  }
  return {};
}

struct Stop : std::exception {
  explicit Stop(std::string why) : reason(std::move(why)) {}
  const char* what() const noexcept override { return reason.c_str(); }
  std::string reason;
};

/// Builds properties from yaml-cpp's events: nothing is expanded, so an alias costs what its name
/// costs.
class PropertyHandler : public YAML::EventHandler {
 public:
  PropertyHandler(FrontMatter& result, std::uint32_t first_line, std::uint32_t max_nesting)
      : result_(result), first_line_(first_line), max_nesting_(max_nesting) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    scalar(mark, anchor, "", false);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto known = anchors_.find(anchor);
    if (known == anchors_.end()) {
      scalar(mark, 0, "", true);
    } else {
      const std::string text = known->second.first;
      scalar(mark, 0, text, known->second.second);
    }
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    scalar(mark, anchor, value, tag == "!" || tag == "!!str" || tag == "tag:yaml.org,2002:str");
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    open(mark, Kind::kSequence);
  }
  void OnSequenceEnd() override { close(']'); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    open(mark, Kind::kMap);
  }
  void OnMapEnd() override { close('}'); }

 private:
  enum class Kind { kSequence, kMap };
  struct Level {
    Kind kind = Kind::kMap;
    bool key_next = true;
    bool empty = true;
  };

  void count(const YAML::Mark& mark) {
    if (++nodes_ > kYamlNodesMax) throw Stop(fmt::format("more than {} values", kYamlNodesMax));
    if (levels_.size() > max_nesting_)
      throw Stop(fmt::format("nested too deep (line {})", line(mark)));
  }
  std::uint32_t line(const YAML::Mark& mark) const {
    return first_line_ + static_cast<std::uint32_t>(std::max(mark.line, 0));
  }

  void scalar(const YAML::Mark& mark, YAML::anchor_t anchor, const std::string& text, bool quoted) {
    count(mark);
    if (anchor != 0) anchors_[anchor] = {text.substr(0, kNestedTextBytesMax), quoted};
    if (levels_.empty()) {
      if (!text.empty()) throw Stop(fmt::format("not a list of properties (line {})", line(mark)));
      return;
    }
    if (nested_depth() > 0) {
      separate();
      append_nested(text, quoted);
      return;
    }
    Level& level = levels_.back();
    if (levels_.size() == 1 && level.key_next) {
      start_property(text, line(mark));
      level.key_next = false;
      return;
    }
    Property& property = result_.properties.back();
    property.values.push_back(typed_scalar(text, quoted));
    if (levels_.size() == 1) level.key_next = true;
  }

  void start_property(const std::string& name, std::uint32_t at) {
    // Twice the same name: the last one counts.
    const auto same = std::find_if(result_.properties.begin(), result_.properties.end(),
                                   [&](const Property& p) { return p.name == name; });
    if (same != result_.properties.end()) {
      result_.lines.erase(result_.lines.begin() + (same - result_.properties.begin()));
      result_.properties.erase(same);
    }
    if (result_.properties.size() >= kPropertiesMax)
      throw Stop(fmt::format("more than {} properties", kPropertiesMax));
    result_.properties.push_back({.name = name});
    result_.lines.push_back(at);
  }

  /// 0: a property's own value or an element of its list; more: inside a nested value, which is
  /// kept as text.
  std::size_t nested_depth() const {
    return nested_from_ == 0 ? 0 : levels_.size() - nested_from_ + 1;
  }

  void open(const YAML::Mark& mark, Kind kind) {
    count(mark);
    if (levels_.empty()) {
      if (kind == Kind::kSequence)
        throw Stop(fmt::format("not a list of properties (line {})", line(mark)));
    } else if (nested_from_ == 0 && levels_.size() == 1 && levels_.back().key_next) {
      // A collection as a name, as templates have it ("{{title}}: x"): kept under an empty name.
      start_property("", line(mark));
      nested_from_ = levels_.size() + 1;
      nested_is_key_ = true;
      nested_.clear();
    } else if (nested_from_ == 0) {
      const bool own_list = levels_.size() == 1 && kind == Kind::kSequence;
      if (own_list) {
        result_.properties.back().is_list = true;
      } else {
        nested_from_ = levels_.size() + 1;
        nested_is_key_ = false;
        nested_.clear();
      }
    } else {
      separate();
    }
    levels_.push_back({.kind = kind});
    if (nested_from_ != 0) append_raw(kind == Kind::kSequence ? "[" : "{");
  }

  void close(char bracket) {
    if (nested_from_ != 0) append_raw(std::string(1, bracket));
    levels_.pop_back();
    if (nested_from_ != 0 && levels_.size() + 1 == nested_from_) {
      nested_from_ = 0;
      Property& property = result_.properties.back();
      if (nested_is_key_) {
        property.name = nested_;
      } else {
        property.values.emplace_back(nested_);
      }
    }
    if (nested_from_ != 0 || levels_.empty()) return;
    // A value of the top-level map is complete.
    if (levels_.size() == 1) levels_.back().key_next = nested_is_key_ ? false : true;
    nested_is_key_ = false;
  }

  void separate() {
    Level& level = levels_.back();
    if (level.kind == Kind::kMap) {
      append_raw(level.key_next ? (level.empty ? "" : ", ") : ": ");
      level.key_next = !level.key_next;
    } else if (!level.empty) {
      append_raw(", ");
    }
    level.empty = false;
  }

  void append_raw(std::string_view text) {
    if (nested_.size() + text.size() <= kNestedTextBytesMax) nested_ += text;
  }
  void append_nested(std::string_view text, bool quoted) {
    const bool plain =
        !quoted && !text.empty() && text.find_first_of(",[]{}:#\"'\n") == std::string_view::npos;
    if (plain) {
      append_raw(text);
      return;
    }
    std::string escaped = "\"";
    for (const char c : text) {
      if (c == '"' || c == '\\') escaped += '\\';
      if (c == '\n') {
        escaped += "\\n";
      } else {
        escaped += c;
      }
    }
    append_raw(text.empty() && !quoted ? "null" : escaped + "\"");
  }

  static constexpr std::size_t kPropertiesMax = 1'000;

  FrontMatter& result_;
  const std::uint32_t first_line_;
  const std::uint32_t max_nesting_;
  std::vector<Level> levels_;
  std::size_t nodes_ = 0;
  std::size_t nested_from_ = 0;  ///< Depth at which a nested value began; 0: none.
  bool nested_is_key_ = false;
  std::string nested_;
  std::unordered_map<YAML::anchor_t, std::pair<std::string, bool>> anchors_;
};

std::optional<double> parse_number(std::string_view text) {
  if (text.empty()) return std::nullopt;
  std::string_view body = text;
  if (body[0] == '+') body.remove_prefix(1);
  const std::string_view unsigned_body = body.starts_with('-') ? body.substr(1) : body;
  if (unsigned_body.empty() ||
      !((unsigned_body[0] >= '0' && unsigned_body[0] <= '9') || unsigned_body[0] == '.'))
    return std::nullopt;
  if (unsigned_body.starts_with("0x") || unsigned_body.starts_with("0o")) {
    std::uint64_t value = 0;
    const char* end = body.data() + body.size();
    const auto [at, error] = std::from_chars(body.data() + 2, end, value, body[1] == 'x' ? 16 : 8);
    if (error != std::errc() || at != end || body.size() == 2) return std::nullopt;
    return static_cast<double>(value);
  }
  double value = 0;
  const char* end = body.data() + body.size();
  const auto [at, error] = std::from_chars(body.data(), end, value);
  if (error != std::errc() || at != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

}  // namespace

std::optional<FrontMatterRange> find_front_matter(const Document& document) {
  const auto is_mark = [](std::string_view line) {
    return line.starts_with("---") && line.find_first_not_of(" \t", 3) == std::string_view::npos;
  };
  if (document.lines.empty() || !is_mark(document.lines[0].text)) return std::nullopt;
  for (std::size_t i = 1; i < document.lines.size(); ++i) {
    if (is_mark(document.lines[i].text)) return FrontMatterRange{.close = i};
  }
  return std::nullopt;
}

Property::Scalar typed_scalar(std::string_view text, bool quoted) {
  if (const auto date = parse_date_time(text)) return *date;
  if (quoted) return std::string(text);
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL")
    return std::monostate{};
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  if (const auto number = parse_number(text)) return *number;
  return std::string(text);
}

FrontMatter read_front_matter(std::string_view yaml, std::uint32_t first_line,
                              std::uint32_t max_nesting) {
  FrontMatter result;
  if (yaml.size() > kYamlBytesMax) {
    result.error = fmt::format("larger than {} bytes", kYamlBytesMax);
    return result;
  }
  result.error = nesting_problem(yaml, max_nesting);
  if (!result.error.empty()) return result;
  if (read_simple_yaml(yaml, first_line, result)) return result;
  result = FrontMatter{};
  try {
    std::istringstream stream{std::string(yaml)};
    YAML::Parser parser(stream);
    PropertyHandler handler(result, first_line, max_nesting);
    parser.HandleNextDocument(handler);
  } catch (const YAML::Exception& exception) {
    // Only the place: the library's message may quote the note.
    result.error = exception.mark.is_null()
                       ? "not valid YAML"
                       : fmt::format("not valid YAML (line {})",
                                     first_line + static_cast<std::uint32_t>(exception.mark.line));
  } catch (const Stop& stop) {
    result.error = stop.reason;
  } catch (const std::exception&) {
    result.error = "not valid YAML";
  }
  return result;
}

}  // namespace knap::vault
