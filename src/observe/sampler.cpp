#include "knap/observe/sampler.hpp"

#include <pthread.h>

#include <algorithm>
#include <map>
#include <memory>
#include <system_error>

namespace knap::observe {

Sampler::Sampler(std::chrono::milliseconds interval, Registry& metrics)
    : interval_(interval),
      seconds_(metrics.histogram("knap_observe_sample_seconds",
                                 "Time to bring all sampled series up to date")) {}

Sampler::~Sampler() { stop(); }

void Sampler::start() {
  sample();
  thread_ = std::thread([this] { run(); });
}

void Sampler::stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Sampler::sample() {
  const auto begin = SteadyClock::now();
  for (const auto& refresh : all_) refresh();
  seconds_.record(SteadyClock::now() - begin);
}

void Sampler::run() {
  ::pthread_setname_np(::pthread_self(), "knap-observe");
  while (true) {
    {
      const MutexLock lock(mutex_);
      const auto until = Deadline::after(interval_);
      while (!stopping_ && !until.expired()) wake_.wait_until(mutex_, until);
      if (stopping_) return;
    }
    sample();
  }
}

namespace {

class SystemMetrics {
 public:
  SystemMetrics(Registry& metrics, SystemRoots roots, std::filesystem::path data_dir)
      : metrics_(metrics), roots_(std::move(roots)), data_dir_(std::move(data_dir)) {}

  void refresh() {
    if (const auto use = read_process(roots_, "self")) own(*use);
    children();
    machine();
    disk();
  }

 private:
  void gauge(std::string_view name, std::string_view help, double value,
             const Labels& labels = {}) {
    metrics_.gauge(name, help, labels).set(value);
  }

  void total(std::string_view name, std::string_view help, double value,
             const Labels& labels = {}) {
    metrics_.total(name, help, labels).set(value);
  }

  void own(const ProcessUse& use) {
    const auto number = [](std::uint64_t value) { return static_cast<double>(value); };
    gauge("process_resident_memory_bytes", "Resident memory", number(use.resident_bytes));
    gauge("process_virtual_memory_bytes", "Virtual memory", number(use.virtual_bytes));
    gauge("process_open_fds", "Open file descriptors", number(use.open_files));
    gauge("process_max_fds", "Open file descriptors allowed", number(use.open_files_max));
    gauge("process_threads", "Threads", number(use.threads));
    gauge("process_start_time_seconds", "Start, as Unix time", use.start_unix_s);
    total("process_cpu_seconds_total", "Processor time, user and system", use.cpu_seconds);
    total("knap_process_cpu_seconds_total", "Processor time by process", use.cpu_seconds,
          {{"process", "server"}});
    total("knap_process_disk_read_bytes_total", "Read from disks", number(use.read_bytes));
    total("knap_process_disk_written_bytes_total", "Written to disks", number(use.written_bytes));
    gauge("knap_process_memory_bytes", "Resident memory by process", number(use.resident_bytes),
          {{"process", "server"}});
  }

  /// Sums by role and model; one that has gone stays, at 0.
  void children() {
    for (auto& [name, sum] : children_) sum = {};
    for (const ChildUse& child : read_children(roots_)) {
      Sum& sum = sums_of(child);
      sum.memory += static_cast<double>(child.use.resident_bytes);
      sum.cpu += child.use.cpu_seconds;
      sum.files += static_cast<double>(child.use.open_files);
    }
    for (const auto& [name, sum] : children_) {
      const Labels labels{{"process", name}};
      gauge("knap_process_memory_bytes", "Resident memory by process", sum.memory, labels);
      total("knap_process_cpu_seconds_total", "Processor time by process", sum.cpu, labels);
      gauge("knap_process_open_files", "Open file descriptors by process", sum.files, labels);
    }
  }

  void machine() {
    const MachineMemory memory = read_memory(roots_);
    gauge("knap_machine_memory_bytes", "Memory of the machine",
          static_cast<double>(memory.total_bytes), {{"state", "total"}});
    gauge("knap_machine_memory_bytes", "Memory of the machine",
          static_cast<double>(memory.available_bytes), {{"state", "available"}});
    const CgroupState group = read_cgroup(roots_);
    if (group.version == 0) return;
    gauge("knap_cgroup_memory_used_bytes", "Memory of the container, without droppable file pages",
          static_cast<double>(group.memory_used_bytes));
    if (group.memory_limit_bytes) {
      gauge("knap_cgroup_memory_limit_bytes", "Memory the container may take",
            static_cast<double>(*group.memory_limit_bytes));
    }
    if (group.cpu_limit)
      gauge("knap_cgroup_cpu_limit_cores", "Cores the container may use", *group.cpu_limit);
    total("knap_cgroup_cpu_seconds_total", "Processor time of the container", group.cpu_seconds);
    total("knap_cgroup_cpu_throttled_seconds_total", "Time the container was held back",
          group.throttled_seconds);
  }

  void disk() {
    std::error_code error;
    const auto space = std::filesystem::space(data_dir_, error);
    if (error) return;
    gauge("knap_disk_free_bytes", "Free space where the data folder is",
          static_cast<double>(space.available), {{"folder", "data"}});
    gauge("knap_disk_size_bytes", "Size of the disk where the data folder is",
          static_cast<double>(space.capacity), {{"folder", "data"}});
    const auto database = std::filesystem::file_size(data_dir_ / "knap.db", error);
    if (!error)
      gauge("knap_store_file_bytes", "Size of the database", static_cast<double>(database));
  }

  struct Sum {
    double memory = 0, cpu = 0, files = 0;
  };
  Sum& sums_of(const ChildUse& child) {
    return children_[child.model.empty() ? child.role : child.role + ":" + child.model];
  }

  Registry& metrics_;
  const SystemRoots roots_;
  const std::filesystem::path data_dir_;
  std::map<std::string, Sum> children_;
};

}  // namespace

std::function<void()> system_metrics(Registry& metrics, SystemRoots roots,
                                     std::filesystem::path data_dir) {
  auto state = std::make_shared<SystemMetrics>(metrics, std::move(roots), std::move(data_dir));
  return [state] { state->refresh(); };
}

}  // namespace knap::observe
