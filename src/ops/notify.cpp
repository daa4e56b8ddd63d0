#include "knap/ops/notify.hpp"

#include <pthread.h>

#include <deque>
#include <functional>
#include <thread>

#include "knap/base/mutex.hpp"
#include "knap/http/client.hpp"
#include "knap/observe/log.hpp"
#include "message.hpp"

namespace knap::ops {
namespace {

constexpr std::chrono::seconds kWebhookTimeout{10};

class ThreadNotifier final : public Notifier {
 public:
  ThreadNotifier(NotifyOptions options, std::unique_ptr<http::Client> webhook,
                 observe::Registry& metrics)
      : options_(std::move(options)), webhook_(std::move(webhook)), metrics_(metrics) {
    if (webhook_ || !options_.email.to.empty()) thread_ = std::thread([this] { run(); });
  }
  ~ThreadNotifier() override {
    {
      const MutexLock lock(mutex_);
      stopping_ = true;
    }
    cancel_.cancel();
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
  }
  ThreadNotifier(const ThreadNotifier&) = delete;
  ThreadNotifier& operator=(const ThreadNotifier&) = delete;

  void send(const Alert& alert) override {
    if (!thread_.joinable()) return;
    {
      const MutexLock lock(mutex_);
      if (queue_.size() >= kQueueMax) {
        count("any", "dropped");
        return;
      }
      queue_.push_back(alert);
    }
    wake_.notify_one();
  }

 private:
  void count(std::string_view way, std::string_view result) {
    metrics_
        .counter("knap_alerts_notifications_total", "Messages on alerts, by way and result",
                 {{"way", std::string(way)}, {"result", std::string(result)}})
        .add();
  }

  /// False: stopping.
  bool pause(std::chrono::milliseconds length) KNAP_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    const auto until = Deadline::after(length);
    while (!stopping_ && !until.expired()) wake_.wait_until(mutex_, until);
    return !stopping_;
  }

  void deliver(std::string_view way, const std::function<Status()>& once) {
    auto wait = options_.retry_pause;
    for (int attempt = 1;; ++attempt) {
      const Status sent = once();
      if (sent) return count(way, "sent");
      const bool last = attempt == kTriesMax || sent.error().code == ErrorCode::kNotFound ||
                        sent.error().code == ErrorCode::kPermissionDenied;
      if (last || !pause(wait)) {
        count(way, "failed");
        observe::log_warning("alert_not_sent", sent.error().message, {{"way", std::string(way)}});
        return;
      }
      wait *= 2;
    }
  }

  Status call_webhook(const Alert& alert) {
    http::ClientRequest request;
    request.method = "POST";
    request.path = "";
    request.fields.set("Content-Type", "application/json");
    request.body = webhook_body(alert);
    KNAP_TRY(const auto answer, webhook_->call(request, Deadline::after(kWebhookTimeout), cancel_));
    if (answer.status < 300) return {};
    // Said for good: again would change nothing.
    const bool final = answer.status >= 400 && answer.status < 500 && answer.status != 429;
    return make_error(final ? ErrorCode::kPermissionDenied : ErrorCode::kUnavailable,
                      "the webhook answered " + std::to_string(answer.status));
  }

  void run() {
    ::pthread_setname_np(::pthread_self(), "knap-notify");
    while (true) {
      Alert alert;
      {
        const MutexLock lock(mutex_);
        while (queue_.empty() && !stopping_) wake_.wait(mutex_);
        if (stopping_) return;
        alert = std::move(queue_.front());
        queue_.pop_front();
      }
      if (webhook_) deliver("webhook", [&] { return call_webhook(alert); });
      if (options_.email.to.empty()) continue;
      const std::string mail = mail_text(alert, options_);
      deliver("email", [&] {
        return options_.email.smtp.empty() ? send_by_sendmail(mail, options_)
                                           : send_by_smtp(mail, options_);
      });
    }
  }

  const NotifyOptions options_;
  const std::unique_ptr<http::Client> webhook_;
  observe::Registry& metrics_;
  const CancelToken cancel_;
  Mutex mutex_;
  CondVar wake_;
  std::deque<Alert> queue_ KNAP_GUARDED_BY(mutex_);
  bool stopping_ KNAP_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<Notifier>> Notifier::create(NotifyOptions options,
                                                   observe::Registry& metrics) {
  std::unique_ptr<http::Client> webhook;
  if (!options.webhook.empty()) {
    auto endpoint = http::Endpoint::parse(options.webhook);
    if (!endpoint) return with_context(endpoint.error(), "alerts.webhook");
    if (endpoint->base_path.empty()) endpoint->base_path = "/";
    webhook = http::Client::create(std::move(*endpoint), {.max_connections = 1});
  }
  const std::string& smtp = options.email.smtp;
  if (!smtp.empty() && !smtp.starts_with("smtp://") && !smtp.starts_with("smtps://")) {
    return make_error(ErrorCode::kInvalidArgument,
                      "alerts.email.smtp must begin with smtp:// or smtps://, as in "
                      "smtp://127.0.0.1:25");
  }
  return std::unique_ptr<Notifier>(
      std::make_unique<ThreadNotifier>(std::move(options), std::move(webhook), metrics));
}

}  // namespace knap::ops
