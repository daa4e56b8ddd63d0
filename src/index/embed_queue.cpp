#include "embed_queue.hpp"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include <fmt/format.h>
#include <pthread.h>

#include "knap/base/cores.hpp"
#include "knap/base/text.hpp"
#include "knap/observe/log.hpp"

namespace knap::index {
namespace {

constexpr std::size_t kWindowPassages =
    2'048;  // sorted by length, so that batches hold texts of one length
constexpr std::size_t kBatchTexts = 64;
constexpr std::size_t kBatchBytes = 64U << 10;  // keeps one call short when texts are long
constexpr std::size_t kPublishPassages = 512;
constexpr auto kPublishAfter = std::chrono::seconds(1);
constexpr std::size_t kUrgentMax = 4'096;         // more: the walk over the store finds them
constexpr std::size_t kTextBytesMax = 16U << 10;  // far beyond any model's window
constexpr auto kPauseFirst = std::chrono::milliseconds(500);
constexpr auto kPauseMax = std::chrono::milliseconds(60'000);
constexpr std::int64_t kGarbageAgeMs = 30LL * 24 * 3600 * 1000;
constexpr std::size_t kGarbageMax = 100'000;

}  // namespace

std::vector<std::int8_t> quantise(std::span<const float> unit) {
  std::vector<std::int8_t> out(unit.size());
  for (std::size_t i = 0; i < unit.size(); ++i) {
    const float value = std::isfinite(unit[i]) ? std::clamp(unit[i], -1.0F, 1.0F) : 0.0F;
    out[i] = static_cast<std::int8_t>(std::lround(value * 127.0F));
  }
  return out;
}

EmbedQueue::EmbedQueue(store::Store& store, const Vaults& vaults, service::ComputeLeases& leases,
                       observe::Registry& metrics)
    : store_(store),
      vaults_(vaults),
      leases_(leases),
      embedded_(metrics.counter("knap_index_passages_embedded_total",
                                "Passages that a model gave a vector")),
      waiting_(metrics.gauge("knap_index_embed_queue_length",
                             "Passages of the current window without a vector")),
      cores_(usable_cores()) {}

EmbedQueue::~EmbedQueue() { stop(); }

void EmbedQueue::start() {
  if (thread_.joinable()) return;
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), "knap-embed");
}

void EmbedQueue::stop() {
  stop_.cancel();
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

EmbedQueue::Model EmbedQueue::serving() const {
  MutexLock lock(mutex_);
  return model_;
}

std::string EmbedQueue::model_id() const {
  const Model current = serving();
  return current.embedder ? current.embedder->id() : std::string();
}

std::string EmbedQueue::state() const {
  MutexLock lock(mutex_);
  return state_;
}

bool EmbedQueue::idle() const {
  MutexLock lock(mutex_);
  return !change_works() && (!model_.embedder || (!walk_.more && !busy_ && urgent_.empty()));
}

void EmbedQueue::wait_changed(Deadline deadline) {
  MutexLock lock(mutex_);
  changed_.wait_until(mutex_, deadline);
}

std::vector<store::VaultId> EmbedQueue::vault_ids() const {
  std::vector<store::VaultId> ids;
  for (const auto& vault : vaults_) ids.push_back(vault->id);
  return ids;
}

Status EmbedQueue::attach(VaultState& vault, const std::vector<NewPassage>& passages,
                          Urgency urgency) {
  if (passages.empty()) return {};
  Model model;
  {
    MutexLock lock(mutex_);
    model = model_;
    if (change_) change_->walk.more = true;
    if (!model.embedder) return {};  // set_embedder looks at everything
  }
  const std::size_t dimensions = model.embedder->dimensions();
  std::vector<Hash128> hashes;
  for (const NewPassage& passage : passages) hashes.push_back(passage.hash);
  std::vector<Hash128> found;
  std::vector<bool> has(hashes.size());
  std::vector<std::int8_t> values;
  KNAP_CHECK_OK(
      store_.embeddings(model.key, hashes, [&](std::size_t i, std::span<const std::int8_t> vector) {
        if (vector.size() != dimensions) return;
        has[i] = true;
        found.push_back(hashes[i]);
        values.insert(values.end(), vector.begin(), vector.end());
      }));
  {
    MutexLock lock(mutex_);
    for (std::size_t i = 0; i < passages.size(); ++i) {
      if (has[i]) continue;
      walk_.more = true;
      if (urgency == Urgency::kFirst && urgent_.size() < kUrgentMax) urgent_.push_back(passages[i]);
    }
    changed_.notify_all();
  }
  if (found.empty()) return {};
  std::vector<search::Index::VectorInput> inputs;
  for (std::size_t i = 0; i < found.size(); ++i) {
    inputs.push_back({found[i], std::span(values).subspan(i * dimensions, dimensions)});
  }
  return vault.index.set_vectors(inputs);
}

void EmbedQueue::run() {
  while (const auto task = wait_for_work()) {
    bool found = false;
    Status done = embed_next(*task, found);
    if (done && !found && !task->serves) done = finish_change(task->model);
    {
      MutexLock lock(mutex_);
      busy_ = false;
      if (done) pause_ = {};
      if (done && model_.embedder && (!task->serves || model_.space == task->model.space))
        state_ = "ready";
      changed_.notify_all();
    }
    if (!done) {
      back_off(*task, done.error());
    } else if (!found) {
      waiting_.set(0);
      collect_garbage();
    }
  }
}

Status EmbedQueue::embed_next(const Task& task, bool& found) {
  KNAP_TRY(const Window window, next_window(task));
  found = !window.missing.empty();
  if (!found) return {};
  KNAP_TRY(auto texts, texts_of(task.model, window.missing));
  return embed_window(task, std::move(texts), window.urgency);
}

/// What the serving model lacks comes first; nothing when the queue is to stop.
std::optional<EmbedQueue::Task> EmbedQueue::wait_for_work() {
  MutexLock lock(mutex_);
  if (pause_.count() > 0) {
    const Deadline until = Deadline::after(pause_);
    // A model that is still being built and fails keeps nothing from the one that serves.
    while (!stopping_ && !until.expired() && !(change_failed_ && serving_waits()))
      changed_.wait_until(mutex_, until);
  }
  while (!stopping_ && !serving_waits() && !change_works()) changed_.wait(mutex_);
  if (stopping_) return std::nullopt;
  busy_ = true;
  if (serving_waits()) return Task{model_, true};
  return Task{change_->next, false};
}

/// Null when the model has been changed meanwhile.
EmbedQueue::Walk* EmbedQueue::walk_of(const Task& task) {
  if (task.serves) return model_.space == task.model.space ? &walk_ : nullptr;
  return wants(task.model) ? &change_->walk : nullptr;
}

/// The passages of small changes, else the next ones by rising hash; an empty window at the end of
/// a whole round.
Result<EmbedQueue::Window> EmbedQueue::next_window(const Task& task) {
  Window window;
  std::optional<Hash128> after;
  {
    MutexLock lock(mutex_);
    if (task.serves) {
      for (; !urgent_.empty(); urgent_.pop_front())
        window.missing.push_back({urgent_.front().hash, urgent_.front().key});
    }
    window.urgency = Urgency::kFirst;
    if (!window.missing.empty()) return window;
    window.urgency = Urgency::kBulk;
    Walk* walk = walk_of(task);
    if (walk == nullptr) return window;
    after = walk->after;
    if (!after) walk->more = false;  // a change from now on asks for another round
  }
  KNAP_TRY(window.missing,
           store_.missing_embeddings(task.model.key, vault_ids(), after, kWindowPassages));
  MutexLock lock(mutex_);
  Walk* walk = walk_of(task);
  if (walk == nullptr) return Window();
  if (!window.missing.empty()) {
    walk->after = window.missing.back().hash;
    walk->more = true;
  } else if (after) {
    // This round did not begin at the first hash: once more from there.
    walk->after.reset();
    walk->more = true;
  }
  return window;
}

Result<std::vector<EmbedQueue::Text>> EmbedQueue::texts_of(
    const Model& model, const std::vector<store::MissingEmbedding>& window) const {
  std::vector<Hash128> hashes;
  for (const auto& missing : window) hashes.push_back(missing.hash);
  std::unordered_set<Hash128> skip;
  KNAP_CHECK_OK(
      store_.embeddings(model.key, hashes, [&](std::size_t i, auto) { skip.insert(hashes[i]); }));
  std::vector<store::PassageKey> keys;
  for (const auto& missing : window) keys.push_back(missing.passage);
  KNAP_TRY(const auto rows, store_.passages(keys));
  std::vector<Text> texts;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    // A passage that changed meanwhile comes again with its new hash.
    if (!rows[i] || rows[i]->passage.hash != window[i].hash || !skip.insert(window[i].hash).second)
      continue;
    std::string text = embedded_text(rows[i]->passage.headings, rows[i]->passage.plain);
    if (text.empty()) text = " ";
    if (text.size() > kTextBytesMax) text.resize(text::truncate(text, kTextBytesMax).size());
    texts.push_back({window[i].hash, std::move(text)});
  }
  return texts;
}

/// Small changes of the serving model's passages go before bulk, and all of its own work before a
/// change; a change that was given up ends.
bool EmbedQueue::must_stop(const Task& task, Urgency urgency) const {
  MutexLock lock(mutex_);
  if (task.serves) return urgency == Urgency::kBulk && !urgent_.empty();
  return serving_waits() || !wants(task.model);
}

Status EmbedQueue::embed_window(const Task& task, std::vector<Text> texts, Urgency urgency) {
  std::sort(texts.begin(), texts.end(),
            [](const Text& a, const Text& b) { return a.text.size() > b.text.size(); });
  Done done;
  auto published = SteadyClock::now();
  for (std::size_t begin = 0; begin < texts.size();) {
    waiting_.set(static_cast<double>(texts.size() - begin));
    std::size_t end = begin, bytes = 0;
    while (end < texts.size() && end - begin < kBatchTexts &&
           (end == begin || bytes < kBatchBytes)) {
      bytes += texts[end++].text.size();
    }
    Status embedded = embed_batch(task.model, std::span(texts).subspan(begin, end - begin), done);
    if (!embedded) {
      KNAP_CHECK_OK(publish(task, done));
      return embedded;
    }
    begin = end;
    const bool late = SteadyClock::now() - published >= kPublishAfter;
    if (urgency == Urgency::kFirst || late || done.hashes.size() >= kPublishPassages ||
        begin == texts.size()) {
      KNAP_CHECK_OK(publish(task, done));
      published = SteadyClock::now();
    }
    if (begin < texts.size() && must_stop(task, urgency)) {
      KNAP_CHECK_OK(publish(task, done));
      // The rest of this window is found again by the next round.
      MutexLock lock(mutex_);
      if (Walk* walk = walk_of(task)) *walk = {};
      return {};
    }
  }
  return {};
}

Status EmbedQueue::embed_batch(const Model& model, std::span<const Text> batch, Done& done) {
  std::vector<std::string> texts;
  for (const Text& text : batch) texts.push_back(text.text);
  KNAP_TRY(const service::Lease lease,
           leases_.acquire(service::Lane::kBackground, cores_, Deadline::never(), stop_));
  KNAP_TRY(const models::Embeddings vectors,
           model.embedder->embed(texts, models::InputKind::kPassage, models::Priority::kBackground,
                                 Deadline::never(), stop_));
  const std::size_t dimensions = model.embedder->dimensions();
  if (vectors.dimensions != dimensions || vectors.values.size() != batch.size() * dimensions) {
    return make_error(ErrorCode::kCorruptData, "the embedding model " + model.embedder->id() +
                                                   " gave vectors of another number or size");
  }
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const std::vector<std::int8_t> values = quantise(vectors.row(i));
    done.hashes.push_back(batch[i].hash);
    done.values.insert(done.values.end(), values.begin(), values.end());
  }
  embedded_.add(batch.size());
  return {};
}

Status EmbedQueue::publish(const Task& task, Done& done) {
  if (done.hashes.empty()) return {};
  const std::size_t dimensions = task.model.embedder->dimensions();
  std::vector<store::EmbeddingRecord> records;
  for (std::size_t i = 0; i < done.hashes.size(); ++i) {
    records.push_back({done.hashes[i], std::span(done.values).subspan(i * dimensions, dimensions)});
  }
  KNAP_CHECK_OK(store_.put_embeddings(task.model.key, records, unix_now_ms()));
  MutexLock publishing(publish_mutex_);
  {
    MutexLock lock(mutex_);
    if (!task.serves && walk_of(task) != nullptr)
      change_->missing -= std::min<std::uint64_t>(change_->missing, records.size());
    // The swap to a model that is being built finds these in the store.
    if (!task.serves || model_.space != task.model.space) {
      done = {};
      return {};
    }
  }
  KNAP_CHECK_OK(hand_out(records));
  done = {};
  return {};
}

/// Each vector goes to the vaults that have its passage: an index keeps whatever it is given.
Status EmbedQueue::hand_out(std::span<const store::EmbeddingRecord> records) {
  for (const auto& vault : vaults_) {
    std::vector<search::Index::VectorInput> inputs;
    inputs.reserve(records.size());
    for (const store::EmbeddingRecord& record : records) {
      if (vaults_.size() > 1) {
        KNAP_TRY(const auto holders, store_.vaults_with(record.hash));
        if (std::find(holders.begin(), holders.end(), vault->id) == holders.end()) continue;
      }
      inputs.push_back({record.hash, record.values});
    }
    if (!inputs.empty()) KNAP_CHECK_OK(vault->index.set_vectors(inputs));
  }
  return {};
}

void EmbedQueue::back_off(const Task& task, const Error& error) {
  if (stop_.cancelled()) return;
  MutexLock lock(mutex_);
  change_failed_ = !task.serves;
  pause_ = pause_.count() == 0 ? kPauseFirst : std::min(pause_ * 2, kPauseMax);
  state_ = fmt::format("waiting {} s: {}", std::max<std::int64_t>(1, pause_.count() / 1000),
                       error.message);
  if (task.serves) walk_ = {};
  if (change_) change_->walk = {};
  changed_.notify_all();
  observe::log_warning("embedding_paused", error.message,
                       {{"pause_ms", std::int64_t{pause_.count()}}});
}

void EmbedQueue::collect_garbage() {
  if (collected_) return;
  collected_ = true;
  const auto removed = store_.collect_garbage(unix_now_ms() - kGarbageAgeMs, kGarbageMax);
  if (!removed) observe::log_warning("embeddings_not_collected", removed.error().message);
}

}  // namespace knap::index
