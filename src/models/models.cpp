#include "knap/models/models.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <thread>

#include "catalogue.hpp"
#include "chat_generator.hpp"
#include "knap/base/mutex.hpp"
#include "knap/observe/log.hpp"
#include "model_files.hpp"
#include "pull.hpp"
#include "runner/precision.hpp"
#include "runner_embedder.hpp"
#include "supervisor.hpp"

namespace knap::models {
namespace {

namespace fs = std::filesystem;

// What a remote server's window is cannot be asked through its interface; answers keep their
// prompts under this.
constexpr std::uint32_t kRemoteContextTokens = 8'192;
// The system's limit for a socket's path is 107 bytes.
constexpr std::size_t kSocketPathMax = 100;
constexpr std::size_t kLongestPrecision = 10;  // "int8-plain"

/// One local model that has been asked for.
struct LoadedModel {
  std::shared_ptr<Supervisor> supervisor;
  std::shared_ptr<Embedder> embedder;
  std::shared_ptr<Generator> generator;
};

class LocalModels final : public Models {
 public:
  LocalModels(ModelsOptions options, Catalogue catalogue, observe::Registry& metrics)
      : options_(std::move(options)),
        catalogue_(std::move(catalogue)),
        metrics_(metrics),
        threads_(options_.threads > 0 ? options_.threads
                                      : std::max(1U, std::thread::hardware_concurrency())) {}

  // Embedders and generators that callers still hold answer kUnavailable from here on.
  ~LocalModels() override {
    MutexLock lock(mutex_);
    for (auto& each : loaded_) each.second.supervisor->begin_stop();
    for (auto& each : loaded_) each.second.supervisor->stop();
  }
  LocalModels(const LocalModels&) = delete;
  LocalModels& operator=(const LocalModels&) = delete;

  Status start() {
    if (!options_.remote_url.empty()) KNAP_CHECK_OK(connect_remote());
    if (options_.runner_program.empty()) return {};  // models are managed, not run
    KNAP_CHECK_OK(refuse_broken(options_.embed_model));
    if (remote_ == nullptr) KNAP_CHECK_OK(refuse_broken(options_.answer_model));
    if (const auto model = embedder(); model == nullptr && !options_.embed_model.empty()) {
      observe::log_warning("model_missing", state_of(*catalogue_.find(options_.embed_model)),
                           {{"model", options_.embed_model}});
    }
    return {};
  }

  std::shared_ptr<Embedder> embedder() override { return embedder(options_.embed_model); }

  std::shared_ptr<Embedder> embedder(std::string_view name_or_id) override {
    const auto id = split_embedder_id(name_or_id);
    const ModelSpec* spec = catalogue_.find(id.name);
    if (spec == nullptr || spec->role != Role::kEmbed) return nullptr;
    runner::Precision precision = runner::best_precision();
    if (!id.precision.empty()) {
      const auto wanted = runner::parse_precision(id.precision);
      if (!wanted || id.revision != revision_of(*spec)) return nullptr;
      precision = *wanted;
    }
    MutexLock lock(mutex_);
    LoadedModel* model = load(*spec, precision);
    if (model == nullptr) return nullptr;
    if (!options_.runner_program.empty()) model->supervisor->start();  // searches need it at once
    return model->embedder;
  }

  std::shared_ptr<Generator> generator() override {
    if (remote_ != nullptr) return remote_;
    return generator(options_.answer_model);
  }

  std::shared_ptr<Generator> generator(std::string_view name) override {
    if (remote_ != nullptr && name == options_.remote_model) return remote_;
    const ModelSpec* spec = catalogue_.find(name);
    if (spec == nullptr || spec->role != Role::kAnswer) return nullptr;
    MutexLock lock(mutex_);
    LoadedModel* model = load(*spec, runner::best_precision());
    return model == nullptr ? nullptr : model->generator;
  }

  std::vector<ModelInfo> list() const override {
    std::vector<ModelInfo> result;
    for (const auto& [name, spec] : catalogue_.models()) {
      ModelInfo info;
      info.name = name;
      info.role = to_string(spec.role);
      info.licence = spec.licence;
      info.summary = spec.summary;
      info.bytes = spec.bytes();
      info.run_by_us = spec.run_by_us;
      info.in_use =
          name == options_.embed_model || (name == options_.answer_model && remote_ == nullptr);
      info.runnable = spec.runnable();
      info.state = state_of(spec);
      info.installed = ModelFiles(spec, options_.models_dir).check_sizes().has_value();
      result.push_back(std::move(info));
    }
    return result;
  }

  Status pull(std::string_view name, const Progress& progress, const CancelToken& cancel) override {
    KNAP_TRY(const ModelSpec* spec, catalogue_.require(name));
    MutexLock one_at_a_time(pull_mutex_);
    KNAP_CHECK_OK(pull_model(
        *spec,
        {.models_dir = options_.models_dir, .hub = options_.hub, .offline = options_.offline},
        progress, cancel));
    retry(name);
    return {};
  }

  Status verify(std::string_view name) override {
    KNAP_TRY(const ModelSpec* spec, catalogue_.require(name));
    KNAP_CHECK_OK(ModelFiles(*spec, options_.models_dir).verify({}));
    retry(name);
    return {};
  }

  Status remove(std::string_view name) override {
    KNAP_TRY(const ModelSpec* spec, catalogue_.require(name));
    std::map<std::string, LoadedModel, std::less<>>::node_type stopped;
    {
      MutexLock lock(mutex_);
      if (const auto found = loaded_.find(name); found != loaded_.end())
        stopped = loaded_.extract(found);
    }
    const fs::path dir = ModelFiles(*spec, options_.models_dir).dir();
    if (!stopped.empty()) stopped.mapped().supervisor->stop();
    std::error_code error;
    if (fs::remove_all(dir, error) == 0 && !error) {
      return make_error(ErrorCode::kNotFound, fmt::format("{} is not installed", name));
    }
    if (error) return errno_error(error.value(), "cannot remove", dir);
    return {};
  }

 private:
  /// A model that is absent is done without; one that is there and broken is a fault to be mended
  /// before a server runs half of what it was told to.
  Status refuse_broken(std::string_view name) const {
    const ModelSpec* spec = catalogue_.find(name);
    if (spec == nullptr) return {};
    const ModelFiles files(*spec, options_.models_dir);
    const Status sizes = files.check_sizes();
    if (sizes || sizes.error().code == ErrorCode::kNotFound) return {};
    return with_context(sizes.error(), fmt::format("model {} in {}", name, files.dir().string()));
  }

  Status connect_remote() {
    KNAP_TRY(http::Endpoint endpoint, http::Endpoint::parse(options_.remote_url));
    // Addresses are written with and without the version, e.g. http://127.0.0.1:8080 and
    // http://127.0.0.1:8080/v1.
    const std::string version =
        endpoint.base_path.empty() || endpoint.base_path == "/" ? "/v1" : "";
    if (endpoint.base_path == "/") endpoint.base_path.clear();
    remote_client_ = http::Client::create(endpoint, {});
    ChatTarget target;
    target.id = "remote:" + options_.remote_model;
    target.model = options_.remote_model;
    target.path = version + "/chat/completions";
    target.key = options_.remote_key;
    target.context = kRemoteContextTokens;
    target.client = [client = remote_client_]() -> http::Client& { return *client; };
    remote_ = make_chat_generator(std::move(target), metrics_);
    return {};
  }

  std::string state_of(const ModelSpec& spec) const {
    const auto files = ModelFiles(spec, options_.models_dir).check_sizes();
    if (!files && files.error().code == ErrorCode::kNotFound) return "absent";
    if (!files) return "failed: " + files.error().message;
    MutexLock lock(mutex_);
    const auto found = loaded_.find(spec.name);
    return found == loaded_.end() ? "installed" : found->second.supervisor->state();
  }

  void retry(std::string_view name) {
    MutexLock lock(mutex_);
    if (const auto found = loaded_.find(name); found != loaded_.end())
      found->second.supervisor->retry();
  }

  // Null when its files are not there or plainly broken.
  LoadedModel* load(const ModelSpec& spec, runner::Precision wanted) KNAP_REQUIRES(mutex_) {
    const std::string precision(runner::to_string(wanted));
    const bool usual = wanted == runner::best_precision();
    const std::string key = usual ? spec.name : fmt::format("{}.{}", spec.name, precision);
    if (const auto found = loaded_.find(key); found != loaded_.end()) return &found->second;
    if (!spec.runnable() || !ModelFiles(spec, options_.models_dir).check_sizes()) return nullptr;
    LoadedModel model;
    model.supervisor = std::make_shared<Supervisor>(supervise(spec, key, precision), metrics_);
    if (spec.role == Role::kEmbed) {
      model.embedder = make_runner_embedder(spec, precision, threads_, model.supervisor, metrics_);
    } else {
      model.generator = make_chat_generator(chat_target(spec, model.supervisor), metrics_);
    }
    return &loaded_.emplace(key, std::move(model)).first->second;
  }

  ChatTarget chat_target(const ModelSpec& spec,
                         const std::shared_ptr<Supervisor>& supervisor) const {
    ChatTarget target;
    target.id = spec.name;
    target.model = spec.name;
    target.path = "/v1/chat/completions";
    target.context = spec.context;
    target.local = true;
    target.threads = threads_;
    target.prepare = [supervisor](Deadline deadline, const CancelToken& cancel) {
      return supervisor->wait_ready(deadline, cancel);
    };
    target.on_broken = [supervisor] { supervisor->suspect(); };
    target.client = [supervisor]() -> http::Client& { return supervisor->client(); };
    return target;
  }

  Supervisor::Options supervise(const ModelSpec& spec, const std::string& key,
                                const std::string& precision) const {
    Supervisor::Options options;
    options.name = key;
    options.socket = (options_.run_dir / (key + ".sock")).string();
    const ModelFiles files(spec, options_.models_dir);
    options.command = {options_.runner_program.string(),
                       "runner",
                       "--role",
                       std::string(to_string(spec.role)),
                       "--threads",
                       fmt::format("{}", threads_),
                       "--model",
                       spec.name};
    if (spec.role == Role::kEmbed) {
      options.command.insert(options.command.end(),
                             {"--model-dir", files.dir().string(), "--max-tokens",
                              fmt::format("{}", spec.max_tokens), "--precision", precision});
    } else {
      options.command.insert(options.command.end(),
                             {"--model-file", (files.dir() / "model.gguf").string(), "--context",
                              fmt::format("{}", spec.context)});
    }
    // A copy: a supervisor may outlive the catalogue, held by an embedder.
    options.prepare = [copy = spec, dir = options_.models_dir](const CancelToken& cancel) {
      return ModelFiles(copy, dir).check(cancel);
    };
    return options;
  }

  const ModelsOptions options_;
  const Catalogue catalogue_;
  observe::Registry& metrics_;
  const std::size_t threads_;
  std::shared_ptr<http::Client> remote_client_;
  std::shared_ptr<Generator> remote_;
  Mutex pull_mutex_;
  mutable Mutex mutex_;
  std::map<std::string, LoadedModel, std::less<>> loaded_ KNAP_GUARDED_BY(mutex_);
};

Status check_role(const Catalogue& catalogue, const std::string& name, Role role) {
  if (name.empty()) return {};
  KNAP_TRY(const ModelSpec* spec, catalogue.require(name));
  if (spec->role == role) return {};
  return make_error(ErrorCode::kInvalidArgument,
                    fmt::format("model '{}' is for the role {}, not {}", name,
                                to_string(spec->role), to_string(role)));
}

// Sockets are reached by whoever may enter their folder: the owner alone.
Status make_run_dir(const fs::path& run_dir) {
  std::error_code error;
  fs::create_directories(run_dir, error);
  if (error) return errno_error(error.value(), "cannot make the folder", run_dir);
  if (::chmod(run_dir.c_str(), 0700) != 0)
    return errno_error(errno, "cannot make private", run_dir);
  return {};
}

}  // namespace

Result<std::unique_ptr<Models>> Models::open(ModelsOptions options, observe::Registry& metrics) {
  KNAP_TRY(Catalogue catalogue, Catalogue::open(options.user_catalogue, options.models_dir));
  KNAP_CHECK_OK(check_role(catalogue, options.embed_model, Role::kEmbed));
  if (options.remote_url.empty())
    KNAP_CHECK_OK(check_role(catalogue, options.answer_model, Role::kAnswer));
  std::size_t longest = 0;
  for (const auto& each : catalogue.models()) longest = std::max(longest, each.first.size());
  if (options.run_dir.string().size() + longest + kLongestPrecision + 7 > kSocketPathMax) {
    return make_error(
        ErrorCode::kInvalidArgument,
        fmt::format("the path {} is too long for sockets: choose a shorter data folder",
                    options.run_dir.string()));
  }
  KNAP_CHECK_OK(make_run_dir(options.run_dir));
  auto models = std::make_unique<LocalModels>(std::move(options), std::move(catalogue), metrics);
  KNAP_CHECK_OK(models->start());
  return std::unique_ptr<Models>(std::move(models));
}

}  // namespace knap::models
