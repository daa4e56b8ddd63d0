#include <curl/curl.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>

#include <fmt/format.h>

#include "knap/base/file.hpp"
#include "message.hpp"

namespace knap::ops {
namespace {

constexpr long kSmtpTimeoutMs = 20'000;
constexpr std::chrono::seconds kSendmailTimeout{20};
constexpr std::chrono::milliseconds kWaitStep{20};

/// Gives curl the mail piece by piece.
struct Source {
  std::string_view left;
  static std::size_t read(char* out, std::size_t size, std::size_t count, void* self) {
    auto& source = *static_cast<Source*>(self);
    const std::size_t bytes = std::min(size * count, source.left.size());
    std::memcpy(out, source.left.data(), bytes);
    source.left.remove_prefix(bytes);
    return bytes;
  }
};

Status write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return make_error(ErrorCode::kUnavailable, "sendmail stopped reading");
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

/// The exit code; -1 when the program had to be killed.
int wait_for(pid_t pid) {
  const Deadline deadline = Deadline::after(kSendmailTimeout);
  int status = 0;
  while (::waitpid(pid, &status, WNOHANG) == 0) {
    if (deadline.expired()) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, &status, 0);
      return -1;
    }
    std::this_thread::sleep_for(kWaitStep);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

Status send_by_smtp(const std::string& mail, const NotifyOptions& options) {
  static const CURLcode once = ::curl_global_init(CURL_GLOBAL_DEFAULT);
  const std::unique_ptr<CURL, void (*)(CURL*)> handle(::curl_easy_init(), ::curl_easy_cleanup);
  if (!handle || once != CURLE_OK) return make_error(ErrorCode::kInternal, "no memory for a mail");
  curl_slist* list = nullptr;
  for (const std::string& each : options.email.to) list = ::curl_slist_append(list, each.c_str());
  const std::unique_ptr<curl_slist, void (*)(curl_slist*)> recipients(list, ::curl_slist_free_all);
  Source source{mail};
  CURL* const curl = handle.get();
  ::curl_easy_setopt(curl, CURLOPT_URL, options.email.smtp.c_str());
  ::curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
  ::curl_easy_setopt(curl, CURLOPT_MAIL_FROM, options.email.from.c_str());
  ::curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, recipients.get());
  ::curl_easy_setopt(curl, CURLOPT_READFUNCTION, &Source::read);
  ::curl_easy_setopt(curl, CURLOPT_READDATA, &source);
  ::curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
  ::curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  ::curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, kSmtpTimeoutMs);
  // Encrypted where the server offers it; asked for with smtps://.
  ::curl_easy_setopt(curl, CURLOPT_USE_SSL, static_cast<long>(CURLUSESSL_TRY));
  if (!options.email.user.empty()) {
    ::curl_easy_setopt(curl, CURLOPT_USE_SSL, static_cast<long>(CURLUSESSL_ALL));
    ::curl_easy_setopt(curl, CURLOPT_USERNAME, options.email.user.c_str());
    ::curl_easy_setopt(curl, CURLOPT_PASSWORD, options.email.password.c_str());
  }
  const CURLcode code = ::curl_easy_perform(curl);
  if (code == CURLE_OK) return {};
  const ErrorCode kind =
      code == CURLE_LOGIN_DENIED ? ErrorCode::kPermissionDenied : ErrorCode::kUnavailable;
  return make_error(kind, fmt::format("{} did not take the mail: {}", options.email.smtp,
                                      ::curl_easy_strerror(code)));
}

Status send_by_sendmail(const std::string& mail, const NotifyOptions& options) {
  const std::string& program = options.email.sendmail;
  if (::access(program.c_str(), X_OK) != 0)
    return make_error(ErrorCode::kNotFound,
                      fmt::format("{} is no program: set alerts.email.smtp or "
                                  "alerts.email.sendmail",
                                  program));
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) return errno_error(errno, "open a pipe to", program);
  FileDescriptor out(ends[0]), in(ends[1]);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, out.get(), STDIN_FILENO);
  // -t: recipients from the header; -i: a lone dot is no end.
  std::array<const char*, 4> arguments{program.c_str(), "-t", "-i", nullptr};
  pid_t pid = 0;
  const int failed = ::posix_spawn(&pid, program.c_str(), &actions, nullptr,
                                   const_cast<char* const*>(arguments.data()), ::environ);
  ::posix_spawn_file_actions_destroy(&actions);
  out.reset();
  if (failed != 0) return errno_error(failed, "start", program);
  // Local programs want plain line ends.
  std::string text;
  for (const char c : mail)
    if (c != '\r') text += c;
  const Status written = write_all(in.get(), text);
  in.reset();
  const int code = wait_for(pid);
  KNAP_CHECK_OK(written);
  if (code != 0)
    return make_error(ErrorCode::kUnavailable, fmt::format("{} ended with {}", program, code));
  return {};
}

}  // namespace knap::ops
