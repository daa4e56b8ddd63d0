#include "knap/models/models.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "catalogue.hpp"
#include "knap/base/cores.hpp"
#include "knap/base/mutex.hpp"
#include "knap/observe/log.hpp"
#include "live_catalogue.hpp"
#include "model_files.hpp"
#include "pool.hpp"
#include "pull.hpp"
#include "remote_generator.hpp"
#include "replicas.hpp"
#include "router.hpp"
#include "runner/precision.hpp"
#include "runner_command.hpp"
#include "runner_embedder.hpp"
#include "runner_generator.hpp"
#include "runner_reranker.hpp"
#include "runner_transcriber.hpp"
#include "supervisor.hpp"

namespace knap::models {
namespace {

namespace fs = std::filesystem;

// The system's limit for a socket's path is 107 bytes.
constexpr std::size_t kSocketPathMax = 100;
constexpr std::uint32_t kSocketsMax = 100'000;
constexpr std::size_t kSocketNameBytes = 12;  // ".99999.sock" and a slash

/// One local model that has been asked for, in the revision that lies there.
struct KnownModel {
  std::string revision;
  std::shared_ptr<RunnerPool::Slot> slot;
  std::vector<std::shared_ptr<RunnerPool::Slot>> more;  ///< Of its other runners.
  std::shared_ptr<Embedder> embedder;
  std::shared_ptr<Generator> generator;
  std::shared_ptr<Transcriber> transcriber;
  std::shared_ptr<Reranker> reranker;
};

class LocalModels final : public Models {
 public:
  LocalModels(ModelsOptions options, std::unique_ptr<LiveCatalogue> catalogue,
              observe::Registry& metrics)
      : options_(std::move(options)),
        catalogue_(std::move(catalogue)),
        metrics_(metrics),
        pool_(RunnerPool::create(
            {.memory_bytes = options_.memory_bytes, .keep_alive = options_.keep_alive}, metrics)),
        threads_(options_.threads > 0 ? options_.threads : usable_cores()) {}

  // Embedders and generators that callers still hold answer kUnavailable from here on.
  ~LocalModels() override { pool_->stop(); }
  LocalModels(const LocalModels&) = delete;
  LocalModels& operator=(const LocalModels&) = delete;

  Status start() {
    if (!options_.remote.url.empty() && !options_.remote.forbidden) {
      KNAP_TRY(remote_, make_remote_generator(options_.remote, metrics_));
    }
    if (options_.runner_program.empty()) return {};  // models are managed, not run
    KNAP_CHECK_OK(refuse_broken(options_.embed_model));
    if (remote_ == nullptr) KNAP_CHECK_OK(refuse_broken(options_.answer_model));
    KNAP_CHECK_OK(refuse_broken(options_.speech_model));
    KNAP_CHECK_OK(refuse_broken(options_.rerank_model));
    if (const auto model = embedder(); model == nullptr && !options_.embed_model.empty()) {
      const auto catalogue = catalogue_->current();
      observe::log_warning("model_missing", state_of(*catalogue->find(options_.embed_model)),
                           {{"model", options_.embed_model}});
    }
    for (const auto* names : {&options_.pinned, &options_.warm})
      for (const std::string& name : *names) load_early(name);
    return {};
  }

  std::shared_ptr<Embedder> embedder() override { return embedder(options_.embed_model); }

  std::shared_ptr<Embedder> embedder(std::string_view name_or_id) override {
    const auto id = split_embedder_id(name_or_id);
    const auto catalogue = catalogue_->current();
    const ModelSpec* spec = catalogue->find(id.name);
    if (spec == nullptr || spec->role != Role::kEmbed) return nullptr;
    runner::Precision precision = runner::best_precision();
    if (!id.precision.empty()) {
      const auto wanted = runner::parse_precision(id.precision);
      if (!wanted || id.revision != revision_of(*spec)) return nullptr;
      precision = *wanted;
    }
    MutexLock lock(mutex_);
    KnownModel* model = know(*spec, precision);
    if (model == nullptr) return nullptr;
    // Searches need it at once.
    if (!options_.runner_program.empty() && spec->name == options_.embed_model)
      pool_->want(model->slot);
    return model->embedder;
  }

  std::shared_ptr<Generator> generator() override {
    if (remote_ != nullptr) return remote_;
    return generator(options_.answer_model);
  }

  std::shared_ptr<Generator> generator(std::string_view name) override {
    if (remote_ != nullptr && (name == options_.remote.model || name == remote_->id()))
      return remote_;
    const auto catalogue = catalogue_->current();
    const ModelSpec* spec = catalogue->find(name);
    MutexLock lock(mutex_);
    if (spec == nullptr) forget(name);  // removed since
    if (spec == nullptr || spec->role != Role::kAnswer) return nullptr;
    KnownModel* model = know(*spec, runner::best_precision());
    return model == nullptr ? nullptr : model->generator;
  }

  std::shared_ptr<Transcriber> transcriber() override { return transcriber(options_.speech_model); }

  std::shared_ptr<Transcriber> transcriber(std::string_view name) override {
    const auto catalogue = catalogue_->current();
    const ModelSpec* spec = catalogue->find(name);
    if (spec == nullptr || spec->role != Role::kSpeech) return nullptr;
    MutexLock lock(mutex_);
    KnownModel* model = know(*spec, runner::best_precision());
    return model == nullptr ? nullptr : model->transcriber;
  }

  std::shared_ptr<Reranker> reranker() override { return reranker(options_.rerank_model); }

  std::shared_ptr<Reranker> reranker(std::string_view name) override {
    const auto catalogue = catalogue_->current();
    const ModelSpec* spec = catalogue->find(name);
    if (spec == nullptr || spec->role != Role::kRerank) return nullptr;
    MutexLock lock(mutex_);
    KnownModel* model = know(*spec, runner::best_precision());
    return model == nullptr ? nullptr : model->reranker;
  }

  RoutePlan route(const RouteNeed& need) override {
    RoutePlan plan;
    RouteRecord record{.request_id = need.request_id,
                       .time = std::chrono::system_clock::now(),
                       .need = need,
                       .time_left = {},
                       .candidates = {},
                       .attempts = {}};
    if (!need.deadline.is_never()) record.time_left = need.deadline.remaining_ms();
    record.candidates = rank(need, route_options(need), plan.chain);
    if (plan.chain.empty()) {
      plan.reason = "no answer model is at hand";
      if (!record.candidates.empty())
        plan.reason =
            fmt::format("no answer model may be asked ({} {})", record.candidates.front().model,
                        record.candidates.front().reason);
    }
    if (!need.request_id.empty()) routes_.add(std::move(record));
    return plan;
  }

  void attempted(std::string_view request_id, RouteAttempt attempt) override {
    routes_.attempt(request_id, std::move(attempt));
  }

  std::optional<RouteRecord> route_of(std::string_view request_id) const override {
    return routes_.find(request_id);
  }

  std::vector<ModelInfo> list() const override {
    std::vector<ModelInfo> result;
    const auto catalogue = catalogue_->current();
    for (const auto& [name, spec] : catalogue->models()) {
      ModelInfo info;
      info.name = name;
      info.role = to_string(spec.role);
      info.licence = spec.licence;
      info.summary = spec.summary;
      info.bytes = spec.bytes();
      info.run_by_us = spec.run_by_us;
      info.in_use = name == options_.embed_model || name == options_.speech_model ||
                    name == options_.rerank_model ||
                    (name == options_.answer_model && remote_ == nullptr);
      info.runnable = spec.runnable();
      info.pinned = keep_of(spec) == Keep::kPinned;
      info.memory_bytes = spec.memory_bytes(spec.context);
      if (const auto pooled = pooled_state(spec)) {
        info.memory_bytes = pooled->expected_bytes;
        info.resident_bytes = pooled->resident_bytes;
        info.placement = pooled->placement;
      }
      info.state = state_of(spec);
      info.installed = ModelFiles(spec, options_.models_dir).check_sizes().has_value();
      result.push_back(std::move(info));
    }
    return result;
  }

  PoolTotals totals() const override {
    const auto totals = pool_->totals();
    return {.budget_bytes = totals.budget_bytes,
            .counted_bytes = totals.counted_bytes,
            .loaded = totals.loaded,
            .loads = totals.loads,
            .evictions = totals.evictions,
            .leaks = totals.leaks};
  }

  Status pull(std::string_view name, const Progress& progress, const CancelToken& cancel) override {
    const auto catalogue = catalogue_->current();
    KNAP_TRY(const ModelSpec* spec, catalogue->require(name));
    MutexLock one_at_a_time(pull_mutex_);
    KNAP_CHECK_OK(pull_model(
        *spec,
        {.models_dir = options_.models_dir, .hub = options_.hub, .offline = options_.offline},
        progress, cancel));
    retry(name);
    return {};
  }

  Status verify(std::string_view name) override {
    const auto catalogue = catalogue_->current();
    KNAP_TRY(const ModelSpec* spec, catalogue->require(name));
    KNAP_CHECK_OK(ModelFiles(*spec, options_.models_dir).verify({}));
    retry(name);
    return {};
  }

  Status remove(std::string_view name) override {
    const auto catalogue = catalogue_->current();
    KNAP_TRY(const ModelSpec* spec, catalogue->require(name));
    {
      MutexLock lock(mutex_);
      forget(name);
    }
    const fs::path dir = ModelFiles(*spec, options_.models_dir).dir();
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
    const auto catalogue = catalogue_->current();
    const ModelSpec* spec = catalogue->find(name);
    if (spec == nullptr) return {};
    const ModelFiles files(*spec, options_.models_dir);
    const Status sizes = files.check_sizes();
    if (sizes || sizes.error().code == ErrorCode::kNotFound) return {};
    return with_context(sizes.error(), fmt::format("model {} in {}", name, files.dir().string()));
  }

  // In the owner's order: the remote model, the chosen local one, those to fall back on.
  std::vector<RouteOption> route_options(const RouteNeed& need) {
    std::vector<RouteOption> out;
    const bool named = !need.model.empty();
    const auto is_remote = [&](const std::string& name) {
      return remote_ != nullptr && (name == options_.remote.model || name == remote_->id());
    };
    if (remote_ != nullptr && (!named || is_remote(need.model))) out.push_back(remote_option());
    std::vector<std::string> names{named ? need.model : options_.answer_model};
    if (!named) names.insert(names.end(), options_.fallback.begin(), options_.fallback.end());
    const auto catalogue = catalogue_->current();
    for (const std::string& name : names) {
      const ModelSpec* spec = catalogue->find(name);
      if (spec != nullptr && spec->role == Role::kAnswer) out.push_back(local_option(*spec));
    }
    return out;
  }

  RouteOption remote_option() const {
    RouteOption out;
    out.generator = remote_;
    out.model = remote_->id();
    out.remote = true;
    out.context = remote_->context_tokens();
    out.speed = remote_->speed();
    out.costs = remote_->costs();
    out.unusable = remote_->unusable();
    return out;
  }

  RouteOption local_option(const ModelSpec& spec) {
    RouteOption out;
    out.generator = generator(spec.name);
    out.model = spec.name;
    out.context = spec.context;
    out.languages = spec.languages;
    if (out.generator == nullptr) {
      out.unusable = "not installed";
      return out;
    }
    out.speed = out.generator->speed();
    const auto pooled = pooled_state(spec);
    out.loaded = pooled && pooled->state == "ready";
    if (pooled) out.load_time = pooled->load_time;
    if (pooled && pooled->state.starts_with("failed")) out.unusable = pooled->state;
    return out;
  }

  std::string state_of(const ModelSpec& spec) const {
    const auto files = ModelFiles(spec, options_.models_dir).check_sizes();
    if (!files && files.error().code == ErrorCode::kNotFound) return "absent";
    if (!files) return "failed: " + files.error().message;
    const auto pooled = pooled_state(spec);
    return pooled ? pooled->state : "installed";
  }

  std::optional<RunnerPool::SlotState> pooled_state(const ModelSpec& spec) const {
    MutexLock lock(mutex_);
    const auto found = known_.find(spec.name);
    if (found == known_.end()) return std::nullopt;
    RunnerPool::SlotState state = pool_->state(found->second.slot);
    for (const auto& slot : found->second.more) {
      const auto other = pool_->state(slot);
      state.expected_bytes += other.expected_bytes;
      state.resident_bytes += other.resident_bytes;
      state.loads += other.loads;
    }
    return state;
  }

  void retry(std::string_view name) {
    MutexLock lock(mutex_);
    const auto found = known_.find(name);
    if (found == known_.end()) return;
    pool_->retry(found->second.slot);
    for (const auto& slot : found->second.more) pool_->retry(slot);
  }

  Keep keep_of(const ModelSpec& spec) const {
    if (std::ranges::find(options_.pinned, spec.name) != options_.pinned.end())
      return Keep::kPinned;
    const bool warm = spec.name == options_.embed_model ||
                      std::ranges::find(options_.warm, spec.name) != options_.warm.end();
    return warm ? Keep::kWarm : Keep::kOnDemand;
  }

  void load_early(const std::string& name) {
    const auto catalogue = catalogue_->current();
    MutexLock lock(mutex_);
    KnownModel* model = know(*catalogue->find(name), runner::best_precision());
    if (model != nullptr) return pool_->want(model->slot);
    observe::log_warning("model_missing", "it is to be loaded at the start, and is not installed",
                         {{"model", name}});
  }

  // Also of its other precisions.
  void forget(std::string_view name) KNAP_REQUIRES(mutex_) {
    for (auto each = known_.begin(); each != known_.end();) {
      const std::string& key = each->first;
      const bool its =
          key.starts_with(name) && (key.size() == name.size() || key[name.size()] == '/');
      if (its) {
        pool_->retire(each->second.slot);
        for (const auto& slot : each->second.more) pool_->retire(slot);
      }
      each = its ? known_.erase(each) : std::next(each);
    }
  }

  // Null when its files are not there or plainly broken.
  KnownModel* know(const ModelSpec& spec, runner::Precision wanted) KNAP_REQUIRES(mutex_) {
    const std::string precision(runner::to_string(wanted));
    const bool usual = wanted == runner::best_precision();
    const std::string key = usual ? spec.name : fmt::format("{}/{}", spec.name, precision);
    if (!spec.runnable() || !ModelFiles(spec, options_.models_dir).check_sizes()) {
      forget(spec.name);
      return nullptr;
    }
    if (const auto found = known_.find(key); found != known_.end()) {
      if (found->second.revision == revision_of(spec)) return &found->second;
      forget(spec.name);  // another file was imported under its name
    }
    KnownModel model;
    model.revision = revision_of(spec);
    model.slot = add_runner(spec, key, precision, 0);
    const std::size_t runners = spec.role == Role::kAnswer ? options_.replicas : 1;
    for (std::size_t i = 1; i < runners; ++i)
      model.more.push_back(add_runner(spec, fmt::format("{}#{}", key, i + 1), precision, i));
    if (spec.role == Role::kEmbed) {
      model.embedder = make_runner_embedder(spec, precision, threads_, pool_, model.slot, metrics_);
    } else if (spec.role == Role::kSpeech) {
      model.transcriber = make_runner_transcriber(spec, pool_, model.slot, metrics_);
    } else if (spec.role == Role::kRerank) {
      model.reranker = make_runner_reranker(spec, precision, pool_, model.slot, metrics_);
    } else {
      std::vector<std::shared_ptr<RunnerPool::Slot>> slots{model.slot};
      slots.insert(slots.end(), model.more.begin(), model.more.end());
      model.generator =
          make_runner_generator(spec, std::make_shared<Replicas>(pool_, std::move(slots)), threads_,
                                options_.passages_memory_bytes > 0, metrics_);
    }
    return &known_.emplace(key, std::move(model)).first->second;
  }

  /// @param replica  0: the first runner of the model
  std::shared_ptr<RunnerPool::Slot> add_runner(const ModelSpec& spec, const std::string& key,
                                               const std::string& precision, std::size_t replica)
      KNAP_REQUIRES(mutex_) {
    PoolPlan plan;
    plan.name = key;
    plan.bytes = spec.expected_memory().total() +
                 (spec.role == Role::kAnswer ? options_.passages_memory_bytes : 0);
    plan.arithmetic = spec.expected_memory().arithmetic();
    const bool usual = key == spec.name;
    plan.keep = usual ? keep_of(spec) : Keep::kOnDemand;
    plan.make = [options = supervise(spec, key, precision, replica), &metrics = metrics_] {
      return std::make_shared<Supervisor>(options, metrics);
    };
    return pool_->add(std::move(plan));
  }

  Supervisor::Options supervise(const ModelSpec& spec, const std::string& key,
                                const std::string& precision, std::size_t replica)
      KNAP_REQUIRES(mutex_) {
    Supervisor::Options options;
    options.name = key;
    // Numbered: what is retired may still be ending when its successor starts.
    options.socket =
        (options_.run_dir / fmt::format("{}.{}.sock", spec.name, ++sockets_ % kSocketsMax))
            .string();
    RunnerPlan plan{.threads = threads_, .precision = precision, .replica = replica};
    options.command = runner_command(spec, options_, plan);
    if (spec.role == Role::kAnswer && options_.gpu.use == GpuUse::kAuto) {
      plan.processor_only = true;
      options.fallback_command = runner_command(spec, options_, plan);
    }
    // A copy: a supervisor may outlive the catalogue, held by an embedder.
    options.prepare = [copy = spec, dir = options_.models_dir](const CancelToken& cancel) {
      return ModelFiles(copy, dir).check(cancel);
    };
    return options;
  }

  const ModelsOptions options_;
  const std::unique_ptr<LiveCatalogue> catalogue_;
  observe::Registry& metrics_;
  const std::shared_ptr<RunnerPool> pool_;
  const std::size_t threads_;
  std::shared_ptr<GuardedGenerator> remote_;
  RouteLog routes_;
  Mutex pull_mutex_;
  mutable Mutex mutex_;
  std::uint32_t sockets_ KNAP_GUARDED_BY(mutex_) = 0;
  std::map<std::string, KnownModel, std::less<>> known_ KNAP_GUARDED_BY(mutex_);
};

Status check_role(const Catalogue& catalogue, const std::string& name, Role role) {
  if (name.empty()) return {};
  KNAP_TRY(const ModelSpec* spec, catalogue.require(name));
  if (spec->role == role) return {};
  return make_error(ErrorCode::kInvalidArgument,
                    fmt::format("model '{}' is for the role {}, not {}", name,
                                to_string(spec->role), to_string(role)));
}

Status check_runnable(const Catalogue& catalogue, const std::string& name) {
  KNAP_TRY(const ModelSpec* spec, catalogue.require(name));
  if (spec->runnable()) return {};
  return make_error(
      ErrorCode::kInvalidArgument,
      fmt::format("model '{}' cannot be kept loaded: no engine of Knap's runs it", name));
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
  KNAP_TRY(auto live, LiveCatalogue::open(options.user_catalogue, options.models_dir));
  const auto known = live->current();
  const Catalogue& catalogue = *known;
  KNAP_CHECK_OK(check_role(catalogue, options.embed_model, Role::kEmbed));
  if (options.remote.url.empty() || options.remote.forbidden)
    KNAP_CHECK_OK(check_role(catalogue, options.answer_model, Role::kAnswer));
  for (const auto& name : options.fallback)
    KNAP_CHECK_OK(check_role(catalogue, name, Role::kAnswer));
  KNAP_CHECK_OK(check_role(catalogue, options.speech_model, Role::kSpeech));
  KNAP_CHECK_OK(check_role(catalogue, options.rerank_model, Role::kRerank));
  for (const auto* names : {&options.pinned, &options.warm})
    for (const auto& name : *names) KNAP_CHECK_OK(check_runnable(catalogue, name));
  std::size_t longest = 0;
  for (const auto& each : catalogue.models()) longest = std::max(longest, each.first.size());
  if (options.run_dir.string().size() + longest + kSocketNameBytes > kSocketPathMax) {
    return make_error(
        ErrorCode::kInvalidArgument,
        fmt::format("the path {} is too long for sockets: choose a shorter data folder",
                    options.run_dir.string()));
  }
  KNAP_CHECK_OK(make_run_dir(options.run_dir));
  auto models = std::make_unique<LocalModels>(std::move(options), std::move(live), metrics);
  KNAP_CHECK_OK(models->start());
  return std::unique_ptr<Models>(std::move(models));
}

}  // namespace knap::models
