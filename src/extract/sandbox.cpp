#include "knap/extract/sandbox.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <optional>
#include <utility>

#include "sandbox_layers.hpp"

namespace knap::extract {
namespace {

constexpr std::size_t kDiagnosticsMax = 4096;
constexpr std::size_t kReadStep = 64 << 10;
constexpr std::chrono::milliseconds kCancelStep{20};  // how soon a cancelled caller is heard
constexpr int kFirstRaised = 10;  // descriptors from here on are not in the way of 0, 1 and 2
constexpr int kNiceness = 10;     // searches and answers go before the reading of files
constexpr std::size_t kChildStackBytes = 64 << 10;

// A fork copies the tables of all memory, 50 ms of a process of 1 GiB. A child that shares the
// memory until it becomes the helper needs none of that; the calling thread stands still meanwhile.
// The sanitizers' own bookkeeping does not bear it.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int kStartFlags = SIGCHLD;
#else
constexpr int kStartFlags = CLONE_VM | CLONE_VFORK | SIGCHLD;
#endif

/// What the child needs, made before it starts: until exec only plain system calls are safe,
/// because it shares the memory with threads that may hold any lock.
struct Prepared {
  std::vector<char*> arguments;
  sock_fprog filter{};
  int file_rules = -1;
  bool namespaces = false;
  bool filtered = false;
  int niceness = 0;
  int input = -1;
  int output = -1;
  int diagnostics = -1;
  int failure = -1;
  const HelperLimits* limits = nullptr;
};

/// Where the child stopped before it became the helper.
struct SetupFailure {
  int step = 0;
  int error_number = 0;
};

[[noreturn]] void give_up(int descriptor, int step) {
  const SetupFailure failure{step, errno};
  [[maybe_unused]] const auto written = ::write(descriptor, &failure, sizeof failure);
  ::_exit(127);
}

bool limit(decltype(RLIMIT_CPU) what, std::uint64_t soft, std::uint64_t hard) {
  const rlimit value{soft, hard};
  return ::setrlimit(what, &value) == 0;
}

bool set_limits(const HelperLimits& limits) {
  const auto cpu = static_cast<std::uint64_t>(std::max<std::int64_t>(1, limits.cpu_time.count()));
  return limit(RLIMIT_CPU, cpu, cpu + 1) &&
         limit(RLIMIT_AS, limits.memory_bytes, limits.memory_bytes) && limit(RLIMIT_FSIZE, 0, 0) &&
         limit(RLIMIT_CORE, 0, 0) && limit(RLIMIT_NOFILE, limits.open_files, limits.open_files);
}

/// No handler of ours may run in the child: it would change the memory that both share. SIGKILL and
/// SIGSTOP have none, and the C library keeps two for itself: refusals are no fault.
void reset_signal_handlers() {
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
}

/// The child's side: from its start to the helper's first instruction. System calls only. It begins
/// with all signals blocked.
int become_helper(void* argument) {
  const auto& prepared = *static_cast<const Prepared*>(argument);
  const int failure = prepared.failure;
  int step = 0;
  const auto check = [&](bool done) {
    ++step;
    if (!done) give_up(failure, step);
  };
  sigset_t none;
  ::sigemptyset(&none);
  check(::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && ::setpgid(0, 0) == 0 &&
        ::setpriority(PRIO_PROCESS, 0, prepared.niceness) == 0);
  reset_signal_handlers();
  check(::sigprocmask(SIG_SETMASK, &none, nullptr) == 0);
  check(!prepared.namespaces || ::unshare(kNamespaces) == 0);
  check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  check(prepared.file_rules < 0 ||
        ::syscall(SYS_landlock_restrict_self, prepared.file_rules, 0) == 0);
  check(::dup2(prepared.input, 0) == 0 && ::dup2(prepared.output, 1) == 1 &&
        ::dup2(prepared.diagnostics, 2) == 2);
  // Everything else closes by itself when the helper starts.
  constexpr unsigned kCloseOnExec = 1U << 2;
  check(::syscall(SYS_close_range, 3U, ~0U, kCloseOnExec) == 0);
  check(set_limits(*prepared.limits));
  check(!prepared.filtered || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prepared.filter) == 0);
  // Programs that compute with several threads must know that there is one: they end otherwise.
  static char one_thread[] = "OMP_THREAD_LIMIT=1";  // NOLINT(*-avoid-c-arrays)
  char* const environment[] = {one_thread,
                               nullptr};  // NOLINT(*-avoid-c-arrays): as execve takes it
  ::execve(prepared.arguments.front(), prepared.arguments.data(), environment);
  give_up(failure, 0);
}

/// Starts `main` in a child that shares our memory until it becomes another program or ends. -1
/// with errno.
pid_t start_child(int (*main)(void*), void* argument) {
  // For the child alone: what it calls must not overwrite the frames of the caller.
  std::vector<std::byte> stack(kChildStackBytes);
  auto top = reinterpret_cast<std::uintptr_t>(stack.data() + stack.size());
  top -= top % alignof(std::max_align_t);
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::clone(main, reinterpret_cast<void*>(top), kStartFlags, argument);
  const int error_number = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error_number;
  return pid;
}

struct Pipe {
  FileDescriptor read_end;
  FileDescriptor write_end;
};

Result<FileDescriptor> raised(int descriptor) {
  FileDescriptor copy(::fcntl(descriptor, F_DUPFD_CLOEXEC, kFirstRaised));
  if (!copy.valid()) return errno_error(errno, "cannot copy a descriptor for", "a helper");
  return copy;
}

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return errno_error(errno, "no pipe for", "a helper");
  const FileDescriptor read_end(ends[0]);
  const FileDescriptor write_end(ends[1]);
  Pipe pipe;
  KNAP_TRY(pipe.read_end, raised(read_end.get()));
  KNAP_TRY(pipe.write_end, raised(write_end.get()));
  return pipe;
}

/// A child that is ended and waited for, whatever happens.
class Child {
 public:
  explicit Child(pid_t pid)
      : pid_(pid), ended_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (status_) return;
    ::kill(pid_, SIGKILL);
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
  }
  /// The status of waitpid once it has ended.
  std::optional<int> poll_end() {
    int status = 0;
    if (!status_ && ::wait4(pid_, &status, WNOHANG, &used_) == pid_) status_ = status;
    return status_;
  }
  /// Processor time, once it has ended.
  std::chrono::microseconds processor_time() const {
    const auto of = [](const timeval& time) {
      return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
    };
    return of(used_.ru_utime) + of(used_.ru_stime);
  }
  int ended_descriptor() const { return ended_.get(); }

 private:
  pid_t pid_;
  FileDescriptor ended_;
  std::optional<int> status_;
  rusage used_{};
};

enum class Reading { kMore, kNothingNow, kEnd };

/// Takes what a non-blocking pipe holds, at most `keep_max` bytes of it in all.
Reading take(int descriptor, std::string& into, std::uint64_t keep_max, bool& overflow) {
  std::array<char, kReadStep> bytes;  // NOLINT(*-member-init): read fills it
  const ssize_t got = ::read(descriptor, bytes.data(), bytes.size());
  if (got == 0) return Reading::kEnd;
  if (got < 0) return errno == EINTR ? Reading::kMore : Reading::kNothingNow;
  const auto length = static_cast<std::uint64_t>(got);
  const std::uint64_t kept = std::min<std::uint64_t>(length, keep_max - into.size());
  overflow = overflow || kept < length;
  into.append(bytes.data(), static_cast<std::size_t>(kept));
  return Reading::kMore;
}

/// Reads both pipes until the helper has ended or a limit is reached. The status of waitpid.
Result<int> follow(Child& child, const Pipe& output, const Pipe& diagnostics, const HelperRun& run,
                   const CancelToken& cancel, HelperResult& result) {
  const Deadline deadline = Deadline::after(run.limits.wall_time);
  for (const Pipe* pipe : {&output, &diagnostics})
    ::fcntl(pipe->read_end.get(), F_SETFL, O_NONBLOCK);
  std::array<pollfd, 3> watched{{{output.read_end.get(), POLLIN, 0},
                                 {diagnostics.read_end.get(), POLLIN, 0},
                                 {child.ended_descriptor(), POLLIN, 0}}};
  while (true) {
    // Asked before the pipes are read: what an ended helper wrote is then all there.
    const std::optional<int> ended = child.poll_end();
    bool too_long = false;
    bool ignored = false;
    Reading state = take(watched[0].fd, result.output, run.limits.output_bytes, too_long);
    Reading side = take(watched[1].fd, result.diagnostics, kDiagnosticsMax, ignored);
    if (too_long)
      return make_error(ErrorCode::kResourceExhausted,
                        fmt::format("{} wrote more than {} bytes and was ended",
                                    run.program.filename().string(), run.limits.output_bytes));
    if (state == Reading::kEnd) watched[0].events = 0;
    const bool more = state == Reading::kMore || side == Reading::kMore;
    if (ended && !more) return *ended;
    if (cancel.cancelled())
      return make_error(ErrorCode::kCancelled, "the caller of a helper has gone");
    if (deadline.expired())
      return make_error(ErrorCode::kDeadlineExceeded,
                        fmt::format("{} took longer than {} ms and was ended",
                                    run.program.filename().string(), run.limits.wall_time.count()));
    if (more) continue;
    // A closed pipe is always ready: not asked about any more.
    if (state == Reading::kEnd) watched[0].fd = -1;
    if (side == Reading::kEnd) watched[1].fd = -1;
    const auto wait = std::min(kCancelStep, deadline.remaining_ms());
    ::poll(watched.data(), watched.size(), static_cast<int>(wait.count()));
  }
}

/// An Error when the child never became the helper.
Status check_start(const Pipe& failure, const std::filesystem::path& program) {
  SetupFailure report;
  if (::read(failure.read_end.get(), &report, sizeof report) != sizeof report) return {};
  if (report.step == 0) return errno_error(report.error_number, "cannot start", program);
  return errno_error(report.error_number,
                     fmt::format("step {} of the sandbox failed for", report.step), program);
}

Result<HelperResult> describe_end(int status, const Child& child, const HelperRun& run,
                                  HelperResult result) {
  if (WIFEXITED(status)) {
    result.exit_code = WEXITSTATUS(status);
    return result;
  }
  result.signal = WTERMSIG(status);
  // One that ignores the first signal gets the kernel's second, which it cannot.
  const bool out_of_time = child.processor_time() >= run.limits.cpu_time;
  if (result.signal == SIGXCPU || (result.signal == SIGKILL && out_of_time))
    return make_error(ErrorCode::kResourceExhausted,
                      fmt::format("{} used more than {} s of processor time and was ended",
                                  run.program.filename().string(), run.limits.cpu_time.count()));
  return result;
}

int try_namespaces(void* /*argument*/) { ::_exit(::unshare(kNamespaces) == 0 ? 0 : 1); }

bool namespaces_offered() {
  const pid_t pid = start_child(try_namespaces, nullptr);
  if (pid < 0) return false;
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/// A kernel that knows filters complains of the absent one; any other of the request.
bool call_filters_offered() {
  return ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, nullptr) != 0 && errno == EFAULT;
}

SandboxSupport probe() {
  SandboxSupport support;
  support.namespaces = namespaces_offered();
  support.call_filter = call_filters_offered();
  support.file_rules = make_file_rules("/", {}).has_value();
  if (!support.call_filter)
    support.missing.emplace_back(
        "No seccomp filters in this kernel: nothing keeps helpers from the network and from other "
        "processes.");
  if (!support.file_rules)
    support.missing.emplace_back(
        "No Landlock (Linux 5.13 or later, with landlock among the security modules): helpers can "
        "read every file that Knap itself can read.");
  if (!support.namespaces)
    support.weaker.emplace_back(
        "No own namespaces (the system or the container denies them to users): the list of allowed "
        "system calls alone keeps helpers from the network.");
  return support;
}

}  // namespace

const SandboxSupport& probe_sandbox() {
  // What the kernel offers does not change while a program runs.
  static const SandboxSupport kSupport = probe();
  return kSupport;
}

Result<HelperResult> run_helper(const HelperRun& run, const CancelToken& cancel) {
  if (!run.program.is_absolute() || run.input < 0)
    return make_error(ErrorCode::kInvalidArgument, "a helper needs an absolute path and an input");
  // A helper could map a file that it may write, and change it past all limits.
  const int mode = ::fcntl(run.input, F_GETFL);
  if (mode < 0 || (mode & O_ACCMODE) != O_RDONLY)
    return make_error(ErrorCode::kInvalidArgument,
                      "a helper's input must be open for reading only");
  const SandboxSupport& support = probe_sandbox();
  if (!support.contained() && run.weak == WeakSandbox::kRefuse)
    return make_error(ErrorCode::kFailedPrecondition,
                      fmt::format("{} is not run with a weak sandbox: {}",
                                  run.program.filename().string(), support.missing.front()));
  FileDescriptor rules;
  if (support.file_rules) {
    KNAP_TRY(rules, make_file_rules(run.program, run.readable));
  }
  KNAP_TRY(auto filter, make_call_filter());
  KNAP_TRY(const auto input, raised(run.input));
  KNAP_TRY(auto output, make_pipe());
  KNAP_TRY(auto diagnostics, make_pipe());
  KNAP_TRY(auto failure, make_pipe());

  std::vector<std::string> words{run.program.string()};
  words.insert(words.end(), run.arguments.begin(), run.arguments.end());
  Prepared prepared;
  for (std::string& word : words) prepared.arguments.push_back(word.data());
  prepared.arguments.push_back(nullptr);
  prepared.filter = {static_cast<unsigned short>(filter.size()), filter.data()};
  prepared.file_rules = rules.get();
  prepared.namespaces = support.namespaces;
  const int own_niceness = ::getpriority(PRIO_PROCESS, 0);
  prepared.niceness = run.urgent ? own_niceness : std::max(kNiceness, own_niceness);
  prepared.filtered = support.call_filter;
  prepared.input = input.get();
  prepared.output = output.write_end.get();
  prepared.diagnostics = diagnostics.write_end.get();
  prepared.failure = failure.write_end.get();
  prepared.limits = &run.limits;

  const pid_t pid = start_child(become_helper, &prepared);
  if (pid < 0) return errno_error(errno, "cannot start", run.program);
  Child child(pid);
  for (Pipe* pipe : {&output, &diagnostics, &failure}) pipe->write_end.reset();
  KNAP_CHECK_OK(check_start(failure, run.program));
  HelperResult result;
  KNAP_TRY(const int status, follow(child, output, diagnostics, run, cancel, result));
  return describe_end(status, child, run, std::move(result));
}

}  // namespace knap::extract
