#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "embed_queue.hpp"
#include "indexer.hpp"
#include "knap/index/service.hpp"
#include "model_rerank.hpp"
#include "query_batcher.hpp"
#include "recent_questions.hpp"
#include "snapshot_keeper.hpp"
#include "stage_pace.hpp"
#include "vault_state.hpp"

namespace knap::index {

class ServiceImpl final : public Service {
 public:
  ServiceImpl(ServiceOptions options, std::unique_ptr<store::Store> store, Vaults vaults,
              service::ComputeLeases& leases, observe::Registry& metrics,
              std::int64_t next_file_id);
  ~ServiceImpl() override;

  Status load(std::shared_ptr<models::Embedder> embedder);

  void start() override;
  Status set_embedder(std::shared_ptr<models::Embedder> embedder, OnLoss on_loss) override;
  Status roll_back_embedder() override { return embed_queue_->roll_back(); }
  ModelState model_state() const override { return embed_queue_->model_state(); }
  std::vector<std::string> vaults() const override;
  std::vector<VaultStatus> status() const override;
  Result<FilePage> files(std::optional<FileState> state, std::string_view vault,
                         std::uint32_t limit, std::string_view cursor) const override;
  std::optional<Content> content(const std::vector<std::string>& vaults,
                                 Effort effort) const override;
  Result<FileRow> file(std::string_view vault, std::string_view path) const override;
  Result<FileRow> wait_for_file(std::string_view vault, std::string_view path, Deadline deadline,
                                const CancelToken& cancel) override;
  Result<FileRow> import_note(std::string_view name, std::string_view text) override
      KNAP_EXCLUDES(import_mutex_);
  Status drop_import(std::string_view name) override KNAP_EXCLUDES(import_mutex_);
  Result<FileRow> import_file(std::string_view name, std::string_view bytes) override
      KNAP_EXCLUDES(import_mutex_);
  Result<SearchOutcome> search(const SearchRequest& request, Deadline deadline,
                               const CancelToken& cancel) override;
  Result<NoteView> note(std::string_view vault, std::string_view path) const override;
  Result<LinksView> links(std::string_view vault, std::string_view path) const override;
  Result<MentionsView> mentions(std::string_view vault, std::string_view path, Deadline deadline,
                                const CancelToken& cancel) const override;
  Result<DuplicatesView> duplicates(const DuplicatesRequest& request, Deadline deadline,
                                    const CancelToken& cancel) const override;
  Result<std::vector<SearchHit>> related(std::string_view vault, std::string_view path,
                                         std::uint32_t limit) override;
  float inverse_document_frequency(std::string_view term) const override;
  Status scan(WaitFor wait, Deadline deadline, const CancelToken& cancel,
              const std::function<void(const Progress&)>& progress) override;
  Status rebuild(Deadline deadline, const CancelToken& cancel,
                 const std::function<void(const Progress&)>& progress) override;
  Status check_store() override { return store_->check_write(); }

 private:
  struct Place {
    VaultState* vault = nullptr;
    std::string path;
    LedgerEntry entry;
  };
  /// Errors: kFailedPrecondition (none).
  Result<VaultState*> folder_of_imports() const;
  /// Has a file of the folder of imports looked at.
  FileRow taken_in(VaultState& state, std::string path);
  static FileRow row_of(const Place& place);
  void watch(VaultState& vault);
  VaultStatus status_of(const VaultState& vault) const;
  Result<std::vector<VaultState*>> wanted_vaults(const std::vector<std::string>& names) const;
  std::optional<VaultState::KnownContent> content_of(VaultState& vault, Effort effort) const;
  Result<Place> find(std::string_view vault, std::string_view path) const;
  std::string embedding_model_of(const LedgerEntry& entry, std::uint32_t missing, bool known) const;

  Status open_embedder(std::shared_ptr<models::Embedder> embedder);
  /// Before a change of model (model_trial.cpp): what both find for the same questions.
  struct TrialSide;
  struct TrialQuestion {
    SearchRequest request;
    std::map<std::string, int> grades;  ///< By path, of notes that are there.
  };
  struct TrialQuestions {
    std::vector<TrialQuestion> judged;
    std::string problem;
  };
  Result<ModelState::Comparison> compare_models(const EmbedQueue::Trial& trial);
  Status compare_judged(const EmbedQueue::Trial& trial, const std::vector<TrialQuestion>& questions,
                        const TrialSide& now, const TrialSide& next, Deadline budget,
                        ModelState::Comparison& out);
  void compare_recent(const EmbedQueue::Trial& trial, const std::vector<std::string>& questions,
                      const TrialSide& now, const TrialSide& next, Deadline budget,
                      ModelState::Comparison& out);
  TrialQuestions judged_questions() const;
  Result<TrialQuestion> check_question(const JudgedQuestion& question, std::string& missing) const;
  TrialSide side_of(const EmbedQueue::Model& model) const;
  Result<TrialSide> trial_side_of(const EmbedQueue::Model& model) const;
  Result<std::vector<std::string>> find_paths(const TrialSide& side, const SearchRequest& request,
                                              Deadline deadline, const CancelToken& cancel);
  /// The hits of all vaults in order, with their texts: more than the request's limit where another
  /// stage may change their order. False: see fill_hits().
  Result<bool> order_hits(const std::vector<VaultState*>& vaults, const SearchRequest& request,
                          SearchOutcome& outcome) const;
  Result<SearchOutcome> search_in(const std::vector<VaultState*>& vaults,
                                  const SearchRequest& request, Deadline deadline,
                                  const CancelToken& cancel);
  void record_stages(const SearchOutcome& outcome, SteadyClock::time_point begin) const;
  void rerank(const std::vector<VaultState*>& vaults, const SearchRequest& request,
              SearchOutcome& outcome) const;
  /// So many hits the stages after the fusion may put in order; 0: none of them runs.
  std::uint32_t reranked_count(const SearchRequest& request, bool with_vectors) const;
  Helpers free_helpers() const;
  search::Query query_of(const SearchRequest& request, const SearchOutcome& outcome,
                         std::uint64_t space) const;
  Result<std::vector<float>> embed_in_background(models::Embedder& embedder,
                                                 const std::string& text, Deadline deadline,
                                                 const CancelToken& cancel);
  /// Returns the space of the embedding, when one was made.
  std::uint64_t embed_query(const SearchRequest& request, Deadline deadline,
                            const CancelToken& cancel, SearchOutcome& outcome);
  Status search_vaults(const std::vector<VaultState*>& vaults, const search::Query& query,
                       Deadline deadline, SearchOutcome& outcome,
                       std::vector<search::Correction>& corrections, bool& other_space) const;
  Result<bool> fill_hits(std::vector<SearchHit>& hits) const;
  std::string link_context(store::FileId file, std::uint32_t line) const;
  Result<search::Query> query_like(const Place& place) const;
  Status find_unlinked(const Place& place, const std::vector<std::string>& names, Deadline deadline,
                       const CancelToken& cancel, std::vector<LinkView>& out) const;
  Status find_suggestions(const Place& place, const store::LoadedNote& note,
                          std::vector<LinkView>& out) const;
  Status wait_for_scan(std::uint64_t number, Deadline deadline, const CancelToken& cancel,
                       const std::function<void(const Progress&)>& progress);
  Status wait_for_documents(Deadline deadline, const CancelToken& cancel,
                            const std::function<void(const Progress&)>& progress);
  Status wait_for_vectors(Deadline deadline, const CancelToken& cancel,
                          const std::function<void(const Progress&)>& progress);

  const ServiceOptions options_;
  const std::unique_ptr<store::Store> store_;
  const Vaults vaults_;
  service::ComputeLeases& leases_;
  const std::unique_ptr<ThreadPool> search_helpers_;  ///< Null on one core.
  observe::Gauge& lag_;
  observe::Histogram& fetch_seconds_;
  observe::Registry& metrics_;
  RecentQuestions recent_;
  QueryBatcher batcher_{leases_};
  ModelRerank model_rerank_;
  StagePace embed_pace_;  ///< Of a query's embedding, waiting for its lease included.
  std::unique_ptr<EmbedQueue> embed_queue_;
  std::unique_ptr<Indexer> indexer_;
  SnapshotKeeper snapshots_;
  Mutex import_mutex_;   ///< Two imports of one name do not choose the same place.
  bool loaded_ = false;  ///< Only an index that was loaded whole is worth a snapshot.
};

/// The languages that an embedding model knows; none: all.
std::vector<std::string> languages_of(const models::Embedder& embedder);

/// Why a file of the ledger has no note.
Error not_indexed(std::string_view path, const LedgerEntry& entry);

PassageView view_of(store::PassageRow row, const std::string& vault);

}  // namespace knap::index
