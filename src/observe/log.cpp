#include "knap/observe/log.hpp"

#include <unistd.h>

#include <memory>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <boost/json.hpp>

#include "knap/base/json_text.hpp"
#include "knap/base/mutex.hpp"

namespace knap::observe {
namespace {

constexpr std::size_t kFilesKept = 3;
constexpr std::size_t kMessageBytesMax = 4'096;

struct Logging {
  Mutex mutex;
  std::shared_ptr<spdlog::logger> logger KNAP_GUARDED_BY(mutex);
  LogOptions::Format format KNAP_GUARDED_BY(mutex) = LogOptions::Format::kText;
};

std::shared_ptr<spdlog::logger> make_logger(spdlog::sink_ptr sink, LogLevel level) {
  auto logger = std::make_shared<spdlog::logger>("knap", std::move(sink));
  logger->set_pattern("%v");
  logger->flush_on(spdlog::level::info);
  switch (level) {
    case LogLevel::kDebug: logger->set_level(spdlog::level::debug); break;
    case LogLevel::kInfo: logger->set_level(spdlog::level::info); break;
    case LogLevel::kWarning: logger->set_level(spdlog::level::warn); break;
    case LogLevel::kError: logger->set_level(spdlog::level::err); break;
  }
  return logger;
}

Logging& logging() {
  // Never destroyed: threads may log while the program ends.
  static auto* const kLogging = [] {
    auto* made = new Logging;
    const MutexLock lock(made->mutex);
    made->logger = make_logger(std::make_shared<spdlog::sinks::stderr_sink_mt>(), LogLevel::kInfo);
    return made;
  }();
  return *kLogging;
}

std::string_view name_of(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return "debug";
    case LogLevel::kInfo: return "info";
    case LogLevel::kWarning: return "warning";
    case LogLevel::kError: return "error";
  }
  return "error";
}

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return spdlog::level::debug;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarning: return spdlog::level::warn;
    case LogLevel::kError: return spdlog::level::err;
  }
  return spdlog::level::err;
}

std::string now_text() {
  const auto now = std::chrono::system_clock::now();
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(now)), ms);
}

std::string as_json(LogLevel level, std::string_view event, std::string_view message,
                    const std::vector<LogField>& fields) {
  boost::json::object line;
  line["time"] = now_text();
  line["level"] = name_of(level);
  line["event"] = event;
  line["message"] = message;
  for (const auto& [name, value] : fields)
    std::visit([&, key = name](const auto& v) { line[key] = v; }, value);
  return json_text(line);
}

std::string as_text(LogLevel level, std::string_view message, const std::vector<LogField>& fields) {
  std::string line = fmt::format("{} {:<7} {}", now_text(), name_of(level), message);
  for (const auto& [name, value] : fields) {
    std::visit([&, key = name](const auto& v) { line += fmt::format(" {}={}", key, v); }, value);
  }
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20)
      c = ' ';  // A file name with a line break must not forge a line.
  return line;
}

}  // namespace

Status configure_log(const LogOptions& options) {
  spdlog::sink_ptr sink;
  if (options.file.empty()) {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else {
    try {
      sink = std::make_shared<spdlog::sinks::rotating_file_sink_mt>(
          options.file, options.file_bytes_max, kFilesKept - 1);
    } catch (const spdlog::spdlog_ex& error) {
      return make_error(ErrorCode::kIo, "cannot open the log file " + options.file + ": " +
                                            error.what() + "; change log.file");
    }
  }
  auto& state = logging();
  const MutexLock lock(state.mutex);
  state.logger = make_logger(std::move(sink), options.level);
  state.format = options.format;
  return {};
}

void log(LogLevel level, std::string_view event, std::string_view message,
         std::vector<LogField> fields) {
  auto& state = logging();
  std::shared_ptr<spdlog::logger> logger;
  LogOptions::Format format{};
  {
    const MutexLock lock(state.mutex);
    logger = state.logger;
    format = state.format;
  }
  if (!logger->should_log(spdlog_level(level))) return;
  message = message.substr(0, kMessageBytesMax);
  const std::string line = format == LogOptions::Format::kJson
                               ? as_json(level, event, message, fields)
                               : as_text(level, message, fields);
  logger->log(spdlog_level(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace knap::observe
