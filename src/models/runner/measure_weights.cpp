#include "runner/measure_weights.hpp"

#include <fmt/format.h>
#include <ggml-backend.h>
#include <llama.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "knap/base/file.hpp"
#include "knap/base/json_text.hpp"
#include "process.hpp"
#include "runner/devices.hpp"
#include "runner/measure_speech.hpp"

namespace knap::models::runner {
namespace {

using Clock = std::chrono::steady_clock;

// As llama.cpp's own perplexity: windows of 512 tokens, of which the second half is scored, so that
// every scored token has at least 256 before it.
constexpr std::uint32_t kWindow = 512;
constexpr std::uint32_t kScored = kWindow / 2;
constexpr std::uint32_t kWritten = 48;
constexpr int kRepeats = 3;  // the median counts
constexpr std::uint64_t kTextBytesMax = 64U << 20;
constexpr std::size_t kLineTokensMax = 256;
constexpr std::uint32_t kTokensMax = 1'000'000;

struct Arguments {
  std::string file, text, choices, vectors, clips, language;
  std::uint32_t tokens = 4'096;
  int threads = 1;
};

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

std::vector<llama_token> tokenize(const llama_vocab* vocab, std::string_view text, bool special) {
  std::vector<llama_token> tokens(text.size() + 8);
  const int count =
      llama_tokenize(vocab, text.data(), static_cast<std::int32_t>(text.size()), tokens.data(),
                     static_cast<std::int32_t>(tokens.size()), special, false);
  tokens.resize(static_cast<std::size_t>(std::max(count, 0)));
  return tokens;
}

class Measured {
 public:
  static Result<std::unique_ptr<Measured>> open(const Arguments& arguments) {
    llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
    ggml_backend_load_all_from_path(KNAP_GGML_BACKEND_DIR);
    llama_backend_init();
    std::unique_ptr<Measured> self(new Measured(arguments));
    const auto begin = Clock::now();
    self->model_.reset(llama_model_load_from_file(arguments.file.c_str(), processor_only()));
    if (!self->model_) {
      return make_error(ErrorCode::kCorruptData,
                        fmt::format("llama.cpp cannot load {}", arguments.file));
    }
    auto parameters = llama_context_default_params();
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = kWindow;
    parameters.n_threads = parameters.n_threads_batch = arguments.threads;
    parameters.embeddings = self->encoder();
    self->context_.reset(llama_init_from_model(self->model_.get(), parameters));
    if (!self->context_) return make_error(ErrorCode::kInternal, "llama.cpp cannot make a context");
    self->vocab_ = llama_model_get_vocab(self->model_.get());
    self->load_ms_ = seconds_since(begin) * 1e3;
    return self;
  }

  Result<boost::json::object> measure() {
    KNAP_TRY(const std::string text, read_file(arguments_.text, kTextBytesMax));
    boost::json::object out;
    out["load_ms"] = load_ms_;
    if (encoder()) {
      KNAP_CHECK_OK(embed_lines(text, out));
    } else {
      KNAP_CHECK_OK(score(text, out));
      KNAP_CHECK_OK(speed(out));
    }
    out["resident_bytes"] = resident_bytes(::getpid());
    return out;
  }

 private:
  explicit Measured(const Arguments& arguments) : arguments_(arguments) {}

  bool encoder() const {
    char architecture[64] = {};
    llama_model_meta_val_str(model_.get(), "general.architecture", architecture,
                             sizeof architecture);
    return std::string_view(architecture).find("bert") != std::string_view::npos;
  }

  Status decode(std::vector<llama_token>& tokens, std::size_t begin, std::size_t count,
                bool all_logits) {
    std::vector<llama_pos> positions(count);
    std::vector<std::int32_t> counts(count, 1);
    std::vector<llama_seq_id> slots(count, 0);
    std::vector<llama_seq_id*> pointers(count);
    std::vector<std::int8_t> outputs(count, all_logits ? 1 : 0);
    outputs.back() = 1;
    for (std::size_t i = 0; i < count; ++i) {
      positions[i] = static_cast<llama_pos>(next_ + i);
      pointers[i] = &slots[i];
    }
    next_ += count;
    const llama_batch batch{.n_tokens = static_cast<std::int32_t>(count),
                            .token = tokens.data() + begin,
                            .embd = nullptr,
                            .pos = positions.data(),
                            .n_seq_id = counts.data(),
                            .seq_id = pointers.data(),
                            .logits = outputs.data()};
    if (llama_decode(context_.get(), batch) != 0)
      return make_error(ErrorCode::kInternal, "llama.cpp cannot compute this model");
    return {};
  }

  void forget() {
    llama_memory_clear(llama_get_memory(context_.get()), true);
    next_ = 0;
  }

  Status score(std::string_view text, boost::json::object& out) {
    tokens_ = tokenize(vocab_, text.substr(0, std::size_t{arguments_.tokens} * 16), false);
    const std::size_t windows = std::min<std::size_t>(tokens_.size(), arguments_.tokens) / kWindow;
    if (windows == 0) {
      return make_error(
          ErrorCode::kInvalidArgument,
          fmt::format("the text has {} tokens: at least {} are needed", tokens_.size(), kWindow));
    }
    const auto vocabulary = llama_vocab_n_tokens(vocab_);
    double loss = 0;
    std::vector<std::int32_t> choices;
    for (std::size_t w = 0; w < windows; ++w) {
      forget();
      KNAP_CHECK_OK(decode(tokens_, w * kWindow, kWindow, true));
      for (std::uint32_t i = kScored - 1; i + 1 < kWindow; ++i) {
        const float* logits = llama_get_logits_ith(context_.get(), static_cast<std::int32_t>(i));
        const float* best = std::max_element(logits, logits + vocabulary);
        double sum = 0;
        for (std::int32_t t = 0; t < vocabulary; ++t)
          sum += std::exp(static_cast<double>(logits[t]) - *best);
        loss += std::log(sum) + *best - logits[tokens_[w * kWindow + i + 1]];
        choices.push_back(static_cast<std::int32_t>(best - logits));
      }
    }
    out["scored_tokens"] = choices.size();
    out["perplexity"] = std::exp(loss / static_cast<double>(choices.size()));
    return compare(choices, out);
  }

  Status compare(const std::vector<std::int32_t>& choices, boost::json::object& out) const {
    const std::string_view bytes(reinterpret_cast<const char*>(choices.data()),
                                 choices.size() * sizeof(std::int32_t));
    std::error_code error;
    if (!std::filesystem::exists(arguments_.choices, error)) {
      out["agreement"] = 1.0;
      return write_file_atomic(arguments_.choices, bytes);
    }
    KNAP_TRY(const std::string original, read_file(arguments_.choices, kTextBytesMax));
    if (original.size() != bytes.size())
      return make_error(ErrorCode::kInternal, "the original read the text in other tokens");
    std::size_t same = 0;
    for (std::size_t i = 0; i < choices.size(); ++i)
      same += original.compare(i * 4, 4, bytes.substr(i * 4, 4)) == 0 ? 1 : 0;
    out["agreement"] = static_cast<double>(same) / static_cast<double>(choices.size());
    return {};
  }

  Status speed(boost::json::object& out) {
    std::vector<double> reading, writing;
    for (int i = 0; i < kRepeats; ++i) {
      forget();
      auto begin = Clock::now();
      KNAP_CHECK_OK(decode(tokens_, 0, kWindow - kWritten, false));
      reading.push_back((kWindow - kWritten) / seconds_since(begin));
      begin = Clock::now();
      for (std::uint32_t t = 0; t < kWritten; ++t)
        KNAP_CHECK_OK(decode(tokens_, kWindow - kWritten + t, 1, false));
      writing.push_back(kWritten / seconds_since(begin));
    }
    std::sort(reading.begin(), reading.end());
    std::sort(writing.begin(), writing.end());
    out["read_tokens_per_second"] = reading[kRepeats / 2];
    out["write_tokens_per_second"] = writing[kRepeats / 2];
    return {};
  }

  Status embed_lines(std::string_view text, boost::json::object& out) {
    const auto dimensions = static_cast<std::size_t>(llama_model_n_embd(model_.get()));
    std::vector<float> vectors;
    std::uint64_t read = 0;
    const auto begin = Clock::now();
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find('\n', at), text.size());
      auto tokens = tokenize(vocab_, text.substr(at, end - at), true);
      at = end + 1;
      if (tokens.size() > kLineTokensMax) {
        tokens[kLineTokensMax - 1] = tokens.back();  // [SEP]
        tokens.resize(kLineTokensMax);
      }
      const llama_batch batch =
          llama_batch_get_one(tokens.data(), static_cast<std::int32_t>(tokens.size()));
      if (tokens.empty() || llama_encode(context_.get(), batch) != 0)
        return make_error(ErrorCode::kInternal, "llama.cpp cannot compute this encoder");
      const float* values = llama_get_embeddings_seq(context_.get(), 0);
      if (values == nullptr) return make_error(ErrorCode::kInternal, "the encoder gave no vector");
      vectors.insert(vectors.end(), values, values + dimensions);
      read += tokens.size();
    }
    out["read_tokens_per_second"] = static_cast<double>(read) / seconds_since(begin);
    out["dimensions"] = dimensions;
    return write_file_atomic(arguments_.vectors,
                             {reinterpret_cast<const char*>(vectors.data()), vectors.size() * 4});
  }

  const Arguments arguments_;
  std::unique_ptr<llama_model, decltype(&llama_model_free)> model_{nullptr, llama_model_free};
  std::unique_ptr<llama_context, decltype(&llama_free)> context_{nullptr, llama_free};
  const llama_vocab* vocab_ = nullptr;
  std::vector<llama_token> tokens_;
  std::size_t next_ = 0;
  double load_ms_ = 0;
};

Result<boost::json::object> measure_text(const Arguments& arguments) {
  KNAP_TRY(const auto opened, Measured::open(arguments));
  return opened->measure();
}

}  // namespace

int measure_main(int argc, char** argv) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  Arguments arguments;
  CLI::App app("Measures one GGUF file for the command that started it.", "knap runner measure");
  app.add_option("--file", arguments.file)->required();
  auto* text = app.add_option("--text", arguments.text);
  app.add_option("--clips", arguments.clips)->excludes(text);
  app.add_option("--language", arguments.language);
  app.add_option("--choices", arguments.choices);
  app.add_option("--vectors", arguments.vectors);
  app.add_option("--tokens", arguments.tokens)->check(CLI::Range(kWindow, kTokensMax));
  app.add_option("--threads", arguments.threads)->check(CLI::Range(1, 1'024));
  boost::json::object out;
  try {
    app.parse(argc, argv);
    const auto figures = arguments.clips.empty()
                             ? measure_text(arguments)
                             : measure_speech(arguments.file, arguments.clips, arguments.language,
                                              static_cast<std::size_t>(arguments.threads));
    if (figures) {
      out = *figures;
    } else {
      out["error"] = figures.error().message;
    }
  } catch (const std::exception& failure) {
    out["error"] = failure.what();
  }
  fmt::print("{}\n", json_text(out));
  return out.contains("error") ? 1 : 0;
}

}  // namespace knap::models::runner
