#include "guarded_generator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace knap::models {
namespace {

using std::chrono::milliseconds;

/// How soon a caller that went or a server that fell silent is seen.
constexpr milliseconds kLook{20};
/// Where a server tells no token counts: bytes of a token, about, in English.
constexpr std::uint64_t kBytesPerToken = 4;
constexpr double kMillion = 1e6;
/// A server that wants to be left alone for longer is not waited for: another model may answer.
constexpr milliseconds kPatience{2'000};

/// Cancels a call when its caller goes or no byte has come for a while. A thread for each call to a
/// remote server, of which there are as many as answers at once.
class SilenceWatch {
 public:
  SilenceWatch(const CancelToken& caller, milliseconds silence)
      : caller_(caller), silence_(silence), thread_([this](const std::stop_token& stop) {
          std::mutex mutex;
          std::condition_variable_any ended;
          std::unique_lock lock(mutex);
          while (!stop.stop_requested()) {
            ended.wait_for(lock, stop, kLook, [] { return false; });  // or until it is to stop
            if (caller_.cancelled()) return token.cancel();
            const auto quiet = SteadyClock::now().time_since_epoch().count() - heard_.load();
            if (SteadyClock::duration(quiet) < silence_) continue;
            silent_ = true;
            return token.cancel();
          }
        }) {}

  void heard() { heard_ = SteadyClock::now().time_since_epoch().count(); }
  bool silent() const { return silent_; }
  CancelToken token;

 private:
  const CancelToken& caller_;
  const milliseconds silence_;
  std::atomic<SteadyClock::rep> heard_{SteadyClock::now().time_since_epoch().count()};
  std::atomic<bool> silent_ = false;
  std::jthread thread_;  // last: it uses all above
};

bool says_server_is_bad(ErrorCode code) {
  return code == ErrorCode::kUnavailable || code == ErrorCode::kCorruptData ||
         code == ErrorCode::kPermissionDenied || code == ErrorCode::kNotFound;
}

/// False when the caller goes or the deadline would pass meanwhile.
bool pause(milliseconds length, Deadline deadline, const CancelToken& cancel) {
  if (deadline.remaining() <= length) return false;
  const Deadline until = Deadline::after(length);
  while (!until.expired() && !cancel.cancelled())
    std::this_thread::sleep_for(std::min(kLook, until.remaining_ms() + milliseconds(1)));
  return !cancel.cancelled();
}

std::uint64_t bytes_of(const GenerateRequest& request) {
  std::uint64_t bytes = 0;
  for (const ChatMessage& message : request.messages)
    bytes += text_of(message).size() + message.tool_calls.size();
  return bytes;
}

}  // namespace

void RetryAfter::ask(std::chrono::seconds wait) {
  until_ = (SteadyClock::now() + std::min(wait, kLongest)).time_since_epoch().count();
}

milliseconds RetryAfter::left() const {
  const SteadyClock::duration left(until_.load() - SteadyClock::now().time_since_epoch().count());
  return std::max(std::chrono::ceil<milliseconds>(left), milliseconds(0));
}

GuardedGenerator::GuardedGenerator(std::shared_ptr<Generator> inner, RemoteRules rules,
                                   std::shared_ptr<SentLog> sent, observe::Registry& metrics,
                                   Circuit::Now now)
    : inner_(std::move(inner)),
      rules_(std::move(rules)),
      sent_(std::move(sent)),
      circuit_(std::move(now)),
      requests_(metrics.counter("knap_models_remote_requests_total",
                                "Requests sent to remote models, retries included")),
      failures_(metrics.counter("knap_models_remote_failures_total",
                                "Requests to remote models that failed")),
      retries_(metrics.counter("knap_models_remote_retries_total",
                               "Requests to remote models that were tried again")),
      refused_(metrics.counter("knap_models_remote_refused_total",
                               "Requests that were not sent: kept on this machine, not recorded, "
                               "or the server was left alone")),
      tokens_read_(metrics.counter("knap_models_remote_prompt_tokens_total",
                                   "Prompt tokens that remote models read")),
      tokens_written_(metrics.counter("knap_models_remote_generated_tokens_total",
                                      "Tokens that remote models wrote")),
      cost_(metrics.total("knap_models_remote_cost_total",
                          "Cost of remote models by the prices in the settings")) {}

double GuardedGenerator::cost_of(std::uint64_t prompt_tokens,
                                 std::uint64_t completion_tokens) const {
  return (static_cast<double>(prompt_tokens) * rules_.price_read +
          static_cast<double>(completion_tokens) * rules_.price_write) /
         kMillion;
}

std::string GuardedGenerator::unusable() const {
  if (circuit_.open()) return "it failed, " + circuit_.state();
  const milliseconds asked = rules_.retry_after ? rules_.retry_after->left() : milliseconds(0);
  if (asked <= kPatience) return {};
  return fmt::format("it asked to be left alone for {} s",
                     std::chrono::ceil<std::chrono::seconds>(asked).count());
}

Result<GenerateResult> GuardedGenerator::generate(
    const GenerateRequest& request, Deadline deadline, const CancelToken& cancel,
    const std::function<bool(std::string_view)>& on_token) {
  if (request.reach == Reach::kThisMachine) {
    refused_.add();
    return make_error(
        ErrorCode::kPermissionDenied,
        fmt::format("nothing was sent to {}: the notes are kept on this machine", inner_->id()));
  }
  budget_.earn();
  bool told = false;
  const std::function<bool(std::string_view)> listener = [&](std::string_view piece) {
    told = true;
    return !on_token || on_token(piece);
  };
  milliseconds wait = rules_.first_pause;
  for (std::uint32_t tries = 0;; ++tries) {
    const milliseconds asked = rules_.retry_after ? rules_.retry_after->left() : milliseconds(0);
    if (asked > kPatience || (asked.count() > 0 && !pause(asked, deadline, cancel))) {
      refused_.add();
      if (cancel.cancelled()) return make_error(ErrorCode::kCancelled, "the caller has gone");
      return make_error(ErrorCode::kUnavailable,
                        fmt::format("{} asked to be left alone for {} s", inner_->id(),
                                    std::chrono::ceil<std::chrono::seconds>(asked).count()));
    }
    if (!circuit_.enter()) {
      refused_.add();
      return make_error(ErrorCode::kUnavailable,
                        fmt::format("{} failed and is left alone ({}): see `knap models explain`",
                                    inner_->id(), circuit_.state()));
    }
    if (Status recorded = record(request); !recorded) {
      circuit_.gave_up();
      refused_.add();
      return recorded.error();
    }
    auto result = attempt(request, deadline, cancel, listener);
    if (result) return result;
    const bool again = result.error().code == ErrorCode::kUnavailable && !told &&
                       tries < rules_.retries && !deadline.expired();
    if (!again || !budget_.spend() || !pause(wait, deadline, cancel)) return result;
    retries_.add();
    wait *= 2;
  }
}

Result<GenerateResult> GuardedGenerator::attempt(
    const GenerateRequest& request, Deadline deadline, const CancelToken& cancel,
    const std::function<bool(std::string_view)>& on_token) {
  requests_.add();
  SilenceWatch watch(cancel, rules_.silence);
  const std::function<bool(std::string_view)> listener = [&](std::string_view piece) {
    watch.heard();
    return on_token(piece);
  };
  auto result = inner_->generate(request, deadline, watch.token, listener);
  if (result) {
    circuit_.succeeded();
    account(request, *result);
    return result;
  }
  if (watch.silent() && !cancel.cancelled()) {
    result = make_error(ErrorCode::kUnavailable, fmt::format("model {} sent nothing for {} ms",
                                                             inner_->id(), rules_.silence.count()));
  }
  failures_.add();
  if (says_server_is_bad(result.error().code)) {
    circuit_.failed();
  } else {
    circuit_.gave_up();
  }
  return result;
}

Status GuardedGenerator::record(const GenerateRequest& request) {
  if (sent_ == nullptr) return {};
  return sent_->write({.request_id = request.request_id,
                       .model = inner_->id(),
                       .server = rules_.server,
                       .notes = request.notes,
                       .bytes = bytes_of(request)});
}

void GuardedGenerator::account(const GenerateRequest& request, GenerateResult& result) {
  if (result.prompt_tokens == 0) {
    result.prompt_tokens = bytes_of(request) / kBytesPerToken;
    result.completion_tokens = result.text.size() / kBytesPerToken;
    result.tokens_estimated = true;
  }
  result.cost = cost_of(result.prompt_tokens, result.completion_tokens);
  tokens_read_.add(result.prompt_tokens);
  tokens_written_.add(result.completion_tokens);
  cost_.add(result.cost);
}

}  // namespace knap::models
