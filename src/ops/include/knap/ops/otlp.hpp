#pragma once

#include <memory>
#include <string>

#include "knap/base/result.hpp"
#include "knap/observe/metrics.hpp"
#include "knap/observe/trace.hpp"

namespace knap::ops {

/// Sends traces of requests to an OpenTelemetry collector: OTLP over HTTP, as JSON
/// (opentelemetry.io, OTLP 1.x, POST /v1/traces).
///
/// Threads: safe. Sends in batches on a thread of its own; at most kQueueMax traces wait, more are
/// dropped and counted. A batch that the collector does not take is dropped: traces are not worth
/// memory or retries.
class OtlpExporter {
 public:
  /// @param endpoint  "http://127.0.0.1:4318"
  /// @param sample  share of the requests that are sent, 0-1, chosen by their trace id: all parts
  /// of
  ///                one trace agree
  /// Errors: kInvalidArgument.
  static Result<std::unique_ptr<OtlpExporter>> create(const std::string& endpoint, double sample,
                                                      observe::Registry& metrics);
  virtual ~OtlpExporter() = default;
  virtual void add(const observe::Trace& trace) = 0;

  static constexpr std::size_t kQueueMax = 2'048;
};

/// Traces as an ExportTraceServiceRequest: one span for a request, one below it for each stage.
std::string otlp_body(const std::vector<observe::Trace>& traces);

/// The 32 hex digits of a trace: those of a W3C `traceparent`, else made from the request's id.
std::string trace_id_of(const observe::Trace& trace);

}  // namespace knap::ops
