#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "catalogue.hpp"
#include "gguf_header.hpp"
#include "knap/base/file.hpp"
#include "knap/models/manage.hpp"
#include "model_files.hpp"
#include "pull.hpp"

namespace knap::models {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kImportedBytesMax = 4U << 20;
constexpr std::uint64_t kSpareBytes = 64U << 20;  // left free on the disk
constexpr std::size_t kCopyStepBytes = 8U << 20;
constexpr std::uint32_t kContextDefault =
    4'096;  // as of the shipped models: longer ones cost memory

Result<Catalogue> open_imported(const ModelsOptions& options) {
  const fs::path file = imported_catalogue(options.models_dir);
  std::error_code error;
  if (!fs::exists(file, error)) return Catalogue();
  KNAP_TRY(const std::string text, read_file(file, kImportedBytesMax));
  auto catalogue = Catalogue::parse(text);
  if (!catalogue) return with_context(std::move(catalogue).error(), file.string());
  return catalogue;
}

// A double-quoted YAML text: names in a model file are hostile.
std::string yaml_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7F) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
  }
  return out + '"';
}

std::string entry_of(const ModelSpec& spec) {
  const ModelFile& file = spec.files.front();
  std::string out =
      fmt::format("  {}:\n    role: answer\n    summary: {}\n    licence: {}\n    context: {}\n",
                  spec.name, yaml_text(spec.summary), yaml_text(spec.licence), spec.context);
  if (!spec.quantisation.empty()) out += fmt::format("    quantisation: {}\n", spec.quantisation);
  if (spec.trained_context > 0)
    out += fmt::format("    trained_context: {}\n", spec.trained_context);
  if (spec.attention.bytes_per_token() > 0) {
    out += fmt::format("    attention: {{layers: {}, kv_heads: {}, head_size: {}}}\n",
                       spec.attention.layers, spec.attention.kv_heads, spec.attention.head_size);
  }
  return out + fmt::format("    files:\n      - {{name: model.gguf, bytes: {}, sha256: {}}}\n",
                           file.bytes, file.sha256);
}

Status write_imported(const ModelsOptions& options, const Catalogue& catalogue) {
  std::string text =
      "# Written by `knap models import`. Changes by hand belong in models.yaml beside it.\n"
      "version: 1\nmodels:";
  text += catalogue.models().empty() ? " {}\n" : "\n";
  for (const auto& [name, spec] : catalogue.models()) text += entry_of(spec);
  return write_file_atomic(imported_catalogue(options.models_dir), text);
}

Status check_space(const fs::path& models_dir, std::uint64_t bytes) {
  std::error_code error;
  const fs::space_info space = fs::space(models_dir, error);
  if (error || space.available >= bytes + kSpareBytes) return {};
  return make_error(
      ErrorCode::kResourceExhausted,
      fmt::format("the file needs {} MB and {} has {} MB free: make room, or move "
                  "models.dir",
                  (bytes + kSpareBytes) >> 20, models_dir.string(), space.available >> 20));
}

Status copy_file(const fs::path& from, const fs::path& to, std::uint64_t bytes,
                 const Models::Progress& progress, const CancelToken& cancel) {
  const FileDescriptor source(::open(from.c_str(), O_RDONLY | O_CLOEXEC));
  if (!source.valid()) return errno_error(errno, "cannot read", from);
  const FileDescriptor target(::open(to.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!target.valid()) return errno_error(errno, "cannot write", to);
  for (std::uint64_t done = 0; done < bytes;) {
    if (cancel.cancelled()) return make_error(ErrorCode::kCancelled, "stopped");
    const auto step = std::min<std::uint64_t>(kCopyStepBytes, bytes - done);
    const ssize_t got = ::copy_file_range(source.get(), nullptr, target.get(), nullptr, step, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(errno, "cannot copy to", to);
    if (got == 0)
      return make_error(ErrorCode::kIo, fmt::format("{} became shorter", from.string()));
    done += static_cast<std::uint64_t>(got);
    if (progress) progress("copy", done, bytes);
  }
  if (::fsync(target.get()) != 0) return errno_error(errno, "cannot write", to);
  return {};
}

Result<ModelSpec> spec_of(const fs::path& file, std::string_view name) {
  KNAP_TRY(const GgufHeader header, read_gguf_header(file));
  if (!header.has_chat_template) {
    return make_error(
        ErrorCode::kUnsupported,
        fmt::format("{} ({}) has no chat template: only chat models are imported, base models echo "
                    "their prompt",
                    file.string(), header.architecture));
  }
  ModelSpec spec;
  spec.name = name;
  spec.role = Role::kAnswer;
  spec.summary =
      fmt::format("Imported: {}", header.name.empty() ? header.architecture : header.name);
  spec.licence = header.licence.empty() ? "unknown" : header.licence;
  spec.quantisation = header.quantisation;
  spec.trained_context = header.context;
  spec.context = header.context > 0 ? std::min(header.context, kContextDefault) : kContextDefault;
  spec.attention = header.attention;
  std::error_code error;
  const std::uint64_t bytes = fs::file_size(file, error);
  if (error) return errno_error(error.value(), "cannot read", file);
  spec.files.push_back(
      {.name = "model.gguf", .bytes = bytes, .sha256 = {}, .parts = {}, .hub = {}});
  return spec;
}

Status check_name(const ModelsOptions& options, const Catalogue& imported, std::string_view name) {
  if (!is_model_name(name)) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("'{}' is no model name: letters, digits, - _ .", name));
  }
  KNAP_TRY(const Catalogue all, Catalogue::open(options.user_catalogue, options.models_dir));
  if (all.find(name) == nullptr || imported.find(name) != nullptr) return {};
  return make_error(ErrorCode::kAlreadyExists,
                    fmt::format("the catalogue has a model {}: choose another name", name));
}

std::string gigabytes(std::uint64_t bytes) {
  return bytes == 0 ? "unknown" : fmt::format("{:.2f} GB", static_cast<double>(bytes) / 1e9);
}

std::string memory_text(const ModelSpec& spec) {
  if (spec.role != Role::kAnswer) return gigabytes(spec.memory_bytes(0));
  std::string out;
  const std::uint32_t last = spec.trained_context > 0 ? spec.trained_context : spec.context;
  for (std::uint32_t context = 2'048; context <= std::max(last, 2'048U); context *= 4) {
    if (const std::uint64_t bytes = spec.memory_bytes(context); bytes > 0)
      out += fmt::format("{}{} for {} tokens", out.empty() ? "" : ", ", gigabytes(bytes), context);
  }
  return out.empty() ? "unknown until its size is" : out;
}

std::string source_of(const ModelFile& file) {
  std::string out;
  if (!file.parts.empty()) {
    out = file.parts.size() == 1 ? fmt::format("package {}", file.parts.front().package)
                                 : fmt::format("packages {} to {}", file.parts.front().package,
                                               file.parts.back().package);
  }
  if (file.hub) {
    out += fmt::format(
        "{}hub {}/{} at {}", out.empty() ? "" : "; ", file.hub->repository, file.hub->file,
        file.hub->revision.empty() ? "the revision with this checksum" : file.hub->revision);
  }
  return out.empty() ? "brought by you" : out;
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words)
    out += (out.empty() ? "" : ", ") + (word == "*" ? "many" : word);
  return out;
}

}  // namespace

Status import_model(const ModelsOptions& options, const fs::path& file, std::string_view name,
                    const Models::Progress& progress, const CancelToken& cancel) {
  KNAP_TRY(Catalogue imported, open_imported(options));
  KNAP_CHECK_OK(check_name(options, imported, name));
  KNAP_TRY(ModelSpec spec, spec_of(file, name));
  std::error_code error;
  fs::create_directories(options.models_dir, error);
  KNAP_CHECK_OK(check_space(options.models_dir, spec.bytes()));
  const fs::path scratch = options.models_dir / fmt::format(".import-{}-{}", name, ::getpid());
  fs::create_directory(scratch, error);
  struct Cleanup {
    const fs::path& folder;
    ~Cleanup() {
      std::error_code ignored;
      fs::remove_all(folder, ignored);
    }
  } const cleanup{scratch};
  const fs::path copy = scratch / "model.gguf";
  KNAP_CHECK_OK(copy_file(file, copy, spec.bytes(), progress, cancel));
  if (progress) progress("check", spec.bytes(), spec.bytes());
  KNAP_TRY(spec.files.front().sha256, sha256_of(copy, cancel));

  const fs::path folder = ModelFiles(spec, options.models_dir).dir();
  fs::create_directory(folder, error);
  fs::rename(copy, folder / "model.gguf", error);
  if (error) return errno_error(error.value(), "cannot put in place", folder);
  // The entry comes last: without it the file is of no model, and the next import replaces it.
  imported.replace(spec);
  KNAP_CHECK_OK(write_imported(options, imported));
  return ModelFiles(spec, options.models_dir).verify(cancel);
}

Status forget_import(const ModelsOptions& options, std::string_view name) {
  KNAP_TRY(Catalogue imported, open_imported(options));
  if (!imported.erase(name)) return {};
  return write_imported(options, imported);
}

Result<std::vector<ModelFact>> describe_model(const ModelsOptions& options, std::string_view name) {
  KNAP_TRY(const Catalogue catalogue, Catalogue::open(options.user_catalogue, options.models_dir));
  KNAP_TRY(const ModelSpec* spec, catalogue.require(name));
  std::vector<ModelFact> facts;
  const auto add = [&](const char* label, std::string value) {
    if (!value.empty()) facts.push_back({label, std::move(value)});
  };
  add("name", spec->name);
  add("role", std::string(to_string(spec->role)));
  add("summary", spec->summary);
  add("family", spec->family);
  if (spec->parameters > 0)
    add("parameters", fmt::format("{} million", spec->parameters / 1'000'000));
  add("quantisation", spec->quantisation);
  add("licence", spec->licence);
  add("languages", joined(spec->languages));
  add("run by us", spec->run_by_us ? "yes" : "no");
  add("runs here", spec->runnable() ? "yes" : "no: no engine of Knap's runs it yet");
  if (spec->role == Role::kAnswer) {
    add("context", fmt::format("{} tokens", spec->context));
    if (spec->trained_context > 0)
      add("trained for", fmt::format("{} tokens", spec->trained_context));
    add("chat template", spec->chat_template);
    if (const auto bytes = spec->attention.bytes_per_token(); bytes > 0)
      add("state", fmt::format("{:.1f} KB a token", static_cast<double>(bytes) / 1e3));
  }
  if (spec->dimensions > 0) add("dimensions", fmt::format("{}", spec->dimensions));
  if (spec->max_tokens > 0) add("window", fmt::format("{} tokens", spec->max_tokens));
  if (spec->pooling != Pooling::kNone) add("pooling", std::string(to_string(spec->pooling)));
  add("query prefix", spec->query_prefix);
  add("passage prefix", spec->passage_prefix);
  add("memory", memory_text(*spec));
  for (const ModelFile& file : spec->files) {
    add("file", fmt::format("{}, {}, sha256 {}, {}", file.name,
                            file.bytes == 0 ? "size unknown" : fmt::format("{} bytes", file.bytes),
                            file.sha256.empty() ? "unknown" : file.sha256, source_of(file)));
  }
  add("folder", ModelFiles(*spec, options.models_dir).dir().string());
  return facts;
}

Status fetch_speech_source(const ModelsOptions& options, std::string_view name, const fs::path& out,
                           const Models::Progress& progress, const CancelToken& cancel) {
  KNAP_TRY(const Catalogue catalogue, Catalogue::open(options.user_catalogue, options.models_dir));
  KNAP_TRY(const ModelSpec* spec, catalogue.require(name));
  return pull_whisper_source(
      *spec, {.models_dir = options.models_dir, .hub = options.hub, .offline = options.offline},
      out, progress, cancel);
}

}  // namespace knap::models
