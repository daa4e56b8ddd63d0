#include "knap/ops/memory_guard.hpp"

#include <pthread.h>

#include "knap/observe/log.hpp"

namespace knap::ops {
namespace {

constexpr std::chrono::milliseconds kInterval{250};
constexpr std::chrono::seconds kRelieveEvery{1};

}  // namespace

std::string_view to_string(MemoryGuard::Pressure pressure) {
  switch (pressure) {
    case MemoryGuard::Pressure::kNone: return "none";
    case MemoryGuard::Pressure::kSoft: return "soft";
    case MemoryGuard::Pressure::kHard: return "hard";
  }
  return "none";
}

MemoryGuard::MemoryGuard(Options options, observe::Registry& metrics)
    : options_(std::move(options)),
      gauge_(metrics.gauge("knap_memory_pressure",
                           "0: none, 1: caches shrink, 2: new work is refused")) {}

MemoryGuard::~MemoryGuard() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void MemoryGuard::start() {
  if (options_.limit_bytes == 0) return;
  look();
  thread_ = std::thread([this] { run(); });
}

std::uint64_t MemoryGuard::used() const {
  if (options_.of_container) return observe::read_cgroup(options_.roots).memory_used_bytes;
  std::uint64_t sum = 0;
  if (const auto own = observe::read_process(options_.roots, "self")) sum = own->resident_bytes;
  for (const auto& child : observe::read_children(options_.roots)) sum += child.use.resident_bytes;
  return sum;
}

void MemoryGuard::look() {
  if (options_.limit_bytes == 0) return;
  const double share = static_cast<double>(used()) / static_cast<double>(options_.limit_bytes);
  auto now = Pressure::kNone;
  if (share >= options_.soft) now = Pressure::kSoft;
  if (share >= options_.hard) now = Pressure::kHard;
  const auto before = pressure_.exchange(now);
  gauge_.set(static_cast<double>(now));
  if (now != before) {
    observe::log(now == Pressure::kNone ? observe::LogLevel::kInfo : observe::LogLevel::kWarning,
                 "memory_pressure", "memory against its limit",
                 {{"pressure", std::string(to_string(now))}, {"share", share}});
  }
  const auto at = SteadyClock::now();
  if (now == Pressure::kNone || at - relieved_ < kRelieveEvery) return;
  relieved_ = at;
  if (options_.relieve) options_.relieve(now);
}

void MemoryGuard::run() {
  ::pthread_setname_np(::pthread_self(), "knap-memory");
  while (true) {
    {
      const MutexLock lock(mutex_);
      const auto until = Deadline::after(kInterval);
      while (!stopping_ && !until.expired()) wake_.wait_until(mutex_, until);
      if (stopping_) return;
    }
    look();
  }
}

}  // namespace knap::ops
