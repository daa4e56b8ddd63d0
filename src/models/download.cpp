#include "download.hpp"

#include <curl/curl.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <thread>

#include "knap/base/file.hpp"
#include "knap/base/text.hpp"

namespace knap::models {
namespace {

namespace fs = std::filesystem;

constexpr long kRedirectsMax = 5;
constexpr long kConnectTimeoutMs = 20'000;
constexpr long kStallBytesPerSecond = 1'024;
constexpr unsigned kAttemptsAllMax = 1'000;  // with progress between them
constexpr std::chrono::milliseconds kPauseMax{30'000};
constexpr std::chrono::milliseconds kCancelStep{50};
constexpr std::uint64_t kTagBytesMax = 512;

struct Curl {
  static void prepare() {
    static const CURLcode once = ::curl_global_init(CURL_GLOBAL_DEFAULT);
    static_cast<void>(once);
  }
};

fs::path tag_file(const fs::path& target) { return target.string() + ".tag"; }

/// One request; writes what comes behind what is there.
class Transfer {
 public:
  Transfer(const Download& download, const CancelToken& cancel)
      : download_(download), cancel_(cancel) {}

  /// kUnavailable: may be tried again; `fatal()` otherwise.
  Status run() {
    std::error_code error;
    const std::uint64_t there = fs::file_size(download_.target, error);
    begin_ = error ? 0 : there;
    file_ = FileDescriptor(
        ::open(download_.target.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    if (!file_.valid()) return errno_error(errno, "cannot write", download_.target);
    const std::unique_ptr<CURL, void (*)(CURL*)> handle(::curl_easy_init(), ::curl_easy_cleanup);
    if (!handle) return make_error(ErrorCode::kInternal, "no memory for a download");
    curl_ = handle.get();
    const auto tag = read_file(tag_file(download_.target), kTagBytesMax);
    curl_slist* fields = nullptr;
    if (begin_ > 0 && tag) fields = ::curl_slist_append(fields, ("If-Range: " + *tag).c_str());
    const std::unique_ptr<curl_slist, void (*)(curl_slist*)> owner(fields, ::curl_slist_free_all);
    set_options(fields);
    const CURLcode code = ::curl_easy_perform(curl_);
    ::fdatasync(file_.get());
    return judge(code);
  }
  bool gained() const { return gained_; }
  bool fatal() const { return fatal_; }

 private:
  void set_options(curl_slist* fields) {
    ::curl_easy_setopt(curl_, CURLOPT_URL, download_.url.c_str());
    ::curl_easy_setopt(curl_, CURLOPT_PROTOCOLS_STR, "http,https");
    ::curl_easy_setopt(curl_, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    ::curl_easy_setopt(curl_, CURLOPT_FOLLOWLOCATION, 1L);
    ::curl_easy_setopt(curl_, CURLOPT_MAXREDIRS, kRedirectsMax);
    ::curl_easy_setopt(curl_, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
    ::curl_easy_setopt(curl_, CURLOPT_LOW_SPEED_LIMIT, kStallBytesPerSecond);
    ::curl_easy_setopt(curl_, CURLOPT_LOW_SPEED_TIME, static_cast<long>(download_.stall.count()));
    ::curl_easy_setopt(curl_, CURLOPT_NOSIGNAL, 1L);
    ::curl_easy_setopt(curl_, CURLOPT_USERAGENT, "knap");
    ::curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, fields);
    if (begin_ > 0) {
      ::curl_easy_setopt(curl_, CURLOPT_RANGE, fmt::format("{}-", begin_).c_str());
    }
    ::curl_easy_setopt(curl_, CURLOPT_HEADERFUNCTION, &Transfer::on_field);
    ::curl_easy_setopt(curl_, CURLOPT_HEADERDATA, this);
    ::curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, &Transfer::on_bytes);
    ::curl_easy_setopt(curl_, CURLOPT_WRITEDATA, this);
    ::curl_easy_setopt(curl_, CURLOPT_NOPROGRESS, 0L);
    ::curl_easy_setopt(curl_, CURLOPT_XFERINFOFUNCTION, &Transfer::on_progress);
    ::curl_easy_setopt(curl_, CURLOPT_XFERINFODATA, this);
  }

  long status() const {
    long value = 0;
    ::curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &value);
    return value;
  }

  static std::size_t on_field(char* data, std::size_t size, std::size_t count, void* self) {
    const std::string_view line(data, size * count);
    auto& transfer = *static_cast<Transfer*>(self);
    // A redirect's fields come first; those of the last answer stay.
    if (line.starts_with("HTTP/")) transfer.tag_.clear();
    constexpr std::string_view kName = "etag:";
    if (line.size() > kName.size() && ::strncasecmp(data, kName.data(), kName.size()) == 0)
      transfer.tag_ = text::trim(line.substr(kName.size()));
    return size * count;
  }

  static std::size_t on_bytes(char* data, std::size_t size, std::size_t count, void* self) {
    return static_cast<Transfer*>(self)->write({data, size * count}) ? size * count : 0;
  }

  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<Transfer*>(self)->cancel_.cancelled() ? 1 : 0;
  }

  bool write(std::string_view bytes) {
    const long code = status();
    if (code != 200 && code != 206) return true;  // an error's page: judge() tells the status
    if (!started_ && !start(code)) return false;
    if (begin_ + written_ + bytes.size() > download_.bytes_max) {
      failure_ = make_error(ErrorCode::kResourceExhausted,
                            fmt::format("{} is longer than the catalogue says", download_.url));
      return false;
    }
    while (!bytes.empty()) {
      const ssize_t done = ::write(file_.get(), bytes.data(), bytes.size());
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) {
        failure_ = errno_error(errno, "cannot write", download_.target);
        return false;
      }
      written_ += static_cast<std::uint64_t>(done);
      bytes.remove_prefix(static_cast<std::size_t>(done));
    }
    gained_ = true;
    if (download_.progress) download_.progress(begin_ + written_);
    return true;
  }

  // 200 is the whole file, whatever was asked: what is there goes.
  bool start(long code) {
    started_ = true;
    if (code == 200 && begin_ > 0) {
      if (::ftruncate(file_.get(), 0) != 0) {
        failure_ = errno_error(errno, "cannot write", download_.target);
        return false;
      }
      begin_ = 0;
    }
    // Only strong tags may stand in If-Range.
    std::error_code ignored;
    if (tag_.empty() || tag_.starts_with("W/") || tag_.size() > kTagBytesMax) {
      fs::remove(tag_file(download_.target), ignored);
    } else {
      static_cast<void>(write_file_atomic(tag_file(download_.target), tag_).has_value());
    }
    return true;
  }

  Status judge(CURLcode code) {
    if (failure_) {
      fatal_ = true;
      return *failure_;
    }
    if (cancel_.cancelled()) {
      fatal_ = true;
      return make_error(ErrorCode::kCancelled, "stopped");
    }
    const long answer = status();
    if (code == CURLE_OK && (answer == 200 || answer == 206)) return {};
    // Nothing is left to send: whole already, or longer than the server's file.
    if (answer == 416) {
      if (download_.bytes == 0 || begin_ == download_.bytes) return {};
      static_cast<void>(::ftruncate(file_.get(), 0));
      return make_error(ErrorCode::kUnavailable,
                        fmt::format("{}: the file has changed", download_.url));
    }
    const bool refused = answer >= 400 && answer < 500 && answer != 408 && answer != 429;
    fatal_ = refused;
    if (answer == 404) {
      return make_error(ErrorCode::kNotFound, fmt::format("{} does not exist", download_.url));
    }
    if (answer == 401 || answer == 403) {
      return make_error(
          ErrorCode::kPermissionDenied,
          fmt::format("{} answers {}: its owner may want an agreement first; fetch it with a "
                      "browser and run `knap models import FILE NAME`",
                      download_.url, answer));
    }
    if (answer >= 400) {
      return make_error(ErrorCode::kUnavailable,
                        fmt::format("{} answers {}", download_.url, answer));
    }
    return make_error(ErrorCode::kUnavailable,
                      fmt::format("{}: {}", download_.url, ::curl_easy_strerror(code)));
  }

  const Download& download_;
  const CancelToken& cancel_;
  CURL* curl_ = nullptr;
  FileDescriptor file_;
  std::uint64_t begin_ = 0, written_ = 0;
  std::string tag_;
  bool started_ = false, gained_ = false, fatal_ = false;
  std::optional<Error> failure_;
};

Status check_length(const Download& download) {
  std::error_code error;
  const std::uint64_t bytes = fs::file_size(download.target, error);
  if (error) return errno_error(error.value(), "cannot read", download.target);
  if (download.bytes == 0 || bytes == download.bytes) return {};
  return make_error(ErrorCode::kCorruptData, fmt::format("{} has {} bytes instead of {}",
                                                         download.url, bytes, download.bytes));
}

}  // namespace

Status download_file(const Download& download, const CancelToken& cancel) {
  Curl::prepare();
  std::error_code ignored;
  if (download.bytes > 0 && fs::file_size(download.target, ignored) == download.bytes) return {};
  std::chrono::milliseconds pause = download.pause;
  unsigned in_vain = 0;
  for (unsigned attempt = 0; attempt < kAttemptsAllMax; ++attempt) {
    Transfer transfer(download, cancel);
    Status done = transfer.run();
    if (done) {
      fs::remove(tag_file(download.target), ignored);
      return check_length(download);
    }
    if (transfer.fatal()) return done;
    in_vain = transfer.gained() ? 0 : in_vain + 1;
    if (transfer.gained()) pause = download.pause;
    if (in_vain >= download.attempts) return done;
    const Deadline until = Deadline::after(pause);
    while (!until.expired() && !cancel.cancelled()) std::this_thread::sleep_for(kCancelStep);
    pause = std::min(pause * 2, kPauseMax);
  }
  return make_error(ErrorCode::kUnavailable,
                    fmt::format("{} breaks off again and again", download.url));
}

}  // namespace knap::models
