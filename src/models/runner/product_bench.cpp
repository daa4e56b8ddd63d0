// How fast a language model reads with the products of BatchProduct and with llama.cpp's own, in
// one process and in turns, by the number of tokens in a step; and what it costs in perplexity.
//
//     product_bench MODEL.gguf TEXT [ROUNDS [KERNELS]]
//
// KERNELS: avx512vnni or avxvnni; with the latter llama.cpp computes as on a processor without
// AVX-512, too.
// Prints tokens a second (median) on two threads, or as many as the machine has cores when fewer.
#include <ggml-backend.h>
#include <llama.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "knap/base/version.hpp"
#include "runner/engine_threads.hpp"
#include "runner/product_backend.hpp"

namespace knap::models::runner {
namespace {

using Clock = std::chrono::steady_clock;
using Model = std::unique_ptr<llama_model, decltype(&llama_model_free)>;
using Context = std::unique_ptr<llama_context, decltype(&llama_free)>;
using Tokens = std::vector<llama_token>;

constexpr std::uint32_t kContext = 512;

/// A context takes the backends that are there when it is made.
struct Reader {
  explicit Reader(llama_model* model)
      : count(std::clamp(std::thread::hardware_concurrency(), 1U, 2U)),
        threads(count),
        context(nullptr, llama_free) {
    auto parameters = llama_context_default_params();
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = kContext;
    parameters.n_threads = parameters.n_threads_batch = static_cast<std::int32_t>(count);
    context.reset(llama_init_from_model(model, parameters));
  }

  const unsigned count;
  const EngineThreads threads;
  Context context;
};

bool read(const Reader& reader, Tokens& tokens, std::size_t step) {
  llama_context* context = reader.context.get();
  llama_memory_clear(llama_get_memory(context), true);
  reader.threads.attach(context, step);
  for (std::size_t i = 0; i < tokens.size(); i += step) {
    const auto count = static_cast<std::int32_t>(std::min(step, tokens.size() - i));
    if (llama_decode(context, llama_batch_get_one(tokens.data() + i, count)) != 0) return false;
  }
  return true;
}

double seconds_to_read(const Reader& reader, Tokens& tokens, std::size_t step) {
  // The other reader's threads still look for work for a while.
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const auto begin = Clock::now();
  if (!read(reader, tokens, step)) return NAN;
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

/// The mean surprise of the text's tokens, each after those of its window.
double perplexity(const llama_model* model, const Reader& reader, const Tokens& tokens,
                  std::size_t window) {
  llama_context* context = reader.context.get();
  reader.threads.attach(context, window);
  const auto words = static_cast<std::size_t>(llama_vocab_n_tokens(llama_model_get_vocab(model)));
  double sum = 0;
  std::size_t counted = 0;
  llama_batch batch = llama_batch_init(static_cast<std::int32_t>(window), 0, 1);
  for (std::size_t begin = 0; begin + window <= tokens.size(); begin += window) {
    llama_memory_clear(llama_get_memory(context), true);
    batch.n_tokens = static_cast<std::int32_t>(window);
    for (std::size_t i = 0; i < window; ++i) {
      batch.token[i] = tokens[begin + i];
      batch.pos[i] = static_cast<llama_pos>(i);
      batch.n_seq_id[i] = 1;
      batch.seq_id[i][0] = 0;
      batch.logits[i] = 1;
    }
    if (llama_decode(context, batch) != 0) break;
    for (std::size_t i = 0; i + 1 < window; ++i, ++counted) {
      const float* logits = llama_get_logits_ith(context, static_cast<std::int32_t>(i));
      const float largest = *std::max_element(logits, logits + words);
      double total = 0;
      for (std::size_t w = 0; w < words; ++w)
        total += std::exp(static_cast<double>(logits[w]) - largest);
      sum += std::log(total) + largest - logits[static_cast<std::size_t>(tokens[begin + i + 1])];
    }
  }
  llama_batch_free(batch);
  return std::exp(sum / static_cast<double>(std::max<std::size_t>(counted, 1)));
}

Tokens tokens_of(const llama_model* model, const std::string& text) {
  const llama_vocab* vocabulary = llama_model_get_vocab(model);
  Tokens out(text.size() + 2);
  const auto count =
      llama_tokenize(vocabulary, text.data(), static_cast<std::int32_t>(text.size()), out.data(),
                     static_cast<std::int32_t>(out.size()), false, false);
  out.resize(static_cast<std::size_t>(std::max(count, 0)));
  return out;
}

int run(int argc, char** argv) {
  if (argc < 3) {
    std::printf("usage: product_bench MODEL.gguf TEXT [ROUNDS [KERNELS]]\n");
    return 2;
  }
  const int rounds = argc > 3 ? std::stoi(argv[3]) : 5;
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  const PanelKernels* kernels = nullptr;
  for (const PanelKernels* each : fast_panel_kernels())
    if (kernels == nullptr && (argc < 5 || each->name == argv[4])) kernels = each;
  if (kernels == nullptr) {
    std::printf("skipped: this processor has no such kernels\n");
    return 0;
  }
  if (kernels == avx_vnni_panel_kernels()) {
    ggml_backend_load(KNAP_GGML_BACKEND_DIR "/libggml-cpu-alderlake.so");
  } else {
    ggml_backend_load_all_from_path(KNAP_GGML_BACKEND_DIR);
  }
  auto model_parameters = llama_model_default_params();
  const Model model(llama_model_load_from_file(argv[1], model_parameters), llama_model_free);
  std::ifstream file(argv[2]);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!model || text.empty()) {
    std::fprintf(stderr, "cannot read %s or %s\n", argv[1], argv[2]);
    return 1;
  }
  const Reader theirs(model.get());
  register_product_backend(*kernels);
  const Reader ours(model.get());
  if (!theirs.context || !ours.context) return 1;

  const Tokens all = tokens_of(model.get(), text);
  Tokens prompt(all.begin(),
                all.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(all.size(), 500)));
  std::printf("knap %s, %s, %s, %zu tokens of prompt\n", std::string(version()).c_str(),
              std::string(kernels->name).c_str(), argv[1], prompt.size());
  std::printf("%8s %12s %12s %8s\n", "step", "llama.cpp", "knap", "times");
  for (const std::size_t step : {16U, 24U, 32U, 64U, 128U, 256U, 512U}) {
    std::vector<double> a, b;
    for (int round = 0; round < rounds; ++round) {
      a.push_back(seconds_to_read(theirs, prompt, step));
      b.push_back(seconds_to_read(ours, prompt, step));
    }
    const auto count = static_cast<double>(prompt.size());
    std::printf("%8zu %12.1f %12.1f %8.2f\n", step, count / median(a), count / median(b),
                median(a) / median(b));
  }
  constexpr std::size_t kWindow = 256, kWindows = 8;
  const Tokens judged(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(
                                                     std::min(all.size(), kWindow * kWindows)));
  std::printf("perplexity of %zu tokens: llama.cpp %.4f, knap %.4f\n", judged.size(),
              perplexity(model.get(), theirs, judged, kWindow),
              perplexity(model.get(), ours, judged, kWindow));
  return 0;
}

}  // namespace
}  // namespace knap::models::runner

int main(int argc, char** argv) { return knap::models::runner::run(argc, argv); }
