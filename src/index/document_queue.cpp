#include "document_queue.hpp"

#include <pthread.h>

#include "knap/observe/log.hpp"

namespace knap::index {
namespace {

constexpr std::int64_t kGarbageAgeMs = 30LL * 24 * 3600 * 1000;
constexpr std::size_t kGarbageMax = 10'000;

}  // namespace

DocumentQueue::DocumentQueue(const DocumentReader& reader, store::Store& store,
                             service::ComputeLeases& leases, observe::Registry& metrics,
                             Deliver deliver)
    : reader_(reader),
      store_(store),
      leases_(leases),
      waiting_gauge_(metrics.gauge("knap_documents_waiting", "Documents that wait to be read",
                                   {{"kind", reader.name}})),
      read_(metrics.counter("knap_documents_read_total",
                            "Documents whose text was taken out of the file",
                            {{"kind", reader.name}})),
      failed_(metrics.counter("knap_documents_failed_total", "Documents that gave no text",
                              {{"kind", reader.name}})),
      seconds_(metrics.histogram("knap_documents_read_seconds",
                                 "Time to take the text out of one document",
                                 {{"kind", reader.name}})),
      deliver_(std::move(deliver)) {}

DocumentQueue::~DocumentQueue() { stop(); }

void DocumentQueue::start() {
  if (thread_.joinable()) return;
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), "knap-extract");
}

void DocumentQueue::stop() {
  stop_.cancel();
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void DocumentQueue::add(VaultState& vault, FileTask task, Urgency urgency) {
  MutexLock lock(mutex_);
  Key key{&vault, task.path};
  Waiting& other = urgency == Urgency::kFirst ? bulk_ : first_;
  other.erase(key);
  (urgency == Urgency::kFirst ? first_ : bulk_).insert_or_assign(std::move(key), std::move(task));
  waiting_gauge_.set(static_cast<double>(first_.size() + bulk_.size()));
  changed_.notify_all();
}

std::size_t DocumentQueue::left() const {
  MutexLock lock(mutex_);
  return first_.size() + bulk_.size() + (busy_ ? 1 : 0);
}

std::optional<DocumentQueue::Waiting::value_type> DocumentQueue::next() {
  MutexLock lock(mutex_);
  busy_ = false;
  while (!stopping_ && first_.empty() && bulk_.empty()) changed_.wait(mutex_);
  if (stopping_) return std::nullopt;
  Waiting& from = first_.empty() ? bulk_ : first_;
  const auto at = from.begin();
  Waiting::value_type taken{at->first, std::move(at->second)};
  from.erase(at);
  busy_ = true;
  waiting_gauge_.set(static_cast<double>(first_.size() + bulk_.size()));
  return taken;
}

void DocumentQueue::run() {
  const auto wait_for_turn = [this]() -> Status {
    // Given back at once: the helper is niced, so whoever comes meanwhile goes first all the same.
    const auto lease = leases_.acquire(service::Lane::kBackground, 1, Deadline::never(), stop_);
    return lease ? Status() : Status(lease.error());
  };
  const auto count = [this](SteadyClock::duration took, bool done) {
    (done ? read_ : failed_).add();
    seconds_.record(took);
  };
  collect_garbage();
  while (auto taken = next()) {
    VaultState& vault = *taken->first.first;
    if (!vault.ledger.current(taken->second)) continue;
    const DocumentJob job{reader_, store_, vault.config.root, wait_for_turn, count};
    auto prepared = prepare_document(job, std::move(taken->second), stop_);
    if (prepared && !stop_.cancelled()) deliver_(vault, std::move(*prepared));
  }
}

void DocumentQueue::collect_garbage() {
  const auto removed = store_.collect_extractions(unix_now_ms() - kGarbageAgeMs, kGarbageMax);
  if (!removed) observe::log_warning("extractions_not_collected", removed.error().message);
}

}  // namespace knap::index
