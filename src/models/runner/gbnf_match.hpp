#pragma once

#include <map>
#include <set>
#include <sstream>
#include <string>
#include <string_view>

namespace knap::models::runner {

/// Whether a text is one of a grammar, by trying all ways: for tests of grammars, over the part of
/// GBNF that Knap writes. Texts and character sets are ASCII.
class GbnfMatch {
 public:
  explicit GbnfMatch(const std::string& grammar) {
    std::istringstream lines(grammar);
    for (std::string line; std::getline(lines, line);) {
      const std::size_t at = line.find(" ::= ");
      if (at != std::string::npos) rules_[line.substr(0, at)] = line.substr(at + 5);
    }
  }

  bool accepts(std::string_view text) {
    text_ = text;
    const Ends ends = rule("root", 0);
    return ends.contains(text.size());
  }

 private:
  using Ends = std::set<std::size_t>;

  Ends rule(const std::string& name, std::size_t from) {
    const auto key = std::make_pair(name, from);
    if (const auto known = known_.find(key); known != known_.end() && known->second.first == text_)
      return known->second.second;
    std::string_view body = rules_.at(name);
    Ends ends = alternatives(body, {from});
    known_[key] = {std::string(text_), ends};
    return ends;
  }

  // Reads up to ')' or the end.
  Ends alternatives(std::string_view& body, const Ends& from) {
    Ends all;
    for (;;) {
      const Ends ends = sequence(body, from);
      all.insert(ends.begin(), ends.end());
      if (body.empty() || body[0] != '|') return all;
      body.remove_prefix(1);
    }
  }

  Ends sequence(std::string_view& body, Ends from) {
    for (;;) {
      while (!body.empty() && body[0] == ' ') body.remove_prefix(1);
      if (body.empty() || body[0] == '|' || body[0] == ')') return from;
      const std::string_view item = body;
      skip_item(body);
      const std::string_view text = item.substr(0, item.size() - body.size());
      const auto [low, high] = times(body);
      Ends reached = from;
      Ends all;
      for (std::size_t count = 0;; ++count) {
        if (count >= low) all.insert(reached.begin(), reached.end());
        if (count == high || reached.empty()) break;
        Ends next;
        for (const std::size_t end : one(text, reached))
          if (count < low || !all.contains(end)) next.insert(end);
        reached = next;
      }
      from = all;
    }
  }

  Ends one(std::string_view item, const Ends& from) {
    Ends out;
    for (const std::size_t at : from) {
      if (item[0] == '"') {
        const std::string literal = unescape(item.substr(1, item.size() - 2));
        if (text_.substr(at).starts_with(literal)) out.insert(at + literal.size());
      } else if (item[0] == '[') {
        if (at < text_.size() && in_set(item, text_[at])) out.insert(at + 1);
      } else if (item[0] == '(') {
        std::string_view inner = item.substr(1);
        const Ends ends = alternatives(inner, {at});
        out.insert(ends.begin(), ends.end());
      } else {
        const Ends ends = rule(std::string(item), at);
        out.insert(ends.begin(), ends.end());
      }
    }
    return out;
  }

  static void skip_item(std::string_view& body) {
    const char first = body[0];
    if (first == '"' || first == '[') {
      const char last = first == '"' ? '"' : ']';
      std::size_t at = 1;
      while (body[at] != last) at += body[at] == '\\' ? 2 : 1;
      body.remove_prefix(at + 1);
    } else if (first == '(') {
      body.remove_prefix(1);
      while (body[0] != ')') {
        if (body[0] == '"' || body[0] == '[' || body[0] == '(') {
          skip_item(body);
        } else {
          body.remove_prefix(1);
        }
      }
      body.remove_prefix(1);
    } else {
      body.remove_prefix(std::min(body.find_first_of(" |)*+?{"), body.size()));
    }
  }

  static std::pair<std::size_t, std::size_t> times(std::string_view& body) {
    constexpr std::size_t kMany = 1'000'000;
    std::pair<std::size_t, std::size_t> range{1, 1};
    if (body.empty()) return range;
    const char sign = body[0];
    if (sign == '*') range = {0, kMany};
    if (sign == '+') range = {1, kMany};
    if (sign == '?') range = {0, 1};
    if (sign == '*' || sign == '+' || sign == '?') body.remove_prefix(1);
    if (sign != '{') return range;
    const std::size_t end = body.find('}');
    const std::string inside(body.substr(1, end - 1));
    const std::size_t comma = inside.find(',');
    range.first = std::stoul(inside);
    range.second = comma == std::string::npos   ? range.first
                   : comma + 1 == inside.size() ? kMany
                                                : std::stoul(inside.substr(comma + 1));
    body.remove_prefix(end + 1);
    return range;
  }

  static std::string unescape(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const bool escaped = text[i] == '\\';
      if (escaped) ++i;
      out += escaped && text[i] == 'n' ? '\n' : text[i];
    }
    return out;
  }

  static char set_character(std::string_view& set) {
    char c = set[0];
    set.remove_prefix(1);
    if (c != '\\') return c;
    c = set[0];
    set.remove_prefix(1);
    if (c == 'n') return '\n';
    if (c == 't') return '\t';
    if (c != 'x') return c;
    const std::string digits(set.substr(0, 2));
    set.remove_prefix(2);
    return static_cast<char>(std::stoi(digits, nullptr, 16));
  }

  static bool in_set(std::string_view item, char wanted) {
    std::string_view set = item.substr(1, item.size() - 2);
    const bool inverse = set.starts_with('^');
    if (inverse) set.remove_prefix(1);
    bool found = false;
    while (!set.empty()) {
      const char low = set_character(set);
      char high = low;
      if (set.size() > 1 && set[0] == '-') {
        set.remove_prefix(1);
        high = set_character(set);
      }
      found = found || (wanted >= low && wanted <= high);
    }
    return found != inverse;
  }

  std::map<std::string, std::string> rules_;
  std::map<std::pair<std::string, std::size_t>, std::pair<std::string, Ends>> known_;
  std::string_view text_;
};

}  // namespace knap::models::runner
