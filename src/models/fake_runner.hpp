#pragma once

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "pooled_runner.hpp"

namespace knap::models {

/// What the fake runners of one test do, and what they hold together.
struct World {
  std::atomic<std::uint64_t> resident = 0, peak = 0;
  std::atomic<int> alive = 0, made = 0;
  std::atomic<bool> gated = false;  // runners that are started now are not ready before open()
  void hold(std::uint64_t bytes) {
    const std::uint64_t now = resident += bytes;
    std::uint64_t before = peak.load();
    while (before < now && !peak.compare_exchange_weak(before, now)) {
    }
  }
};

/// A runner without a process, for tests of the pool.
class FakeRunner final : public PooledRunner {
 public:
  FakeRunner(World& world, std::uint64_t bytes) : world_(world), bytes_(bytes) {
    ++world_.alive;
    ++world_.made;
  }
  ~FakeRunner() override {
    FakeRunner::stop();
    --world_.alive;
  }
  void start() override {
    if (started_.exchange(true)) return;
    gated_ = world_.gated.load();
    resident_ = bytes_;
    world_.hold(bytes_);
  }
  Status wait_ready(Deadline deadline, const CancelToken& cancel) override {
    while (true) {
      if (const Status now = check_ready(); now || stopped_ || failed_) return now;
      KNAP_CHECK_OK(still_wanted(cancel, deadline));
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  Status check_ready() override {
    if (failed_) return make_error(ErrorCode::kFailedPrecondition, "broken");
    if (stopped_ || (gated_ && world_.gated)) return make_error(ErrorCode::kUnavailable, "loading");
    return {};
  }
  void suspect() override {}
  void begin_stop() override {}
  void stop() override {
    if (!stopped_.exchange(true)) world_.resident -= resident_.exchange(0);
  }
  std::string state() const override {
    if (failed_) return "failed: broken";
    return gated_ && world_.gated ? "loading" : "ready";
  }
  std::uint64_t resident_bytes() const override { return resident_; }
  std::chrono::milliseconds load_time() const override { return load_time_; }
  http::Client& client() override { std::abort(); }

  void leak(std::uint64_t bytes) {
    resident_ += bytes;
    world_.hold(bytes);
  }
  void fail() {
    failed_ = true;
    world_.resident -= resident_.exchange(0);
  }
  std::chrono::milliseconds load_time_{1};

 private:
  World& world_;
  const std::uint64_t bytes_;
  std::atomic<bool> started_ = false, stopped_ = false, failed_ = false, gated_ = false;
  std::atomic<std::uint64_t> resident_ = 0;
};

}  // namespace knap::models
