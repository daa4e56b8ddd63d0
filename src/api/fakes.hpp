#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "knap/api/api.hpp"
#include "knap/base/mutex.hpp"

namespace knap::api {

/// Rooms below, made of a few words: one vault "notes" with the note "Folder/Rocket & co.md". For
/// tests only.
class FakeIndex final : public index::Service {
 public:
  void start() override {}
  Status set_embedder(std::shared_ptr<models::Embedder> embedder, index::OnLoss on_loss) override {
    building = embedder ? embedder->id() : "";
    forced = on_loss == index::OnLoss::kSwap;
    return {};
  }
  Status roll_back_embedder() override {
    if (building.empty())
      return make_error(ErrorCode::kFailedPrecondition, "no other model has served");
    building.clear();
    return {};
  }
  index::ModelState model_state() const override {
    index::ModelState state;
    state.serving = "fake-embed@1";
    state.state = "ready";
    state.building = building;
    state.missing = building.empty() ? 0 : 10;
    state.held = held;
    state.compared = compared;
    return state;
  }
  std::string building, held;
  bool forced = false;  ///< As the last change was asked for.
  index::ModelState::Comparison compared;
  std::vector<std::string> vaults() const override { return {"notes"}; }

  std::vector<index::VaultStatus> status() const override {
    index::VaultStatus status;
    status.name = "notes";
    status.epoch = 7;
    status.files.total = 3;
    status.passages = 10;
    status.keyword_coverage = 1;
    status.semantic_coverage = 0.5;
    return {status};
  }

  Result<index::FileRow> file(std::string_view vault, std::string_view path) const override {
    if (path != "a.pdf") return make_error(ErrorCode::kNotFound, "there is no note");
    index::FileRow row;
    row.vault = vault.empty() ? "notes" : std::string(vault);
    row.path = path;
    return row;
  }
  Result<index::FileRow> wait_for_file(std::string_view vault, std::string_view path, Deadline,
                                       const CancelToken&) override {
    KNAP_TRY(auto row, file(vault, path));
    row.state = index::FileState::kIndexed;
    return row;
  }
  Result<index::FileRow> import_note(std::string_view name, std::string_view) override {
    index::FileRow row;
    row.vault = "imports";
    row.path = name;
    return row;
  }
  Status drop_import(std::string_view) override { return {}; }
  Result<index::FileRow> import_file(std::string_view name, std::string_view) override {
    index::FileRow row;
    row.vault = "imports";
    row.path = name;
    return row;
  }
  Result<index::FilePage> files(std::optional<index::FileState> state, std::string_view,
                                std::uint32_t limit, std::string_view cursor) const override {
    if (cursor == "bad") return make_error(ErrorCode::kInvalidArgument, "no such cursor");
    index::FilePage page;
    index::FileRow row;
    row.vault = "notes";
    row.path = "a.md";
    row.state = state.value_or(index::FileState::kIndexed);
    page.files.assign(std::min<std::size_t>(limit, 2), row);
    if (cursor.empty()) page.next_cursor = "next";
    return page;
  }

  std::optional<index::Content> content(const std::vector<std::string>&,
                                        index::Effort) const override {
    if (changing.load()) return std::nullopt;
    return index::Content{"notes@" + std::to_string(edits.load()), edits.load(), 7, true};
  }
  Result<index::SearchOutcome> search(const index::SearchRequest& request, Deadline deadline,
                                      const CancelToken& cancel) override {
    ++searches;
    if (!request.vaults.empty() && request.vaults.front() != "notes") {
      return make_error(ErrorCode::kNotFound, "no vault of that name");
    }
    if (request.text == "broken")
      return make_error(ErrorCode::kIo, "/secret/place/store.db: disk failed");
    if (request.text == "throws") throw std::runtime_error("bug");
    if (request.text == "unavailable")
      return make_error(ErrorCode::kUnavailable, "cannot read /secret/place/x");
    if (request.text == "wait") {
      ++waiting;
      while (!cancel.cancelled() && !deadline.expired()) std::this_thread::yield();
      if (cancel.cancelled()) ++cancelled;
      return make_error(ErrorCode::kDeadlineExceeded, "the deadline has passed");
    }
    if (request.text == "edit meanwhile") ++edits;
    index::SearchOutcome outcome;
    outcome.repeatable = request.text != "late model";
    index::SearchHit hit;
    hit.passage.vault = "notes";
    hit.passage.path = "Folder/Rocket & co.md";
    hit.passage.title = "Rocket";
    hit.passage.lines = {3, 5};
    hit.passage.plain = "The booster burns kerosene.";
    hit.passage.language = "en";
    hit.passage.modified_s = 1'767'225'600;
    hit.hit.score = 0.75F;
    outcome.hits.push_back(hit);
    outcome.terms = {"kerosen"};
    outcome.epoch = 7;
    return outcome;
  }

  Result<index::NoteView> note(std::string_view, std::string_view path) const override {
    if (path != "Folder/Rocket & co.md") return make_error(ErrorCode::kNotFound, "no such note");
    index::NoteView note;
    note.vault = "notes";
    note.path = std::string(path);
    note.title = "Rocket";
    note.text = "# Rocket\n";
    note.properties.push_back({"rating", {4.0}, false});
    return note;
  }
  Result<index::LinksView> links(std::string_view, std::string_view path) const override {
    index::LinksView links;
    links.vault = "notes";
    links.path = std::string(path);
    links.links.push_back({"", "Nowhere", "See [[Nowhere]].", 2});
    links.backlinks.push_back({"B.md", "B", "Back", 1});
    return links;
  }
  Result<std::vector<index::SearchHit>> related(std::string_view, std::string_view path,
                                                std::uint32_t) override {
    if (path != "Folder/Rocket & co.md") return make_error(ErrorCode::kNotFound, "no such note");
    return std::vector<index::SearchHit>{};
  }
  Result<index::DuplicatesView> duplicates(const index::DuplicatesRequest& request, Deadline,
                                           const CancelToken&) const override {
    return index::DuplicatesView{
        {{"notes", {{"A.md", "A", 1, request.threshold, false}, {"B.md", "B", 2, 1, true}}}}, 2, 1};
  }
  Result<index::MentionsView> mentions(std::string_view, std::string_view path, Deadline,
                                       const CancelToken&) const override {
    index::MentionsView mentions{"notes", std::string(path), {}, {}};
    mentions.unlinked.push_back({"C.md", "C", "Writes of A", 2});
    return mentions;
  }
  float inverse_document_frequency(std::string_view) const override { return 1; }

  Status scan(WaitFor, Deadline, const CancelToken& cancel,
              const std::function<void(const index::Progress&)>& progress) override {
    progress({"scan", 1, 2, 10, std::chrono::seconds(1)});
    while (hold_scan.load() && !cancel.cancelled()) std::this_thread::yield();
    if (cancel.cancelled()) return make_error(ErrorCode::kCancelled, "cancelled");
    return {};
  }
  Status rebuild(Deadline, const CancelToken&,
                 const std::function<void(const index::Progress&)>&) override {
    return make_error(ErrorCode::kIo, "/secret/place: disk full");
  }

  std::atomic<int> waiting = 0, cancelled = 0, searches = 0;
  std::atomic<std::uint64_t> edits = 1;
  std::atomic<bool> changing = false;
  std::atomic<bool> hold_scan = false;
};

class FakeAnswerer final : public answer::Answerer {
 public:
  Result<answer::Answer> ask(const answer::AskRequest& request, Deadline, const CancelToken&,
                             const answer::Listener& listener) override {
    history = request.history.size();
    priority = request.priority;
    tenant = request.tenant;
    ++asked;
    if (considers && listener.recall) {
      if (auto kept = listener.recall({*considers, {}})) return std::move(*kept);
    }
    if (request.question == "fail") return make_error(ErrorCode::kUnavailable, "no index yet");
    if (request.model == "nosuchmodel") return make_error(ErrorCode::kNotFound, "no such model");
    answer::Answer answer;
    answer.repeatable = request.question != "late model";
    if (request.question == "hold") {
      ++holding;
      while (hold.load()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    if (request.question == "nothing") {
      answer.refused = true;
      answer.mode = "refused";
      answer.text = "The notes hold no answer.";
      return answer;
    }
    answer::Citation citation;
    citation.id = 1;
    citation.vault = "notes";
    citation.path = "Folder/Rocket & co.md";
    citation.title = "Rocket";
    citation.lines = {3, 3};
    citation.quote = "The booster burns kerosene.";
    answer.citations.push_back(citation);
    answer.mode = "generative";
    answer.model = "fake";
    answer.text = "It burns kerosene. [1]";
    answer.claims.push_back({"It burns kerosene.", {1}, answer::Verdict::kSupported, 0.9F});
    answer.prompt_tokens = 12;
    answer.completion_tokens = 5;
    if (listener.on_sources) listener.on_sources(answer.citations);
    for (const std::string_view token : {"It burns ", "kerosene. [1]"}) {
      if (listener.on_token && !listener.on_token(token))
        return make_error(ErrorCode::kCancelled, "gone");
    }
    if (request.question == "late failure")
      return make_error(ErrorCode::kUnavailable, "the model crashed");
    if (request.question == "reworded") answer.text = "Kerosene. [1]";
    if (listener.on_claims) listener.on_claims(answer);
    return answer;
  }
  std::atomic<std::size_t> history = 0;
  std::atomic<models::Priority> priority = models::Priority::kInteractive;
  std::string tenant;  ///< Of the last question; read between calls.
  std::atomic<int> asked = 0;
  std::atomic<bool> hold = true;     ///< Until it is false "hold" waits.
  std::atomic<int> holding = 0;      ///< How many "hold" came.
  std::optional<Hash128> considers;  ///< The print of the passages, when it looks for kept answers.
};

class FakeEmbedder final : public models::Embedder {
 public:
  std::string id() const override { return "fake-embed@1"; }
  std::size_t dimensions() const override { return 2; }
  std::vector<std::string> languages() const override { return {"*"}; }
  Result<models::Embeddings> embed(std::span<const std::string> texts, models::InputKind,
                                   models::Priority, Deadline, const CancelToken&) override {
    models::Embeddings out;
    out.dimensions = 2;
    out.tokens = texts.size();
    for (std::size_t i = 0; i < texts.size(); ++i)
      out.values.insert(out.values.end(), {0.6F, 0.8F});
    return out;
  }
};

class FakeGenerator final : public models::Generator {
 public:
  std::string id() const override { return "fake-chat"; }
  std::uint32_t context_tokens() const override { return 64; }
  Result<models::GenerateResult> generate(
      const models::GenerateRequest& request, Deadline deadline, const CancelToken&,
      const std::function<bool(std::string_view)>& on_token) override {
    last = request;
    last_deadline = deadline;
    if (request.messages.back().content == "long") {
      return make_error(ErrorCode::kResourceExhausted, "the prompt has 99 tokens, the window 64");
    }
    models::GenerateResult result;
    if (!request.tools.empty()) {
      result.finish_reason = "tool_calls";
      result.tool_calls.push_back({"call_1", "weather", R"({"city":"Oslo"})"});
      return result;
    }
    if (request.top_logprobs && request.on_logprobs) request.on_logprobs(R"([{"token":"Hel"}])");
    on_token("Hel");
    on_token("lo");
    result.text = "Hello";
    result.finish_reason = "length";
    result.prompt_tokens = 3;
    result.completion_tokens = 2;
    return result;
  }
  // Of the last call; read between calls.
  models::GenerateRequest last;
  Deadline last_deadline = Deadline::never();
};

class FakeModels final : public models::Models {
 public:
  std::shared_ptr<models::Embedder> embedder() override { return embedder_; }
  std::shared_ptr<models::Embedder> embedder(std::string_view name) override {
    return name == "fake-embed" ? embedder_ : nullptr;
  }
  std::shared_ptr<models::Generator> generator() override { return nullptr; }
  std::shared_ptr<models::Generator> generator(std::string_view name) override {
    return name == "fake-chat" ? generator_ : nullptr;
  }
  std::vector<models::ModelInfo> list() const override {
    models::ModelInfo embed;
    embed.name = "fake-embed";
    embed.role = "embed";
    embed.installed = embed.in_use = true;
    embed.state = "ready";
    models::ModelInfo absent;
    absent.name = "absent-chat";
    absent.role = "answer";
    return {embed, absent};
  }
  Status pull(std::string_view, const Progress&, const CancelToken&) override { return {}; }
  Status verify(std::string_view) override { return {}; }
  Status remove(std::string_view) override { return {}; }
  const FakeGenerator& fake_generator() const { return *generator_; }

 private:
  std::shared_ptr<models::Embedder> embedder_ = std::make_shared<FakeEmbedder>();
  std::shared_ptr<FakeGenerator> generator_ = std::make_shared<FakeGenerator>();
};

/// Hears "Good day." in everything: at once in "short", in a job in "long".
class FakeSpeech final : public speech::Speech {
 public:
  static constexpr const char* kId = "0123456789abcdef0123456789abcdef";

  Result<Taken> take(std::string_view bytes, std::string_view name, const speech::Wish& wish,
                     Deadline, const CancelToken&) override {
    if (wish.model == "nosuchmodel")
      return make_error(ErrorCode::kInvalidArgument, "no speech model 'nosuchmodel' is installed");
    if (bytes == "broken") return make_error(ErrorCode::kCorruptData, "the recording is damaged");
    Taken taken;
    taken.id = kId;
    taken.is_short = bytes != "long";
    taken.name = name;
    taken.wish = wish;
    if (!taken.is_short) stored = true;
    return taken;
  }
  Result<speech::Recording> hear(Taken taken, speech::Urgency, Deadline, const CancelToken&,
                                 const OnProgress&) override {
    return recording(taken.wish, true);
  }
  Result<speech::Recording> resume(std::string_view, Deadline, const CancelToken&,
                                   const OnProgress& on_progress) override {
    on_progress(recording({}, false));
    done = true;
    return recording({}, true);
  }
  Status ready() const override { return {}; }
  std::string hearing() const override { return "fake"; }
  Result<speech::Recording> hear_file(int, std::string_view, Deadline,
                                      const CancelToken&) override {
    return recording({}, true);
  }
  Result<speech::Recording> find(std::string_view id) override {
    if (!stored || id != kId) return make_error(ErrorCode::kNotFound, "no such recording");
    return recording({}, done);
  }
  std::vector<std::string> unfinished() override { return {}; }
  Status forget(std::string_view) override {
    if (!stored.exchange(false)) return make_error(ErrorCode::kNotFound, "no such recording");
    return {};
  }
  std::atomic<bool> stored = false, done = false;

 private:
  static speech::Recording recording(const speech::Wish& wish, bool done) {
    speech::Recording out;
    out.id = kId;
    out.wish = wish;
    out.language = "en";
    out.done = done;
    out.position = std::chrono::milliseconds(2'500);
    models::SpeechSegment segment;
    segment.text = "Good day.";
    segment.begin = std::chrono::milliseconds(500);
    segment.end = std::chrono::milliseconds(1'250);
    segment.words = {{"Good", segment.begin, std::chrono::milliseconds(750), 1},
                     {"day.", std::chrono::milliseconds(750), segment.end, 1}};
    out.segments = {segment};
    return out;
  }
};

/// One keyword search, as the real program tries it.
inline ops::HealthCheck search_check(index::Service& index) {
  ops::HealthCheck check;
  check.name = "search";
  check.needed = true;
  check.run = [&index](Deadline deadline) -> Result<std::string> {
    index::SearchRequest request;
    request.text = "ready";
    KNAP_TRY(const auto outcome, index.search(request, deadline, CancelToken()));
    return std::to_string(outcome.hits.size()) + " found";
  };
  return check;
}

}  // namespace knap::api
