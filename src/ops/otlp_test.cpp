#include "knap/ops/otlp.hpp"

#include <gtest/gtest.h>
#include <boost/json.hpp>

namespace knap::ops {
namespace {

namespace json = boost::json;
using std::chrono::microseconds;

observe::Trace make_trace() {
  observe::Trace trace;
  trace.request_id = "request-1";
  trace.route = "POST /api/search";
  trace.level = "search";
  trace.status = 504;
  trace.received_unix_ms = 1'767'225'600'000;
  trace.took = microseconds(2'500);
  trace.stages.push_back({"search.keyword", microseconds(1'000), microseconds(500), ""});
  return trace;
}

TEST(Otlp, MakesASpanForTheRequestAndOneForEachStage) {
  const auto root = json::parse(otlp_body({make_trace()}));
  const auto& scope = root.at("resourceSpans").at(0).at("scopeSpans").at(0);
  const auto& spans = scope.at("spans").as_array();
  ASSERT_EQ(spans.size(), 2U);
  EXPECT_EQ(spans[0].at("name").as_string(), "POST /api/search");
  EXPECT_EQ(spans[0].at("startTimeUnixNano").as_string(), "1767225600000000000");
  EXPECT_EQ(spans[0].at("endTimeUnixNano").as_string(), "1767225600002500000");
  EXPECT_EQ(spans[0].at("status").at("code").as_int64(), 2);
  EXPECT_FALSE(spans[0].as_object().contains("parentSpanId"));
  EXPECT_EQ(spans[1].at("parentSpanId"), spans[0].at("spanId"));
  EXPECT_EQ(spans[1].at("traceId"), spans[0].at("traceId"));
  EXPECT_EQ(spans[1].at("startTimeUnixNano").as_string(), "1767225600001000000");
  EXPECT_EQ(spans[0].at("traceId").as_string().size(), 32U);
  EXPECT_EQ(spans[0].at("spanId").as_string().size(), 16U);
}

TEST(Otlp, GoesOnWithTheCallersTrace) {
  auto trace = make_trace();
  trace.parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  EXPECT_EQ(trace_id_of(trace), "0af7651916cd43dd8448eb211c80319c");
  const auto root = json::parse(otlp_body({trace}));
  const auto& span =
      root.at("resourceSpans").at(0).at("scopeSpans").at(0).at("spans").as_array().front();
  EXPECT_EQ(span.at("parentSpanId").as_string(), "b7ad6b7169203331");
}

TEST(Otlp, TakesAWrongParentForNone) {
  auto trace = make_trace();
  const std::string own = trace_id_of(trace);
  for (const char* parent :
       {"", "00-xyz", "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"}) {
    trace.parent = parent;
    EXPECT_EQ(trace_id_of(trace), own) << parent;
  }
}

TEST(Otlp, RefusesAnAddressItCannotRead) {
  observe::Registry metrics;
  EXPECT_FALSE(OtlpExporter::create("ftp://x", 1, metrics));
}

}  // namespace
}  // namespace knap::ops
