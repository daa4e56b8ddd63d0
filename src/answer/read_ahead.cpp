#include "read_ahead.hpp"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "knap/observe/log.hpp"
#include "prompt.hpp"

namespace knap::answer {
namespace {

using std::chrono::milliseconds;

/// How often it looks whether somebody else wants to compute.
constexpr milliseconds kWatch{20};
/// Rest before it tries again where the model is absent or others compute.
constexpr milliseconds kRest{1'000};
/// A passage takes seconds; longer, and the model has other things to do.
constexpr std::chrono::seconds kPatience{60};
/// One that was given up so often for others waits until it is wanted again.
constexpr int kTriesMax = 50;
constexpr std::size_t kRecentMax = 1'024;
/// Numbers before passages, of as many as an answer may quote.
constexpr std::uint32_t kLeads = 10;

}  // namespace

ReadAhead::ReadAhead(Options options, models::Models& models, service::ComputeLeases& leases,
                     observe::Registry& metrics)
    : options_(options),
      models_(models),
      leases_(leases),
      metrics_(metrics),
      read_tokens_(metrics.counter("knap_answer_read_ahead_tokens_total",
                                   "Tokens of passages that the answer model read ahead")),
      read_passages_(metrics.counter("knap_answer_read_ahead_passages_total",
                                     "Passages that the answer model read ahead")),
      waiting_(metrics.gauge("knap_answer_read_ahead_waiting",
                             "Passages that wait for the answer model to read them")),
      reader_([this] { run(); }),
      watcher_([this] { watch(); }) {}

ReadAhead::~ReadAhead() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    if (reading_) reading_->cancel();
  }
  wake_.notify_all();
  reader_.join();
  watcher_.join();
}

void ReadAhead::want(const std::string& passage, double weight) {
  if (passage.empty()) return;
  const Hash128 text = hash128(passage);
  {
    MutexLock lock(mutex_);
    if (std::ranges::find(recent_, text) != recent_.end()) return;
    Wanted& wanted = wanted_[text];
    if (wanted.text.empty()) wanted.text = passage;
    wanted.weight += weight;
    wanted.number = ++next_number_;
    if (wanted_.size() > options_.waiting_max) {
      wanted_.erase(std::ranges::min_element(wanted_, {}, [](const auto& each) {
        return std::pair(each.second.weight, each.second.number);
      }));
    }
    waiting_.set(static_cast<double>(wanted_.size()));
  }
  wake_.notify_all();
}

std::size_t ReadAhead::waiting() const {
  MutexLock lock(mutex_);
  return wanted_.size();
}

std::optional<ReadAhead::Wanted> ReadAhead::take() {
  MutexLock lock(mutex_);
  while (!stopping_ && wanted_.empty()) wake_.wait(mutex_);
  if (stopping_) return std::nullopt;
  const auto best = std::ranges::max_element(wanted_, {}, [](const auto& each) {
    return std::pair(each.second.weight, each.second.number);
  });
  Wanted wanted = std::move(best->second);
  wanted_.erase(best);
  return wanted;
}

void ReadAhead::run() {
  ::pthread_setname_np(::pthread_self(), "read-ahead");
  for (;;) {
    auto wanted = take();
    if (!wanted) return;
    const auto begin = SteadyClock::now();
    const Read result = read(*wanted);
    const auto took = SteadyClock::now() - begin;
    if (result == Read::kLater && ++wanted->tries < kTriesMax) {
      MutexLock lock(mutex_);
      wanted_.emplace(hash128(wanted->text), std::move(*wanted));
    } else {
      MutexLock lock(mutex_);
      remember(hash128(wanted->text));
      waiting_.set(static_cast<double>(wanted_.size()));
    }
    const double share = std::clamp(options_.time_share, 0.01, 1.0);
    const auto rest = std::chrono::duration_cast<std::chrono::nanoseconds>(took * (1 / share - 1));
    if (!pause(result == Read::kLater ? std::max<std::chrono::nanoseconds>(rest, kRest) : rest))
      return;
  }
}

// False when it is to end.
bool ReadAhead::pause(std::chrono::nanoseconds time) {
  const Deadline until = Deadline::at(SteadyClock::now() + time);
  MutexLock lock(mutex_);
  while (!stopping_ && wake_.wait_until(mutex_, until)) {
  }
  return !stopping_;
}

void ReadAhead::remember(const Hash128& text) {
  recent_.push_back(text);
  if (recent_.size() > kRecentMax) recent_.pop_front();
}

ReadAhead::Read ReadAhead::read(const Wanted& wanted) {
  const auto model = models_.generator();
  if (model == nullptr) return Read::kLater;
  CancelToken cancel;
  const Deadline deadline = Deadline::after(kPatience);
  auto lease = leases_.acquire(service::Lane::kBackground, leases_.usage().cores, deadline, cancel);
  if (!lease) return Read::kLater;
  {
    MutexLock lock(mutex_);
    if (stopping_) return Read::kLater;
    reading_ = cancel;
  }
  wake_.notify_all();
  std::vector<std::string> texts;
  for (std::uint32_t i = 1; i <= kLeads; ++i) texts.push_back(known_lead(i));
  texts.push_back(wanted.text);
  const auto done =
      model->read_ahead(texts, static_cast<std::uint32_t>(lease->threads()), deadline, cancel);
  {
    MutexLock lock(mutex_);
    reading_.reset();
  }
  if (!done) {
    const bool never = done.error().code == ErrorCode::kUnsupported ||
                       done.error().code == ErrorCode::kInvalidArgument;
    return never ? Read::kNever : Read::kLater;
  }
  if (done->failed > 0) return Read::kLater;
  read_tokens_.add(done->tokens);
  read_passages_.add(done->read);
  show_figures(*model);
  return Read::kDone;
}

void ReadAhead::watch() {
  ::pthread_setname_np(::pthread_self(), "read-ahead-w");
  MutexLock lock(mutex_);
  while (!stopping_) {
    if (!reading_) {
      wake_.wait(mutex_);
    } else if (leases_.should_yield(service::Lane::kBackground)) {
      reading_->cancel();
      reading_.reset();
    } else {
      wake_.wait_until(mutex_, Deadline::after(kWatch));
    }
  }
}

void ReadAhead::show_figures(models::Generator& model) {
  const auto figures = model.read_ahead_figures(Deadline::after(kRest));
  if (!figures) return;
  const auto set = [&](std::string_view name, std::string_view help, std::uint64_t value) {
    metrics_.gauge(name, help).set(static_cast<double>(value));
  };
  set("knap_answer_read_ahead_hits",
      "Passages of prompts that had been read ahead, since the "
      "answer model was loaded",
      figures->hits);
  set("knap_answer_read_ahead_misses", "Passages of prompts that had not been read ahead",
      figures->misses);
  set("knap_answer_read_ahead_saved_tokens", "Tokens of prompts that were not read again",
      figures->saved_tokens);
  set("knap_answer_read_ahead_held", "Passages held in the answer model's memory", figures->held);
  set("knap_answer_read_ahead_memory_bytes", "What they take there", figures->memory_bytes);
  set("knap_answer_read_ahead_on_disk", "Passages held on disk", figures->on_disk);
  set("knap_answer_read_ahead_disk_bytes", "What they take there", figures->disk_bytes);
}

}  // namespace knap::answer
