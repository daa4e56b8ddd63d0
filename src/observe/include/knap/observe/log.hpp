#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "knap/base/result.hpp"

namespace knap::observe {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  enum class Format {
    kText,
    kJson
  } format = Format::kText;  ///< Text on a terminal, one JSON object a line elsewhere.
  std::string file;          ///< Empty: standard error. Rotated.
  std::uint64_t file_bytes_max = 16 << 20;  ///< Per file; 3 files are kept.
};

/// A named value of a log line. Never note text, queries, or keys.
using LogField = std::pair<std::string_view, std::variant<std::string, std::int64_t, double, bool>>;

/// Sets up logging once at start; before, lines go to standard error as text. Errors: kIo (the
/// file).
Status configure_log(const LogOptions& options);

/// One structured line: time, level, event (a stable snake_case name), message for people, fields.
/// Safe from any thread.
void log(LogLevel level, std::string_view event, std::string_view message,
         std::vector<LogField> fields = {});

inline void log_info(std::string_view event, std::string_view message,
                     std::vector<LogField> fields = {}) {
  log(LogLevel::kInfo, event, message, std::move(fields));
}
inline void log_warning(std::string_view event, std::string_view message,
                        std::vector<LogField> fields = {}) {
  log(LogLevel::kWarning, event, message, std::move(fields));
}
inline void log_error(std::string_view event, std::string_view message,
                      std::vector<LogField> fields = {}) {
  log(LogLevel::kError, event, message, std::move(fields));
}
inline void log_debug(std::string_view event, std::string_view message,
                      std::vector<LogField> fields = {}) {
  log(LogLevel::kDebug, event, message, std::move(fields));
}

}  // namespace knap::observe
