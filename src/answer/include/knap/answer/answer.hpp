#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"
#include "knap/index/service.hpp"
#include "knap/models/models.hpp"
#include "knap/observe/metrics.hpp"
#include "knap/service/leases.hpp"

namespace knap::answer {

enum class Mode { kAuto, kExtractive, kGenerative };

struct AskRequest {
  std::string question;  ///< 1-4096 characters.
  std::vector<std::string> vaults;
  std::optional<search::Filter> filter;
  std::vector<models::ChatMessage>
      history;        ///< Earlier turns, oldest first; at most 20 are looked at.
  std::string model;  ///< Empty: the default.
  Mode mode = Mode::kAuto;
  std::uint32_t max_tokens = 160;
  /// How urgent the model's wording is among the answers that wait for it, and whose share of the
  /// model it uses: see models::GenerateRequest.
  models::Priority priority = models::Priority::kInteractive;
  std::string tenant;
  std::string request_id;  ///< Under which the choice of the model is kept; empty: it is not.
};

/// Notes whose text no remote model gets.
struct LocalOnly {
  std::vector<std::string> tags{"local-only"};  ///< Nested ones too.
  std::vector<std::string> folders;             ///< "Journal" of any vault, "vault:Journal".
};

struct Citation {
  std::uint32_t id = 0;  ///< The n of [n], from 1.
  std::string vault, path, title, note_name;
  std::vector<std::string> headings;
  vault::LineRange lines;
  std::uint32_t place = 0;  ///< Page, slide or second, see index::PassageView; 0: none.
  std::string quote;  ///< Verbatim text of the note within these lines (white space may be joined).
};

enum class Verdict { kSupported, kWeak, kUnsupported };
std::string_view to_string(Verdict verdict);

struct Claim {
  std::string text;
  std::vector<std::uint32_t> citations;
  Verdict verdict = Verdict::kWeak;
  float score = 0;  ///< 0-1
};

struct Answer {
  std::string text;  ///< Markdown with [n] marks.
  std::vector<Citation> citations;
  std::vector<Claim> claims;
  bool refused = false;
  std::string mode;   ///< "extractive" | "generative" | "refused"
  std::string model;  ///< Empty for extractive answers.
  std::vector<std::string> degraded;
  std::chrono::milliseconds search{}, queue{}, first_token{}, total{};
  std::uint64_t prompt_tokens = 0, completion_tokens = 0;
  double confidence = 0;  ///< That the notes hold the answer, 0-1.
  /// Asked again of the same notes it would be as good: nothing failed or was left out for want of
  /// time.
  bool repeatable = true;
  std::string cached;  ///< Where it was kept ("l1", ...); empty: it was made now.
  /// The question that it was made for, where that was another wording; see reworded_print().
  std::string reworded_from;
};

/// What an answer is about to be made of.
struct Considered {
  Hash128 print;  ///< Of the passages and the model that compares sentences.
  const std::vector<index::SearchHit>& hits;
};

/// What a listener hears while an answer is made. Any function may be empty; on_token returning
/// false stops.
struct Listener {
  std::function<void(const std::vector<Citation>&)>
      on_sources;  ///< The quotes, before any model runs.
  /// Whole checked statements with their marks, never taken back: joined they are the answer's
  /// text.
  std::function<bool(std::string_view)> on_token;
  std::function<void(const Answer&)> on_claims;  ///< The answer as checked, last of all.
  /// Asked once the passages are found: an answer made of the same ones before, or nothing.
  std::function<std::optional<Answer>(const Considered&)> recall;
};

/// Answers questions from the notes: quotes first, then a model's wording, each statement checked
/// against its quote. Threads: safe.
class Answerer {
 public:
  struct Options {
    std::uint32_t passages = 8;  ///< Searched.
    std::uint32_t quotes = 3;    ///< At most, in an answer.
    std::uint32_t context_tokens = 700;
    double refuse_below = 0.5;      ///< Confidence under which an answer is refused.
    bool read_ahead = false;        ///< Passages that may be asked about are read ahead.
    double read_ahead_share = 0.5;  ///< Of the time, at most, that takes.
    LocalOnly local_only;
  };
  static std::unique_ptr<Answerer> create(Options options, index::Service& index,
                                          models::Models& models, service::ComputeLeases& leases,
                                          observe::Registry& metrics);
  virtual ~Answerer() = default;

  /// Errors: kInvalidArgument, kNotFound (vault, model), kDeadlineExceeded (before any quote was
  /// found), kCancelled. A model that fails or is late is no error: the answer is extractive and
  /// `degraded` says why.
  virtual Result<Answer> ask(const AskRequest& request, Deadline deadline,
                             const CancelToken& cancel, const Listener& listener) = 0;
  /// A search of somebody's found these: the first may be asked about, and are read ahead where
  /// that is wanted. Returns at once.
  virtual void found(const std::vector<index::SearchHit>& /*hits*/) {}
};

/// Judges a statement against quotes: words, numbers, names and negation. Pure.
Claim check_claim(std::string_view statement, const std::vector<Citation>& citations,
                  std::string_view language);

}  // namespace knap::answer
