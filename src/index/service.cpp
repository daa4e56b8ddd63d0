#include "knap/index/service.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include <malloc.h>

#include "knap/base/cores.hpp"
#include "knap/base/file.hpp"
#include "knap/base/text.hpp"
#include "knap/observe/log.hpp"
#include "load.hpp"
#include "service_impl.hpp"

namespace knap::index {
namespace {

constexpr std::size_t kVaultNameBytesMax = 64 * 4;
constexpr std::uint32_t kFilesPageMax = 1'000;
constexpr auto kProgressEvery = std::chrono::milliseconds(100);

Status check(const ServiceOptions& options) {
  if (options.vaults.empty())
    return make_error(ErrorCode::kInvalidArgument, "no vault is given: add --vault FOLDER");
  std::set<std::string> names;
  for (const VaultConfig& vault : options.vaults) {
    if (vault.name.empty() || vault.name.size() > kVaultNameBytesMax ||
        !text::is_valid_utf8(vault.name)) {
      return make_error(ErrorCode::kInvalidArgument, "a vault's name must have 1 to 64 characters");
    }
    if (!names.insert(vault.name).second) {
      return make_error(ErrorCode::kInvalidArgument, "two vaults are named " + vault.name);
    }
    std::error_code failed;
    if (vault.kind == VaultConfig::Kind::kImports) continue;
    if (!std::filesystem::is_directory(vault.root, failed)) {
      return make_error(ErrorCode::kNotFound, "the vault " + vault.name + " has no folder " +
                                                  vault.root.string() + ": check the path");
    }
  }
  return {};
}

/// The cursor of files(): the vault's number and the last path, so that it stays right while files
/// come and go.
std::string make_cursor(std::size_t vault, const std::string& path) {
  std::string cursor = base64_encode(std::to_string(vault) + "/" + path);
  std::replace(cursor.begin(), cursor.end(), '+', '-');
  std::replace(cursor.begin(), cursor.end(), '/', '_');
  cursor.erase(std::find(cursor.begin(), cursor.end(), '='), cursor.end());
  return cursor;
}

Result<std::pair<std::size_t, std::string>> read_cursor(std::string_view cursor,
                                                        std::size_t vaults) {
  const auto wrong = [] {
    return make_error(ErrorCode::kInvalidArgument, "cursor: not one that this server gave");
  };
  std::string padded(cursor);
  std::replace(padded.begin(), padded.end(), '-', '+');
  std::replace(padded.begin(), padded.end(), '_', '/');
  padded.resize((padded.size() + 3) / 4 * 4, '=');
  const auto decoded = base64_decode(padded);
  if (!decoded) return wrong();
  const std::size_t slash = decoded->find('/');
  if (slash == 0 || slash == std::string::npos || slash > 4) return wrong();
  std::size_t vault = 0;
  for (const char c : decoded->substr(0, slash)) {
    if (c < '0' || c > '9') return wrong();
    vault = vault * 10 + static_cast<std::size_t>(c - '0');
  }
  if (vault >= vaults) return wrong();
  return std::pair(vault, decoded->substr(slash + 1));
}

/// Each core may search, and a few threads list, load and embed beside them.
std::size_t store_readers() {
  constexpr std::size_t kBeside = 2, kLeast = 4, kMost = 20;
  return std::clamp<std::size_t>(usable_cores() + kBeside, kLeast, kMost);
}

}  // namespace

Result<std::unique_ptr<Service>> Service::open(ServiceOptions options,
                                               std::shared_ptr<models::Embedder> embedder,
                                               service::ComputeLeases& leases,
                                               observe::Registry& metrics) {
  KNAP_CHECK_OK(check(options));
  KNAP_TRY(auto store,
           store::Store::open(
               {.data_dir = options.data_dir, .readers = store_readers(), .metrics = &metrics}));
  KNAP_TRY(const std::int64_t next_file_id, store->next_file_id());
  const auto dimensions =
      embedder ? static_cast<std::uint32_t>(embedder->dimensions()) : kDimensionsWithoutModel;
  Vaults vaults;
  for (const VaultConfig& vault : options.vaults) {
    if (vault.kind == VaultConfig::Kind::kImports) {
      std::error_code failed;
      std::filesystem::create_directories(vault.root, failed);
      if (failed) return errno_error(failed.value(), "make the folder", vault.root);
    }
    KNAP_TRY(const store::VaultId id, store->vault(vault.name, vault.root));
    vaults.push_back(std::make_unique<VaultState>(vault, id, dimensions, options.ranking));
    KNAP_TRY(const std::string learned, store->boilerplate(id));
    MutexLock lock(vaults.back()->mutex);
    vaults.back()->boilerplate = std::make_shared<const Boilerplate>(Boilerplate::decode(learned));
  }
  auto service = std::make_unique<ServiceImpl>(std::move(options), std::move(store),
                                               std::move(vaults), leases, metrics, next_file_id);
  KNAP_CHECK_OK(service->load(std::move(embedder)));
  return std::unique_ptr<Service>(std::move(service));
}

namespace {

std::unique_ptr<ThreadPool> make_helpers(std::size_t cores) {
  constexpr std::size_t kHelpersMax = 7;  // a search is bound by memory before that
  if (cores < 2) return nullptr;
  return std::make_unique<ThreadPool>(ThreadPool::Options{
      .name = "knap-search", .threads = std::min(cores - 1, kHelpersMax), .queue_limit = 64});
}

}  // namespace

ServiceImpl::ServiceImpl(ServiceOptions options, std::unique_ptr<store::Store> store, Vaults vaults,
                         service::ComputeLeases& leases, observe::Registry& metrics,
                         std::int64_t next_file_id)
    : options_(std::move(options)),
      store_(std::move(store)),
      vaults_(std::move(vaults)),
      leases_(leases),
      search_helpers_(make_helpers(leases.usage().cores)),
      lag_(metrics.gauge("knap_index_lag_seconds",
                         "Age of the oldest change that keyword search does not know")),
      fetch_seconds_(metrics.histogram("knap_index_fetch_seconds",
                                       "Time to read the passages of one result page")),
      metrics_(metrics),
      model_rerank_(options_, leases),
      embed_queue_(std::make_unique<EmbedQueue>(*store_, vaults_, leases, metrics)),
      indexer_(std::make_unique<Indexer>(options_, *store_, vaults_, *embed_queue_, leases, metrics,
                                         next_file_id)),
      snapshots_(options_.data_dir, *store_, vaults_, *embed_queue_, metrics) {}

ServiceImpl::~ServiceImpl() {
  for (const auto& vault : vaults_) {
    std::unique_ptr<vault::Watcher> watcher;
    {
      MutexLock lock(vault->mutex);
      watcher = std::move(vault->watcher);
    }
  }
  snapshots_.stop();
  indexer_->stop();
  embed_queue_->stop();
  if (loaded_) snapshots_.save_all();
}

Status ServiceImpl::load(std::shared_ptr<models::Embedder> embedder) {
  for (const auto& vault : vaults_)
    KNAP_CHECK_OK(load_vault(*store_, *vault, snapshots_.file_of(*vault)));
  loaded_ = true;
  embed_queue_->set_judge(
      {[this] { return judged_questions().problem; },
       [this](const EmbedQueue::Trial& trial) { return compare_models(trial); }});
  if (embedder) KNAP_CHECK_OK(open_embedder(std::move(embedder)));
  ::malloc_trim(0);  // loading passes all texts through the allocator
  return {};
}

/// The model that served last goes on while the wanted one lacks vectors, or is to be judged first:
/// a change that was under way or held when the program ended, or that was made in the settings.
Status ServiceImpl::open_embedder(std::shared_ptr<models::Embedder> embedder) {
  KNAP_TRY(const std::string served, store_->serving_model());
  std::shared_ptr<models::Embedder> before;
  if (!served.empty() && served != embedder->id() && options_.find_embedder) {
    KNAP_TRY(const bool complete, embed_queue_->has_all_vectors(*embedder));
    if (!complete || !judged_questions().judged.empty()) before = options_.find_embedder(served);
  }
  if (!before) return embed_queue_->set_embedder(std::move(embedder));
  KNAP_CHECK_OK(embed_queue_->set_embedder(std::move(before)));
  return embed_queue_->change_to(std::move(embedder), OnLoss::kHold);
}

void ServiceImpl::watch(VaultState& vault) {
  const auto rules = vault::IgnoreRules::load(vault.config.root);
  vault::Watcher::Options options;
  options.scan_interval = options_.scan_interval;
  auto watcher = vault::Watcher::start(
      vault.config.root, rules, options,
      [this, &vault](vault::Changes changes) { indexer_->changed(vault, std::move(changes)); });
  MutexLock lock(vault.mutex);
  vault.rules = rules;
  if (watcher) {
    vault.watch_mode = (*watcher)->mode();
    vault.watcher = std::move(*watcher);
  } else {
    vault.watch_mode = "scan only: " + watcher.error().message;
    observe::log_warning("watch_failed", watcher.error().message, {{"vault", vault.config.name}});
  }
}

void ServiceImpl::start() {
  // Watched first, walked then: what changes in between is seen by one of the two.
  if (options_.watch == ServiceOptions::Watch::kOn) {
    for (const auto& vault : vaults_) watch(*vault);
  }
  indexer_->start();
  embed_queue_->start();
  snapshots_.start();
  indexer_->request_scan(Ledger::Recheck::kIfChanged);
}

Status ServiceImpl::set_embedder(std::shared_ptr<models::Embedder> embedder, OnLoss on_loss) {
  const bool beside = embedder != nullptr && embed_queue_->serving().embedder != nullptr;
  return beside ? embed_queue_->change_to(std::move(embedder), on_loss)
                : embed_queue_->set_embedder(std::move(embedder));
}

std::vector<std::string> ServiceImpl::vaults() const {
  std::vector<std::string> names;
  for (const auto& vault : vaults_) {
    if (!is_hidden(*vault)) names.push_back(vault->config.name);
  }
  return names;
}

VaultStatus ServiceImpl::status_of(const VaultState& vault) const {
  VaultStatus status;
  status.name = vault.config.name;
  const LedgerCounts counts = vault.ledger.counts();
  status.files = {counts.total(),
                  counts.of(FileState::kIndexed),
                  counts.of(FileState::kSkipped),
                  counts.of(FileState::kFailed),
                  counts.of(FileState::kPending),
                  counts.of(FileState::kStale)};
  const search::IndexStats stats = vault.index.stats();
  status.epoch = stats.epoch;
  status.notes = stats.notes;
  status.passages = stats.passages;
  status.passages_with_vector = stats.passages_with_vector;
  status.segments = stats.segments;
  status.index_bytes = stats.bytes;
  // Nothing is known of a vault before its first walk: "all of nothing" would read as done.
  const bool unknown = counts.total() == 0 && !vault.walked;
  const auto share = [unknown](std::uint64_t part, std::uint64_t whole) {
    if (unknown) return 0.0;
    return whole == 0 ? 1.0 : static_cast<double>(part) / static_cast<double>(whole);
  };
  status.keyword_coverage =
      share(counts.total() - counts.of(FileState::kPending) - counts.of(FileState::kStale),
            counts.total());
  status.semantic_coverage = share(stats.passages_with_vector, stats.passages);
  status.lag = vault.ledger.lag();
  const ModelState model = embed_queue_->model_state();
  status.embed_model = model.serving;
  status.embed_state = model.state;
  if (!model.held.empty()) {
    status.embed_state += fmt::format("; change to {} held: {}", model.building, model.held);
  } else if (!model.building.empty()) {
    status.embed_state +=
        fmt::format("; building {}: {} passages to go", model.building, model.missing);
  }
  return status;
}

std::vector<VaultStatus> ServiceImpl::status() const {
  std::vector<VaultStatus> all;
  double lag = 0;
  for (const auto& vault : vaults_) {
    if (is_hidden(*vault)) continue;
    VaultStatus status = status_of(*vault);
    {
      MutexLock lock(vault->mutex);
      status.watch_mode = vault->watch_mode;
    }
    lag = std::max(lag, std::chrono::duration<double>(status.lag).count());
    all.push_back(std::move(status));
  }
  lag_.set(lag);
  return all;
}

std::string ServiceImpl::embedding_model_of(const LedgerEntry& entry, std::uint32_t missing,
                                            bool known) const {
  return known && missing == 0 && entry.has_content ? embed_queue_->model_id() : std::string();
}

Result<FilePage> ServiceImpl::files(std::optional<FileState> state, std::string_view vault,
                                    std::uint32_t limit, std::string_view cursor) const {
  if (limit == 0 || limit > kFilesPageMax)
    return make_error(ErrorCode::kInvalidArgument, "limit must be 1 to 1000");
  std::vector<std::string> names;
  if (!vault.empty()) names.emplace_back(vault);
  KNAP_TRY(const auto wanted, wanted_vaults(names));
  std::size_t first = 0;
  std::optional<std::string> after;
  if (!cursor.empty()) {
    KNAP_TRY(auto place, read_cursor(cursor, wanted.size()));
    first = place.first;
    after = std::move(place.second);
  }
  FilePage page;
  const auto model = embed_queue_->serving();
  for (std::size_t number = first; number < wanted.size(); ++number) {
    const VaultState& from = *wanted[number];
    // One more than asked for tells whether there is another page.
    const auto rows = from.ledger.page(state, after, limit + 1 - page.files.size());
    after.reset();
    std::vector<store::FileId> ids;
    for (const auto& [path, entry] : rows) ids.push_back(entry.id);
    std::vector<std::uint32_t> missing(ids.size());
    if (model.embedder) {
      KNAP_TRY(missing, store_->missing_in_files(model.key, ids));
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto& [path, entry] = rows[i];
      if (page.files.size() == limit) {
        const bool same = i > 0;
        page.next_cursor = same ? make_cursor(number, rows[i - 1].first) : make_cursor(number, "");
        return page;
      }
      page.files.push_back({from.config.name, text::repair_utf8(path), entry.state, entry.reason,
                            entry.hash ? entry.hash->hex() : std::string(),
                            embedding_model_of(entry, missing[i], model.embedder != nullptr),
                            entry.indexed_at_ms});
    }
  }
  return page;
}

Result<std::vector<VaultState*>> ServiceImpl::wanted_vaults(
    const std::vector<std::string>& names) const {
  std::vector<VaultState*> out;
  if (names.empty()) {
    for (const auto& vault : vaults_) {
      if (!is_hidden(*vault)) out.push_back(vault.get());
    }
    return out;
  }
  for (const std::string& name : names) {
    const auto found = std::find_if(vaults_.begin(), vaults_.end(),
                                    [&](const auto& vault) { return vault->config.name == name; });
    if (found == vaults_.end())
      return make_error(ErrorCode::kNotFound, "there is no vault named " + name);
    if (std::find(out.begin(), out.end(), found->get()) == out.end()) out.push_back(found->get());
  }
  return out;
}

float ServiceImpl::inverse_document_frequency(std::string_view term) const {
  // The vault that knows the word best counts: a word common in one vault is no rare word of the
  // owner's.
  float lowest = vaults_.front()->index.get()->inverse_document_frequency(term);
  for (const auto& vault : vaults_) {
    lowest = std::min(lowest, vault->index.get()->inverse_document_frequency(term));
  }
  return lowest;
}

Status ServiceImpl::wait_for_scan(std::uint64_t number, Deadline deadline,
                                  const CancelToken& cancel,
                                  const std::function<void(const Progress&)>& progress) {
  for (;;) {
    if (auto result = indexer_->finished(number)) return std::move(*result);
    KNAP_CHECK_OK(still_wanted(cancel, deadline));
    if (progress) progress(indexer_->progress());
    indexer_->wait_changed(deadline.earlier(Deadline::after(kProgressEvery)));
  }
}

Status ServiceImpl::wait_for_documents(Deadline deadline, const CancelToken& cancel,
                                       const std::function<void(const Progress&)>& progress) {
  std::size_t most = 0;
  for (;;) {
    const std::size_t left = indexer_->documents_left();
    if (left == 0) return {};
    most = std::max(most, left);
    KNAP_CHECK_OK(still_wanted(cancel, deadline));
    if (progress) progress({"documents", most - left, most, 0, {}});
    indexer_->wait_changed(deadline.earlier(Deadline::after(kProgressEvery)));
  }
}

Status ServiceImpl::wait_for_vectors(Deadline deadline, const CancelToken& cancel,
                                     const std::function<void(const Progress&)>& progress) {
  const auto begin = SteadyClock::now();
  std::optional<std::uint64_t> done_before;
  for (;;) {
    if (!embed_queue_->serving().embedder) {
      return make_error(ErrorCode::kFailedPrecondition,
                        "there is no embedding model: see knap models list");
    }
    Progress now{"semantic", 0, 0, 0, {}};
    for (const auto& vault : vaults_) {
      const search::IndexStats stats = vault->index.stats();
      now.done += stats.passages_with_vector;
      now.total += stats.passages;
    }
    if (!done_before) done_before = now.done;
    if (embed_queue_->idle() && now.done >= now.total) return {};
    const std::chrono::duration<double> spent = SteadyClock::now() - begin;
    if (now.done > *done_before) {
      now.per_second = static_cast<double>(now.done - *done_before) / spent.count();
      now.left = std::chrono::seconds(
          static_cast<std::int64_t>(static_cast<double>(now.total - now.done) / now.per_second));
    }
    KNAP_CHECK_OK(still_wanted(cancel, deadline));
    if (progress) progress(now);
    embed_queue_->wait_changed(deadline.earlier(Deadline::after(kProgressEvery)));
  }
}

Status ServiceImpl::scan(WaitFor wait, Deadline deadline, const CancelToken& cancel,
                         const std::function<void(const Progress&)>& progress) {
  indexer_->start();
  embed_queue_->start();
  const std::uint64_t number = indexer_->request_scan(Ledger::Recheck::kIfChanged);
  KNAP_CHECK_OK(wait_for_scan(number, deadline, cancel, progress));
  KNAP_CHECK_OK(wait_for_documents(deadline, cancel, progress));
  if (wait == WaitFor::kSemantic) KNAP_CHECK_OK(wait_for_vectors(deadline, cancel, progress));
  for (const auto& vault : vaults_) vault->index.compact();
  if (progress) progress({"done", 1, 1, 0, {}});
  return {};
}

Status ServiceImpl::rebuild(Deadline deadline, const CancelToken& cancel,
                            const std::function<void(const Progress&)>& progress) {
  indexer_->start();
  embed_queue_->start();
  const std::uint64_t number = indexer_->request_scan(Ledger::Recheck::kAlways);
  KNAP_CHECK_OK(wait_for_scan(number, deadline, cancel, progress));
  KNAP_CHECK_OK(wait_for_documents(deadline, cancel, progress));
  for (const auto& vault : vaults_) vault->index.compact();
  if (progress) progress({"done", 1, 1, 0, {}});
  return {};
}

}  // namespace knap::index
