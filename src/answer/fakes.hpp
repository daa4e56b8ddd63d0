#pragma once

// Stand-ins for the rooms below, for tests: a Service that ranks a handful of notes by shared
// words, and models whose answers are written by the test. No threads, no files.

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knap/index/service.hpp"
#include "knap/models/models.hpp"

namespace knap::answer {

/// Notes in memory; every block between blank lines is a passage. Ranks by the rarity of shared
/// words.
class FakeService final : public index::Service {
 public:
  explicit FakeService(std::string language = "en") : language_(std::move(language)) {}

  void add_note(const std::string& path, const std::string& title, const std::string& text) {
    std::uint32_t line = 1, first = 1;
    std::string block;
    const auto flush = [&] {
      if (!block.empty()) add_passage(path, title, block, {first, line - 1});
      block.clear();
    };
    for (std::size_t begin = 0; begin <= text.size(); ++line) {
      const std::size_t end = std::min(text.find('\n', begin), text.size());
      const std::string one = text.substr(begin, end - begin);
      begin = end + 1;
      if (one.empty()) {
        flush();
        first = line + 1;
        continue;
      }
      block += (block.empty() ? "" : "\n") + one;
    }
    flush();
    notes_.insert(path);
  }

  void set_failure(Error error) { failure_ = std::move(error); }
  void set_embedding(std::vector<float> embedding, std::shared_ptr<models::Embedder> embedder) {
    embedding_ = std::move(embedding);
    embedder_ = std::move(embedder);
  }
  void set_coverage(double coverage) { coverage_ = coverage; }
  const std::string& last_query() const { return last_query_; }

  std::optional<index::Content> content(const std::vector<std::string>&,
                                        index::Effort) const override {
    return std::nullopt;
  }
  Result<index::FileRow> file(std::string_view, std::string_view) const override {
    return make_error(ErrorCode::kNotFound, "there is no note");
  }
  Result<index::FileRow> wait_for_file(std::string_view, std::string_view, Deadline,
                                       const CancelToken&) override {
    return make_error(ErrorCode::kNotFound, "there is no note");
  }
  Result<index::FileRow> import_note(std::string_view name, std::string_view) override {
    index::FileRow row;
    row.vault = "imports";
    row.path = name;
    return row;
  }
  Status drop_import(std::string_view) override { return {}; }
  Result<index::FileRow> import_file(std::string_view, std::string_view) override {
    return make_error(ErrorCode::kFailedPrecondition, "no imports here");
  }
  Result<index::SearchOutcome> search(const index::SearchRequest& request, Deadline deadline,
                                      const CancelToken& cancel) override {
    KNAP_CHECK_OK(still_wanted(cancel, deadline));
    if (failure_) return *failure_;
    last_query_ = request.text;
    index::SearchOutcome outcome;
    outcome.ran = embedding_.empty() ? search::Mode::kKeyword : search::Mode::kHybrid;
    outcome.keyword_coverage = coverage_;
    outcome.embedding = embedding_;
    outcome.embedder = embedder_;
    outcome.terms = search::analyse(request.text, language_);
    constexpr float kK1 = 1.2F, kMeanWords = 90;
    for (const Stored& stored : passages_) {
      float score = 0;
      for (const std::string& term :
           std::set<std::string>(outcome.terms.begin(), outcome.terms.end())) {
        const auto count = static_cast<float>(std::ranges::count(stored.terms, term));
        const float length =
            kK1 * (0.25F + 0.75F * static_cast<float>(stored.terms.size()) / kMeanWords);
        if (count > 0)
          score += inverse_document_frequency(term) * count * (kK1 + 1) / (count + length);
      }
      if (score <= 0) continue;
      index::SearchHit hit;
      hit.passage = stored.view;
      hit.hit.score = score;
      hit.hit.parts.bm25 = score;
      outcome.hits.push_back(std::move(hit));
    }
    std::ranges::stable_sort(
        outcome.hits, [](const auto& a, const auto& b) { return a.hit.score > b.hit.score; });
    if (outcome.hits.size() > request.limit) outcome.hits.resize(request.limit);
    const float best = outcome.hits.empty() ? 1 : outcome.hits.front().hit.score;
    for (index::SearchHit& hit : outcome.hits) hit.hit.score /= best;
    outcome.notes = notes_.size();
    outcome.passages = passages_.size();
    return outcome;
  }

  Result<index::DuplicatesView> duplicates(const index::DuplicatesRequest& /*request*/,
                                           Deadline /*deadline*/,
                                           const CancelToken& /*cancel*/) const override {
    return index::DuplicatesView{};
  }
  Result<index::MentionsView> mentions(std::string_view /*vault*/, std::string_view path,
                                       Deadline /*deadline*/,
                                       const CancelToken& /*cancel*/) const override {
    return make_error(ErrorCode::kNotFound, std::string(path));
  }
  float inverse_document_frequency(std::string_view term) const override {
    const auto all = static_cast<float>(passages_.size());
    const auto found = frequencies_.find(std::string(term));
    const float holding = found == frequencies_.end() ? 0 : static_cast<float>(found->second);
    return std::log(1 + (all - holding + 0.5F) / (holding + 0.5F));
  }

  void start() override {}
  Status set_embedder(std::shared_ptr<models::Embedder> /*embedder*/,
                      index::OnLoss /*on_loss*/) override {
    return {};
  }
  Status roll_back_embedder() override { return {}; }
  index::ModelState model_state() const override { return {}; }
  std::vector<std::string> vaults() const override { return {"notes"}; }
  std::vector<index::VaultStatus> status() const override { return {}; }
  Result<index::FilePage> files(std::optional<index::FileState> /*state*/,
                                std::string_view /*vault*/, std::uint32_t /*limit*/,
                                std::string_view /*cursor*/) const override {
    return index::FilePage{};
  }
  Result<index::NoteView> note(std::string_view /*vault*/, std::string_view path) const override {
    return make_error(ErrorCode::kNotFound, std::string(path));
  }
  Result<index::LinksView> links(std::string_view /*vault*/, std::string_view path) const override {
    return make_error(ErrorCode::kNotFound, std::string(path));
  }
  Result<std::vector<index::SearchHit>> related(std::string_view /*vault*/, std::string_view path,
                                                std::uint32_t /*limit*/) override {
    return make_error(ErrorCode::kNotFound, std::string(path));
  }
  Status scan(WaitFor /*wait*/, Deadline /*deadline*/, const CancelToken& /*cancel*/,
              const std::function<void(const index::Progress&)>& /*progress*/) override {
    return {};
  }
  Status rebuild(Deadline /*deadline*/, const CancelToken& /*cancel*/,
                 const std::function<void(const index::Progress&)>& /*progress*/) override {
    return {};
  }

 private:
  struct Stored {
    index::PassageView view;
    std::vector<std::string> terms;
  };

  void add_passage(const std::string& path, const std::string& title, const std::string& text,
                   vault::LineRange lines) {
    Stored stored;
    stored.view.vault = "notes";
    stored.view.path = path;
    stored.view.title = title;
    stored.view.note_name = path.substr(0, path.rfind('.'));
    stored.view.language = language_;
    stored.view.lines = lines;
    stored.view.text = stored.view.plain = text;
    stored.terms = search::analyse(title + " " + text, language_);
    for (const std::string& term : std::set<std::string>(stored.terms.begin(), stored.terms.end()))
      ++frequencies_[term];
    passages_.push_back(std::move(stored));
  }

  std::string language_, last_query_;
  std::vector<Stored> passages_;
  std::set<std::string> notes_;
  std::map<std::string, std::size_t> frequencies_;
  std::optional<Error> failure_;
  double coverage_ = 1;
  std::vector<float> embedding_;
  std::shared_ptr<models::Embedder> embedder_;
};

/// Says what the test wrote, a few bytes at a time, and keeps the last request.
class FakeGenerator final : public models::Generator {
 public:
  explicit FakeGenerator(std::string words) : words_(std::move(words)) {}
  void set_failure(Error error) { failure_ = std::move(error); }
  void set_finish_reason(std::string reason) { finish_reason_ = std::move(reason); }
  const models::GenerateRequest& last_request() const { return last_request_; }
  std::size_t calls() const { return calls_; }
  bool stopped_early() const { return stopped_early_; }

  std::string id() const override { return "fake-model"; }
  std::uint32_t context_tokens() const override { return 2'048; }
  Result<models::GenerateResult> generate(
      const models::GenerateRequest& request, Deadline deadline, const CancelToken& cancel,
      const std::function<bool(std::string_view)>& on_token) override {
    ++calls_;
    last_request_ = request;
    KNAP_CHECK_OK(still_wanted(cancel, deadline));
    if (failure_) return *failure_;
    models::GenerateResult result;
    result.finish_reason = finish_reason_;
    result.prompt_tokens = 100;
    constexpr std::size_t kPiece = 5;
    for (std::size_t at = 0; at < words_.size(); at += kPiece) {
      const std::string_view piece = std::string_view(words_).substr(at, kPiece);
      result.text += piece;
      ++result.completion_tokens;
      if (on_token && !on_token(piece)) {
        stopped_early_ = true;
        result.finish_reason = "cancelled";
        break;
      }
    }
    return result;
  }

  Result<models::ReadAhead> read_ahead(const std::vector<std::string>& passages,
                                       std::uint32_t /*threads*/, Deadline /*deadline*/,
                                       const CancelToken& cancel) override {
    const std::lock_guard lock(mutex_);
    if (on_read_ahead) on_read_ahead(cancel);
    if (cancel.cancelled()) return make_error(ErrorCode::kCancelled, "others go first");
    read_.push_back(passages.back());
    return models::ReadAhead{.read = 1, .held = passages.size() - 1, .failed = 0, .tokens = 10};
  }
  std::vector<std::string> passages_read() const {
    const std::lock_guard lock(mutex_);
    return read_;
  }
  std::function<void(const CancelToken&)> on_read_ahead;

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> read_;
  std::string words_, finish_reason_ = "stop";
  std::optional<Error> failure_;
  models::GenerateRequest last_request_;
  std::size_t calls_ = 0;
  bool stopped_early_ = false;
};

/// Vectors chosen by a function of the text.
class FakeEmbedder final : public models::Embedder {
 public:
  using Function = std::function<std::vector<float>(std::string_view)>;
  FakeEmbedder(std::size_t dimensions, Function function)
      : dimensions_(dimensions), function_(std::move(function)) {}
  void set_failure(Error error) { failure_ = std::move(error); }

  std::string id() const override { return "fake-embedder"; }
  std::size_t dimensions() const override { return dimensions_; }
  std::vector<std::string> languages() const override { return {"en"}; }
  Result<models::Embeddings> embed(std::span<const std::string> texts, models::InputKind /*kind*/,
                                   models::Priority /*priority*/, Deadline deadline,
                                   const CancelToken& cancel) override {
    KNAP_CHECK_OK(still_wanted(cancel, deadline));
    if (failure_) return *failure_;
    models::Embeddings embeddings;
    embeddings.dimensions = dimensions_;
    for (const std::string& text : texts) {
      const std::vector<float> row = function_(text);
      embeddings.values.insert(embeddings.values.end(), row.begin(), row.end());
    }
    return embeddings;
  }

 private:
  std::size_t dimensions_;
  Function function_;
  std::optional<Error> failure_;
};

/// Holds what a test gives it.
class FakeModels final : public models::Models {
 public:
  std::shared_ptr<FakeGenerator> generator_model;

  std::shared_ptr<models::Embedder> embedder() override { return nullptr; }
  std::shared_ptr<models::Embedder> embedder(std::string_view /*name*/) override { return nullptr; }
  std::shared_ptr<models::Generator> generator() override { return generator_model; }
  std::shared_ptr<models::Generator> generator(std::string_view name) override {
    return name == "fake-model" ? generator_model : nullptr;
  }
  std::vector<models::ModelInfo> list() const override { return {}; }
  Status pull(std::string_view name, const Progress& /*progress*/,
              const CancelToken& /*cancel*/) override {
    return make_error(ErrorCode::kNotFound, std::string(name));
  }
  Status verify(std::string_view name) override {
    return make_error(ErrorCode::kNotFound, std::string(name));
  }
  Status remove(std::string_view name) override {
    return make_error(ErrorCode::kNotFound, std::string(name));
  }
};

}  // namespace knap::answer
