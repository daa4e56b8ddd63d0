#include <set>
#include <string>

#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "fakes.hpp"
#include "knap/base/version.hpp"
#include "routes.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;

TEST(OpenApi, DescribesExactlyTheRoutesOfTheTable) {
  FakeIndex index;
  FakeAnswerer answerer;
  FakeModels models;
  service::ComputeLeases leases(1);
  observe::Registry metrics;
  ops::HealthMonitor health({}, metrics);
  ops::Vitals vitals(metrics, {});
  ops::Alerts alerts({}, {}, metrics);
  observe::TraceRing slow;
  Jobs jobs;
  Heartbeat heartbeat(std::chrono::seconds(15));
  const ApiOptions options;
  SearchCache searches(nullptr, index, "");
  AnswerCache answers(answerer, nullptr, index, models, "");
  const Context context{
      options, {index, answerer, models, leases, metrics, health, vitals, alerts, slow},
      jobs,    heartbeat,
      {},      0,
      {},      searches,
      answers};
  std::set<std::string> routed;
  for (const Route& route : all_routes(context)) {
    EXPECT_TRUE(routed
                    .insert(std::string(route.method) + " " + std::string(route.pattern) + ": " +
                            std::string(route.summary))
                    .second)
        << route.pattern << " stands twice in the table";
  }
  const auto spec = json::parse(openapi_json());
  std::set<std::string> described;
  for (const auto& path : spec.at("paths").as_object()) {
    for (const auto& operation : path.value().as_object()) {
      std::string method(operation.key());
      for (char& c : method) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      described.insert(method + " " + std::string(path.key()) + ": " +
                       std::string(operation.value().at("summary").as_string()));
    }
  }
  EXPECT_EQ(routed, described);
  EXPECT_EQ(spec.at("info").at("version").as_string(), version());
}

TEST(Router, PrefersPlainPathsAndSuffixes) {
  const auto handler = [](Call&) -> Outcome { return std::nullopt; };
  const auto level = service::Level::kStatus;
  const Router router({{"GET", "/n/{path}", level, Lane::kStatus, handler, "a"},
                       {"GET", "/n/{path}/links", level, Lane::kStatus, handler, "b"},
                       {"GET", "/n/all", level, Lane::kStatus, handler, "c"},
                       {"POST", "/n/all", level, Lane::kStatus, handler, "d"}});
  EXPECT_EQ(router.find("GET", "/n/x/y.md").route->summary, "a");
  EXPECT_EQ(router.find("GET", "/n/x/y.md").argument, "x/y.md");
  EXPECT_EQ(router.find("GET", "/n/x/y.md/links").route->summary, "b");
  EXPECT_EQ(router.find("GET", "/n/x/y.md/links").argument, "x/y.md");
  EXPECT_EQ(router.find("HEAD", "/n/all").route->summary, "c");
  EXPECT_EQ(router.find("POST", "/n/all").route->summary, "d");
  EXPECT_EQ(router.find("DELETE", "/n/all").route, nullptr);
  EXPECT_EQ(router.find("DELETE", "/n/all").allow.size(), 3U);
  EXPECT_TRUE(router.find("GET", "/n/").allow.empty());
}

}  // namespace
}  // namespace knap::api
