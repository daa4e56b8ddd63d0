#include "query_batcher.hpp"

#include <algorithm>
#include <exception>

#include "knap/index/service.hpp"

namespace knap::index {
namespace {

/// Of all texts but the first: who asks in three words does not wait for pages of others.
constexpr std::size_t kBytesMax = 1'024;

bool ended_for_its_caller(const Error& error) {
  return error.code == ErrorCode::kDeadlineExceeded || error.code == ErrorCode::kCancelled;
}

}  // namespace

Result<std::vector<float>> QueryBatcher::embed(std::shared_ptr<models::Embedder> embedder,
                                               std::string text, Deadline deadline,
                                               const CancelToken& cancel) {
  const auto entry = std::make_shared<Entry>(Entry{std::move(embedder), std::move(text)});
  const MutexLock lock(mutex_);
  waiting_.push_back(entry);
  while (!entry->done) {
    if (auto wanted = still_wanted(cancel, deadline); !wanted) {
      leave(entry);
      return std::move(wanted).error();
    }
    if (!calling_ && !waiting_.empty() && waiting_.front() == entry) {
      lead(deadline, cancel);
    } else {
      static_cast<void>(changed_.wait_until(mutex_, deadline));
    }
  }
  return std::move(entry->embedding);
}

/// The first who waits, and those behind with the same model.
QueryBatcher::Batch QueryBatcher::take_batch() {
  Batch batch;
  std::size_t bytes = 0;
  for (auto each = waiting_.begin(); each != waiting_.end() && batch.size() < kQueriesTogether;) {
    const bool first = batch.empty();
    const bool fits = bytes + (*each)->text.size() <= kBytesMax;
    if (!first && ((*each)->embedder != batch.front()->embedder || !fits)) {
      ++each;
      continue;
    }
    if (!first) bytes += (*each)->text.size();
    batch.push_back(std::move(*each));
    each = waiting_.erase(each);
  }
  return batch;
}

void QueryBatcher::lead(Deadline deadline, const CancelToken& cancel) {
  Batch batch = take_batch();
  calling_ = true;
  mutex_.unlock();
  Result<models::Embeddings> result = make_error(ErrorCode::kInternal, "the call failed");
  try {
    result = call(batch, deadline, cancel);
  } catch (const std::exception&) {
    // Memory is short: the searches go on without their vectors.
  }
  mutex_.lock();
  calling_ = false;
  if (!result && ended_for_its_caller(result.error())) {
    // The caller's time is over, not that of the others: they try again, before those who came
    // later.
    waiting_.insert(waiting_.begin(), batch.begin() + 1, batch.end());
    batch.resize(1);
  }
  give(batch, std::move(result));
  changed_.notify_all();
}

Result<models::Embeddings> QueryBatcher::call(const Batch& batch, Deadline deadline,
                                              const CancelToken& cancel) {
  models::Embedder& embedder = *batch.front()->embedder;
  std::vector<std::string> texts;
  texts.reserve(batch.size());
  for (const auto& entry : batch) texts.push_back(entry->text);
  KNAP_TRY(const auto lease, leases_.acquire(service::Lane::kInteractive, embedder.query_threads(),
                                             deadline, cancel));
  KNAP_TRY(auto result, embedder.embed(texts, models::InputKind::kQuery,
                                       models::Priority::kInteractive, deadline, cancel));
  if (result.dimensions != embedder.dimensions() ||
      result.values.size() != texts.size() * result.dimensions) {
    return make_error(ErrorCode::kCorruptData, "the model gave vectors of another size");
  }
  return result;
}

void QueryBatcher::give(Batch& batch, Result<models::Embeddings> result) {
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (result) {
      const auto row = result->row(i);
      batch[i]->embedding = std::vector<float>(row.begin(), row.end());
    } else {
      batch[i]->embedding = Error(result.error());
    }
    batch[i]->done = true;
  }
}

void QueryBatcher::leave(const std::shared_ptr<Entry>& entry) {
  const auto found = std::find(waiting_.begin(), waiting_.end(), entry);
  if (found == waiting_.end()) return;  // in a call: its result is nobody's
  waiting_.erase(found);
  changed_.notify_all();  // another may be the first now
}

}  // namespace knap::index
