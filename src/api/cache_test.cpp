#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <boost/json.hpp>
#include <thread>

#include "answer_cache.hpp"
#include "fakes.hpp"
#include "knap/http/client.hpp"
#include "search_cache.hpp"

namespace knap::api {
namespace {

/// An Api over fakes with a cache in memory.
class CacheTest : public testing::Test {
 protected:
  CacheTest() {
    cache::Layers::Options layers;
    layers.disk = false;
    layers.memory_bytes = 8U << 20;
    cache_ = std::move(*cache::Layers::open(layers, metrics_));
    ApiOptions options;
    options.port = 0;
    auto started = Api::start(std::move(options), {index_, answerer_, models_, leases_, metrics_,
                                                   health_, vitals_, alerts_, slow_, cache_.get()});
    EXPECT_TRUE(started.has_value());
    api_ = std::move(*started);
    http::Endpoint endpoint;
    endpoint.port = api_->port();
    client_ = http::Client::create(endpoint, {});
  }

  boost::json::value post(const std::string& path, const std::string& body) {
    http::Fields fields;
    fields.set("Content-Type", "application/json");
    auto response = client_->call({"POST", path, std::move(fields), body},
                                  Deadline::after(std::chrono::seconds(10)), CancelToken());
    EXPECT_TRUE(response.has_value());
    boost::json::error_code error;
    auto value = boost::json::parse(response ? response->body : "{}", error);
    EXPECT_FALSE(error);
    return value;
  }
  /// "l1", or "" when it was worked out.
  std::string searched(const std::string& query) {
    const auto value = post("/api/search", R"({"query":")" + query + "\"}");
    const auto& cached = value.at("cached");
    return cached.is_null() ? "" : std::string(cached.as_string());
  }

  /// A result is kept once its response is sent: waits for that.
  std::string searched_and_kept(const std::string& query) {
    const std::uint64_t before = kept();
    std::string cached = searched(query);
    const auto patience = Deadline::after(std::chrono::seconds(10));
    while (kept() == before && !patience.expired())
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_GT(kept(), before) << query;
    return cached;
  }
  std::uint64_t kept() const {
    std::uint64_t puts = 0;
    const auto stats = cache_->stats();
    for (const auto& kind : stats[0].kinds) puts += kind.puts;
    return puts;
  }

  FakeIndex index_;
  FakeAnswerer answerer_;
  FakeModels models_;
  service::ComputeLeases leases_{2};
  observe::Registry metrics_;
  ops::HealthMonitor health_{{}, metrics_};
  ops::Vitals vitals_{metrics_, {}};
  ops::Alerts alerts_{{}, {}, metrics_};
  observe::TraceRing slow_;
  std::unique_ptr<cache::Layers> cache_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<http::Client> client_;
};

TEST_F(CacheTest, KeepsASearchUntilTheContentChanges) {
  EXPECT_EQ(searched("rocket"), "");
  EXPECT_EQ(searched("rocket"), "l1");
  EXPECT_EQ(index_.searches, 1);
  ++index_.edits;
  EXPECT_EQ(searched("rocket"), "");
  EXPECT_EQ(searched("rocket"), "l1");
}

TEST_F(CacheTest, ForgetsResultsOfAContentThatIsGone) {
  const auto entries = [&] { return cache_->stats()[0].entries; };
  for (const char* query : {"rocket", "moon", "star"}) searched_and_kept(query);
  EXPECT_EQ(entries(), 3U);
  for (std::size_t i = 0; i < ResultsByContent::kContentsMax; ++i) {
    ++index_.edits;
    searched_and_kept("rocket");
  }
  EXPECT_EQ(entries(), ResultsByContent::kContentsMax);
  EXPECT_EQ(searched("rocket"), "l1");
}

TEST_F(CacheTest, KeepsNothingThatWasCutShort) {
  for (int i = 0; i < 2; ++i) EXPECT_EQ(searched("late model"), "");
  EXPECT_EQ(index_.searches, 2);
}

TEST_F(CacheTest, KeepsNothingThatAnEditCameInto) {
  EXPECT_EQ(searched("edit meanwhile"), "");
  EXPECT_EQ(searched("edit meanwhile"), "");
}

TEST_F(CacheTest, StaysOutOfTheWayWhileAChangeIsPublished) {
  EXPECT_EQ(searched_and_kept("rocket"), "");
  index_.changing = true;
  EXPECT_EQ(searched("rocket"), "");
  index_.changing = false;
  EXPECT_EQ(searched("rocket"), "l1");
}

TEST_F(CacheTest, KeepsAnswersAndReplaysTheirEvents) {
  const std::string question = R"({"question":"What burns?"})";
  const auto first = post("/api/ask", question);
  const auto second = post("/api/ask", question);
  EXPECT_TRUE(first.at("cached").is_null());
  EXPECT_EQ(second.at("cached").as_string(), "l1");
  for (const char* same : {"answer", "citations", "claims", "mode", "model", "usage"})
    EXPECT_EQ(first.at(same), second.at(same)) << same;
  http::Fields fields;
  fields.set("Content-Type", "application/json");
  const auto streamed = client_->call(
      {"POST", "/api/ask", std::move(fields), R"({"question":" What  burns?", "stream": true})"},
      Deadline::after(std::chrono::seconds(10)), CancelToken());
  ASSERT_TRUE(streamed.has_value());
  std::size_t at = 0;
  for (const char* event : {"event: sources", "event: token", "event: claims", "event: done"}) {
    at = streamed->body.find(event, at);
    ASSERT_NE(at, std::string::npos) << event;
  }
  EXPECT_EQ(streamed->fields.get("Content-Type"), "text/event-stream");
  EXPECT_EQ(answerer_.asked, 1);
  ++index_.edits;
  EXPECT_TRUE(post("/api/ask", question).at("cached").is_null());
}

TEST_F(CacheTest, KeepsAnswersByTheirPassagesOverAnEditElsewhere) {
  answerer_.considers = hash128("the passages");
  const std::string question = R"({"question":"What burns?"})";
  EXPECT_TRUE(post("/api/ask", question).at("cached").is_null());
  ++index_.edits;
  EXPECT_EQ(post("/api/ask", question).at("cached").as_string(), "l1");
  ++index_.edits;
  answerer_.considers = hash128("others");
  EXPECT_TRUE(post("/api/ask", question).at("cached").is_null());
}

TEST_F(CacheTest, KeepsNoAnswerThatWasCutShortOrFailed) {
  for (const std::string question : {"late model", "fail"}) {
    for (int i = 0; i < 2; ++i) {
      const auto answer = post("/api/ask", "{\"question\":\"" + question + "\"}");
      EXPECT_TRUE(!answer.as_object().contains("cached") || answer.at("cached").is_null());
    }
  }
  EXPECT_EQ(answerer_.asked, 4);
}

TEST_F(CacheTest, AnswersDifferByModelModeHistoryAndLength) {
  int asked = 0;
  for (const char* more :
       {"", R"(,"mode":"extractive")", R"(,"max_tokens":9)", R"(,"model":"fake-chat")",
        R"(,"history":[{"role":"user","content":"x"}])", R"(,"filter":"tag:a")"}) {
    const std::string body = std::string(R"({"question":"What burns?")") + more + "}";
    EXPECT_TRUE(post("/api/ask", body).at("cached").is_null()) << more;
    EXPECT_EQ(post("/api/ask", body).at("cached").as_string(), "l1") << more;
    EXPECT_EQ(answerer_.asked, ++asked);
  }
}

TEST(AnswerCodec, GivesBackWhatItWasGivenAndRefusesTheRest) {
  answer::Answer answer;
  answer.text = "Kerosene. [1]\n\"quoted\"";
  answer.citations.push_back(
      {1, "v", "a/b.md", "T", "b", {"H1", "H2"}, {3, 9}, 4, "verbatim\u00e9"});
  answer.claims.push_back({"Kerosene.", {1}, answer::Verdict::kSupported, .75F});
  answer.mode = "generative";
  answer.model = "m";
  answer.degraded = {"semantic: no model"};
  answer.prompt_tokens = 12;
  answer.confidence = .625;
  const std::string bytes = encode_answer(answer);
  const auto back = decode_answer(bytes);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(encode_answer(*back), bytes);
  EXPECT_EQ(back->citations[0].lines.last, 9U);
  EXPECT_EQ(back->citations[0].note_name, "b");
  EXPECT_EQ(back->citations[0].place, 4U);
  EXPECT_EQ(back->claims[0].verdict, answer::Verdict::kSupported);
  for (const std::string wrong : {"", "[]", "{}", R"({"text":3})"})
    EXPECT_FALSE(decode_answer(wrong).has_value()) << wrong;
  for (std::size_t cut = 1; cut < bytes.size(); ++cut)
    EXPECT_FALSE(decode_answer(bytes.substr(0, cut)).has_value());
}

TEST(SearchValue, IsPutTogetherWithWhatIsNew) {
  index::SearchOutcome outcome;
  outcome.notes = 3;
  outcome.keyword_coverage = 1;
  const std::string value = search_value::make({}, outcome);
  const auto response =
      search_value::response(value, {cache::Layer::kDisk, 1.5, 9}, R"(,"explain":{})");
  const auto body = boost::json::parse(response.body);
  EXPECT_EQ(body.at("cached").as_string(), "l2");
  EXPECT_EQ(body.at("took_ms").as_double(), 1.5);
  EXPECT_EQ(body.at("index").at("epoch").as_int64(), 9);
  EXPECT_EQ(body.at("index").at("notes").as_int64(), 3);
  EXPECT_TRUE(body.at("results").as_array().empty());
  EXPECT_TRUE(body.as_object().contains("explain"));
}

TEST(SearchValue, ADamagedOneIsStillAnObject) {
  const auto response = search_value::response(R"({"results":[])", {std::nullopt, 0, 1});
  EXPECT_FALSE(boost::json::parse(response.body).at("index").as_object().empty());
}

TEST(SettingsPrint, FollowsWhatResultsDependOn) {
  const Setting ranking{"search.bm25_b", "0.75", "default"};
  EXPECT_NE(settings_print({ranking}), settings_print({{"search.bm25_b", "0.5", "file"}}));
  EXPECT_EQ(settings_print({ranking}),
            settings_print({{"search.bm25_b", "0.75", "file"}, {"log.level", "\"info\"", "file"}}));
}

TEST(JoinedWhiteSpace, KeepsWordsApart) {
  EXPECT_EQ(joined_white_space(" a \t\n b  c "), "a b c");
  EXPECT_EQ(joined_white_space("\n"), "");
}

}  // namespace
}  // namespace knap::api
