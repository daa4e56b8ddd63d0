#include <gmock/gmock.h>

#include "api_fixture.hpp"
#include "knap/service/level.hpp"

namespace knap::api {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST_F(ApiTest, SearchGivesResultsInTheirShape) {
  const auto response = post("/api/search", R"({"query":"kerosene","limit":3,"explain":true})");
  ASSERT_EQ(response.status, 200) << response.body;
  const auto body = json(response);
  const auto& result = body.at("results").at(0);
  EXPECT_EQ(text(result.at("uri")),
            "obsidian://open?vault=notes&file=Folder%2FRocket%20%26%20co.md");
  EXPECT_EQ(text(result.at("modified")), "2026-01-01T00:00:00Z");
  EXPECT_EQ(result.at("lines").as_array(), (boost::json::array{3, 5}));
  EXPECT_EQ(result.at("score").to_number<double>(), 0.75);
  EXPECT_TRUE(body.at("cached").is_null());
  EXPECT_EQ(body.at("index").at("epoch").to_number<int>(), 7);
  EXPECT_TRUE(body.at("explain").at("stages").is_array());
  const auto by_get = get("/api/search?q=kerosene&limit=3&explain=false");
  EXPECT_EQ(by_get.status, 200) << by_get.body;
  EXPECT_FALSE(json(by_get).as_object().contains("explain"));
}

TEST_F(ApiTest, SearchNamesTheWrongField) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({})", "query"},
      {R"({"query":""})", "query"},
      {R"({"query":7})", "query"},
      {R"({"query":"x","limit":0})", "limit"},
      {R"({"query":"x","limit":101})", "limit"},
      {R"({"query":"x","limit":1.5})", "limit"},
      {R"({"query":"x","limit":"many"})", "limit"},
      {R"({"query":"x","mode":"fast"})", "mode"},
      {R"({"query":"x","group":"folder"})", "group"},
      {R"({"query":"x","explain":1})", "explain"},
      {R"({"query":"x","deadline_ms":-5})", "deadline_ms"},
      {R"({"query":"x","vault":{}})", "vault"},
      {R"({"query":"x","filter":"path:("})", "filter"},
      {R"({"query":")" + std::string(4097, 'x') + R"("})", "query"},
  };
  for (const auto& [body, field] : cases)
    EXPECT_EQ(problem(post("/api/search", body), 422), field) << body;
  EXPECT_EQ(problem(get("/api/search?q=x&limit=many"), 422), "limit");
  EXPECT_EQ(problem(get("/api/search"), 422), "q");
  EXPECT_TRUE(json(post("/api/search", R"({"query":"x","filter":"path:("})"))
                  .as_object()
                  .contains("position"));
}

TEST_F(ApiTest, UnknownFieldsNameTheNearest) {
  const auto response = post("/api/search", R"({"qurey":"x"})");
  EXPECT_EQ(problem(response, 422), "qurey");
  EXPECT_THAT(response.body, HasSubstr("query"));
  EXPECT_EQ(problem(get("/api/search?q=x&limt=3"), 422), "limt");
}

TEST_F(ApiTest, RefusesBodiesThatAreNoJsonObject) {
  for (const std::string& body :
       {std::string("{"), std::string(""), std::string("{} x"), std::string("\xff\xfe"),
        std::string(R"({"query":"\ud800"})"), std::string(5000, '[')}) {
    problem(post("/api/search", body), 400);
  }
  for (const char* body : {"[]", "null", "\"text\"", "7"}) problem(post("/api/search", body), 422);
  http::Fields form;
  form.set("Content-Type", "application/x-www-form-urlencoded");
  problem(call("POST", "/api/search", "query=x", form), 415);
  http::Fields typed;
  typed.set("Content-Type", "application/json; charset=utf-8");
  EXPECT_EQ(call("POST", "/api/search", R"({"query":"x"})", typed).status, 200);
  EXPECT_EQ(post("/api/search", R"({"query":")" + std::string(100'000, 'x') + "\"}").status, 413);
}

TEST_F(ApiTest, ErrorsTellNoPathsOfThisMachine) {
  for (const char* query : {"broken", "unavailable"}) {
    const auto response = post("/api/search", R"({"query":")" + std::string(query) + "\"}");
    EXPECT_GE(response.status, 500);
    EXPECT_THAT(response.body, Not(HasSubstr("/secret")));
  }
  EXPECT_EQ(post("/api/search", R"({"query":"unavailable"})").fields.get("Retry-After"), "1");
  EXPECT_EQ(problem(post("/api/search", R"({"query":"x","vault":"elsewhere"})"), 404), "vault");
}

TEST_F(ApiTest, ABugInARouteFailsOneRequest) {
  problem(post("/api/search", R"({"query":"throws"})"), 500);
  EXPECT_EQ(post("/api/search", R"({"query":"x"})").status, 200);
}

TEST_F(ApiTest, DeadlinesOfBodyAndHeaderEndTheWork) {
  problem(post("/api/search", R"({"query":"wait","deadline_ms":20})"), 504);
  http::Fields fields;
  fields.set("X-Knap-Deadline-Ms", "20");
  problem(call("POST", "/api/search", R"({"query":"wait"})", fields), 504);
  fields.set("X-Knap-Deadline-Ms", "soon");
  EXPECT_EQ(problem(call("POST", "/api/search", R"({"query":"x"})", fields), 422),
            "X-Knap-Deadline-Ms");
}

// The two seconds of the level are for the first quotes and for the door to decide by. An ask that
// was let in and waited longer still has the time that asks have.
TEST_F(ApiTest, AnAskThatWaitsLongerThanItsLevelIsStillAnswered) {
  constexpr int kThreads = 8;
  std::vector<std::thread> callers;
  for (int i = 0; i < kThreads; ++i) {
    callers.emplace_back(
        [&] { EXPECT_EQ(post("/api/ask", R"({"question":"hold"})").status, 200); });
  }
  while (answerer_.holding.load() < kThreads) std::this_thread::yield();
  callers.emplace_back([&] { EXPECT_EQ(post("/api/ask", R"({"question":"x"})").status, 200); });
  std::this_thread::sleep_for(service::spec(service::Level::kSearch).limit +
                              std::chrono::milliseconds(300));
  answerer_.hold = false;
  for (auto& caller : callers) caller.join();
}

TEST_F(ApiTest, HeadersSayWhoWaits) {
  http::Fields fields;
  fields.set("X-Knap-Priority", "background");
  fields.set("X-Knap-Tenant", "ann");
  EXPECT_EQ(call("POST", "/api/ask", R"({"question":"x"})", fields).status, 200);
  EXPECT_EQ(answerer_.priority, models::Priority::kBackground);
  EXPECT_EQ(answerer_.tenant, "ann");
  fields.set("X-Knap-Tenant", std::string(129, 't'));
  EXPECT_EQ(problem(call("POST", "/api/ask", R"({"question":"x"})", fields), 422), "X-Knap-Tenant");
  fields.set("X-Knap-Priority", "backgruond");
  const auto wrong = call("POST", "/api/ask", R"({"question":"x"})", fields);
  EXPECT_EQ(problem(wrong, 422), "X-Knap-Priority");
  EXPECT_THAT(wrong.body, HasSubstr("did you mean 'background'?"));
}

TEST_F(ApiTest, AClientThatGoesStopsTheWork) {
  const CancelToken token;
  std::thread caller([&] {
    (void)client_->call({"POST", "/api/search", {}, R"({"query":"wait"})"},
                        Deadline::after(std::chrono::seconds(10)), token);
  });
  while (index_.waiting.load() == 0) std::this_thread::yield();
  token.cancel();
  caller.join();
  const Deadline patience = Deadline::after(std::chrono::seconds(5));
  while (index_.cancelled.load() == 0 && !patience.expired()) std::this_thread::yield();
  EXPECT_EQ(index_.cancelled.load(), 1);
}

TEST_F(ApiTest, StatusAnswersWhileSearchIsBusy) {
  std::vector<std::thread> callers;
  for (int i = 0; i < 6; ++i) {
    callers.emplace_back([&] { post("/api/search", R"({"query":"wait","deadline_ms":300})"); });
  }
  while (index_.waiting.load() < 3) std::this_thread::yield();
  const auto begin = SteadyClock::now();
  EXPECT_EQ(get("/healthz").status, 200);
  EXPECT_LT(SteadyClock::now() - begin, std::chrono::milliseconds(200));
  for (auto& caller : callers) caller.join();
}

TEST_F(ApiTest, AskAnswersWithCitations) {
  const auto response = post("/api/ask", R"({"question":"What does it burn?","history":[
      {"role":"user","content":"a"},{"role":"assistant","content":"b"}]})");
  ASSERT_EQ(response.status, 200) << response.body;
  const auto body = json(response);
  EXPECT_EQ(text(body.at("citations").at(0).at("quote")), "The booster burns kerosene.");
  EXPECT_EQ(text(body.at("claims").at(0).at("verdict")), "supported");
  EXPECT_EQ(body.at("usage").at("total_tokens").to_number<int>(), 17);
  EXPECT_EQ(answerer_.history.load(), 2U);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"question":""})", "question"},
      {R"({"question":"x","mode":"loud"})", "mode"},
      {R"({"question":"x","stream":"yes"})", "stream"},
      {R"({"question":"x","history":[{"role":"user"}]})", "history"},
      {R"({"question":"x","max_tokens":0})", "max_tokens"}};
  for (const auto& [wrong, field] : cases)
    EXPECT_EQ(problem(post("/api/ask", wrong), 422), field) << wrong;
  EXPECT_EQ(problem(post("/api/ask", R"({"question":"x","model":"nosuchmodel"})"), 404), "model");
}

TEST_F(ApiTest, AskStreamsEventsInOrder) {
  const auto response = post("/api/ask", R"({"question":"x","stream":true})");
  EXPECT_EQ(response.fields.get("Content-Type"), "text/event-stream");
  std::size_t at = 0;
  for (const char* event :
       {"event: sources", "event: token", "event: token", "event: claims", "event: done"}) {
    at = response.body.find(event, at);
    ASSERT_NE(at, std::string::npos) << event << response.body;
    ++at;
  }
  const auto refused = post("/api/ask", R"({"question":"nothing","stream":true})");
  EXPECT_THAT(refused.body, HasSubstr("event: sources"));
  EXPECT_THAT(refused.body, HasSubstr("\"refused\":true"));
  // Before the first event an error is still a status; after it, an event.
  problem(post("/api/ask", R"({"question":"fail","stream":true})"), 503);
  EXPECT_THAT(post("/api/ask", R"({"question":"late failure","stream":true})").body,
              HasSubstr("event: error"));
}

TEST_F(ApiTest, NotesAreReadByTheirPath) {
  const auto note = get("/api/notes/Folder/Rocket%20%26%20co.md");
  ASSERT_EQ(note.status, 200) << note.body;
  EXPECT_EQ(json(note).at("properties").at("rating").to_number<int>(), 4);
  EXPECT_EQ(get("/api/notes/Folder%2FRocket%20%26%20co.md/related?limit=5").status, 200);
  const auto links = json(get("/api/notes/Folder/Rocket%20%26%20co.md/links"));
  EXPECT_TRUE(links.at("links").at(0).at("path").is_null());
  EXPECT_EQ(text(links.at("backlinks").at(0).at("path")), "B.md");
  problem(get("/api/notes/..%2F..%2Fetc%2Fpasswd"), 404);
  problem(get("/api/notes/Nowhere.md/related"), 404);
  EXPECT_EQ(problem(get("/api/notes/a.md?valt=x"), 422), "valt");
}

TEST_F(ApiTest, TheLedgerIsPaged) {
  const auto page = json(get("/api/index/files?limit=2&state=failed"));
  EXPECT_EQ(page.at("files").as_array().size(), 2U);
  EXPECT_EQ(text(page.at("files").at(0).at("state")), "failed");
  EXPECT_EQ(text(page.at("next_cursor")), "next");
  EXPECT_TRUE(json(get("/api/index/files?cursor=next")).at("next_cursor").is_null());
  for (const char* wrong : {"limit=0", "limit=1001", "state=lost", "cursor=bad"}) {
    problem(get("/api/index/files?" + std::string(wrong)), 422);
  }
  EXPECT_EQ(
      json(get("/api/index/status")).at("vaults").at(0).at("files").at("total").to_number<int>(),
      3);
}

TEST_F(ApiTest, JobsRunAndAreWatchedAndCancelled) {
  index_.hold_scan = true;
  const auto started = call("POST", "/api/scan_vault");
  ASSERT_EQ(started.status, 202) << started.body;
  const std::string path = "/api/jobs/" + text(json(started).at("id"));
  EXPECT_EQ(started.fields.get("Location"), path);
  std::thread release([&] {
    while (text(json(get(path)).at("state")) != "running") std::this_thread::yield();
    index_.hold_scan = false;
  });
  EXPECT_THAT(get(path + "/events").body, HasSubstr("event: done"));
  release.join();
  EXPECT_EQ(text(json(get(path)).at("state")), "done");

  index_.hold_scan = true;
  const std::string second =
      "/api/jobs/" + text(json(post("/api/scan_vault", R"({"wait":"semantic"})")).at("id"));
  EXPECT_EQ(call("DELETE", second).status, 200);
  const Deadline patience = Deadline::after(std::chrono::seconds(5));
  while (text(json(get(second)).at("state")) != "cancelled" && !patience.expired())
    std::this_thread::yield();
  EXPECT_EQ(text(json(get(second)).at("state")), "cancelled");

  const std::string failing = "/api/jobs/" + text(json(call("POST", "/api/reindex")).at("id"));
  while (text(json(get(failing)).at("state")) != "failed" && !patience.expired())
    std::this_thread::yield();
  EXPECT_THAT(get(failing).body, Not(HasSubstr("/secret")));
  EXPECT_EQ(json(get("/api/jobs")).at("jobs").as_array().size(), 3U);
  problem(get("/api/jobs/none"), 404);
  problem(call("DELETE", "/api/jobs/none"), 404);
  problem(get("/api/jobs/none/events"), 404);
  EXPECT_EQ(problem(post("/api/scan_vault", R"({"wait":"never"})"), 422), "wait");
}

TEST_F(ApiTest, ChangesTheEmbeddingModelAndGoesBack) {
  const auto before = json(get("/api/models"));
  EXPECT_EQ(before.at("models").as_array().size(), 2U);
  EXPECT_EQ(before.at("embedding").at("serving").as_string(), "fake-embed@1");
  EXPECT_TRUE(before.at("embedding").at("building").is_null());
  problem(post("/api/models/rollback", ""), 409);
  const auto used = post("/api/models/use", R"({"model":"fake-embed"})");
  EXPECT_EQ(used.status, 202);
  EXPECT_EQ(json(used).at("embedding").at("building").as_string(), "fake-embed@1");
  EXPECT_EQ(json(used).at("embedding").at("missing").as_int64(), 10);
  problem(post("/api/models/use", R"({"model":"absent-chat"})"), 404);
  EXPECT_EQ(problem(post("/api/models/use", R"({"modell":"fake-embed"})"), 422), "modell");
  EXPECT_FALSE(index_.forced);
  EXPECT_EQ(problem(post("/api/models/use", R"({"model":"fake-embed","force":1})"), 422), "force");
  EXPECT_EQ(post("/api/models/use", R"({"model":"fake-embed","force":true})").status, 202);
  EXPECT_TRUE(index_.forced);
  EXPECT_TRUE(json(post("/api/models/rollback", "")).at("embedding").at("building").is_null());
}

TEST_F(ApiTest, TellsHowAChangeOfModelWasJudged) {
  const auto embedding = [&] { return json(get("/api/models")).at("embedding"); };
  EXPECT_TRUE(embedding().at("compared").is_null());
  EXPECT_TRUE(embedding().at("held").is_null());
  index_.held = "nDCG@10 0.900 -> 0.500";
  index_.compared.problem = "/home/me/judged.yaml: question 3: there is no note a.md";
  const auto compared = embedding().at("compared");
  EXPECT_TRUE(compared.at("judged").is_null());
  EXPECT_TRUE(compared.at("overlap_at_10").is_null());
  EXPECT_THAT(text(compared.at("problem")), Not(HasSubstr("/home")));
  index_.compared.judged = {40, .9, .5, 1, .6};
  const auto judged = embedding().at("compared").at("judged");
  EXPECT_EQ(judged.at("questions").to_number<int>(), 40);
  EXPECT_EQ(judged.at("ndcg_10_before").as_double(), .9);
  EXPECT_EQ(judged.at("ndcg_10").as_double(), .5);
  EXPECT_EQ(judged.at("recall_10").as_double(), .6);
  EXPECT_EQ(text(embedding().at("held")), index_.held);
}

TEST_F(ApiTest, StatusRoutesAnswer) {
  for (const char* path : {"/status", "/health", "/api/health"}) {
    EXPECT_TRUE(json(get(path)).at("ready").as_bool()) << path;
  }
  for (const char* path :
       {"/healthz", "/readyz", "/api/performance/metrics", "/api/vector_db/stats"}) {
    EXPECT_EQ(get(path).status, 200) << path;
    EXPECT_EQ(get(path).fields.get("Content-Type"), "application/json") << path;
  }
  const auto config = get("/api/config");
  EXPECT_EQ(json(config).at("settings").at(0).at("value").to_number<int>(), 8000);
  metrics_.counter("knap_index_passages_embedded_total", "Embedded").add(5);
  EXPECT_EQ(json(get("/api/performance/metrics"))
                .at("counters")
                .at("knap_index_passages_embedded_total")
                .to_number<int>(),
            5);
  EXPECT_THAT(get("/metrics").body, HasSubstr("knap_http_requests_total{"));
  EXPECT_THAT(get("/").body, HasSubstr("<title>Knap</title>"));
}

TEST_F(ApiTest, UnknownRoutesAndMethods) {
  problem(get("/api/nosuchroute"), 404);
  const auto wrong = call("DELETE", "/api/search");
  problem(wrong, 405);
  EXPECT_THAT(std::string(wrong.fields.get("Allow").value_or("")),
              testing::AllOf(HasSubstr("GET"), HasSubstr("POST")));
  EXPECT_EQ(call("HEAD", "/healthz").status, 200);
}

TEST_F(ApiTest, RequestIdsAreTakenOverWhenPlain) {
  http::Fields fields;
  fields.set("X-Request-Id", "mine-42");
  EXPECT_EQ(call("GET", "/healthz", "", fields).fields.get("X-Request-Id"), "mine-42");
  for (const std::string& wrong :
       {std::string(5000, 'x'), std::string("a b"), std::string("<script>")}) {
    fields.set("X-Request-Id", wrong);
    EXPECT_NE(call("GET", "/healthz", "", fields).fields.get("X-Request-Id"), wrong);
  }
}

TEST_F(ApiTest, ForeignHostsAndOriginsAreRefused) {
  http::Fields fields;
  for (const char* host :
       {"localhost:1234", "127.0.0.1", "[::1]:80", "LOCALHOST", "knap.local:8000"}) {
    fields.set("Host", host);
    EXPECT_EQ(call("GET", "/healthz", "", fields).status, 200) << host;
  }
  for (const char* host : {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example",
                           "10.0.0.1", "localhost:80@evil.example", "localhost:x"}) {
    fields.set("Host", host);
    EXPECT_EQ(call("GET", "/api/config", "", fields).status, 403) << host;
  }
  http::Fields page;
  for (const char* origin : {"app://obsidian.md", "capacitor://localhost", "http://localhost"}) {
    page.set("Origin", origin);
    EXPECT_EQ(call("GET", "/api/search?q=x", "", page).fields.get("Access-Control-Allow-Origin"),
              origin);
    const auto preflight = call("OPTIONS", "/api/search", "", page);
    EXPECT_EQ(preflight.status, 204);
    EXPECT_THAT(std::string(preflight.fields.get("Access-Control-Allow-Methods").value_or("")),
                HasSubstr("POST"));
  }
  for (const char* origin : {"https://evil.example", "null", "http://localhost.evil.example"}) {
    page.set("Origin", origin);
    const auto response = call("POST", "/api/search", R"({"query":"x"})", page);
    EXPECT_EQ(response.status, 403) << origin;
    EXPECT_FALSE(response.fields.get("Access-Control-Allow-Origin").has_value());
  }
}

TEST_F(ApiTest, RefusesAWiderBindWithoutAuthentication) {
  for (const char* host : {"0.0.0.0", "::", "192.168.1.2", "example.org"}) {
    ApiOptions options;
    options.host = host;
    const auto api = Api::start(
        options, {index_, answerer_, models_, leases_, metrics_, health_, vitals_, alerts_, slow_});
    ASSERT_FALSE(api.has_value()) << host;
    EXPECT_EQ(api.error().code, ErrorCode::kFailedPrecondition);
  }
}

}  // namespace
}  // namespace knap::api
