#pragma once

#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "knap/base/hash.hpp"
#include "knap/base/mutex.hpp"
#include "knap/index/service.hpp"

namespace knap::index {

/// Counts what it is asked to embed; equal texts get equal vectors, texts with common words near
/// ones.
class CountingEmbedder final : public models::Embedder {
 public:
  explicit CountingEmbedder(std::string id = "counting", std::size_t dimensions = 32)
      : id_(std::move(id)), dimensions_(dimensions) {}
  std::string id() const override { return id_; }
  std::size_t dimensions() const override { return dimensions_; }
  std::vector<std::string> languages() const override { return {"*"}; }
  Result<models::Embeddings> embed(std::span<const std::string> texts, models::InputKind kind,
                                   models::Priority, Deadline, const CancelToken&) override {
    if (broken) return make_error(ErrorCode::kUnavailable, "the model is broken");
    if (kind == models::InputKind::kPassage) passages += static_cast<int>(texts.size());
    if (kind == models::InputKind::kQuery) {
      ++queries;
      std::this_thread::sleep_for(std::chrono::milliseconds(query_ms));
    }
    models::Embeddings out{dimensions_, {}, 0};
    for (const std::string& text : texts) {
      std::vector<float> row(dimensions_);
      for (std::size_t begin = 0; begin < text.size();) {
        std::size_t end = text.find_first_of(" \n", begin);
        if (end == std::string::npos) end = text.size();
        row[hash64(text.substr(begin, end - begin)) % dimensions_] += 1;
        begin = end + 1;
      }
      float length = 0;
      for (const float value : row) length += value * value;
      for (const float value : row)
        out.values.push_back(length > 0 ? value / std::sqrt(length) : 0);
    }
    return out;
  }
  std::atomic<int> passages = 0;
  std::atomic<int> queries = 0, query_ms = 0;
  std::atomic<bool> broken = false;

 private:
  const std::string id_;
  const std::size_t dimensions_;
};

/// A vault and a data folder that go away with the test, and a service over them.
class ServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "knap-index-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    vault_ = folder_ / "vault";
    std::filesystem::create_directories(vault_);
  }
  void TearDown() override {
    service_.reset();
    std::filesystem::remove_all(folder_);
  }

  void write(const std::filesystem::path& path, std::string_view text) const {
    const std::filesystem::path file = path.is_absolute() ? path : vault_ / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
  }
  ServiceOptions options() const {
    ServiceOptions options;
    options.data_dir = folder_ / "data";
    options.vaults = {{"notes", vault_}};
    options.watch = ServiceOptions::Watch::kOff;
    return options;
  }
  void open(ServiceOptions options) {
    service_.reset();
    auto service = Service::open(std::move(options), embedder_, leases_, *metrics_);
    ASSERT_TRUE(service.has_value()) << service.error().message;
    service_ = std::move(*service);
  }
  void open() { open(options()); }
  void scan(Service::WaitFor wait = Service::WaitFor::kKeyword) {
    const Status done =
        service_->scan(wait, Deadline::after(std::chrono::seconds(60)), {}, nullptr);
    ASSERT_TRUE(done.has_value()) << done.error().message;
  }
  std::vector<std::string> found(std::string text,
                                 search::Mode mode = search::Mode::kKeyword) const {
    SearchRequest request;
    request.text = std::move(text);
    request.mode = mode;
    auto outcome = service_->search(request, Deadline::never(), {});
    EXPECT_TRUE(outcome.has_value()) << outcome.error().message;
    std::vector<std::string> paths;
    for (const SearchHit& hit : outcome->hits) paths.push_back(hit.passage.path);
    return paths;
  }
  /// "indexed" or "failed: reason"; empty: not in the ledger.
  std::string state_of(std::string_view path) const {
    std::string cursor;
    do {
      const auto page = service_->files(std::nullopt, "", 1000, cursor).value();
      for (const FileRow& file : page.files) {
        if (file.path != path) continue;
        return std::string(to_string(file.state)) + (file.reason.empty() ? "" : ": " + file.reason);
      }
      cursor = page.next_cursor;
    } while (!cursor.empty());
    return {};
  }
  std::uint64_t counted(std::string_view name) const { return metrics_->counter(name, "").value(); }
  /// Waits until `done` holds; the watcher tells when it pleases.
  template <typename Condition>
  static bool eventually(Condition done, std::chrono::seconds limit = std::chrono::seconds(10)) {
    Mutex mutex;
    CondVar never;
    const Deadline deadline = Deadline::after(limit);
    while (!done()) {
      if (deadline.expired()) return false;
      MutexLock lock(mutex);
      never.wait_until(mutex, Deadline::after(std::chrono::milliseconds(5)));
    }
    return true;
  }

  std::filesystem::path folder_, vault_;
  std::shared_ptr<CountingEmbedder> embedder_ = std::make_shared<CountingEmbedder>();
  std::unique_ptr<observe::Registry> metrics_ = std::make_unique<observe::Registry>();
  service::ComputeLeases leases_{2};
  std::unique_ptr<Service> service_;
};

}  // namespace knap::index
