#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"
#include "knap/models/models.hpp"
#include "knap/models/speech.hpp"

namespace knap::models {

/// A recording and what is said in it.
struct SpeechClip {
  std::vector<std::int16_t> samples;  ///< Mono, kSpeechRate, 1 to kSpeechPieceMax.
  std::string text;                   ///< As a person wrote it down.
};

/// What a model does on this machine, through its runner as a server uses it.
struct ModelFigures {
  std::string name, role;
  std::uint64_t bytes = 0;             ///< Of its files.
  std::uint64_t resident_bytes = 0;    ///< Of its runner after the work.
  std::uint64_t expected_bytes = 0;    ///< What the pool reckoned with.
  double load_ms = 0;                  ///< From nothing to ready.
  double read_tokens_per_second = 0;   ///< Answer models: prompts; embedders: passages.
  double write_tokens_per_second = 0;  ///< Answer models only.
  double query_ms = 0;                 ///< Embedders only: median of one short query.
  double times_real_time = 0;          ///< Speech models: seconds of sound heard in a second.
  double word_error_rate = 0;          ///< Speech models: wrong words by words said.
  std::uint64_t read_tokens = 0, written_tokens = 0;  ///< What the speeds were measured on.
};

struct BenchModelOptions {
  std::uint32_t prompt_words = 400;  ///< Of each prompt, 16-4,000.
  std::uint32_t write_tokens = 64;
  std::uint32_t repeats = 3;  ///< The median of so many counts.
  /// What speech models hear; must outlive the call.
  std::span<const SpeechClip> clips;
  std::string language;  ///< Of the clips, ISO 639-1; empty: heard from each.
  Deadline deadline = Deadline::never();
};

/// Loads an installed model and measures it. It must not be loaded yet, or load_ms is that of a
/// loaded one. Nobody else should compute meanwhile.
/// Errors: kNotFound (not installed), kUnsupported (it neither embeds nor answers, or hears and no
/// clip was given), those of the model.
Result<ModelFigures> bench_model(Models& models, std::string_view name,
                                 const BenchModelOptions& options, const CancelToken& cancel);

/// One quantisation of a model beside the original.
struct LevelFigures {
  std::string level;  ///< "original", "F32", "Q8_0" ...
  std::uint64_t bytes = 0, resident_bytes = 0;
  double load_ms = 0, read_tokens_per_second = 0, write_tokens_per_second = 0;
  double perplexity = 0;  ///< Language models, on the text.
  /// Language models: share of the text's positions where the likeliest token is the original's.
  double agreement = 0;
  double cosine = 0;   ///< Encoders: mean, to the original's vectors of the text's paragraphs.
  double ndcg_10 = 0;  ///< Encoders, where judged documents were given.
  double times_real_time = 0, word_error_rate = 0;  ///< Speech models, on the clips.
};

struct QuantizeOptions {
  /// A GGUF file, the folder of an encoder in safetensors, or a 16-bit ggml file of Whisper; empty:
  /// see fetch_source.
  std::filesystem::path source;
  /// Writes a 16-bit ggml file of Whisper: what is installed has 8 bits. In the place of `source`.
  std::function<Status(const std::filesystem::path& out)> fetch_source;
  std::vector<std::string> levels;  ///< Of quantisation_levels().
  std::filesystem::path text;       ///< What perplexity, agreement and cosine are measured on.
  std::uint32_t tokens = 4'096;     ///< Of the text at most.
  /// Encoders: a folder in BEIR's form (corpus.jsonl, queries.jsonl, qrels/test.tsv); empty: none.
  std::filesystem::path judged;
  std::uint32_t documents = 600;  ///< Of those at most, the judged ones first.
  std::vector<SpeechClip> clips;  ///< What Whisper is measured on; it is meant when there are any.
  std::string language;           ///< Of the clips, ISO 639-1; empty: heard from each.
  std::size_t threads = 1;
  std::filesystem::path
      program;  ///< The knap binary: each level is measured in a process of its own.
  std::filesystem::path scratch;  ///< Files are written there and removed again.
  /// Told of each file before it is removed, with its level; an error ends the work.
  std::function<Status(std::string_view level, const std::filesystem::path& file)> keep;
};
struct QuantizeReport {
  /// How the source is quantised itself: "" when it is in full precision. Levels of a source that
  /// is not are *re-quantised*: they cannot be better than it.
  std::string requantised_from;
  bool encoder = false, speech = false;
  std::uint64_t scored_tokens = 0, paragraphs = 0, documents = 0, queries = 0;
  std::uint64_t clips = 0, words = 0;
  double sound_seconds = 0;
  std::vector<LevelFigures> levels;   ///< The original first.
  std::vector<std::string> left_out;  ///< Levels that this model cannot have, and why.
};

/// F32, F16, Q8_0, Q6_K, Q5_K_M, Q4_K_M.
const std::vector<std::string>& quantisation_levels();

/// Quantises a model to each level through llama.cpp, and measures what is gained and lost.
/// Errors: kInvalidArgument (levels, text too short), kNotFound, kUnsupported (no GGUF and no BERT
/// encoder), kResourceExhausted (disk space: says how much is needed), kCancelled, kIo, kInternal.
Result<QuantizeReport> quantize_model(const QuantizeOptions& options,
                                      const Models::Progress& progress, const CancelToken& cancel);

}  // namespace knap::models
