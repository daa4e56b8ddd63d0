#include "supervisor.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>

#include "knap/base/text.hpp"
#include "knap/observe/log.hpp"

namespace knap::models {
namespace {

constexpr std::chrono::milliseconds kStartProbeInterval{20};
constexpr std::chrono::milliseconds kNoPidfdStep{
    50};  // how soon a crash is seen on kernels without pidfd
constexpr std::chrono::milliseconds kEndPatience{20};
constexpr std::size_t kReasonBytesMax = 500;
constexpr int kFailedStartsMax = 2;

http::Endpoint unix_endpoint(const std::string& socket) {
  http::Endpoint endpoint;
  endpoint.unix_socket = socket;
  return endpoint;
}

// A text of a runner's health answer: why it cannot load its model ("error"; it stays up and says
// so), where the layers lie ("placement").
std::string read_text(const std::string& body, std::string_view key) {
  boost::system::error_code error;
  const auto value = boost::json::parse(body, error);
  if (error || !value.is_object()) return {};
  const auto* found = value.get_object().if_contains(key);
  if (found == nullptr || !found->is_string()) return {};
  return std::string(text::truncate(std::string_view(found->get_string()), kReasonBytesMax));
}

}  // namespace

Supervisor::Supervisor(Options options, observe::Registry& metrics)
    : options_(std::move(options)),
      client_(http::Client::create(unix_endpoint(options_.socket), {})),
      restarts_(metrics.counter("knap_models_runner_restarts_total",
                                "Model runners started again after a crash or hang",
                                {{"model", options_.name}})),
      wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      random_(static_cast<std::minstd_rand::result_type>(
          SteadyClock::now().time_since_epoch().count())),
      back_off_(options_.back_off_min),
      thread_([this] { run(); }) {}

Supervisor::~Supervisor() { stop(); }

void Supervisor::begin_stop() {
  stop_.cancel();
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake();
}

void Supervisor::stop() {
  begin_stop();
  MutexLock lock(join_mutex_);
  if (thread_.joinable()) thread_.join();
}

void Supervisor::suspect() {
  {
    MutexLock lock(mutex_);
    if (state_ != State::kReady) return;
    suspected_ = true;
  }
  wake();
}

void Supervisor::clear_suspicion() {
  {
    MutexLock lock(mutex_);
    suspected_ = false;
  }
  changed_.notify_all();
}

void Supervisor::wake() {
  changed_.notify_all();
  const std::uint64_t one = 1;
  // A full counter wakes as well: the result does not matter.
  [[maybe_unused]] const ssize_t written = ::write(wake_fd_.get(), &one, sizeof one);
}

void Supervisor::start() {
  {
    MutexLock lock(mutex_);
    if (wanted_) return;
    wanted_ = true;
    state_ = State::kStarting;
  }
  wake();
}

void Supervisor::retry() {
  {
    MutexLock lock(mutex_);
    if (state_ != State::kFailed) return;
    state_ = State::kStarting;
    reason_.clear();
  }
  wake();
}

Status Supervisor::not_ready() const {
  if (stopping_)
    return make_error(ErrorCode::kUnavailable,
                      fmt::format("model {} is being stopped", options_.name));
  switch (state_) {
    case State::kReady:
      if (!suspected_) return {};
      break;
    case State::kFailed:
      return make_error(ErrorCode::kFailedPrecondition,
                        fmt::format("model {}: {}", options_.name, reason_));
    case State::kPaused:
      return make_error(ErrorCode::kUnavailable,
                        fmt::format("model {} stopped ({}) and is being started again; try again",
                                    options_.name, reason_));
    case State::kIdle:
    case State::kStarting: break;
  }
  return make_error(ErrorCode::kUnavailable,
                    fmt::format("model {} is loading; try again", options_.name));
}

Status Supervisor::check_ready() {
  start();
  MutexLock lock(mutex_);
  return not_ready();
}

Status Supervisor::wait_ready(Deadline deadline, const CancelToken& cancel) {
  constexpr std::chrono::milliseconds kCancelStep{20};
  start();
  MutexLock lock(mutex_);
  while ((state_ != State::kReady || suspected_) && state_ != State::kFailed && !stopping_) {
    if (cancel.cancelled()) return make_error(ErrorCode::kCancelled, "the caller has gone");
    if (deadline.expired()) break;
    changed_.wait_until(mutex_, deadline.earlier(Deadline::after(kCancelStep)));
  }
  return not_ready();
}

std::string Supervisor::state() const {
  MutexLock lock(mutex_);
  switch (state_) {
    case State::kIdle: return "installed";
    case State::kStarting:
    case State::kPaused: return "loading";
    case State::kReady: return "ready";
    case State::kFailed: break;
  }
  return "failed: " + reason_;
}

pid_t Supervisor::pid() const {
  MutexLock lock(mutex_);
  return pid_;
}

std::chrono::milliseconds Supervisor::load_time() const {
  MutexLock lock(mutex_);
  return load_time_;
}

std::string Supervisor::placement() const {
  MutexLock lock(mutex_);
  return state_ == State::kReady ? placement_ : std::string();
}

bool Supervisor::stopping() const {
  MutexLock lock(mutex_);
  return stopping_;
}

void Supervisor::set_state(State state, std::string reason) {
  {
    MutexLock lock(mutex_);
    state_ = state;
    suspected_ = false;
    reason_ = std::move(reason);
  }
  changed_.notify_all();
}

bool Supervisor::sleep_until_wanted() {
  MutexLock lock(mutex_);
  while (!stopping_ && (!wanted_ || state_ == State::kFailed)) changed_.wait(mutex_);
  return !stopping_;
}

void Supervisor::run() {
  while (sleep_until_wanted()) {
    run_child();
    pause();
  }
}

// Jitter keeps several runners that died of one cause from starting in step.
void Supervisor::pause() {
  MutexLock lock(mutex_);
  if (state_ != State::kPaused) return;
  const auto jitter =
      std::chrono::milliseconds(random_() % static_cast<unsigned>(back_off_.count() / 2 + 1));
  const Deadline until = Deadline::after(back_off_ + jitter);
  back_off_ = std::min(back_off_ * 2, options_.back_off_max);
  while (!stopping_ && !until.expired()) changed_.wait_until(mutex_, until);
  state_ = State::kStarting;
}

std::vector<std::string> Supervisor::command_now() const {
  const bool given_up = failed_starts_ >= kFailedStartsMax && !options_.fallback_command.empty();
  if (!given_up) return options_.command;
  if (failed_starts_ == kFailedStartsMax)
    observe::log_warning("runner_falls_back",
                         "it ended twice while starting: a graphics card's driver may be broken; "
                         "the processor computes from now on",
                         {{"model", options_.name}});
  return options_.fallback_command;
}

void Supervisor::run_child() {
  if (options_.prepare) {
    if (const auto prepared = options_.prepare(stop_); !prepared) {
      if (!stopping())
        observe::log_error("model_failed", prepared.error().message, {{"model", options_.name}});
      set_state(State::kFailed, prepared.error().message);
      return;
    }
  }
  std::error_code ignored;
  std::filesystem::remove(options_.socket, ignored);
  auto command = command_now();
  command.insert(command.end(),
                 {"--socket", options_.socket, "--parent", fmt::format("{}", ::getpid())});
  auto child = ChildProcess::start({.arguments = std::move(command), .output_file = {}});
  if (!child) {
    set_state(State::kFailed, child.error().message);
    observe::log_error("runner_start_failed", child.error().message, {{"model", options_.name}});
    return;
  }
  {
    MutexLock lock(mutex_);
    pid_ = child->pid();
  }
  const auto begin = SteadyClock::now();
  std::string reason;
  if (const auto ready = await_ready(*child); ready) {
    const auto took =
        std::chrono::duration_cast<std::chrono::milliseconds>(SteadyClock::now() - begin);
    observe::log_info("runner_ready", "model loaded",
                      {{"model", options_.name}, {"took_ms", std::int64_t{took.count()}}});
    {
      MutexLock lock(mutex_);
      load_time_ = std::max(took, std::chrono::milliseconds(1));
    }
    set_state(State::kReady);
    if (failed_starts_ < kFailedStartsMax) failed_starts_ = 0;
    reason = watch(*child);
  } else if (ready.error().code == ErrorCode::kFailedPrecondition) {
    set_state(State::kFailed, ready.error().message);
    observe::log_error("model_failed", ready.error().message, {{"model", options_.name}});
  } else {
    reason = ready.error().message;
    failed_starts_ = std::min(failed_starts_ + 1, kFailedStartsMax + 1);
  }
  if (SteadyClock::now() - begin > options_.stable_after) back_off_ = options_.back_off_min;
  if (!reason.empty() && !stopping()) {
    restarts_.add();
    observe::log_warning("runner_stopped", reason, {{"model", options_.name}});
    set_state(State::kPaused, reason);
  }
  // One that hangs would not use its grace, and its successor waits.
  child->stop(reason.empty() ? options_.stop_grace : std::chrono::milliseconds(0));
  std::filesystem::remove(options_.socket, ignored);
  MutexLock lock(mutex_);
  pid_ = 0;
}

// True: ready. False: alive and loading, or not listening yet.
Result<bool> Supervisor::probe(std::chrono::milliseconds timeout) {
  const auto response = client_->call({.path = "/health"}, Deadline::after(timeout), stop_);
  if (!response) return response.error();
  if (response->status == 200) {
    MutexLock lock(mutex_);
    placement_ = read_text(response->body, "placement");
    return true;
  }
  if (std::string failure = read_text(response->body, "error"); !failure.empty()) {
    return make_error(ErrorCode::kFailedPrecondition, std::move(failure));
  }
  return false;
}

Status Supervisor::await_ready(ChildProcess& child) {
  const Deadline deadline = Deadline::after(options_.start_timeout);
  while (!stopping()) {
    if (const auto end = child.poll_end(); end.has_value()) {
      return make_error(ErrorCode::kUnavailable,
                        fmt::format("it ended while starting with {}", end->describe()));
    }
    if (deadline.expired()) return make_error(ErrorCode::kUnavailable, "it was not ready in time");
    const auto ready = probe(options_.probe_timeout);
    if (ready && *ready) return {};
    if (!ready && ready.error().code == ErrorCode::kFailedPrecondition) return ready.error();
    wait_for_change(child, kStartProbeInterval);
  }
  return make_error(ErrorCode::kCancelled, "stopping");
}

// Returns why the child must be replaced; empty when stopping.
std::string Supervisor::watch(ChildProcess& child) {
  while (!stopping()) {
    wait_for_change(child, options_.probe_interval);
    if (const auto end = child.poll_end(); end.has_value())
      return fmt::format("it ended with {}", end->describe());
    if (stopping()) break;
    const auto alive = probe(options_.probe_timeout);
    if (alive && *alive) {
      clear_suspicion();
      continue;
    }
    if (stopping()) break;
    wait_for_change(
        child, kEndPatience);  // a connection breaks a little before the child's end can be seen
    if (const auto end = child.poll_end(); end.has_value())
      return fmt::format("it ended with {}", end->describe());
    if (!alive && alive.error().code != ErrorCode::kDeadlineExceeded) return alive.error().message;
    if (alive) return "its engine hangs";
    return fmt::format("it did not answer its health check within {} ms",
                       options_.probe_timeout.count());
  }
  return {};
}

// Until the child ends, somebody calls wake(), or the time is over.
void Supervisor::wait_for_change(const ChildProcess& child, std::chrono::milliseconds at_most) {
  std::array<pollfd, 2> watched{pollfd{wake_fd_.get(), POLLIN, 0},
                                pollfd{child.ended_descriptor().get(), POLLIN, 0}};
  const bool has_pidfd = child.ended_descriptor().valid();
  const auto wait = has_pidfd ? at_most : std::min(at_most, kNoPidfdStep);
  ::poll(watched.data(), has_pidfd ? 2 : 1, static_cast<int>(wait.count()));
  std::uint64_t counter = 0;
  [[maybe_unused]] const ssize_t got = ::read(wake_fd_.get(), &counter, sizeof counter);
}

}  // namespace knap::models
