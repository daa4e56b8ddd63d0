#include "process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>
#include <thread>
#include <utility>

#include "knap/base/deadline.hpp"

namespace knap::models {
namespace {

constexpr std::chrono::milliseconds kPollStep{5};

// What a runner may know of its parent's environment. Keys and passwords stand in variables: none
// is passed on.
constexpr std::array kPassedOn = std::to_array<std::string_view>(
    {"PATH=", "HOME=", "LANG=", "TMPDIR=", "LC_ALL=", "LD_LIBRARY_PATH=", "ASAN_OPTIONS=",
     "UBSAN_OPTIONS=", "TSAN_OPTIONS=", "LSAN_OPTIONS=",
     // Which graphics cards may be used, and where their drivers lie.
     "CUDA_VISIBLE_DEVICES=", "HIP_VISIBLE_DEVICES=", "ROCR_VISIBLE_DEVICES=",
     "GGML_VK_VISIBLE_DEVICES=", "VK_DRIVER_FILES=", "VK_ICD_FILENAMES="});

std::vector<char*> pick_environment(bool whole) {
  std::vector<char*> result;
  for (char** each = environ; each != nullptr && *each != nullptr; ++each) {
    bool wanted = whole;
    for (const std::string_view name : kPassedOn)
      wanted = wanted || std::string_view(*each).starts_with(name);
    if (wanted) result.push_back(*each);
  }
  result.push_back(nullptr);
  return result;
}

/// Frees what posix_spawn's settings hold.
struct SpawnSettings {
  SpawnSettings() {
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  ~SpawnSettings() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_t actions{};
  posix_spawnattr_t attributes{};
};

}  // namespace

std::string ProcessEnd::describe() const {
  if (signal == 0) return fmt::format("exit code {}", exit_code);
  return fmt::format("signal {} ({})", signal, ::strsignal(signal));
}

Result<ChildProcess> ChildProcess::start(const Options& options) {
  SpawnSettings settings;
  ::posix_spawn_file_actions_addopen(&settings.actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  if (!options.output_file.empty()) {
    ::posix_spawn_file_actions_addopen(&settings.actions, STDOUT_FILENO,
                                       options.output_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                       0600);
    ::posix_spawn_file_actions_adddup2(&settings.actions, STDOUT_FILENO, STDERR_FILENO);
  }
  ::posix_spawn_file_actions_addclosefrom_np(&settings.actions, STDERR_FILENO + 1);
  // A group of its own: Ctrl-C in the terminal reaches the server, which then ends its children in
  // order.
  sigset_t none;
  sigset_t all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setflags(
      &settings.attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  ::posix_spawnattr_setpgroup(&settings.attributes, 0);
  ::posix_spawnattr_setsigmask(&settings.attributes, &none);
  ::posix_spawnattr_setsigdefault(&settings.attributes, &all);

  std::vector<std::string> copies = options.arguments;
  std::vector<char*> arguments;
  for (std::string& each : copies) arguments.push_back(each.data());
  arguments.push_back(nullptr);
  std::vector<char*> environment = pick_environment(options.whole_environment);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, arguments.front(), &settings.actions, &settings.attributes,
                                   arguments.data(), environment.data());
  if (error != 0) return errno_error(error, "cannot start", options.arguments.front());
  ChildProcess child;
  child.pid_ = pid;
  child.pidfd_ = FileDescriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  return child;
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      pidfd_(std::move(other.pidfd_)),
      end_(std::move(other.end_)) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    if (pid_ > 0) stop(std::chrono::milliseconds(0));
    pid_ = std::exchange(other.pid_, -1);
    pidfd_ = std::move(other.pidfd_);
    end_ = std::move(other.end_);
  }
  return *this;
}

ChildProcess::~ChildProcess() {
  if (pid_ > 0) stop(std::chrono::milliseconds(0));
}

std::optional<ProcessEnd> ChildProcess::poll_end() {
  if (end_ || pid_ <= 0) return end_;
  int status = 0;
  const pid_t got = ::waitpid(pid_, &status, WNOHANG);
  if (got == 0 || (got < 0 && errno == EINTR)) return std::nullopt;
  end_ = ProcessEnd{};
  if (got == pid_ && WIFSIGNALED(status)) end_->signal = WTERMSIG(status);
  if (got == pid_ && WIFEXITED(status)) end_->exit_code = WEXITSTATUS(status);
  return end_;
}

ProcessEnd ChildProcess::stop(std::chrono::milliseconds grace) {
  if (grace.count() > 0 && !poll_end()) {
    ::kill(pid_, SIGTERM);
    const Deadline patience = Deadline::after(grace);
    while (!poll_end() && !patience.expired()) std::this_thread::sleep_for(kPollStep);
  }
  if (!poll_end()) {
    ::kill(pid_, SIGKILL);
    while (!poll_end()) std::this_thread::sleep_for(kPollStep);
  }
  pid_ = -1;
  return *end_;
}

// statm can be read of any process, also of one that is closed to debuggers as runners are.
std::uint64_t resident_bytes(pid_t pid) {
  if (pid <= 0) return 0;
  const std::string path = fmt::format("/proc/{}/statm", pid);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"),
                                                             std::fclose);
  unsigned long long total = 0;
  unsigned long long resident = 0;
  if (!file || std::fscanf(file.get(), "%llu %llu", &total, &resident) != 2) return 0;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace knap::models
