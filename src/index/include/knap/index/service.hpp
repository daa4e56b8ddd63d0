#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"
#include "knap/extract/document.hpp"
#include "knap/index/judged.hpp"
#include "knap/models/models.hpp"
#include "knap/observe/metrics.hpp"
#include "knap/search/index.hpp"
#include "knap/service/leases.hpp"
#include "knap/vault/note.hpp"

namespace knap::index {

struct VaultConfig {
  std::string name;  ///< Unique, 1-64 characters.
  std::filesystem::path root;
  /// kImports: a folder of ours that keeps copies of imported files; made when absent. It does not
  /// show as long as it is empty.
  enum class Kind { kVault, kImports } kind = Kind::kVault;
};

/// Which embedding model's vectors searches use, and the change to another.
struct ModelState {
  std::string serving;        ///< Embedder::id(); empty: none.
  std::string state;          ///< e.g. "ready", "no model"
  std::string building;       ///< The model whose vectors are being built beside; empty: none.
  std::uint64_t missing = 0;  ///< Passages that have no vector of it yet.
  std::string previous;       ///< What a roll-back goes to; empty: nothing.
  /// Why the model that is built is not put in place although nothing is missing, and what can be
  /// done; empty: it is not held.
  std::string held;
  /// The last change, judged before the swap: how many of a question's best ten notes both models
  /// find, over questions that were asked before. No questions: nothing to compare.
  struct Comparison {
    std::uint32_t questions = 0;
    double overlap = 0;
    /// Means over the owner's questions with known answers; none: nothing to judge by.
    struct {
      std::uint32_t questions = 0;
      double ndcg_10_before = 0, ndcg_10 = 0, recall_10_before = 0, recall_10 = 0;
    } judged;
    /// What is wrong with the owner's questions, where, and what to do; empty: nothing.
    std::string problem;
  } compared;
};

/// Loss of mean nDCG@10 on judged questions beyond which a change of model is held.
inline constexpr double kNdcgLossMax = .02;
/// What becomes of a change of model that loses more.
enum class OnLoss {
  kHold,  ///< It waits; the present model serves on.
  kSwap,  ///< The owner wants it all the same.
};

/// How files of a kind that are no notes (PDFs, recordings, ...) become passages. All kinds go
/// through one path: queue, ledger, passages, kept results.
struct DocumentReader {
  /// Names what it took out of a file in the store, 1-255: 1 PDF, 2 audio, 3 web, 4 office, 5
  /// images. Never used for another kind.
  std::uint8_t id = 0;
  std::string name;           ///< In metrics and logs: "pdf".
  std::uint16_t version = 1;  ///< 1-4095. Raised when what comes out changes: files are read again.
  std::vector<vault::FileType> types;  ///< Whose files it reads.
  std::uint64_t max_file_bytes = 256ULL << 20;
  std::chrono::seconds limit{120};  ///< For one file.
  /// Why files of this kind are left unread, naming the setting: they are found by name and stand
  /// as skipped in the ledger. Empty: they are read.
  std::string off;
  /// Why nothing can be read now, e.g. for want of a program. Asked before each file; cheap.
  std::function<Status()> ready;
  /// Called on a thread of the reader's own, one file at a time, while nobody asks for anything.
  /// @param file  open for reading, a regular file
  /// Errors, final for these bytes and kept: kUnsupported (nothing to take; the message is the
  /// reason in the ledger), kCorruptData, kResourceExhausted. Others are tried again later.
  std::function<Result<extract::Document>(int file, std::string_view path, Deadline deadline,
                                          const CancelToken& cancel)>
      read;
};

/// Queries that wait at the same time are embedded together, at most so many: a server with fewer
/// threads for searches gains less from it. More at once would gain nothing: milliseconds a query
/// of eleven tokens on one core, of 1 2.2, 2 1.4, 4 1.2, 8 1.1, 16 1.2.
inline constexpr std::size_t kQueriesTogether = 8;

struct ServiceOptions {
  std::filesystem::path data_dir;  ///< Holds the store; locked against a second process.
  std::vector<VaultConfig> vaults;
  enum class Watch { kOn, kOff } watch = Watch::kOn;
  std::chrono::seconds scan_interval{300};
  std::uint64_t max_file_bytes =
      64U << 20;  ///< Larger notes are skipped, with the reason in the ledger.
  /// Kinds of files besides notes whose text is indexed; of others only the name is.
  std::vector<DocumentReader> documents;
  /// Lines that repeat over many notes are learned when a vault is read for the first time, or
  /// again, and weigh little.
  bool learn_boilerplate = true;
  /// Languages of the model are taken from the one that serves.
  search::RankingSettings ranking;
  /// An embedder by Embedder::id(), when this machine can still run it; null otherwise. Called
  /// while the service opens, for the model that served last: it serves on while another is built.
  std::function<std::shared_ptr<models::Embedder>(std::string_view id)> find_embedder;
  /// The cross-encoder that puts the first results in order again; may give null. Empty: none is
  /// wanted.
  std::function<std::shared_ptr<models::Reranker>()> find_reranker;
  std::uint32_t rerank_depth = 20;  ///< It reads so many passages at most.
  float rerank_weight = 0.7F;       ///< Share of its score in the last order, 0-1.
  /// Questions with known answers by which a change of model is judged, read anew each time; an
  /// empty set: there are none. Null: none.
  std::function<Result<JudgedSet>()> judged_questions;
};

/// States of a file in the ledger. Each file of a fresh walk is in exactly one.
enum class FileState { kIndexed, kSkipped, kFailed, kPending, kStale };
std::string_view to_string(FileState state);

struct FileRow {
  std::string vault, path;
  FileState state = FileState::kPending;
  std::string reason;  ///< Empty for indexed.
  std::string hash;    ///< Hex of the content; empty when never read.
  std::string model;   ///< Embedding model whose vectors cover all its passages; empty: not yet.
  std::int64_t indexed_at_ms = 0;  ///< Unix time; 0: never.
};
struct FilePage {
  std::vector<FileRow> files;
  std::string next_cursor;  ///< Empty: the last page.
};

struct VaultStatus {
  std::string name;
  std::uint64_t epoch = 0;
  struct {
    std::uint64_t total = 0, indexed = 0, skipped = 0, failed = 0, pending = 0, stale = 0;
  } files;
  std::uint64_t notes = 0, passages = 0, passages_with_vector = 0;
  std::uint64_t segments = 0;                          ///< Immutable parts of the index in memory.
  std::uint64_t index_bytes = 0;                       ///< What the index takes, vectors included.
  double keyword_coverage = 0, semantic_coverage = 0;  ///< Fractions; 1 for an empty vault.
  std::chrono::milliseconds lag{};  ///< Age of the oldest change not yet searchable by keyword.
  std::string watch_mode;
  std::string embed_model, embed_state;  ///< e.g. "ready", "no model: ..."
};

/// A passage with all that search results, answers and citations need.
struct PassageView {
  std::string vault, path, title, note_name, language, block;
  std::vector<std::string> headings, tags;
  vault::LineRange lines;   ///< Of a document: in the text that NoteView gives.
  std::uint32_t place = 0;  ///< Page, slide or second by the file's type; 0: none.
  std::string text;         ///< Verbatim lines.
  std::string plain;
  std::int64_t modified_s = 0;
  Hash128 hash;
};

struct SearchHit {
  PassageView passage;
  search::Hit hit;
};

struct SearchRequest {
  std::string text;
  std::vector<std::string> vaults;  ///< Empty: all.
  std::optional<search::Filter> filter;
  search::Mode mode = search::Mode::kAuto;
  search::Group group = search::Group::kNote;
  std::uint32_t limit = 10;
  bool explain = false;
  bool background = false;  ///< Nobody waits: its embedding lets others go first.
};

/// A word that no note holds, and what was searched for instead, as the results write it.
struct Correction {
  std::string from;
  std::vector<std::string> to;
};

/// What searches over some vaults read, named so that their results can be kept.
struct Content {
  /// Equal keys: equal searches find the same. Order-free sum of the notes' prints, the embedding
  /// model, how far files are read.
  std::string key;
  /// Of this process: while it stays the same nothing has been published.
  std::uint64_t moment = 0;
  std::uint64_t epoch = 0;  ///< As SearchOutcome::epoch.
  /// The key means the same in every process that serves these notes, and after a restart.
  bool lasting = false;
};
enum class Effort {
  kAtOnce,  ///< Only what is known already: microseconds.
  kWhole,   ///< Once after each change this goes over all passages.
};

struct SearchOutcome {
  std::vector<SearchHit> hits;
  search::Mode ran = search::Mode::kKeyword;
  std::vector<std::string> degraded;
  std::vector<search::Stage> stages;  ///< "embed" among them.
  std::vector<std::string> terms;
  std::vector<Correction> corrections;
  std::vector<float> embedding;  ///< Of the query, when it was made: answers reuse it,
  std::shared_ptr<models::Embedder> embedder;  ///< with the model that made it.
  std::uint64_t epoch = 0, notes = 0, passages = 0;
  double keyword_coverage = 0, semantic_coverage = 0;
  /// Asked again, the same content gives the same: nothing failed or was left out for want of time.
  bool repeatable = true;
};

struct NoteView {
  std::string vault, path, title, language, text;
  std::vector<std::string> aliases, tags;
  std::int64_t modified_s = 0;
  std::vector<vault::Property> properties;
  std::vector<vault::Heading> headings;
};
struct LinkView {
  std::string path, title,
      context;  ///< path empty: unresolved, then title is the target as written.
  std::uint32_t line = 0;
};
struct LinksView {
  std::string vault, path;  ///< Of the note itself.
  std::vector<LinkView> links, backlinks;
};
struct MentionsView {
  std::string vault, path;  ///< Of the note itself.
  /// Where other notes write this note's title, name or an alias without linking to it.
  std::vector<LinkView> unlinked;
  /// Where this note writes the name of another without linking to it: links to suggest. `path` and
  /// `title` are the other note's, `line` is this one's.
  std::vector<LinkView> suggestions;
};

/// A note of a group of notes whose texts are the same or nearly so.
struct DuplicateNote {
  std::string path, title;
  std::int64_t modified_s = 0;
  float similarity = 1;  ///< To the most similar other one of the group, 0-1.
  bool exact = false;    ///< Another one's file holds the same bytes.
};
struct DuplicateGroup {
  std::string vault;
  std::vector<DuplicateNote> notes;  ///< By path; two at least.
};
struct DuplicatesView {
  std::vector<DuplicateGroup> groups;  ///< The most alike first.
  std::uint64_t notes = 0;             ///< Compared.
  std::uint64_t groups_found = 0;      ///< May be more than are given.
};
struct DuplicatesRequest {
  std::vector<std::string> vaults;  ///< Empty: all, each by itself.
  float threshold = .8F;            ///< Least similarity, 0.3-1; see search::DuplicateFinder.
  std::uint32_t limit = 50;         ///< Groups.
};

struct Progress {
  std::string phase;  ///< "scan", "keyword", "documents", "semantic", "done"
  std::uint64_t done = 0, total = 0;
  double per_second = 0;
  std::chrono::seconds left{};
};

/// Keeps the search index in step with the vaults and answers from it: walk and watch, parse,
/// store, publish, embed.
///
/// Threads: all methods are safe from any thread. Destruction stops all work at the next boundary
/// and joins.
class Service {
 public:
  /// Opens the store and loads the index from it; starts nothing yet. Errors: kNotFound (a vault's
  /// folder), kCorruptData (store damaged: says how to rebuild), kPermissionDenied, kAlreadyExists
  /// (another knap uses the data folder).
  static Result<std::unique_ptr<Service>> open(ServiceOptions options,
                                               std::shared_ptr<models::Embedder> embedder,
                                               service::ComputeLeases& leases,
                                               observe::Registry& metrics);
  virtual ~Service() = default;

  /// Starts scanning, watching and embedding in the background. Keyword search answers from what
  /// the store held at once.
  virtual void start() = 0;
  /// Another embedding model. Where none served it does at once; else its vectors are built in the
  /// background, while the present one serves, and then put in place in one step. Null: none from
  /// now on. Errors: the store's.
  virtual Status set_embedder(std::shared_ptr<models::Embedder> embedder, OnLoss on_loss) = 0;
  /// The embedding model before, at once; a change that is held is given up instead. Errors:
  /// kFailedPrecondition (none served before).
  virtual Status roll_back_embedder() = 0;
  virtual ModelState model_state() const = 0;

  virtual std::vector<std::string> vaults() const = 0;
  virtual std::vector<VaultStatus> status() const = 0;
  /// Errors: kInvalidArgument (cursor, limit not 1-1000), kNotFound (vault).
  virtual Result<FilePage> files(std::optional<FileState> state, std::string_view vault,
                                 std::uint32_t limit, std::string_view cursor) const = 0;

  /// Nothing while a change is between store and index, when a vault is unknown, or when it must be
  /// computed and may not be. A result belongs to the content when the moment was the same before
  /// the search and after it. @param vaults  empty: all; their order does not matter
  virtual std::optional<Content> content(const std::vector<std::string>& vaults,
                                         Effort effort) const = 0;

  /// @param vault  empty: the first vault that has the path. Errors: kNotFound.
  virtual Result<FileRow> file(std::string_view vault, std::string_view path) const = 0;
  /// Looks at a file now, whatever the watcher does, and waits until it is indexed, skipped or
  /// failed. `model` of the row is not filled. Errors: kNotFound, kDeadlineExceeded, kCancelled.
  virtual Result<FileRow> wait_for_file(std::string_view vault, std::string_view path,
                                        Deadline deadline, const CancelToken& cancel) = 0;
  /// Keeps a copy of a file that lies in no vault, in the folder of imports, and has it read. A
  /// name that is taken by another content gets a number. Returns vault and path; wait_for_file()
  /// tells what became of it. Errors: kInvalidArgument (name), kUnsupported (no reader of its
  /// type), kResourceExhausted (size, disk), kFailedPrecondition (no folder of imports), kIo.
  virtual Result<FileRow> import_file(std::string_view name, std::string_view bytes) = 0;
  /// Keeps a text in the folder of imports as a note, in place of an earlier one of that name, and
  /// has it read. @param name  ends in ".md". Errors: kInvalidArgument (name), kResourceExhausted
  /// (size, disk), kFailedPrecondition (no folder of imports), kIo.
  virtual Result<FileRow> import_note(std::string_view name, std::string_view text) = 0;
  /// Removes what import_note() keeps under that name; nothing there is no error. Errors:
  /// kInvalidArgument (name), kIo.
  virtual Status drop_import(std::string_view name) = 0;

  /// Errors: kInvalidArgument, kNotFound (vault), kDeadlineExceeded, kUnavailable (not ready).
  virtual Result<SearchOutcome> search(const SearchRequest& request, Deadline deadline,
                                       const CancelToken& cancel) = 0;

  /// @param vault  empty: the first vault that has the path. Errors: kNotFound.
  virtual Result<NoteView> note(std::string_view vault, std::string_view path) const = 0;
  virtual Result<LinksView> links(std::string_view vault, std::string_view path) const = 0;
  /// At most 100 of each. Errors: kNotFound, kDeadlineExceeded, kCancelled.
  virtual Result<MentionsView> mentions(std::string_view vault, std::string_view path,
                                        Deadline deadline, const CancelToken& cancel) const = 0;
  /// Reads the text of every note: seconds for tens of thousands. Errors: kNotFound (vault),
  /// kDeadlineExceeded, kCancelled, kResourceExhausted (more notes than are compared).
  virtual Result<DuplicatesView> duplicates(const DuplicatesRequest& request, Deadline deadline,
                                            const CancelToken& cancel) const = 0;
  virtual Result<std::vector<SearchHit>> related(std::string_view vault, std::string_view path,
                                                 std::uint32_t limit) = 0;

  /// Rarity of an analysed word over all vaults; see search::Index.
  virtual float inverse_document_frequency(std::string_view term) const = 0;

  /// Walks again now. Returns when the change is searchable by keyword (or, with kSemantic, covered
  /// by vectors).
  enum class WaitFor { kKeyword, kSemantic };
  virtual Status scan(WaitFor wait, Deadline deadline, const CancelToken& cancel,
                      const std::function<void(const Progress&)>& progress) = 0;
  /// Reads every file again, whatever its fingerprint says, beside the live index. Vectors of
  /// unchanged text are kept.
  virtual Status rebuild(Deadline deadline, const CancelToken& cancel,
                         const std::function<void(const Progress&)>& progress) = 0;
  /// Writes to the store, changing nothing: for health checks. Errors: the store's.
  virtual Status check_store() { return {}; }
};

}  // namespace knap::index
