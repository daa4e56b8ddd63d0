#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "confidence.hpp"
#include "extractive.hpp"
#include "generative.hpp"
#include "keep_local.hpp"
#include "knap/answer/answer.hpp"
#include "knap/base/text.hpp"
#include "knap/observe/trace.hpp"
#include "meaning.hpp"
#include "prompt.hpp"
#include "question.hpp"
#include "quotes.hpp"
#include "read_ahead.hpp"
#include "score_sentences.hpp"

namespace knap::answer {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMaxQuestionCharacters = 4'096;
/// Meaning of sentences may cost this much of the 300 ms in which the first quotes are due. About
/// 60 ms on idle cores.
constexpr milliseconds kMeaningBudget{160};
/// Less time than this is not worth starting a model for.
constexpr milliseconds kLeastModelTime{800};
/// Kept back from the model for checking and sending.
constexpr milliseconds kFinishTime{150};
/// A model that says "not in the notes" is believed below this confidence.
constexpr double kSureDespiteModel = 0.8;

/// How much being quoted, and being found by a search, says that a passage will be asked about.
constexpr double kQuotedWeight = 1, kFoundWeight = 0.5;
/// Of a search's results.
constexpr std::size_t kFoundPassages = 3;

/// Below this many notes, rarity is smoothed.
constexpr float kLeastNotes = 100;

milliseconds since(SteadyClock::time_point start) {
  return std::chrono::duration_cast<milliseconds>(SteadyClock::now() - start);
}

std::size_t count_characters(std::string_view s) {
  return static_cast<std::size_t>(
      std::ranges::count_if(s, [](char c) { return (c & 0xC0) != 0x80; }));
}

/// Of all that an answer is made of beside the question.
Hash128 print_of(const index::SearchOutcome& found) {
  std::string all = found.embedder ? found.embedder->id() : "";
  for (const index::SearchHit& hit : found.hits) {
    const index::PassageView& passage = hit.passage;
    all += fmt::format("\x1e{}\x1f{}\x1f{}\x1f{}\x1f{}-{}\x1f{}\x1f{}", passage.vault, passage.path,
                       passage.title, fmt::join(passage.headings, "\n"), passage.lines.first,
                       passage.lines.last, passage.language, hash128(passage.text).hex());
  }
  for (const std::string& reason : found.degraded) all += "\x1e" + reason;
  return hash128(all);
}

class RealAnswerer final : public Answerer {
 public:
  RealAnswerer(Options options, index::Service& index, models::Models& models,
               service::ComputeLeases& leases, observe::Registry& metrics)
      : options_(options),
        index_(index),
        models_(models),
        leases_(leases),
        metrics_(metrics),
        sources_seconds_(
            metrics.histogram("knap_answer_sources_seconds", "Time from question to first quotes")),
        total_seconds_(
            metrics.histogram("knap_answer_seconds", "Time from question to checked answer")),
        rejected_(metrics.counter("knap_answer_statements_rejected_total",
                                  "Statements of models that their quotes did not support")) {
    if (options_.read_ahead) {
      read_ahead_ = std::make_unique<ReadAhead>(
          ReadAhead::Options{.time_share = options_.read_ahead_share}, models_, leases_, metrics_);
    }
  }

  void found(const std::vector<index::SearchHit>& hits) override {
    if (!read_ahead_) return;
    for (std::size_t i = 0; i < std::min(hits.size(), kFoundPassages); ++i)
      read_ahead_->want(known_passage(hits[i].passage), kFoundWeight);
  }

  Result<Answer> ask(const AskRequest& request, Deadline deadline, const CancelToken& cancel,
                     const Listener& listener) override {
    const auto start = SteadyClock::now();
    KNAP_CHECK_OK(check_request(request));
    Answer answer;
    auto stage_begin = start;
    const auto stage = [&](std::string_view name) {
      const auto now = SteadyClock::now();
      observe::trace_stage("answer." + std::string(name), stage_begin, now - stage_begin);
      stage_seconds(name).record(now - std::exchange(stage_begin, now));
    };
    index::SearchOutcome found;
    const std::string borrowed = borrow_from_history(request.question, request.history);
    KNAP_CHECK_OK(search(request, borrowed, deadline, cancel, answer, found));
    stage("search");
    if (recall(found, listener, answer)) {
      sources_seconds_.record(SteadyClock::now() - start);
      if (listener.on_sources) listener.on_sources(answer.citations);
      tell_whole(answer, start, listener);
      finish(answer, start, listener);
      return answer;
    }
    const Evidence evidence = weigh(request, borrowed, found, deadline, cancel, answer);
    const std::string language =
        guess_language(request.question, found.hits.empty() ? std::string_view("en")
                                                            : found.hits[0].passage.language);
    answer.confidence =
        evidence.candidates.empty() ? 0 : confidence(confidence_features(evidence, language));
    std::vector<Quote> quotes = choose_quotes(evidence, options_.quotes);
    const bool refuse = quotes.empty() || answer.confidence < options_.refuse_below;
    if (!refuse) answer.citations = citations_of(quotes);
    if (!refuse) name_known(found.hits, quotes);
    stage("quote");
    sources_seconds_.record(SteadyClock::now() - start);
    if (listener.on_sources) listener.on_sources(answer.citations);
    if (cancel.cancelled()) return make_error(ErrorCode::kCancelled, "the caller has gone");

    if (refuse) {
      write_refusal(found.hits, language, answer);
      tell_whole(answer, start, listener);
    } else {
      Asking asking{request, borrowed, language, quotes, deadline, cancel, listener, start};
      word(asking, found, answer);
    }
    stage("word");
    if (cancel.cancelled()) return make_error(ErrorCode::kCancelled, "the caller has gone");
    finish(answer, start, listener);
    return answer;
  }

 private:
  /// One question on its way, once its quotes are known.
  struct Asking {
    const AskRequest& request;
    const std::string& borrowed;
    const std::string& language;
    const std::vector<Quote>& quotes;
    Deadline deadline;
    const CancelToken& cancel;
    const Listener& listener;
    SteadyClock::time_point start;
    models::Reach reach = models::Reach::kThisMachine;  ///< Known before a model is asked.
  };

  observe::Histogram& stage_seconds(std::string_view stage) {
    return metrics_.histogram("knap_answer_stage_seconds",
                              "Time of one stage of an answer; queue is a part of word",
                              {{"stage", std::string(stage)}});
  }

  Status check_request(const AskRequest& request) {
    const std::size_t characters = count_characters(request.question);
    if (text::trim(request.question).empty() || characters > kMaxQuestionCharacters) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("question: give 1 to {} characters, not {}",
                                    kMaxQuestionCharacters, characters));
    }
    if (!request.model.empty() && !models_.generator(request.model)) {
      return make_error(ErrorCode::kNotFound,
                        fmt::format("model '{}' is unknown or not installed: see knap models list",
                                    text::truncate(request.model, 100)));
    }
    return {};
  }

  Status search(const AskRequest& request, const std::string& borrowed, Deadline deadline,
                const CancelToken& cancel, Answer& answer, index::SearchOutcome& found) {
    const auto start = SteadyClock::now();
    index::SearchRequest wanted;
    wanted.text = borrowed.empty() ? request.question : request.question + " " + borrowed;
    wanted.vaults = request.vaults;
    wanted.filter = request.filter;
    wanted.group = search::Group::kPassage;
    wanted.limit = options_.passages;
    KNAP_TRY(found, index_.search(wanted, deadline, cancel));
    answer.degraded = found.degraded;
    answer.repeatable = found.repeatable;
    if (found.keyword_coverage < 1) {
      answer.repeatable = false;
      answer.degraded.push_back(fmt::format("index: {:.0f} % of the files are read so far",
                                            found.keyword_coverage * 100));
    }
    answer.search = since(start);
    return {};
  }

  /// True when an answer of the same passages is kept: it takes the place of `answer`.
  static bool recall(const index::SearchOutcome& found, const Listener& listener, Answer& answer) {
    if (!listener.recall || !answer.repeatable) return false;
    auto kept = listener.recall({print_of(found), found.hits});
    if (!kept) return false;
    kept->search = answer.search;
    answer = std::move(*kept);
    return true;
  }

  /// The passages of the quotes may be known to the model; they will be.
  void name_known(const std::vector<index::SearchHit>& hits, std::vector<Quote>& quotes) {
    if (!read_ahead_) return;
    for (Quote& quote : quotes) {
      const auto from = std::ranges::find_if(hits, [&](const index::SearchHit& hit) {
        const index::PassageView& passage = hit.passage;
        return passage.vault == quote.citation.vault && passage.path == quote.citation.path &&
               passage.lines.first <= quote.citation.lines.first &&
               passage.lines.last >= quote.citation.lines.last;
      });
      if (from == hits.end()) continue;
      quote.known = known_passage(from->passage);
      read_ahead_->want(quote.known, kQuotedWeight);
    }
  }

  Evidence weigh(const AskRequest& request, const std::string& borrowed,
                 const index::SearchOutcome& found, Deadline deadline, const CancelToken& cancel,
                 Answer& answer) {
    // Few notes say little about how rare a word is: they count as part of a larger vault that
    // holds none of the question's words, which adds a constant to every rarity ln((N + 1) / (n +
    // .5)).
    const float rarest = index_.inverse_document_frequency(kInNoNote);
    const float unseen = std::max(0.0F, std::log(2 * (kLeastNotes + 1)) - rarest);
    const Rarity rarity = [this, unseen](std::string_view term) {
      return index_.inverse_document_frequency(term) + unseen;
    };
    Evidence evidence = gather_evidence(request.question, borrowed, found.hits, rarity);
    if (const auto& embedder = found.embedder; embedder && !found.embedding.empty()) {
      const Deadline soon = deadline.earlier(Deadline::after(kMeaningBudget));
      if (auto reason = meanings_.add_cosines(evidence, *embedder, found.embedding, soon, cancel);
          !reason.empty()) {
        answer.degraded.push_back(std::move(reason));
        answer.repeatable = false;
      }
    }
    return evidence;
  }

  /// Words an answer from the quotes: by the model where it can, else by the quotes themselves.
  void word(Asking& asking, const index::SearchOutcome& found, Answer& answer) {
    if (asking.request.mode != Mode::kExtractive) {
      asking.reach = reach_of(asking.quotes, found.hits, options_.local_only);
      const models::RoutePlan plan = models_.route(need_of(asking));
      if (plan.chain.empty())
        answer.degraded.push_back(plan.reason + ": the best sentences are quoted");
      for (const auto& model : plan.chain) {
        const Worded worded = word_by_model(asking, *model, found, answer);
        if (worded == Worded::kWhole) return;
        if (worded == Worded::kQuote) break;
      }
    }
    write_extractive(asking.quotes, answer);
    tell_whole(answer, asking.start, asking.listener);
  }

  models::RouteNeed need_of(const Asking& asking) const {
    models::RouteNeed need;
    need.request_id = asking.request.request_id;
    need.model = asking.request.model;
    need.language = asking.language;
    need.prompt_tokens = options_.context_tokens;
    need.answer_tokens = asking.request.max_tokens;
    need.priority = asking.request.priority;
    if (!asking.deadline.is_never())
      need.deadline = Deadline::at(asking.deadline.point() - kFinishTime);
    need.reach = asking.reach;
    return need;
  }

  /// What a model made of it; why it is not whole stands in answer.degraded.
  enum class Worded {
    kWhole,
    kQuote,  ///< Quote instead: another model would not do better, or there is no time.
    kNext    ///< This model cannot; another one may.
  };
  Worded word_by_model(const Asking& asking, models::Generator& model,
                       const index::SearchOutcome& found, Answer& answer) {
    const auto late = [&] {
      return asking.deadline.remaining_ms() < kLeastModelTime + kFinishTime;
    };
    if (late()) {
      answer.repeatable = false;
      answer.degraded.emplace_back(
          "too little time for the answer model: the best sentences are quoted");
      return Worded::kQuote;
    }
    const Deadline model_deadline = asking.deadline.is_never()
                                        ? asking.deadline
                                        : Deadline::at(asking.deadline.point() - kFinishTime);
    const auto queued = SteadyClock::now();
    // Loaded before compute is leased: others may answer meanwhile.
    auto hold = model.load(model_deadline, asking.cancel);
    if (!hold) {
      answer.queue = since(queued);
      answer.degraded.push_back("answer model: " + hold.error().message);
      tell_route(asking, model, hold.error().message, queued, {});
      return Worded::kNext;
    }
    // A remote model computes elsewhere.
    Result<service::Lease> lease = service::Lease();
    if (!model.remote())
      lease = leases_.acquire(service::Lane::kGeneration, leases_.usage().cores, model_deadline,
                              asking.cancel, model.id());
    answer.queue = since(queued);
    stage_seconds("queue").record(SteadyClock::now() - queued);
    observe::trace_stage("answer.queue", queued, SteadyClock::now() - queued);
    if (!lease || late()) {
      answer.repeatable = false;
      answer.degraded.emplace_back(
          "the answer model was busy until the deadline: the best sentences are quoted");
      tell_route(asking, model, "busy until the deadline", queued, {});
      return Worded::kQuote;
    }
    WordingOptions options;
    options.accept = asking.request.mode == Mode::kGenerative
                         ? WordingOptions::Accept::kSupportedOrWeak
                         : WordingOptions::Accept::kSupportedOnly;
    options.max_tokens = asking.request.max_tokens;
    options.threads = static_cast<std::uint32_t>(lease->threads());
    options.priority = asking.request.priority;
    options.tenant = asking.request.tenant;
    options.reach = asking.reach;
    options.request_id = asking.request.request_id;
    options.hold = *std::move(hold);
    options.context_tokens = std::min(options_.context_tokens, model.context_tokens() / 2);
    options.language = asking.language;
    options.earlier_question = asking.borrowed;
    const Wording wording = word_answer(
        asking.request.question, asking.quotes, model, options, model_deadline, asking.cancel,
        [&](std::string_view text) { return tell(text, asking, answer); });
    answer.prompt_tokens = wording.generated.prompt_tokens;
    answer.completion_tokens = wording.generated.completion_tokens;
    rejected_.add(wording.rejected);
    tell_route(asking, model, wording.failure.empty() ? "answered" : wording.failure, queued,
               wording.generated);
    return settle(asking, model, found, wording, answer);
  }

  void tell_route(const Asking& asking, const models::Generator& model, std::string outcome,
                  SteadyClock::time_point begin, const models::GenerateResult& generated) {
    models_.attempted(asking.request.request_id, {.model = model.id(),
                                                  .outcome = std::move(outcome),
                                                  .took = since(begin),
                                                  .prompt_tokens = generated.prompt_tokens,
                                                  .completion_tokens = generated.completion_tokens,
                                                  .tokens_estimated = generated.tokens_estimated,
                                                  .cost = generated.cost});
  }

  Worded settle(const Asking& asking, const models::Generator& model,
                const index::SearchOutcome& found, const Wording& wording, Answer& answer) {
    if (!wording.failure.empty()) {
      answer.repeatable = false;
      answer.degraded.push_back("answer model: " + wording.failure);
    }
    if (!wording.claims.empty()) {
      answer.text = wording.text;
      answer.claims = wording.claims;
      answer.mode = "generative";
      answer.model = model.id();
      if (asking.request.mode == Mode::kGenerative && wording.rejected > 0)
        add_quote(asking, wording.rejected, answer);
      return Worded::kWhole;
    }
    if (wording.unknown && answer.confidence < kSureDespiteModel) {
      write_refusal(found.hits, asking.language, answer);
      tell_whole(answer, asking.start, asking.listener);
      return Worded::kWhole;
    }
    if (wording.rejected > 0) {
      answer.degraded.emplace_back(
          "the quotes did not support the model's wording: the best sentences are quoted");
    } else if (wording.failure.empty()) {
      answer.degraded.emplace_back("the model gave no answer: the best sentences are quoted");
    }
    return wording.failure.empty() || wording.rejected > 0 ? Worded::kQuote : Worded::kNext;
  }

  /// In place of statements that were left out: the best sentence that no accepted statement cites.
  void add_quote(const Asking& asking, std::size_t left_out, Answer& answer) {
    answer.degraded.push_back(
        fmt::format("{} statement{} of the model left out: no quote supports {}", left_out,
                    left_out == 1 ? "" : "s", left_out == 1 ? "it" : "them"));
    for (const Quote& quote : asking.quotes) {
      const bool cited = std::ranges::any_of(answer.claims, [&](const Claim& claim) {
        return std::ranges::find(claim.citations, quote.citation.id) != claim.citations.end();
      });
      if (cited) continue;
      Answer quoted;
      write_extractive({quote}, quoted);
      const std::string text = "\n\n" + quoted.text;
      answer.text += text;
      answer.claims.push_back(quoted.claims.front());
      tell(text, asking, answer);
      return;
    }
  }

  static bool tell(std::string_view text, const Asking& asking, Answer& answer) {
    if (answer.first_token == milliseconds::zero()) answer.first_token = since(asking.start);
    return !asking.cancel.cancelled() &&
           (!asking.listener.on_token || asking.listener.on_token(text));
  }

  static void tell_whole(Answer& answer, SteadyClock::time_point start, const Listener& listener) {
    if (answer.first_token == milliseconds::zero()) answer.first_token = since(start);
    if (listener.on_token) static_cast<void>(listener.on_token(answer.text));
  }

  void finish(Answer& answer, SteadyClock::time_point start, const Listener& listener) {
    answer.total = since(start);
    total_seconds_.record(SteadyClock::now() - start);
    metrics_
        .counter("knap_answer_answers_total", "Answers given, by how they were made",
                 {{"mode", answer.mode}})
        .add();
    if (listener.on_claims) listener.on_claims(answer);
  }

  const Options options_;
  index::Service& index_;
  models::Models& models_;
  service::ComputeLeases& leases_;
  observe::Registry& metrics_;
  SentenceMeanings meanings_;
  std::unique_ptr<ReadAhead> read_ahead_;  ///< Null: nothing is.
  observe::Histogram& sources_seconds_;
  observe::Histogram& total_seconds_;
  observe::Counter& rejected_;
};

}  // namespace

std::unique_ptr<Answerer> Answerer::create(Options options, index::Service& index,
                                           models::Models& models, service::ComputeLeases& leases,
                                           observe::Registry& metrics) {
  return std::make_unique<RealAnswerer>(options, index, models, leases, metrics);
}

}  // namespace knap::answer
