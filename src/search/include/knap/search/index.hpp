#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/fan_out.hpp"
#include "knap/base/hash.hpp"
#include "knap/base/result.hpp"
#include "knap/search/filter.hpp"

namespace knap::search {

/// Stable number of a note within one index, chosen by the caller (the store's row id).
enum class NoteId : std::uint64_t {};

struct PassageInput {
  Hash128 hash;  ///< Identity of the embedded text: equal hashes share one vector.
  std::vector<std::string> headings;  ///< Outermost first.
  std::uint32_t first_line = 1;
  std::uint32_t last_line = 1;
  std::string plain;  ///< Searched text.
  /// Boilerplate of the vault that stands in the passage: its words count once a note and little,
  /// and add no length; phrases are found in it.
  std::string faint;
};

struct NoteInput {
  NoteId id{};
  std::string path;
  std::string name;
  std::string title;
  std::vector<std::string> aliases;
  std::vector<std::string> tags;
  std::string language;  ///< ISO 639-1 or empty; chooses stemming.
  NoteFacts facts;       ///< What filters look at.
  std::uint64_t cookie =
      0;  ///< Of the caller's; Index::cookies() gives it back, after a restore too.
  std::vector<PassageInput> passages;
};

/// Weights and constants of ranking. Measured on judged data; see docs/Ranking.md.
struct RankingSettings {
  float bm25_k1 = 1.2F;
  float bm25_b = 0.75F;
  float weight_title = 2.0F, weight_headings = 1.5F, weight_aliases = 2.0F, weight_tags = 1.5F,
        weight_path = 0.5F, weight_boilerplate = 0.1F, weight_body = 1.0F;
  float dense_weight =
      0.55F;  ///< Of the fused score, 0-1, notes in the embedding model's languages.
  float dense_weight_foreign = 0.2F;  ///< The same for notes in other languages.
  float dense_weight_unknown = 0.8F;  ///< Approached by the latter as the notes hold fewer of the
                                      ///< query's words.
  float phrase_bonus = 0.2F;          ///< Share added for query words found side by side.
  float passage_share = 0.3F;         ///< Of the best passage's keyword score in its note's.
  float sentence_weight = 0.3F;       ///< Added for the share of the query that one sentence of the
                                      ///< passage holds, for the first results of both legs.
  float dense_sure_cosine = 0.6F;  ///< Of the model: where no passage comes so near, meaning weighs
                                   ///< less.
  /// Vectors from which on cosines are estimated from signs first; below, all are computed.
  std::uint32_t estimated_from = 32'768;
  float dense_floor_deviations = 0.0F;  ///< Cosines up to mean + so many deviations count 0.
  /// ISO 639-1 codes of the languages that the embedding model knows; empty: all.
  std::vector<std::string> model_languages = {"en"};
};

enum class Mode { kAuto, kKeyword, kSemantic, kHybrid };
enum class Group { kNote, kPassage };

struct Query {
  std::string text;
  std::optional<Filter> filter;
  Mode mode = Mode::kAuto;
  Group group = Group::kNote;
  std::uint32_t limit = 10;
  /// Unit-length embedding of the query; empty: the dense leg is skipped.
  std::vector<float> embedding;
  /// The model that made it; see Index::replace_vectors. An index that holds another one's vectors
  /// leaves out the dense leg and says so.
  std::uint64_t space = 0;
  bool explain = false;
  RankingSettings ranking;
  /// Threads that may help with a search of a large index.
  Helpers helpers;
};

/// Parts of a score, for explain.
struct ScoreParts {
  float bm25 = 0, bm25_normalised = 0, cosine = 0, dense_normalised = 0, phrase = 0, prior = 0,
        sentence = 0, rerank = 0;
  std::vector<std::pair<std::string, float>> terms;  ///< Query term (stem) -> its share of bm25.
};

struct Hit {
  NoteId note{};
  std::uint32_t passage = 0;  ///< Ordinal within the note: the best passage.
  float score = 0;            ///< 0-1
  ScoreParts parts;
};

struct Stage {
  std::string name;  ///< "parse", "filter", "keyword", "dense", "fuse"
  std::chrono::microseconds took{};
  std::uint64_t candidates = 0;
};

/// A query word that no note holds, and the nearest terms that were searched for instead.
struct Correction {
  std::string from;             ///< As written.
  std::vector<std::string> to;  ///< As analysed (folded, stemmed), likeliest first.
};

/// A part of a text that is the title, file name or alias of notes.
struct NameMention {
  std::size_t begin = 0, end = 0;  ///< Bytes of the text.
  std::vector<NoteId> notes;       ///< By rising id.
};

struct SearchResult {
  std::vector<Hit> hits;  ///< Best first; equal scores by lower note id.
  Mode ran = Mode::kKeyword;
  std::vector<std::string> degraded;  ///< Stages skipped, with the reason.
  std::vector<Stage> stages;
  std::uint64_t epoch = 0;
  bool other_space = false;        ///< The query's embedding was another model's: ask again.
  std::vector<std::string> terms;  ///< Query words as analysed (folded, stemmed), for highlights.
  std::vector<Correction> corrections;
};

struct IndexStats {
  std::uint64_t epoch = 0, notes = 0, passages = 0, passages_with_vector = 0, terms = 0,
                segments = 0, bytes = 0;
};

/// The searchable form of one vault in memory: a function of what was applied, nothing more.
///
/// Threads: search() and stats() are safe from any thread at any time and never block on writers
/// (they read an immutable published state). apply() and set_vectors() may come from one writer
/// thread at a time. Invariant: each successful apply or set_vectors raises the epoch by one; a
/// search sees all of a batch or nothing.
class Index {
 public:
  struct Options {
    std::uint32_t dimensions = 384;  ///< Of the vectors, until replace_vectors.
    std::uint32_t max_query_terms = 64;
    /// What most searches come with: what common words give to notes is computed ahead for these,
    /// in the background.
    RankingSettings ranking = {};
  };
  static std::unique_ptr<Index> create(Options options);
  virtual ~Index() = default;

  struct Batch {
    std::vector<NoteInput> upserts;  ///< Replace the note of the same id, if any.
    std::vector<NoteId> deletes;     ///< Unknown ids are no error.
  };
  virtual void apply(Batch batch) = 0;

  /// Merges at once what would be merged in the background, also in a moment without changes: the
  /// fewer segments, the quicker a search. The caller waits, up to seconds; writers and readers go
  /// on.
  virtual void compact() = 0;

  struct VectorInput {
    Hash128 hash;
    std::span<const std::int8_t> values;  ///< dimensions values, unit vector scaled to [-127, 127].
  };
  /// Attaches vectors to all passages (present and future) with these hashes.
  /// Errors: kInvalidArgument (a vector of another size).
  virtual Status set_vectors(std::span<const VectorInput> vectors) = 0;
  /// Another model's vectors in place of all, in one step: a search sees the old ones or the new
  /// ones, never both.
  /// @param space  names the model, in queries too; at first it is 0
  /// @param fill  called once, gives the vectors one by one; vectors of another size are left out
  /// Errors, after which nothing has changed: fill's own.
  using PutVector = std::function<void(const VectorInput& vector)>;
  virtual Status replace_vectors(std::uint32_t dimensions, std::uint64_t space,
                                 const std::function<Status(const PutVector& put)>& fill) = 0;
  /// How the index, as it is now, would answer with another model's vectors in place of its own: to
  /// try a model. The index neither changes nor waits, the result may be called from any thread.
  /// Cost: a second set of vectors, for as long as the result lives. Parameters and errors as
  /// replace_vectors().
  using Trial = std::function<Result<SearchResult>(const Query& query, Deadline deadline)>;
  virtual Result<Trial> try_vectors(
      std::uint32_t dimensions, std::uint64_t space,
      const std::function<Status(const PutVector& put)>& fill) const = 0;

  /// Takes the next bytes of a snapshot, at most kSnapshotPieceBytes of them.
  using SnapshotSink = std::function<Status(std::string_view bytes)>;
  static constexpr std::size_t kSnapshotPieceBytes = 256U << 10;
  /// Writes all notes, as they were when it was made, as checksummed bytes for a fast start;
  /// vectors are not in it (docs/formats/Search snapshot.md). The bytes come in pieces: a vault's
  /// whole index would be a second time in memory.
  /// @param stamp  names the state of the source of truth that the index showed then
  /// Errors: the sink's first; it is then not called again.
  using Frozen = std::function<Status(std::uint64_t stamp, const SnapshotSink& sink)>;
  /// Cheap; writers go on while the result is called.
  virtual Frozen freeze() const = 0;
  /// The stamp that a snapshot begins with; nothing when it is not one of this version. The rest of
  /// the bytes is not looked at.
  static std::optional<std::uint64_t> stamp_of(std::string_view snapshot);
  /// Takes over a snapshot's notes. Errors, after which nothing was taken: kCorruptData (damaged);
  /// kFailedPrecondition (another version, or the index is not empty).
  virtual Status restore(std::string_view snapshot) = 0;
  /// NoteInput::cookie of every note, in no order.
  virtual std::vector<std::pair<NoteId, std::uint64_t>> cookies() const = 0;

  /// Errors: kInvalidArgument (embedding of another size in the same space, limit 0);
  /// kDeadlineExceeded.
  virtual Result<SearchResult> search(const Query& query, Deadline deadline) const = 0;
  virtual IndexStats stats() const = 0;
  /// Where a text names notes: the longest names, none within another, case and accents aside.
  /// Names of one short word or function word are left out.
  virtual std::vector<NameMention> names_in(std::string_view text) const = 0;
  /// ln(1 + (N - n + .5) / (n + .5)) over notes, of a term as analyse() gives it; the largest value
  /// for unknown terms.
  virtual float inverse_document_frequency(std::string_view term) const = 0;
};

/// A part of a passage for display.
struct Snippet {
  std::string text;
  std::vector<std::pair<std::uint32_t, std::uint32_t>>
      highlights;  ///< [begin, end) in Unicode code points of text.
};

/// The window of `plain` of at most max_bytes that holds most of the terms, cut at word borders,
/// "…" where cut.
/// @param terms  SearchResult::terms
Snippet make_snippet(std::string_view plain, std::span<const std::string> terms,
                     std::string_view language, std::size_t max_bytes = 280);

struct TermWeight {
  std::string term;  ///< As analyse() gives it.
  float weight = 0;  ///< At least 0; usually its inverse document frequency.
};

/// How much of a query one sentence of a text holds at best: the weight of the different terms in
/// it, as a share of all, 0-1. Sentences end at line ends and full stops.
/// @param names  title and headings: their words count as part of each sentence below them
/// @param terms  at most 64 are looked at
float best_sentence_share(std::string_view plain, std::span<const std::string> names,
                          std::span<const TermWeight> terms, std::string_view language);

/// The first word of a text that is analysed to `term`, as it stands there; empty: none.
std::string_view find_word(std::string_view text, std::string_view term, std::string_view language);

/// Words of a text as the index analyses them: split (CJK as bigrams), folded, stemmed for the
/// language. Used by answers to compare a sentence with a question.
std::vector<std::string> analyse(std::string_view text, std::string_view language);
bool is_stop_word(std::string_view folded_word, std::string_view language);

}  // namespace knap::search
