#pragma once

#include <chrono>
#include <string>

#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "fakes.hpp"
#include "knap/http/client.hpp"

namespace knap::api {

/// An Api over fakes, called through a real socket.
class ApiTest : public testing::Test {
 protected:
  ApiTest() {
    ApiOptions options;
    options.port = 0;
    options.max_body_bytes = 100'000;
    options.allowed_hosts = {"knap.local"};
    options.settings = {{"server.port", "8000", "default"},
                        {"models.remote.key", "\"***\"", "file"}};
    auto started =
        Api::start(std::move(options), {index_, answerer_, models_, leases_, metrics_, health_,
                                        vitals_, alerts_, slow_, nullptr, nullptr, &speech_});
    EXPECT_TRUE(started.has_value());
    api_ = std::move(*started);
    http::Endpoint endpoint;
    endpoint.port = api_->port();
    client_ = http::Client::create(endpoint, {});
  }

  http::Response call(const std::string& method, const std::string& path, std::string body = "",
                      http::Fields fields = {}) {
    auto response = client_->call({method, path, std::move(fields), std::move(body)},
                                  Deadline::after(std::chrono::seconds(10)), CancelToken());
    EXPECT_TRUE(response.has_value()) << method << " " << path;
    return response ? std::move(*response) : http::Response{};
  }
  http::Response get(const std::string& path) { return call("GET", path); }
  http::Response post(const std::string& path, std::string body) {
    return call("POST", path, std::move(body));
  }

  static boost::json::value json(const http::Response& response) {
    boost::json::error_code error;
    auto value = boost::json::parse(response.body, error);
    EXPECT_FALSE(error) << response.body;
    return value;
  }
  static std::string text(const boost::json::value& value) {
    return std::string(value.as_string());
  }
  /// Checks the shape of a problem and gives its field ("" when none).
  static std::string problem(const http::Response& response, int status) {
    EXPECT_EQ(response.status, status) << response.body;
    EXPECT_EQ(response.fields.get("Content-Type"), "application/problem+json");
    const auto value = json(response);
    const auto& body = value.as_object();
    for (const char* name : {"type", "title", "detail", "request_id"})
      EXPECT_TRUE(body.contains(name)) << name;
    EXPECT_EQ(body.at("status").as_int64(), status);
    EXPECT_EQ(text(body.at("request_id")), response.fields.get("X-Request-Id"));
    return body.contains("field") ? text(body.at("field")) : "";
  }

  FakeIndex index_;
  FakeAnswerer answerer_;
  FakeModels models_;
  FakeSpeech speech_;
  service::ComputeLeases leases_{2};
  observe::Registry metrics_;
  ops::Vitals vitals_{metrics_, {.cores = 2, .memory_bytes = 1U << 30}};
  ops::Alerts alerts_{{}, ops::alert_rules(.99), metrics_};
  observe::TraceRing slow_;
  ops::HealthMonitor health_{{search_check(index_)}, metrics_};
  std::unique_ptr<Api> api_;
  std::unique_ptr<http::Client> client_;
};

}  // namespace knap::api
