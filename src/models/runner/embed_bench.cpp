// Tokens a second of one core: the encoder in each precision beside llama.cpp's Q8_0 on
// the same weights and texts, in one run, with the cosine of each to the f32 encoder. embed_bench
// MODEL_DIR [SECONDS]

#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include <ggml-backend.h>
#include <llama.h>

#include "knap/base/version.hpp"
#include "runner/bert_gguf.hpp"
#include "runner/devices.hpp"
#include "runner/embed_engine.hpp"
#include "test_folder.hpp"

namespace knap::models::runner {
namespace {

using Clock = std::chrono::steady_clock;
using Ids = std::vector<std::int32_t>;

double cpu_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

/// Passages of plain English, 60 to 200 tokens, made of the same words in changing order: no data
/// set is needed.
std::vector<std::string> make_texts() {
  const std::string words[] = {
      "the",   "note",    "links",  "to",      "a",        "heading", "in",    "another", "file",
      "and",   "the",     "plugin", "shows",   "each",     "task",    "with",  "its",     "date",
      "so",    "that",    "people", "find",    "what",     "they",    "wrote", "years",   "ago",
      "about", "gardens", "rivers", "budgets", "meetings", "or",      "music"};
  std::vector<std::string> texts;
  std::uint32_t state = 1;
  for (int i = 0; i < 64; ++i) {
    std::string text;
    for (int w = 0; w < 50 + (i * 37) % 120; ++w) {
      state = state * 1664525U + 1013904223U;
      text += words[(state >> 16) % std::size(words)] + (w % 12 == 11 ? ". " : " ");
    }
    texts.push_back(text);
  }
  return texts;
}

struct Row {
  std::string name;
  double per_cpu_second = 0, per_second = 0, two_threads_per_second = 0, cosine = 0;
  double query_ms[2] = {};  ///< Median of one short query, on one thread and on two.
};

double mean_cosine(const std::vector<float>& a, const std::vector<float>& b,
                   std::size_t dimensions) {
  double sum = 0;
  const std::size_t rows = a.size() / dimensions;
  for (std::size_t r = 0; r < rows; ++r) {
    double dot = 0, aa = 0, bb = 0;
    for (std::size_t i = r * dimensions; i < (r + 1) * dimensions; ++i) {
      dot += static_cast<double>(a[i]) * b[i];
      aa += static_cast<double>(a[i]) * a[i];
      bb += static_cast<double>(b[i]) * b[i];
    }
    sum += dot / std::sqrt(aa * bb);
  }
  return sum / static_cast<double>(rows);
}

/// Runs `pass` (one sweep over all texts, returns tokens) for at least `seconds`.
template <typename Pass>
Row time_passes(std::string name, double seconds, const Pass& pass) {
  pass();
  std::uint64_t tokens = 0;
  const double cpu = cpu_seconds();
  const auto begin = Clock::now();
  double took = 0;
  while ((took = std::chrono::duration<double>(Clock::now() - begin).count()) < seconds)
    tokens += pass();
  const auto count = static_cast<double>(tokens);
  return {.name = std::move(name),
          .per_cpu_second = count / (cpu_seconds() - cpu),
          .per_second = count / took};
}

/// Median milliseconds of queries of 3 to 24 tokens, as they come from people.
Result<double> query_ms(const std::filesystem::path& model_dir, Precision precision,
                        std::size_t threads) {
  KNAP_TRY(const auto engine,
           EmbedEngine::open(
               {.model_dir = model_dir, .precision = precision, .interactive_threads = threads}));
  std::vector<float> out(engine->dimensions());
  std::vector<double> times;
  for (int i = 0; i < 440; ++i) {
    const Ids ids(static_cast<std::size_t>(3 + i % 22), 2'000 + i);
    const auto* text = &ids;
    const auto begin = Clock::now();
    KNAP_CHECK_OK(engine->run({&text, 1}, out, Lane::kInteractive));
    const double took = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
    if (i >= 44) times.push_back(took);  // kernels for each length are made first
  }
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2];
}

/// All texts once, in batches of like length, as background work is done.
class Sweep {
 public:
  Sweep(EmbedEngine& engine, const std::vector<std::string>& texts) : engine_(engine) {
    for (const auto& text : texts) ids_.push_back(engine.tokenize(text));
    order_.resize(texts.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::sort(order_.begin(), order_.end(),
              [&](auto a, auto b) { return ids_[a].size() < ids_[b].size(); });
  }

  /// @param out  texts x dimensions  @return tokens
  Result<std::uint64_t> run(std::vector<float>& out) const {
    constexpr std::size_t kBatch = 8;
    const std::size_t dimensions = engine_.dimensions();
    out.resize(order_.size() * dimensions);
    std::uint64_t tokens = 0;
    std::vector<float> rows(kBatch * dimensions);
    for (std::size_t at = 0; at < order_.size(); at += kBatch) {
      std::vector<const Ids*> batch;
      for (std::size_t i = at; i < std::min(at + kBatch, order_.size()); ++i)
        batch.push_back(&ids_[order_[i]]);
      KNAP_CHECK_OK(
          engine_.run(batch, std::span(rows.data(), batch.size() * dimensions), Lane::kBackground));
      for (std::size_t i = 0; i < batch.size(); ++i) {
        tokens += batch[i]->size();
        std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(i * dimensions), dimensions,
                    out.begin() + static_cast<std::ptrdiff_t>(order_[at + i] * dimensions));
      }
    }
    return tokens;
  }

 private:
  EmbedEngine& engine_;
  std::vector<Ids> ids_;
  std::vector<std::size_t> order_;
};

/// Tokens a second of two threads that sweep side by side.
double on_two_threads(const Sweep& sweep, double seconds) {
  std::atomic<std::uint64_t> tokens = 0;
  const auto begin = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  const auto work = [&] {
    std::vector<float> out;
    while (elapsed() < seconds) tokens += sweep.run(out).value_or(0);
  };
  std::thread other(work);
  work();
  other.join();
  return static_cast<double>(tokens) / elapsed();
}

Result<Row> run_engine(const std::filesystem::path& model_dir, Precision precision,
                       const std::vector<std::string>& texts, double seconds,
                       std::vector<float>& out) {
  KNAP_TRY(const auto engine,
           EmbedEngine::open({.model_dir = model_dir, .precision = precision, .streams = 2}));
  const Sweep sweep(*engine, texts);
  Status failed;
  auto row = time_passes("knap " + std::string(to_string(precision)), seconds, [&] {
    const auto tokens = sweep.run(out);
    if (!tokens) failed = tokens.error();
    return tokens.value_or(0);
  });
  if (!failed) return failed.error();
  row.two_threads_per_second = on_two_threads(sweep, seconds);
  for (const std::size_t threads : {1U, 2U}) {
    KNAP_TRY(row.query_ms[threads - 1], query_ms(model_dir, precision, threads));
  }
  return row;
}

Result<Row> run_llama(const std::filesystem::path& gguf, const std::vector<std::string>& texts,
                      double seconds, std::vector<float>& out) {
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  ggml_backend_load_all_from_path(KNAP_GGML_BACKEND_DIR);
  const std::unique_ptr<llama_model, decltype(&llama_model_free)> model(
      llama_model_load_from_file(gguf.c_str(), processor_only()), llama_model_free);
  if (!model) return make_error(ErrorCode::kCorruptData, "llama.cpp cannot load " + gguf.string());
  // One text a step, as encoders are run: several joined in a larger step were slower.
  constexpr std::uint32_t kUbatch = 512;
  auto parameters = llama_context_default_params();
  parameters.n_ctx = kUbatch;
  parameters.n_batch = kUbatch;
  parameters.n_ubatch = kUbatch;
  parameters.n_threads = parameters.n_threads_batch = 1;
  parameters.embeddings = true;
  const std::unique_ptr<llama_context, decltype(&llama_free)> context(
      llama_init_from_model(model.get(), parameters), llama_free);
  if (!context) return make_error(ErrorCode::kInternal, "llama.cpp cannot make a context");
  const llama_vocab* vocab = llama_model_get_vocab(model.get());
  std::vector<std::vector<llama_token>> ids;
  for (const auto& text : texts) {
    std::vector<llama_token> tokens(512);
    const int count = llama_tokenize(vocab, text.data(), static_cast<std::int32_t>(text.size()),
                                     tokens.data(), 512, true, true);
    tokens.resize(static_cast<std::size_t>(std::clamp(count, 1, 256)));
    ids.push_back(tokens);
  }
  const auto dimensions = static_cast<std::size_t>(llama_model_n_embd(model.get()));
  out.assign(texts.size() * dimensions, 0);
  return time_passes("llama.cpp q8_0", seconds, [&] {
    std::uint64_t tokens = 0;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      llama_batch batch =
          llama_batch_get_one(ids[i].data(), static_cast<std::int32_t>(ids[i].size()));
      llama_encode(context.get(), batch);
      tokens += ids[i].size();
      if (const float* values = llama_get_embeddings_seq(context.get(), 0)) {
        std::copy_n(values, dimensions, out.begin() + static_cast<std::ptrdiff_t>(i * dimensions));
      }
    }
    return tokens;
  });
}

std::filesystem::path default_model_dir() {
  constexpr std::string_view kModel = "all-minilm-l6-v2";
  if (const char* models = std::getenv("KNAP_MODELS_DIR"))
    return std::filesystem::path(models) / kModel;
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home == nullptr ? "/" : home) / ".local/share/knap/models" / kModel;
}

int run(int argc, char** argv) {
  const std::filesystem::path model_dir =
      argc > 1 ? std::filesystem::path(argv[1]) : default_model_dir();
  if (!std::filesystem::exists(model_dir / "model.safetensors")) {
    std::printf("skipped: no model in %s; run `knap models pull --default`\n", model_dir.c_str());
    return 0;
  }
  const double seconds = argc > 2 ? std::stod(argv[2]) : 5;
  const auto texts = make_texts();
  std::vector<Row> rows;
  std::vector<float> reference, out;
  for (const auto precision : {Precision::kF32, Precision::kBf16, Precision::kInt8,
                               Precision::kInt8Bf16, Precision::kInt8Plain}) {
    auto row = run_engine(model_dir, precision, texts, seconds,
                          precision == Precision::kF32 ? reference : out);
    if (!row) {
      std::fprintf(stderr, "%s\n", row.error().message.c_str());
      return 1;
    }
    row->cosine = precision == Precision::kF32
                      ? 1
                      : mean_cosine(reference, out, reference.size() / texts.size());
    rows.push_back(*row);
  }
  const auto gguf = std::filesystem::temp_directory_path() / "knap_embed_bench.gguf";
  if (auto status = write_bert_gguf(model_dir, gguf, BertWeights::kQ8); !status) {
    std::fprintf(stderr, "%s\n", status.error().message.c_str());
    return 1;
  }
  auto llama = run_llama(gguf, texts, seconds, out);
  std::filesystem::remove(gguf);
  if (!llama) {
    std::fprintf(stderr, "%s\n", llama.error().message.c_str());
    return 1;
  }
  llama->cosine = mean_cosine(reference, out, reference.size() / texts.size());
  rows.push_back(*llama);
  std::printf("knap %s, %u cores, %zu texts, best precision here: %s\n",
              std::string(version()).c_str(), std::thread::hardware_concurrency(), texts.size(),
              std::string(to_string(best_precision())).c_str());
  std::printf("%-20s %14s %12s %12s %8s %10s %8s %10s %10s\n", "engine", "tokens/cpu-s", "tokens/s",
              "2 threads", "times", "cosine", "ratio", "query ms", "2 threads");
  bool good = true;
  for (const auto& row : rows) {
    std::printf("%-20s %14.0f %12.0f %12.0f %8.2f %10.5f %8.2f %10.2f %10.2f\n", row.name.c_str(),
                row.per_cpu_second, row.per_second, row.two_threads_per_second,
                row.two_threads_per_second / row.per_second, row.cosine,
                row.per_cpu_second / llama->per_cpu_second, row.query_ms[0], row.query_ms[1]);
    good = good && row.cosine > .97;
  }
  return good ? 0 : 1;  // A fast wrong answer is no result.
}

}  // namespace
}  // namespace knap::models::runner

int main(int argc, char** argv) { return knap::models::runner::run(argc, argv); }
