#pragma once

#include <filesystem>
#include <memory>

#include "config.hpp"
#include "knap/extract/audio.hpp"
#include "knap/index/service.hpp"
#include "knap/models/models.hpp"
#include "knap/observe/metrics.hpp"
#include "knap/observe/system.hpp"
#include "knap/service/leases.hpp"
#include "knap/speech/speech.hpp"

namespace knap::app {

/// Metrics, leases, models and the index service wired together from a Config: what `serve` and
/// `index` share.
class Engine {
 public:
  enum class Runners { kStart, kNone };  ///< kNone: no embedding, for keyword-only work.
  static Result<std::unique_ptr<Engine>> open(const Config& config, Runners runners);
  ~Engine();

  observe::Registry& metrics() { return metrics_; }
  service::ComputeLeases& leases() { return *leases_; }
  models::Models& models() { return *models_; }
  index::Service& index() { return *index_; }
  /// Null: no speech model is wanted, or nothing is to run.
  speech::Speech* speech() { return speech_.get(); }

 private:
  Engine() = default;
  std::filesystem::path run_dir_;
  observe::Registry metrics_;
  std::unique_ptr<service::ComputeLeases> leases_;
  std::unique_ptr<models::Models> models_;
  std::unique_ptr<speech::Speech> speech_;
  std::unique_ptr<index::Service> index_;  // Destroyed first: it uses all above.
};

/// Where the kernel shows this process's limits, by the settings.
observe::SystemRoots system_roots(const Config& config);

/// Cores that computing may use: models.threads, else those of the container, else the machine's.
std::size_t compute_cores(const Config& config);

/// Models alone, for `knap models`. run_dir must outlive the result.
models::ModelsOptions models_options(const Config& config, const std::filesystem::path& run_dir);

/// How recordings are decoded.
extract::AudioOptions audio_options(const Config& config);

/// The record of what was sent to remote models.
std::filesystem::path sent_log_file(const Config& config);

/// A private folder (0700) for sockets, removed by remove_run_dir. Errors: kIo.
Result<std::filesystem::path> make_run_dir();
void remove_run_dir(const std::filesystem::path& run_dir);

}  // namespace knap::app
