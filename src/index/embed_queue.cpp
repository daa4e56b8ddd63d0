#include "embed_queue.hpp"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include <fmt/format.h>
#include <pthread.h>

#include "knap/base/text.hpp"
#include "knap/observe/log.hpp"
#include "load.hpp"

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
constexpr std::size_t kLoadVectors = 8'192;
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
      cores_(std::max(1U, std::thread::hardware_concurrency())) {}

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

std::shared_ptr<models::Embedder> EmbedQueue::embedder() const {
  MutexLock lock(mutex_);
  return model_.embedder;
}

std::string EmbedQueue::model_id() const {
  const auto current = embedder();
  return current ? current->id() : std::string();
}

std::optional<store::ModelKey> EmbedQueue::model_key() const {
  MutexLock lock(mutex_);
  if (!model_.embedder) return std::nullopt;
  return model_.key;
}

std::string EmbedQueue::state() const {
  MutexLock lock(mutex_);
  return state_;
}

bool EmbedQueue::idle() const {
  MutexLock lock(mutex_);
  return !model_.embedder || (!more_ && !busy_ && urgent_.empty());
}

void EmbedQueue::wait_changed(Deadline deadline) {
  MutexLock lock(mutex_);
  changed_.wait_until(mutex_, deadline);
}

Status EmbedQueue::set_embedder(std::shared_ptr<models::Embedder> embedder) {
  MutexLock publish(publish_mutex_);
  Status swapped = swap_to(embedder);
  if (!swapped) {
    MutexLock lock(mutex_);
    state_ = "failed: " + swapped.error().message;
  }
  return swapped;
}

Status EmbedQueue::swap_to(const std::shared_ptr<models::Embedder>& embedder) {
  std::uint64_t generation = 0;
  {
    MutexLock lock(mutex_);
    generation = model_.generation + 1;
    model_ = {nullptr, {}, generation};  // queries go by words alone meanwhile
    state_ = embedder ? "loading vectors" : "no model";
    urgent_.clear();
    changed_.notify_all();
  }
  for (const auto& vault : vaults_) {
    if (embedder && vault->index.dimensions() != embedder->dimensions()) {
      vault->index.restart(static_cast<std::uint32_t>(embedder->dimensions()));
      KNAP_CHECK_OK(load_index(store_, *vault));
    } else if (vault->index.stats().passages_with_vector > 0) {
      vault->index.clear_vectors();
    }
  }
  if (!embedder) return {};
  KNAP_TRY(const store::ModelKey key, store_.model(embedder->id()));
  KNAP_CHECK_OK(load_vectors(key, embedder->dimensions()));
  MutexLock lock(mutex_);
  model_ = {embedder, key, generation};
  state_ = "ready";
  more_ = true;
  after_.reset();
  pause_ = {};
  changed_.notify_all();
  return {};
}

Status EmbedQueue::load_vectors(store::ModelKey key, std::size_t dimensions) {
  std::vector<Hash128> hashes;
  std::vector<std::int8_t> values;
  const auto flush = [&]() -> Status {
    publish_mutex_.assert_held();
    std::vector<store::EmbeddingRecord> records;
    records.reserve(hashes.size());
    for (std::size_t i = 0; i < hashes.size(); ++i) {
      records.push_back({hashes[i], std::span(values).subspan(i * dimensions, dimensions)});
    }
    KNAP_CHECK_OK(hand_out(records));
    hashes.clear();
    values.clear();
    return {};
  };
  Status flushed;
  KNAP_CHECK_OK(
      store_.used_embeddings(key, [&](const Hash128& hash, std::span<const std::int8_t> vector) {
        if (vector.size() != dimensions || !flushed) return;
        hashes.push_back(hash);
        values.insert(values.end(), vector.begin(), vector.end());
        if (hashes.size() == kLoadVectors) flushed = flush();
      }));
  KNAP_CHECK_OK(std::move(flushed));
  return hashes.empty() ? Status() : flush();
}

Status EmbedQueue::attach(VaultState& vault, const std::vector<NewPassage>& passages,
                          Urgency urgency) {
  if (passages.empty()) return {};
  Model model;
  {
    MutexLock lock(mutex_);
    model = model_;
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
      more_ = true;
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
  Model model;
  while (wait_for_work(model)) {
    bool found = false;
    const Status done = embed_next(model, found);
    {
      MutexLock lock(mutex_);
      busy_ = false;
      if (done) pause_ = {};
      if (done && model_.generation == model.generation) state_ = "ready";
      changed_.notify_all();
    }
    if (!done) {
      back_off(done.error());
    } else if (!found) {
      waiting_.set(0);
      collect_garbage();
    }
  }
}

Status EmbedQueue::embed_next(const Model& model, bool& found) {
  KNAP_TRY(const Window window, next_window(model));
  found = !window.missing.empty();
  if (!found) return {};
  KNAP_TRY(auto texts, texts_of(model, window.missing));
  return embed_window(model, std::move(texts), window.urgency);
}

bool EmbedQueue::wait_for_work(Model& model) {
  MutexLock lock(mutex_);
  if (pause_.count() > 0) {
    const Deadline until = Deadline::after(pause_);
    while (!stopping_ && !until.expired()) changed_.wait_until(mutex_, until);
  }
  while (!stopping_ && (!model_.embedder || (!more_ && urgent_.empty()))) changed_.wait(mutex_);
  model = model_;
  busy_ = true;
  return !stopping_;
}

/// The passages of small changes, else the next ones by rising hash; an empty window at the end of
/// a whole round.
Result<EmbedQueue::Window> EmbedQueue::next_window(const Model& model) {
  Window window;
  std::optional<Hash128> after;
  {
    MutexLock lock(mutex_);
    for (; !urgent_.empty(); urgent_.pop_front()) {
      window.missing.push_back({urgent_.front().hash, urgent_.front().key});
    }
    window.urgency = Urgency::kFirst;
    if (!window.missing.empty()) return window;
    window.urgency = Urgency::kBulk;
    after = after_;
    if (!after) more_ = false;  // a change from now on asks for another round
  }
  std::vector<store::VaultId> ids;
  for (const auto& vault : vaults_) ids.push_back(vault->id);
  KNAP_TRY(window.missing, store_.missing_embeddings(model.key, ids, after, kWindowPassages));
  MutexLock lock(mutex_);
  if (model_.generation != model.generation) return Window();
  if (!window.missing.empty()) {
    after_ = window.missing.back().hash;
    more_ = true;
  } else if (after) {
    // This round did not begin at the first hash: once more from there.
    after_.reset();
    more_ = true;
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

bool EmbedQueue::urgent_waits() const {
  MutexLock lock(mutex_);
  return !urgent_.empty();
}

Status EmbedQueue::embed_window(const Model& model, std::vector<Text> texts, Urgency urgency) {
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
    const Status embedded = embed_batch(model, std::span(texts).subspan(begin, end - begin), done);
    if (!embedded) {
      KNAP_CHECK_OK(publish(model, done));
      return embedded;
    }
    begin = end;
    const bool late = SteadyClock::now() - published >= kPublishAfter;
    if (urgency == Urgency::kFirst || late || done.hashes.size() >= kPublishPassages ||
        begin == texts.size()) {
      KNAP_CHECK_OK(publish(model, done));
      published = SteadyClock::now();
    }
    if (urgency == Urgency::kBulk && urgent_waits()) {
      KNAP_CHECK_OK(publish(model, done));
      // The rest of this window is found again by the next round.
      MutexLock lock(mutex_);
      after_.reset();
      more_ = true;
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

Status EmbedQueue::publish(const Model& model, Done& done) {
  if (done.hashes.empty()) return {};
  const std::size_t dimensions = model.embedder->dimensions();
  std::vector<store::EmbeddingRecord> records;
  for (std::size_t i = 0; i < done.hashes.size(); ++i) {
    records.push_back({done.hashes[i], std::span(done.values).subspan(i * dimensions, dimensions)});
  }
  KNAP_CHECK_OK(store_.put_embeddings(model.key, records, unix_now_ms()));
  MutexLock publishing(publish_mutex_);
  {
    MutexLock lock(mutex_);
    if (model_.generation != model.generation) return {};
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

void EmbedQueue::back_off(const Error& error) {
  if (stop_.cancelled()) return;
  MutexLock lock(mutex_);
  pause_ = pause_.count() == 0 ? kPauseFirst : std::min(pause_ * 2, kPauseMax);
  state_ = fmt::format("waiting {} s: {}", std::max<std::int64_t>(1, pause_.count() / 1000),
                       error.message);
  more_ = true;
  after_.reset();
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
