#include "route_log.hpp"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>

#include "knap/base/file.hpp"
#include "knap/base/json_text.hpp"
#include "knap/base/text.hpp"

namespace knap::models {
namespace {

namespace json = boost::json;

std::string line_of(const SentLog::Entry& entry) {
  const auto text = [](const std::string& source) {
    return text::is_valid_utf8(source) ? source : text::repair_utf8(source);
  };
  json::array notes;
  for (const NotePart& note : entry.notes)
    notes.push_back(json::object{{"vault", text(note.vault)},
                                 {"path", text(note.path)},
                                 {"lines", json::array{note.first_line, note.last_line}}});
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  return json_text(json::object{{"time", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", now)},
                                {"request_id", text(entry.request_id)},
                                {"model", text(entry.model)},
                                {"server", text(entry.server)},
                                {"bytes", entry.bytes},
                                {"notes", std::move(notes)}}) +
         "\n";
}

// Whatever the system said: the caller's input is not at fault, and nothing it named is missing.
Error unrecorded(int number, const std::filesystem::path& file) {
  Error error = errno_error(number, "cannot record what is sent in", file);
  error.code = ErrorCode::kIo;
  return error;
}

Status append(const std::filesystem::path& file, std::string_view line) {
  // Readable by the owner alone: which notes there are is private too.
  const int handle = ::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (handle < 0) return unrecorded(errno, file);
  Status status;
  while (!line.empty()) {
    const ssize_t written = ::write(handle, line.data(), line.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      status = unrecorded(errno, file);
      break;
    }
    line.remove_prefix(static_cast<std::size_t>(written));
  }
  if (status && ::fdatasync(handle) != 0) status = unrecorded(errno, file);
  ::close(handle);
  return status;
}

}  // namespace

void RouteLog::add(RouteRecord record) {
  MutexLock lock(mutex_);
  if (records_.size() >= kRecordsMax) records_.pop_front();
  records_.push_back(std::move(record));
}

void RouteLog::attempt(std::string_view request_id, RouteAttempt attempt) {
  if (request_id.empty()) return;
  MutexLock lock(mutex_);
  const auto found = std::find_if(records_.rbegin(), records_.rend(), [&](const auto& record) {
    return record.request_id == request_id;
  });
  if (found != records_.rend() && found->attempts.size() < kAttemptsMax)
    found->attempts.push_back(std::move(attempt));
}

std::optional<RouteRecord> RouteLog::find(std::string_view request_id) const {
  MutexLock lock(mutex_);
  const auto found = std::find_if(records_.rbegin(), records_.rend(), [&](const auto& record) {
    return record.request_id == request_id;
  });
  if (found == records_.rend()) return std::nullopt;
  return *found;
}

Status SentLog::write(const Entry& entry) {
  if (file_.empty()) return {};
  const std::string line = line_of(entry);
  MutexLock lock(mutex_);
  std::error_code error;
  const auto size = std::filesystem::file_size(file_, error);
  if (!error && size + line.size() > kBytesMax) {
    std::filesystem::rename(file_, file_.string() + ".1", error);
    if (error) return unrecorded(error.value(), file_);
  }
  return append(file_, line);
}

}  // namespace knap::models
