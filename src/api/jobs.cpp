#include "jobs.hpp"

#include <algorithm>

#include "json_views.hpp"
#include "knap/base/json_text.hpp"
#include "problem.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;

/// Watchers get at most ten events a second.
constexpr std::chrono::milliseconds kReportInterval{100};

enum class State { kQueued, kRunning, kDone, kFailed, kCancelled };

std::string_view name_of(State state) {
  switch (state) {
    case State::kQueued: return "queued";
    case State::kRunning: return "running";
    case State::kDone: return "done";
    case State::kFailed: return "failed";
    case State::kCancelled: return "cancelled";
  }
  return "failed";
}

bool is_over(State state) { return state != State::kQueued && state != State::kRunning; }

}  // namespace

/// Guarded by Jobs::mutex_, but for the token.
struct Jobs::Job {
  std::string id, kind, error;
  State state = State::kQueued;
  index::Progress progress;
  std::int64_t created_s = 0, started_s = 0, finished_s = 0;
  CancelToken cancel;
  SteadyClock::time_point reported{};
  std::vector<std::shared_ptr<EventStream>> watchers;
};

Jobs::Jobs()
    : pool_(std::make_unique<ThreadPool>(ThreadPool::Options{"knap-jobs", 1, kMaxWaiting})),
      long_pool_(
          std::make_unique<ThreadPool>(ThreadPool::Options{"knap-long-jobs", 1, kMaxWaiting})) {}

Jobs::~Jobs() {
  stop();
  pool_.reset();
  long_pool_.reset();
}

json::object Jobs::describe(const Job& job) {
  json::object out;
  out["id"] = job.id;
  out["kind"] = job.kind;
  out["state"] = name_of(job.state);
  out["progress"] = json::object{{"phase", job.progress.phase},
                                 {"done", job.progress.done},
                                 {"total", job.progress.total},
                                 {"per_second", job.progress.per_second},
                                 {"left_s", job.progress.left.count()}};
  out["created"] = iso_time(job.created_s);
  out["started"] = iso_time_or_null(job.started_s);
  out["finished"] = iso_time_or_null(job.finished_s);
  if (job.error.empty()) {
    out["error"] = nullptr;
  } else {
    out["error"] = job.error;
  }
  return out;
}

std::shared_ptr<Jobs::Job> Jobs::find(std::string_view id) const {
  const auto found =
      std::find_if(jobs_.begin(), jobs_.end(), [&](const auto& job) { return job->id == id; });
  return found == jobs_.end() ? nullptr : *found;
}

Result<std::string> Jobs::start(std::string_view kind, Work work, Same same, Pool pool) {
  const MutexLock lock(mutex_);
  if (stopping_) return make_error(ErrorCode::kUnavailable, "the server is stopping");
  for (const auto& job : jobs_) {
    if (same == Same::kOne && job->kind == kind && job->state == State::kQueued &&
        !job->cancel.cancelled())
      return job->id;
  }
  auto job = std::make_shared<Job>();
  job->id = std::string(kind) + "-" + std::to_string(next_id_++);
  job->kind = std::string(kind);
  job->created_s = unix_now();
  ThreadPool& threads = pool == Pool::kLong ? *long_pool_ : *pool_;
  KNAP_CHECK_OK(threads.submit([this, job, work = std::move(work)] { run(job, work); }));
  jobs_.push_front(job);
  while (jobs_.size() > kMaxKept && is_over(jobs_.back()->state)) jobs_.pop_back();
  return job->id;
}

void Jobs::run(const std::shared_ptr<Job>& job, const Work& work) {
  {
    const MutexLock lock(mutex_);
    job->state = State::kRunning;
    job->started_s = unix_now();
  }
  if (job->cancel.cancelled()) {
    conclude(job, make_error(ErrorCode::kCancelled, "cancelled before it began"));
    return;
  }
  conclude(job, work(job->cancel, [&](const index::Progress& progress) { report(job, progress); }));
}

void Jobs::report(const std::shared_ptr<Job>& job, const index::Progress& progress) {
  std::vector<std::shared_ptr<EventStream>> watchers;
  std::string text;
  {
    const MutexLock lock(mutex_);
    job->progress = progress;
    const auto now = SteadyClock::now();
    if (job->watchers.empty() || now - job->reported < kReportInterval) return;
    job->reported = now;
    watchers = job->watchers;
    text = json_text(describe(*job));
  }
  for (const auto& watcher : watchers) watcher->send("progress", text);
}

void Jobs::conclude(const std::shared_ptr<Job>& job, const Status& status) {
  std::vector<std::shared_ptr<EventStream>> watchers;
  std::string text;
  {
    const MutexLock lock(mutex_);
    job->finished_s = unix_now();
    if (status) {
      job->state = State::kDone;
    } else {
      job->state =
          status.error().code == ErrorCode::kCancelled ? State::kCancelled : State::kFailed;
      job->error = to_problem(status.error()).detail;
    }
    watchers = std::move(job->watchers);
    text = json_text(describe(*job));
  }
  for (const auto& watcher : watchers) {
    watcher->send("done", text);
    watcher->end();
  }
}

json::array Jobs::list() const {
  const MutexLock lock(mutex_);
  json::array out;
  for (const auto& job : jobs_) out.push_back(describe(*job));
  return out;
}

std::optional<json::object> Jobs::get(std::string_view id) const {
  const MutexLock lock(mutex_);
  const auto job = find(id);
  if (!job) return std::nullopt;
  return describe(*job);
}

bool Jobs::cancel(std::string_view id) {
  const MutexLock lock(mutex_);
  const auto job = find(id);
  if (!job) return false;
  job->cancel.cancel();
  return true;
}

Status Jobs::watch(std::string_view id, const std::shared_ptr<EventStream>& stream) {
  std::string text;
  bool over = false;
  {
    const MutexLock lock(mutex_);
    const auto job = find(id);
    if (!job) return make_error(ErrorCode::kNotFound, "no such job: /api/jobs lists them");
    if (job->watchers.size() >= kMaxWatchers) {
      return make_error(ErrorCode::kResourceExhausted, "too many clients watch this job");
    }
    text = json_text(describe(*job));
    over = is_over(job->state);
    if (!over) job->watchers.push_back(stream);
  }
  stream->send(over ? "done" : "progress", text);
  if (over) stream->end();
  return {};
}

void Jobs::stop() {
  std::vector<std::shared_ptr<EventStream>> watchers;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    for (const auto& job : jobs_) {
      job->cancel.cancel();
      watchers.insert(watchers.end(), job->watchers.begin(), job->watchers.end());
      job->watchers.clear();
    }
  }
  for (const auto& watcher : watchers) watcher->end();
}

}  // namespace knap::api
