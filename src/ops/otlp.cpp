#include "knap/ops/otlp.hpp"

#include <pthread.h>

#include <charconv>
#include <deque>
#include <thread>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "knap/base/hash.hpp"
#include "knap/base/json_text.hpp"
#include "knap/base/mutex.hpp"
#include "knap/base/version.hpp"
#include "knap/http/client.hpp"

namespace knap::ops {
namespace {

namespace json = boost::json;

constexpr std::size_t kBatchMax = 256;
constexpr std::chrono::seconds kBatchInterval{2};
constexpr std::chrono::seconds kSendTimeout{5};
constexpr std::size_t kTraceDigits = 32, kSpanDigits = 16;
// Of the OTLP protocol's enumerations.
constexpr int kSpanInternal = 1, kSpanServer = 2, kStatusError = 2;

json::object attribute(std::string_view key, std::string_view value) {
  return {{"key", key}, {"value", json::object{{"stringValue", value}}}};
}
json::object attribute(std::string_view key, std::int64_t value) {
  // 64-bit integers are strings in OTLP's JSON.
  return {{"key", key}, {"value", json::object{{"intValue", std::to_string(value)}}}};
}

/// "00-TRACE-SPAN-01" (W3C Trace Context): a lower-case hex field of a known length.
std::string hex_field(std::string_view traceparent, std::size_t begin, std::size_t digits) {
  constexpr std::size_t kLength = 55;
  if (traceparent.size() != kLength || !traceparent.starts_with("00-")) return {};
  const std::string_view field = traceparent.substr(begin, digits);
  if (field.find_first_not_of("0123456789abcdef") != std::string_view::npos) return {};
  if (field.find_first_not_of('0') == std::string_view::npos) return {};
  return std::string(field);
}

std::string span_id(const observe::Trace& trace, std::size_t number) {
  return hash128(trace.request_id + "/" + std::to_string(trace.received_unix_ms) + "/" +
                 std::to_string(number))
      .hex()
      .substr(0, kSpanDigits);
}

json::object span(const observe::Trace& trace, std::string_view id, std::string_view parent,
                  std::string_view name, int kind, std::chrono::microseconds begin,
                  std::chrono::microseconds took) {
  const std::int64_t start = trace.received_unix_ms * 1'000'000 + begin.count() * 1'000;
  json::object out{{"traceId", trace_id_of(trace)},
                   {"spanId", id},
                   {"name", name},
                   {"kind", kind},
                   {"startTimeUnixNano", std::to_string(start)},
                   {"endTimeUnixNano", std::to_string(start + took.count() * 1'000)}};
  if (!parent.empty()) out["parentSpanId"] = parent;
  return out;
}

void add_spans(const observe::Trace& trace, json::array& spans) {
  constexpr std::size_t kParentBegin = 36;
  const std::string root = span_id(trace, 0);
  json::object request = span(trace, root, hex_field(trace.parent, kParentBegin, kSpanDigits),
                              trace.route, kSpanServer, std::chrono::microseconds(0), trace.took);
  request["attributes"] = json::array{
      attribute("http.route", trace.route),
      attribute("http.response.status_code", std::int64_t{trace.status}),
      attribute("knap.level", trace.level), attribute("knap.request_id", trace.request_id)};
  if (trace.status >= 500) request["status"] = json::object{{"code", kStatusError}};
  spans.push_back(std::move(request));
  for (std::size_t i = 0; i < trace.stages.size(); ++i) {
    const auto& stage = trace.stages[i];
    json::object one = span(trace, span_id(trace, i + 1), root, stage.name, kSpanInternal,
                            stage.begin, stage.took);
    if (!stage.detail.empty())
      one["attributes"] = json::array{attribute("knap.detail", stage.detail)};
    spans.push_back(std::move(one));
  }
}

class ThreadExporter final : public OtlpExporter {
 public:
  ThreadExporter(std::unique_ptr<http::Client> client, double sample, observe::Registry& metrics)
      : client_(std::move(client)),
        sample_(sample),
        sent_(metrics.counter("knap_otlp_traces_total", "Traces for OpenTelemetry, by result",
                              {{"result", "sent"}})),
        dropped_(metrics.counter("knap_otlp_traces_total", "Traces for OpenTelemetry, by result",
                                 {{"result", "dropped"}})) {
    thread_ = std::thread([this] { run(); });
  }
  ~ThreadExporter() override {
    {
      const MutexLock lock(mutex_);
      stopping_ = true;
    }
    cancel_.cancel();
    wake_.notify_all();
    thread_.join();
  }
  ThreadExporter(const ThreadExporter&) = delete;
  ThreadExporter& operator=(const ThreadExporter&) = delete;

  void add(const observe::Trace& trace) override {
    if (!chosen(trace)) return;
    const MutexLock lock(mutex_);
    if (queue_.size() >= kQueueMax) {
      dropped_.add();
      return;
    }
    queue_.push_back(trace);
    if (queue_.size() >= kBatchMax) wake_.notify_one();
  }

 private:
  bool chosen(const observe::Trace& trace) const {
    if (sample_ >= 1) return true;
    const std::string id = trace_id_of(trace);
    std::uint32_t tail = 0;
    constexpr int kHex = 16;
    std::from_chars(id.data() + kTraceDigits - 8, id.data() + kTraceDigits, tail, kHex);
    return tail < sample_ * 4294967296.0;
  }

  std::vector<observe::Trace> next_batch() KNAP_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    const auto until = Deadline::after(kBatchInterval);
    while (!stopping_ && queue_.size() < kBatchMax && !until.expired())
      wake_.wait_until(mutex_, until);
    const auto count = static_cast<std::ptrdiff_t>(std::min(queue_.size(), kBatchMax));
    std::vector<observe::Trace> out(queue_.begin(), queue_.begin() + count);
    queue_.erase(queue_.begin(), queue_.begin() + count);
    return out;
  }

  bool stopping() KNAP_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    return stopping_;
  }

  void run() {
    ::pthread_setname_np(::pthread_self(), "knap-otlp");
    while (!stopping()) {
      const auto batch = next_batch();
      if (batch.empty()) continue;
      http::ClientRequest request;
      request.method = "POST";
      request.path = "/v1/traces";
      request.fields.set("Content-Type", "application/json");
      request.body = otlp_body(batch);
      const auto answer = client_->call(request, Deadline::after(kSendTimeout), cancel_);
      const bool taken = answer && answer->status < 300;
      (taken ? sent_ : dropped_).add(batch.size());
    }
  }

  const std::unique_ptr<http::Client> client_;
  const double sample_;
  observe::Counter& sent_;
  observe::Counter& dropped_;
  const CancelToken cancel_;
  Mutex mutex_;
  CondVar wake_;
  std::deque<observe::Trace> queue_ KNAP_GUARDED_BY(mutex_);
  bool stopping_ KNAP_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace

std::string trace_id_of(const observe::Trace& trace) {
  constexpr std::size_t kTraceBegin = 3;
  std::string given = hex_field(trace.parent, kTraceBegin, kTraceDigits);
  return given.empty() ? hash128(trace.request_id).hex().substr(0, kTraceDigits) : given;
}

std::string otlp_body(const std::vector<observe::Trace>& traces) {
  json::array spans;
  for (const auto& trace : traces) add_spans(trace, spans);
  const json::object scope{{"name", "knap"}, {"version", version()}};
  const json::object resource{{"attributes", json::array{attribute("service.name", "knap"),
                                                         attribute("service.version", version())}}};
  return json_text(json::object{
      {"resourceSpans",
       json::array{json::object{
           {"resource", resource},
           {"scopeSpans", json::array{json::object{{"scope", scope}, {"spans", spans}}}}}}}});
}

Result<std::unique_ptr<OtlpExporter>> OtlpExporter::create(const std::string& endpoint,
                                                           double sample,
                                                           observe::Registry& metrics) {
  auto parsed = http::Endpoint::parse(endpoint);
  if (!parsed) return with_context(parsed.error(), "otlp.endpoint");
  if (parsed->base_path == "/") parsed->base_path.clear();
  return std::unique_ptr<OtlpExporter>(std::make_unique<ThreadExporter>(
      http::Client::create(std::move(*parsed), {.max_connections = 1}), sample, metrics));
}

}  // namespace knap::ops
