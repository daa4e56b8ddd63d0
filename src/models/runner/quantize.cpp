#include <fcntl.h>
#include <fmt/format.h>
#include <ggml-backend.h>
#include <llama.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cmath>
#include <fstream>
#include <optional>

#include "gguf_header.hpp"
#include "knap/base/file.hpp"
#include "knap/models/measure.hpp"
#include "process.hpp"
#include "runner/bert_gguf.hpp"
#include "runner/judged_vectors.hpp"

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

constexpr const char* kLockName = "lock";
constexpr std::uint64_t kFiguresBytesMax = 1U << 20;
constexpr std::uint64_t kVectorsBytesMax = 1ULL << 30;
constexpr std::uint64_t kTextBytesMax = 64U << 20;
constexpr std::size_t kParagraphsMax = 200;
constexpr std::size_t kParagraphBytesMin = 40;
constexpr std::chrono::minutes kMeasureTimeMax{60};

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
            const CancelToken& cancel)
      : options_(options), progress_(progress), cancel_(cancel) {}
  ~Quantizer() {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
    if (lock_ >= 0) ::close(lock_);
  }
  Quantizer(const Quantizer&) = delete;
  Quantizer& operator=(const Quantizer&) = delete;

  Result<QuantizeReport> run() {
    for (const auto& level : options_.levels) {
      if (find_level(level) == nullptr) {
        return make_error(ErrorCode::kInvalidArgument,
                          fmt::format("no level is called '{}': one of {}", level,
                                      fmt::join(quantisation_levels(), ", ")));
      }
    }
    KNAP_CHECK_OK(make_folder());
    KNAP_CHECK_OK(open_source());
    KNAP_CHECK_OK(make_text());
    KNAP_CHECK_OK(measure("original", source_));
    for (const auto& level : options_.levels) {
      if (cancel_.cancelled()) return make_error(ErrorCode::kCancelled, "stopped");
      const fs::path file = folder_ / fmt::format("{}.gguf", level);
      KNAP_CHECK_OK(write_level(*find_level(level), file));
      KNAP_CHECK_OK(measure(level, file));
      if (options_.keep) KNAP_CHECK_OK(options_.keep(level, file));
      std::error_code ignored;
      fs::remove(file, ignored);
    }
    return std::move(report_);
  }

 private:
  Status make_folder() {
    std::string pattern = (options_.scratch / "quantize-XXXXXX").string();
    std::error_code error;
    fs::create_directories(options_.scratch, error);
    remove_leftovers();
    if (::mkdtemp(pattern.data()) == nullptr)
      return errno_error(errno, "cannot make a folder in", options_.scratch);
    folder_ = pattern;
    lock_ = take_lock(folder_, O_CREAT);
    if (lock_ < 0) return errno_error(errno, "cannot lock", folder_ / kLockName);
    return {};
  }

  /// Of a folder's lock file; -1: another run holds it, or there is none. The kernel gives the lock
  /// back when its process ends, however that ends.
  static int take_lock(const fs::path& folder, int flags) {
    const int handle = ::open((folder / kLockName).c_str(), O_RDWR | O_CLOEXEC | flags, 0600);
    if (handle < 0 || ::flock(handle, LOCK_EX | LOCK_NB) == 0) return handle;
    ::close(handle);
    return -1;
  }

  /// What a run left that was killed: nobody holds its lock. One without a lock file was killed
  /// between making folder and lock, or is just there; a day tells them apart.
  void remove_leftovers() const {
    std::error_code error;
    const auto old = fs::file_time_type::clock::now() - std::chrono::hours(24);
    for (const auto& entry : fs::directory_iterator(options_.scratch, error)) {
      if (!entry.path().filename().string().starts_with("quantize-")) continue;
      const int lock = take_lock(entry.path(), 0);
      const bool unlocked = !fs::exists(entry.path() / kLockName, error) &&
                            entry.last_write_time(error) < old && !error;
      if (lock >= 0 || unlocked) fs::remove_all(entry.path(), error);
      if (lock >= 0) ::close(lock);
    }
  }

  Status open_source() {
    if (fs::is_directory(options_.source)) {
      source_ = folder_ / "source.gguf";
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
    text_ = folder_ / "lines.txt";
    return write_file_atomic(text_, lines);
  }

  Status write_level(const Level& level, const fs::path& file) {
    std::error_code error;
    const auto bytes = static_cast<std::uint64_t>(
        static_cast<double>(fs::file_size(source_, error)) * level.bits / source_bits_ * 1.2);
    if (const auto space = fs::space(folder_, error); !error && space.available < bytes) {
      return make_error(ErrorCode::kResourceExhausted,
                        fmt::format("{} needs about {} MB in {}, and {} MB are free: choose fewer "
                                    "levels, or another folder",
                                    level.name, bytes / 1'000'000, folder_.string(),
                                    space.available / 1'000'000));
    }
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
    const fs::path out = folder_ / "figures.json";
    KNAP_TRY(ChildProcess child,
             ChildProcess::start({.arguments = {options_.program.string(), "runner", "measure",
                                                "--file", file.string(), "--text", text_.string(),
                                                "--tokens", fmt::format("{}", options_.tokens),
                                                "--threads", fmt::format("{}", options_.threads),
                                                "--choices", (folder_ / "choices").string(),
                                                "--vectors", (folder_ / "vectors").string()},
                                  .output_file = out.string()}));
    const Deadline deadline = Deadline::after(kMeasureTimeMax);
    while (!child.poll_end()) {
      KNAP_CHECK_OK(still_wanted(cancel_, deadline));
      ::usleep(5'000);
    }
    KNAP_TRY(const std::string text, read_file(out, kFiguresBytesMax));
    boost::system::error_code error;
    const json::value value = json::parse(text, error);
    if (error || !value.is_object()) {
      return make_error(ErrorCode::kInternal,
                        fmt::format("measuring ended with {}", child.poll_end()->describe()));
    }
    if (const auto* failure = value.get_object().if_contains("error"))
      return make_error(ErrorCode::kInternal, std::string(failure->as_string()));
    return value.get_object();
  }

  Status measure(const std::string& level, const fs::path& file) {
    if (progress_) progress_(fmt::format("measuring {}", level), 0, 0);
    KNAP_TRY(const json::object figures, run_measure(file));
    const auto number = [&](std::string_view key) {
      const auto* value = figures.if_contains(key);
      return value == nullptr ? 0.0 : value->to_number<double>();
    };
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
    KNAP_TRY(const std::string bytes, read_file(folder_ / "vectors", kVectorsBytesMax));
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
  fs::path folder_, source_, text_;
  int lock_ = -1;  ///< Held while the folder is in use.
  double source_bits_ = 16;
  std::optional<runner::JudgedDocuments> judged_;
  std::vector<float> original_;
  QuantizeReport report_;
};

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
  return Quantizer(options, progress, cancel).run();
}

}  // namespace knap::models
