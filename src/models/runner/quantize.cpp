#include <fmt/format.h>
#include <ggml-backend.h>
#include <llama.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cmath>
#include <fstream>
#include <optional>

#include "gguf_header.hpp"
#include "knap/base/file.hpp"
#include "knap/models/measure.hpp"
#include "runner/bert_gguf.hpp"
#include "runner/judged_vectors.hpp"
#include "runner/measuring.hpp"
#include "runner/quantize_speech.hpp"

namespace knap::models {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

struct Level {
  std::string_view name;
  llama_ftype type;
  double bits;  // a weight takes about so many
};
constexpr std::array kLevels{Level{"F32", LLAMA_FTYPE_ALL_F32, 32},
                             Level{"F16", LLAMA_FTYPE_MOSTLY_F16, 16},
                             Level{"Q8_0", LLAMA_FTYPE_MOSTLY_Q8_0, 8.5},
                             Level{"Q6_K", LLAMA_FTYPE_MOSTLY_Q6_K, 6.6},
                             Level{"Q5_K_M", LLAMA_FTYPE_MOSTLY_Q5_K_M, 5.7},
                             Level{"Q4_K_M", LLAMA_FTYPE_MOSTLY_Q4_K_M, 4.9}};

constexpr std::uint64_t kVectorsBytesMax = 1ULL << 30;
constexpr std::uint64_t kTextBytesMax = 64U << 20;
constexpr std::size_t kParagraphsMax = 200;
constexpr std::size_t kParagraphBytesMin = 40;

const Level* find_level(std::string_view name) {
  const auto* found = std::ranges::find(kLevels, name, &Level::name);
  return found == kLevels.end() ? nullptr : found;
}

/// Paragraphs of a text, each as one line.
std::string paragraphs_of(std::string_view text) {
  std::string out;
  std::size_t count = 0;
  for (std::size_t at = 0; at < text.size() && count < kParagraphsMax;) {
    const std::size_t end = std::min(text.find("\n\n", at), text.size());
    std::string line(text.substr(at, end - at));
    std::ranges::replace(line, '\n', ' ');
    at = end + 2;
    if (line.size() < kParagraphBytesMin) continue;
    out += line + "\n";
    ++count;
  }
  return out;
}

double mean_cosine(const std::vector<float>& a, const std::vector<float>& b,
                   std::size_t dimensions) {
  double sum = 0;
  for (std::size_t row = 0; row + dimensions <= a.size(); row += dimensions) {
    double dot = 0, aa = 0, bb = 0;
    for (std::size_t i = row; i < row + dimensions; ++i) {
      dot += static_cast<double>(a[i]) * b[i];
      aa += static_cast<double>(a[i]) * a[i];
      bb += static_cast<double>(b[i]) * b[i];
    }
    sum += dot / std::sqrt(aa * bb);
  }
  return sum / static_cast<double>(a.size() / dimensions);
}

class Quantizer {
 public:
  Quantizer(const QuantizeOptions& options, const Models::Progress& progress,
            const CancelToken& cancel, const runner::MeasuringFolder& folder)
      : options_(options), progress_(progress), cancel_(cancel), folder_(folder) {}

  Result<QuantizeReport> run() {
    KNAP_CHECK_OK(open_source());
    KNAP_CHECK_OK(make_text());
    KNAP_CHECK_OK(measure("original", source_));
    for (const auto& level : options_.levels) {
      if (cancel_.cancelled()) return make_error(ErrorCode::kCancelled, "stopped");
      const fs::path file = folder_.path() / fmt::format("{}.gguf", level);
      KNAP_CHECK_OK(write_level(*find_level(level), file));
      KNAP_CHECK_OK(measure(level, file));
      if (options_.keep) KNAP_CHECK_OK(options_.keep(level, file));
      std::error_code ignored;
      fs::remove(file, ignored);
    }
    return std::move(report_);
  }

 private:
  Status open_source() {
    if (fs::is_directory(options_.source)) {
      source_ = folder_.path() / "source.gguf";
      report_.encoder = true;
      KNAP_CHECK_OK(runner::write_bert_gguf(options_.source, source_, runner::BertWeights::kF32));
      source_bits_ = 32;
      return {};
    }
    source_ = options_.source;
    KNAP_TRY(const GgufHeader header, read_gguf_header(source_));
    report_.encoder = header.architecture.find("bert") != std::string::npos;
    const std::string& from = header.quantisation;
    if (from != "F32" && from != "F16" && from != "BF16")
      report_.requantised_from = from.empty() ? "an unknown type" : from;
    const Level* known = find_level(from);
    source_bits_ = known != nullptr ? known->bits : from.starts_with("Q4") ? 4.5 : 8;
    return {};
  }

  Status make_text() {
    text_ = options_.text;
    if (!report_.encoder) return {};
    KNAP_TRY(const std::string whole, read_file(options_.text, kTextBytesMax));
    std::string lines = paragraphs_of(whole);
    report_.paragraphs = static_cast<std::uint64_t>(std::ranges::count(lines, '\n'));
    if (report_.paragraphs == 0) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("{} has no paragraph of at least {} bytes",
                                    options_.text.string(), kParagraphBytesMin));
    }
    if (!options_.judged.empty()) {
      KNAP_TRY(judged_, runner::read_judged_documents(options_.judged, options_.documents));
      report_.documents = judged_->documents.size();
      report_.queries = judged_->queries.size();
      for (const auto* texts : {&judged_->documents, &judged_->queries})
        for (const std::string& line : *texts) lines += line + "\n";
    }
    text_ = folder_.path() / "lines.txt";
    return write_file_atomic(text_, lines);
  }

  Status write_level(const Level& level, const fs::path& file) {
    std::error_code error;
    const auto bytes = static_cast<std::uint64_t>(
        static_cast<double>(fs::file_size(source_, error)) * level.bits / source_bits_ * 1.2);
    KNAP_CHECK_OK(runner::check_space(folder_, level.name, bytes));
    if (progress_) progress_(fmt::format("quantising to {}", level.name), 0, 0);
    auto parameters = llama_model_quantize_default_params();
    parameters.nthread = static_cast<std::int32_t>(options_.threads);
    parameters.ftype = level.type;
    parameters.allow_requantize = true;
    if (llama_model_quantize(source_.c_str(), file.c_str(), &parameters) != 0) {
      return make_error(ErrorCode::kUnsupported,
                        fmt::format("llama.cpp cannot quantise {} to {}",
                                    options_.source.filename().string(), level.name));
    }
    return {};
  }

  Result<json::object> run_measure(const fs::path& file) {
    return runner::run_measuring(
        options_.program,
        {"--file", file.string(), "--text", text_.string(), "--tokens",
         fmt::format("{}", options_.tokens), "--threads", fmt::format("{}", options_.threads),
         "--choices", (folder_.path() / "choices").string(), "--vectors",
         (folder_.path() / "vectors").string()},
        folder_, cancel_);
  }

  Status measure(const std::string& level, const fs::path& file) {
    if (progress_) progress_(fmt::format("measuring {}", level), 0, 0);
    KNAP_TRY(const json::object figures, run_measure(file));
    const auto number = [&](std::string_view key) { return runner::figure(figures, key); };
    LevelFigures row;
    row.level = level;
    std::error_code error;
    row.bytes = fs::file_size(file, error);
    row.resident_bytes = static_cast<std::uint64_t>(number("resident_bytes"));
    row.load_ms = number("load_ms");
    row.read_tokens_per_second = number("read_tokens_per_second");
    row.write_tokens_per_second = number("write_tokens_per_second");
    row.perplexity = number("perplexity");
    row.agreement = number("agreement");
    report_.scored_tokens = static_cast<std::uint64_t>(number("scored_tokens"));
    if (report_.encoder)
      KNAP_CHECK_OK(compare_vectors(static_cast<std::size_t>(number("dimensions")), row));
    report_.levels.push_back(std::move(row));
    return {};
  }

  Status compare_vectors(std::size_t dimensions, LevelFigures& row) {
    KNAP_TRY(const std::string bytes, read_file(folder_.path() / "vectors", kVectorsBytesMax));
    std::vector<float> all(bytes.size() / sizeof(float));
    std::copy_n(bytes.data(), all.size() * sizeof(float), reinterpret_cast<char*>(all.data()));
    const std::size_t rows = report_.paragraphs + report_.documents + report_.queries;
    if (dimensions == 0 || all.size() != rows * dimensions)
      return make_error(ErrorCode::kInternal, "the encoder gave another number of vectors");
    const auto middle = all.begin() + static_cast<std::ptrdiff_t>(report_.paragraphs * dimensions);
    const std::vector<float> paragraphs(all.begin(), middle);
    if (original_.empty()) original_ = paragraphs;
    row.cosine = mean_cosine(original_, paragraphs, dimensions);
    if (judged_) {
      row.ndcg_10 =
          runner::mean_ndcg_10(*judged_, std::vector<float>(middle, all.end()), dimensions);
    }
    return {};
  }

  const QuantizeOptions& options_;
  const Models::Progress& progress_;
  const CancelToken& cancel_;
  const runner::MeasuringFolder& folder_;
  fs::path source_, text_;
  double source_bits_ = 16;
  std::optional<runner::JudgedDocuments> judged_;
  std::vector<float> original_;
  QuantizeReport report_;
};

Status check_levels(const std::vector<std::string>& levels) {
  for (const auto& level : levels) {
    if (find_level(level) == nullptr) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("no level is called '{}': one of {}", level,
                                    fmt::join(quantisation_levels(), ", ")));
    }
  }
  return {};
}

}  // namespace

const std::vector<std::string>& quantisation_levels() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> names;
    for (const Level& level : kLevels) names.emplace_back(level.name);
    return names;
  }();
  return kNames;
}

Result<QuantizeReport> quantize_model(const QuantizeOptions& options,
                                      const Models::Progress& progress, const CancelToken& cancel) {
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  ggml_backend_load_all_from_path(KNAP_GGML_BACKEND_DIR);
  KNAP_CHECK_OK(check_levels(options.levels));
  KNAP_TRY(const auto folder, runner::MeasuringFolder::make(options.scratch));
  if (!options.clips.empty()) return runner::quantize_speech(options, folder, progress, cancel);
  return Quantizer(options, progress, cancel, folder).run();
}

}  // namespace knap::models
