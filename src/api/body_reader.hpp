#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json.hpp>

#include "knap/http/message.hpp"
#include "problem.hpp"

namespace knap::api {

/// Reads a JSON object field by field. The first thing wrong is kept and reported by finish(): a
/// field of another kind, a value out of range, a field nobody asked for (naming the nearest known
/// one). Threads: one at a time.
class BodyReader {
 public:
  enum class Unknown { kRefuse, kIgnore };
  /// What a body's text may look like: nested deeper than this is refused.
  static constexpr std::size_t kMaxDepth = 32;

  /// Errors: 400 with the offset of the mistake; 422 for JSON that is no object.
  static Checked<BodyReader> parse(std::string_view body, Unknown unknown);
  /// The same from query parameters: numbers and booleans are read from their text.
  static BodyReader from_query(const std::vector<std::pair<std::string, std::string>>& query);

  enum class Need { kOptional, kRequired };
  struct TextLimits {
    std::size_t min = 0, max = 0;  ///< Unicode characters.
  };
  void text(std::string_view name, Need need, TextLimits limits, std::string& out);
  void integer(std::string_view name, std::int64_t min, std::int64_t max, std::int64_t& out);
  void number(std::string_view name, double min, double max, double& out);
  void boolean(std::string_view name, bool& out);
  /// Index of the value among `choices`.
  void choice(std::string_view name, std::span<const std::string_view> choices, std::size_t& out);
  /// One text or a list of texts.
  void texts(std::string_view name, std::size_t max_count, TextLimits limits,
             std::vector<std::string>& out);
  /// The value itself for the caller to read; null when absent. The reader must outlive it.
  const boost::json::value* raw(std::string_view name);

  void fail(Problem problem);
  bool failed() const { return problem_.has_value(); }
  /// Call last, after all fields were asked for.
  Checked<void> finish();

 private:
  BodyReader(boost::json::object object, Unknown unknown)
      : object_(std::move(object)), unknown_(unknown) {}
  bool check_text(std::string_view name, const boost::json::value& value, TextLimits limits);

  boost::json::object object_;
  Unknown unknown_;
  bool from_text_ = false;
  std::vector<std::string_view> known_;
  std::optional<Problem> problem_;
};

std::size_t count_characters(std::string_view utf8);

/// "; did you mean 'x'?" for the nearest of `known`, or nothing.
std::string nearest_hint(std::string_view wrong, std::span<const std::string_view> known);

}  // namespace knap::api
