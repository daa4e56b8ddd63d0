#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <thread>

#include "knap/base/file.hpp"
#include "knap/models/recommend.hpp"

namespace knap::models {
namespace {

namespace fs = std::filesystem;

// Larger than any cache, and small beside what a model takes.
constexpr std::size_t kBlockWords = std::size_t{8} << 20;  // 64 MiB for each thread
constexpr int kPasses = 4;
constexpr std::size_t kThreadsMax = 256;
constexpr std::size_t kGpusMax = 16;
constexpr std::size_t kCpuLinesMax = 200;  // one processor's entry is shorter
constexpr std::array kWanted = {"avx2",        "f16c",     "fma",      "avx512f",  "avx512_vnni",
                                "avx512_bf16", "avx_vnni", "amx_int8", "amx_bf16", "asimd",
                                "asimddp",     "i8mm",     "sve"};

void read_processor(Hardware& out) {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  for (std::size_t count = 0; count < kCpuLinesMax && std::getline(file, line); ++count) {
    const std::size_t colon = line.find(": ");
    if (colon == std::string::npos) continue;
    if (line.starts_with("model name") && out.processor.empty())
      out.processor = line.substr(colon + 2);
    if (!line.starts_with("flags") && !line.starts_with("Features")) continue;
    const std::string flags = " " + line.substr(colon + 2) + " ";
    for (const std::string wanted : kWanted)
      if (flags.find(" " + wanted + " ") != std::string::npos)
        out.instruction_sets.push_back(wanted);
    return;
  }
}

/// Bytes a second that all threads read together; the best of a few passes, because others compute
/// too.
double measure_bandwidth(std::size_t threads) {
  std::vector<std::vector<std::uint64_t>> blocks(threads);
  std::atomic<std::uint64_t> sum = 0;  // so that nothing is optimised away
  double best = 0;
  for (int pass = 0; pass <= kPasses; ++pass) {
    const auto begin = std::chrono::steady_clock::now();
    std::vector<std::thread> workers;
    for (auto& block : blocks) {
      workers.emplace_back([&block, &sum] {
        if (block.empty()) block.assign(kBlockWords, 1);  // the first pass only makes them
        sum += std::accumulate(block.begin(), block.end(), std::uint64_t{0});
      });
    }
    for (auto& worker : workers) worker.join();
    const double took =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (pass > 0)
      best =
          std::max(best, static_cast<double>(threads * kBlockWords * sizeof(std::uint64_t)) / took);
  }
  return sum > 0 ? best : 0;
}

std::uint64_t read_number(const fs::path& file) {
  std::ifstream input(file);
  std::uint64_t value = 0;
  input >> value;
  return input ? value : 0;
}

// By the drivers' own files: no library of a maker's is needed. NVIDIA's tell no memory.
void read_gpus(Hardware& out) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc/driver/nvidia/gpus", error)) {
    std::ifstream file(entry.path() / "information");
    std::string line;
    std::string name = "NVIDIA";
    while (std::getline(file, line))
      if (line.starts_with("Model:")) name = line.substr(line.find_first_not_of(" \t", 6));
    if (out.gpus.size() < kGpusMax) out.gpus.push_back({name, 0});
  }
  for (const auto& entry : fs::directory_iterator("/sys/class/drm", error)) {
    const auto memory = read_number(entry.path() / "device" / "mem_info_vram_total");
    const bool card = entry.path().filename().string().find('-') == std::string::npos;
    if (card && memory > 0 && out.gpus.size() < kGpusMax) out.gpus.push_back({"AMD", memory});
  }
}

}  // namespace

Hardware probe_hardware(std::size_t threads) {
  Hardware out;
  out.cores = std::clamp<std::size_t>(threads, 1, kThreadsMax);
  out.memory_bytes = usual_memory_bytes() / 3 * 4;
  read_processor(out);
  read_gpus(out);
  out.bytes_per_second = measure_bandwidth(out.cores);
  return out;
}

}  // namespace knap::models
