#include "runner_reranker.hpp"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <cmath>

#include "knap/base/json_text.hpp"
#include "knap/base/text.hpp"
#include "remote_error.hpp"
#include "runner_embedder.hpp"

namespace knap::models {
namespace {

namespace json = boost::json;

// A window of a few hundred tokens never needs more.
constexpr std::size_t kTextBytesMax = 16U << 10;

Error broken(std::string_view what) {
  return make_error(ErrorCode::kCorruptData,
                    fmt::format("the reranking model answered with {}", what));
}

/// JSON holds UTF-8 only; broken text is mended as everywhere.
json::string plain(const std::string& text) {
  const std::string_view cut = text::truncate(text, kTextBytesMax);
  return json::string(text::is_valid_utf8(cut) ? std::string(cut) : text::repair_utf8(cut));
}

class RunnerReranker final : public Reranker {
 public:
  RunnerReranker(const ModelSpec& spec, std::string_view precision,
                 std::shared_ptr<RunnerPool> pool, std::shared_ptr<RunnerPool::Slot> slot,
                 observe::Registry& metrics)
      : name_(spec.name),
        id_(fmt::format("{}@{}/{}", spec.name, revision_of(spec), precision)),
        languages_(spec.languages),
        pool_(std::move(pool)),
        slot_(std::move(slot)),
        texts_(metrics.counter("knap_models_reranked_texts_total",
                               "Texts read with a question by the reranking model")),
        seconds_(metrics.histogram("knap_models_rerank_seconds", "Time of one reranking call")) {}

  std::string id() const override { return id_; }
  std::vector<std::string> languages() const override { return languages_; }

  Status load(Deadline deadline, const CancelToken& cancel) override {
    KNAP_CHECK_OK(pool_->use(slot_, deadline, cancel));
    return {};
  }

  Result<Scores> score(const std::string& question, std::span<const std::string> texts,
                       Priority priority, std::size_t threads, Deadline deadline,
                       const CancelToken& cancel) override {
    if (texts.empty() || texts.size() > kTextsMax) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("{} texts: 1 to {} are taken", texts.size(), kTextsMax));
    }
    KNAP_CHECK_OK(still_wanted(cancel, deadline));
    KNAP_TRY(const RunnerPool::Use use, priority == Priority::kInteractive
                                            ? pool_->use_now(slot_)
                                            : pool_->use(slot_, deadline, cancel));
    const auto begin = SteadyClock::now();
    http::ClientRequest request;
    request.method = "POST";
    request.path = "/v1/rerank";
    request.fields.set("Content-Type", "application/json");
    json::array documents;
    documents.reserve(texts.size());
    for (const std::string& text : texts) documents.push_back(plain(text));
    request.body = json_text(json::object{
        {"query", plain(question)},
        {"documents", std::move(documents)},
        {"threads", threads},
        {"priority", priority == Priority::kBackground ? "background" : "interactive"}});
    auto response = use.runner().client().call(request, deadline, cancel);
    if (!response) {
      if (response.error().code == ErrorCode::kUnavailable) use.runner().suspect();
      return connection_error(std::move(response).error(), name_);
    }
    if (response->status != 200) return remote_error(response->status, response->body, name_);
    KNAP_TRY(Scores scores, read_scores(response->body, texts.size()));
    texts_.add(texts.size());
    seconds_.record(SteadyClock::now() - begin);
    return scores;
  }

 private:
  const std::string name_, id_;
  const std::vector<std::string> languages_;
  const std::shared_ptr<RunnerPool> pool_;
  const std::shared_ptr<RunnerPool::Slot> slot_;
  observe::Counter& texts_;
  observe::Histogram& seconds_;
};

}  // namespace

Result<Reranker::Scores> read_scores(std::string_view body, std::size_t texts) {
  boost::system::error_code error;
  const json::value root = json::parse(body, error);
  if (error || !root.is_object()) return broken("no JSON");
  const auto* logits = root.get_object().if_contains("logits");
  if (logits == nullptr || !logits->is_array() || logits->get_array().size() != texts)
    return broken("too few scores");
  Reranker::Scores scores;
  for (const json::value& each : logits->get_array()) {
    const auto logit = each.to_number<double>(error);
    if (error || !std::isfinite(logit)) return broken("a score that is no number");
    scores.values.push_back(static_cast<float>(1 / (1 + std::exp(-logit))));
  }
  if (const auto* usage = root.get_object().if_contains("usage");
      usage != nullptr && usage->is_object()) {
    const auto* tokens = usage->get_object().if_contains("total_tokens");
    if (tokens != nullptr) {
      const auto count = tokens->to_number<std::uint64_t>(error);
      if (!error) scores.tokens = count;
    }
  }
  return scores;
}

std::shared_ptr<Reranker> make_runner_reranker(const ModelSpec& spec, std::string_view precision,
                                               std::shared_ptr<RunnerPool> pool,
                                               std::shared_ptr<RunnerPool::Slot> slot,
                                               observe::Registry& metrics) {
  return std::make_shared<RunnerReranker>(spec, precision, std::move(pool), std::move(slot),
                                          metrics);
}

}  // namespace knap::models
