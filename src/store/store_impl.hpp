#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "database.hpp"
#include "knap/base/file.hpp"
#include "knap/base/mutex.hpp"
#include "knap/store/store.hpp"
#include "note_heads.hpp"

namespace knap::store {

/// A few connections for reading; whoever finds none free waits for one (reads are short). The
/// first that is free is taken, so that a moment with more readers than usual does not fill the
/// page caches of connections that are seldom needed.
class ReaderPool {
 public:
  class Lease {
   public:
    Lease(ReaderPool& pool, std::size_t place) : pool_(pool), place_(place) {}
    ~Lease() { pool_.give_back(place_); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Database& operator*() const { return *pool_.readers_[place_]; }
    Database* operator->() const { return pool_.readers_[place_].get(); }

   private:
    ReaderPool& pool_;
    const std::size_t place_;
  };

  /// @param readers  1 to 20
  explicit ReaderPool(std::vector<std::unique_ptr<Database>> readers)
      : readers_(std::move(readers)), free_((1U << readers_.size()) - 1) {}
  Lease take() KNAP_EXCLUDES(mutex_);
  /// Before the first take(): where waits are counted.
  void measure(observe::Histogram& wait_seconds) { wait_seconds_ = &wait_seconds; }

 private:
  void give_back(std::size_t place) KNAP_EXCLUDES(mutex_);
  const std::vector<std::unique_ptr<Database>> readers_;
  Mutex mutex_;
  CondVar wake_;
  std::uint32_t free_ KNAP_GUARDED_BY(mutex_);  ///< A bit for each place.
  observe::Histogram* wait_seconds_ = nullptr;
};

class StoreImpl final : public Store {
 public:
  StoreImpl(StoreOptions options, FileDescriptor lock, std::unique_ptr<Database> writer,
            std::vector<std::unique_ptr<Database>> readers);
  ~StoreImpl() override;

  const std::filesystem::path& file() const override { return file_; }
  Result<std::int64_t> next_file_id() const override;
  Result<VaultId> vault(std::string_view name, const std::filesystem::path& root) override;
  Result<std::string> boilerplate(VaultId vault) const override;
  Status set_boilerplate(VaultId vault, std::string_view learned) override;
  Status files(VaultId vault, const std::function<void(FileRecord)>& visit) const override;
  Status apply(VaultId vault, const WriteBatch& batch) override;
  Result<std::uint64_t> changes(VaultId vault) const override;
  Result<Mark> mark(VaultId vault) override;
  Result<std::optional<Mark>> find_mark(VaultId vault, std::uint64_t stamp) const override;
  Status notes(VaultId vault, const std::function<bool(LoadedNote)>& visit) const override;
  Status note_records(VaultId vault, const NoteVisitor& visit) const override;
  Result<std::optional<LoadedNote>> note(FileId file) const override;
  Result<std::vector<std::optional<PassageRow>>> passages(
      std::span<const PassageKey> keys) const override;
  Result<std::vector<Hash128>> passage_hashes(FileId file) const override;
  Result<std::optional<std::uint32_t>> passage_at(FileId file, std::uint32_t line) const override;
  Result<ModelKey> model(std::string_view id) override;
  Status put_embeddings(ModelKey model, std::span<const EmbeddingRecord> records,
                        std::int64_t now_ms) override;
  Status embeddings(
      ModelKey model, std::span<const Hash128> hashes,
      const std::function<void(std::size_t, std::span<const std::int8_t>)>& visit) const override;
  Result<std::string> serving_model() const override;
  Status set_serving_model(ModelKey model) override;
  Result<std::uint64_t> count_missing_embeddings(ModelKey model,
                                                 std::span<const VaultId> vaults) const override;
  Status used_embeddings(ModelKey model, VaultId vault,
                         const std::function<void(const Hash128&, std::span<const std::int8_t>)>&
                             visit) const override;
  Result<std::vector<MissingEmbedding>> missing_embeddings(ModelKey model,
                                                           std::span<const VaultId> vaults,
                                                           std::optional<Hash128> after,
                                                           std::size_t limit) const override;
  Result<std::vector<std::uint32_t>> missing_in_files(ModelKey model,
                                                      std::span<const FileId> files) const override;
  Result<std::vector<VaultId>> vaults_with(const Hash128& hash) const override;
  Result<std::optional<std::string>> extraction(const Hash128& content,
                                                const ReaderVersion& by) const override;
  Status put_extraction(const Hash128& content, const ReaderVersion& by, std::string_view bytes,
                        std::int64_t now_ms) override;
  Result<std::size_t> collect_extractions(std::int64_t made_before_ms, std::size_t limit) override;
  Result<std::size_t> collect_garbage(std::int64_t made_before_ms, std::size_t limit) override;
  Status checkpoint() override;
  Status check_write() override;

 private:
  Result<std::uint64_t> next_change(VaultId vault) KNAP_REQUIRES(writer_mutex_);
  Status write_change(VaultId vault, const FileChange& change, std::uint64_t number)
      KNAP_REQUIRES(writer_mutex_);
  Status write_file(VaultId vault, const FileRecord& file) KNAP_REQUIRES(writer_mutex_);
  Status write_content(const FileChange& change, std::uint64_t number) KNAP_REQUIRES(writer_mutex_);
  Status drop_content(FileId file) KNAP_REQUIRES(writer_mutex_);

  const StoreOptions options_;
  const std::filesystem::path file_;
  const FileDescriptor lock_;
  mutable Mutex writer_mutex_;
  const std::unique_ptr<Database> writer_ KNAP_PT_GUARDED_BY(writer_mutex_);
  mutable ReaderPool readers_;
  mutable NoteHeads heads_;
  observe::Histogram* transaction_seconds_ = nullptr;
};

constexpr std::int64_t first_row(FileId file) {
  return static_cast<std::int64_t>(file) << kOrdinalBits;
}
constexpr std::int64_t row_of(PassageKey key) { return first_row(key.file) | key.ordinal; }
constexpr PassageKey key_of(std::int64_t row) {
  return {static_cast<FileId>(row >> kOrdinalBits),
          static_cast<std::uint32_t>(row & (kPassagesPerFileMax - 1))};
}

}  // namespace knap::store
