#include "engine.hpp"

#include <unistd.h>
#include <cstdlib>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <system_error>

#include "document_readers.hpp"
#include "judged.hpp"
#include "knap/base/cores.hpp"
#include "knap/base/file.hpp"
#include "knap/http/client.hpp"

namespace knap::app {
namespace {

constexpr std::string_view kImportsName = "imports";

std::filesystem::path own_program() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error);
}

index::ServiceOptions index_options(const Config& config, speech::Speech* speech) {
  index::ServiceOptions out;
  out.data_dir = config.data_dir;
  out.vaults = config.vaults;
  out.watch =
      config.index.watch ? index::ServiceOptions::Watch::kOn : index::ServiceOptions::Watch::kOff;
  out.scan_interval = std::chrono::seconds(config.index.scan_interval_s);
  out.max_file_bytes = config.index.max_file_bytes;
  out.documents = document_readers(config, speech);
  out.learn_boilerplate = config.index.learn_boilerplate;
  // Copies of imported files live with our own data: nothing is written into a vault.
  const bool taken = std::any_of(out.vaults.begin(), out.vaults.end(),
                                 [](const auto& vault) { return vault.name == kImportsName; });
  if (!taken && !out.vaults.empty()) {
    out.vaults.push_back({std::string(kImportsName), config.data_dir / kImportsName,
                          index::VaultConfig::Kind::kImports});
  }
  out.ranking = config.ranking;
  out.rerank_depth = config.rerank.depth;
  out.rerank_weight = config.rerank.weight;
  // Looked for each time: the owner may write the file while the server runs.
  out.judged_questions = [config]() -> Result<index::JudgedSet> {
    const auto file = judged_questions_file(config);
    if (file.empty()) return index::JudgedSet();
    KNAP_TRY(auto questions, read_judged(file));
    return index::JudgedSet{file.string(), std::move(questions)};
  };
  return out;
}

speech::SpeechOptions speech_options(const Config& config, std::size_t cores) {
  speech::SpeechOptions out;
  out.dir = config.data_dir / "recordings";
  out.audio = audio_options(config);
  out.language = config.speech.language;
  out.threads = cores;
  return out;
}

}  // namespace

extract::AudioOptions audio_options(const Config& config) {
  extract::AudioOptions out;
  out.decoder = own_program().parent_path() / "knap-audio";
  out.weak = config.index.weak_sandbox == "allow" ? extract::WeakSandbox::kAllow
                                                  : extract::WeakSandbox::kRefuse;
  return out;
}

std::filesystem::path sent_log_file(const Config& config) { return config.data_dir / "sent.jsonl"; }

observe::SystemRoots system_roots(const Config& config) {
  observe::SystemRoots roots;
  roots.cgroup = config.service.cgroup_dir;
  return roots;
}

std::size_t compute_cores(const Config& config) {
  if (config.models.threads > 0) return config.models.threads;
  const std::size_t cores = usable_cores();
  const auto limit = observe::read_cgroup(system_roots(config)).cpu_limit;
  // A container's 1.5 cores are two threads that are held back now and then: better than one.
  return limit ? std::clamp<std::size_t>(static_cast<std::size_t>(std::ceil(*limit)), 1, cores)
               : cores;
}

Result<std::filesystem::path> make_run_dir() {
  // Socket paths have 107 bytes at most, so the folder's own must be short.
  constexpr std::size_t kRunDirBytesMax = 70;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing here changes the environment
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  std::string base = runtime != nullptr && ::access(runtime, W_OK) == 0 ? runtime : "/tmp";
  if (base.size() > kRunDirBytesMax) base = "/tmp";
  std::string folder = base + "/knap-XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr)
    return errno_error(errno, "create a folder for sockets in", base);
  return std::filesystem::path(folder);
}

void remove_run_dir(const std::filesystem::path& run_dir) {
  std::error_code ignored;
  std::filesystem::remove_all(run_dir, ignored);
}

models::ModelsOptions models_options(const Config& config, const std::filesystem::path& run_dir) {
  models::ModelsOptions out;
  out.models_dir = config.models.dir;
  out.run_dir = run_dir;
  out.runner_program = own_program();
  out.user_catalogue = config.models.dir / "models.yaml";
  out.embed_model = config.models.embed;
  out.answer_model = config.models.answer;
  out.speech_model = config.models.speech;
  out.rerank_model = config.models.rerank;
  out.threads = compute_cores(config);
  out.memory_bytes =
      config.models.memory_bytes > 0 ? config.models.memory_bytes : models::usual_memory_bytes();
  out.keep_alive = std::chrono::seconds(config.models.keep_alive_s);
  out.warm = config.models.warm;
  out.pinned = config.models.pinned;
  out.replicas = config.models.replicas;
  out.gpu.memory_fraction = config.models.gpu.memory_fraction;
  // One of the choices that were checked when the settings were read.
  out.gpu.use = models::parse_gpu_use(config.models.gpu.use).value_or(models::GpuUse::kAuto);
  out.hub = config.models.hub;
  out.offline = config.models.offline;
  out.fallback = config.models.fallback;
  const auto& remote = config.models.remote;
  out.remote.url = remote.url;
  out.remote.model = remote.model;
  out.remote.key = remote.key;
  out.remote.shape = remote.shape == "ollama" ? models::ModelsOptions::Remote::Shape::kOllama
                                              : models::ModelsOptions::Remote::Shape::kOpenAi;
  out.remote.forbidden = remote.forbid;
  out.remote.context_tokens = remote.context_tokens;
  out.remote.silence = std::chrono::milliseconds(remote.silence_ms);
  out.remote.price_read = remote.price_read;
  out.remote.price_write = remote.price_write;
  out.remote.sent_log = sent_log_file(config);
  if (config.answer.read_ahead) {
    out.passages_memory_bytes = config.read_ahead.memory_bytes;
    out.passages_disk_bytes = config.read_ahead.disk_bytes;
    out.passages_dir = config.data_dir / "passages";
  }
  return out;
}

Result<std::unique_ptr<Engine>> Engine::open(const Config& config, Runners runners) {
  std::unique_ptr<Engine> engine(new Engine);
  KNAP_TRY(engine->run_dir_, make_run_dir());
  const std::size_t cores = compute_cores(config);
  engine->leases_ = std::make_unique<service::ComputeLeases>(cores, &engine->metrics_);
  auto& outgoing_wait = engine->metrics_.histogram(
      "knap_http_outgoing_wait_seconds",
      "Time that requests to other machines waited for a connection, of those that had to wait");
  http::measure_outgoing_waits(
      [&outgoing_wait](SteadyClock::duration time) { outgoing_wait.record(time); });
  auto options = models_options(config, engine->run_dir_);
  if (runners == Runners::kNone) {
    options.embed_model.clear();
    options.answer_model.clear();
    options.fallback.clear();
    options.remote.forbidden = true;
    options.speech_model.clear();
    options.rerank_model.clear();
    options.warm.clear();
    options.pinned.clear();
  }
  KNAP_TRY(engine->models_, models::Models::open(std::move(options), engine->metrics_));
  if (runners != Runners::kNone && !config.models.speech.empty()) {
    KNAP_TRY(engine->speech_, speech::Speech::open(speech_options(config, cores), *engine->models_,
                                                   *engine->leases_, engine->metrics_));
  }
  auto index = index_options(config, engine->speech_.get());
  if (runners != Runners::kNone) {
    index.find_embedder = [models = engine->models_.get()](std::string_view id) {
      return models->embedder(id);
    };
    if (!config.models.rerank.empty())
      index.find_reranker = [models = engine->models_.get()] { return models->reranker(); };
  }
  KNAP_TRY(engine->index_, index::Service::open(std::move(index), engine->models_->embedder(),
                                                *engine->leases_, engine->metrics_));
  return engine;
}

Engine::~Engine() {
  http::measure_outgoing_waits({});
  index_.reset();
  speech_.reset();
  models_.reset();
  if (!run_dir_.empty()) remove_run_dir(run_dir_);
}

}  // namespace knap::app
