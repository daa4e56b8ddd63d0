#include "sandbox_layers.hpp"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <memory>

namespace knap::extract {

const int kNamespaces = CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;

namespace {

// Landlock grew with the kernel, and the system's headers may be older than the kernel. Rights by
// version of its interface: 1 has bits 0 to 12, 2 moving between folders, 3 truncation, 5 ioctl on
// devices; 4 adds TCP, 6 abstract sockets and signals.
constexpr std::uint64_t kFileRightsFirst = (1ULL << 13) - 1;
constexpr std::uint64_t kRefer = 1ULL << 13;
constexpr std::uint64_t kTruncate = 1ULL << 14;
constexpr std::uint64_t kDeviceControl = 1ULL << 15;
constexpr std::uint64_t kBindAndConnectTcp = 3;
constexpr std::uint64_t kScopeSocketsAndSignals = 3;

struct RulesetAttributes {
  std::uint64_t handled_access_fs = 0;
  std::uint64_t handled_access_net = 0;
  std::uint64_t scoped = 0;
};

constexpr std::uint64_t kReadFile = LANDLOCK_ACCESS_FS_READ_FILE;
constexpr std::uint64_t kReadAndRunFile = kReadFile | LANDLOCK_ACCESS_FS_EXECUTE;
constexpr std::uint64_t kReadFolder = kReadFile | LANDLOCK_ACCESS_FS_READ_DIR;

constexpr std::array kLibraryFolders{"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"};

enum class IfAbsent { kSkip, kFail };

Status allow(int ruleset, const std::filesystem::path& path, std::uint64_t rights,
             IfAbsent if_absent) {
  const FileDescriptor place(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!place.valid()) {
    if (errno == ENOENT && if_absent == IfAbsent::kSkip) return {};
    return errno_error(errno, "cannot open for a sandbox", path);
  }
  struct stat what {};
  if (::fstat(place.get(), &what) != 0) return errno_error(errno, "cannot look at", path);
  if (!S_ISDIR(what.st_mode)) rights &= kReadAndRunFile;
  landlock_path_beneath_attr rule{};
  rule.allowed_access = rights;
  rule.parent_fd = place.get();
  if (::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
    return errno_error(errno, "cannot add a sandbox rule for", path);
  return {};
}

// What reading, computing and writing needs. Not here, on purpose: sockets, processes and
// threads (no limit counts threads for root, and thousands fit little memory), kill, ptrace,
// memfd_create (memory outside the limit), mounts, keys, io_uring, bpf, ioctl.
constexpr std::array kAllowedCalls{
    "read", "readv", "pread64", "preadv", "write", "writev", "pwrite64", "lseek", "close", "fstat",
    "stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "readlink",
    "readlinkat", "getcwd", "getdents64", "fcntl", "dup", "dup2", "dup3", "fadvise64", "mmap",
    "munmap", "mprotect", "mremap", "madvise", "brk", "rt_sigaction", "rt_sigprocmask",
    "rt_sigreturn", "sigaltstack", "futex", "nanosleep", "clock_nanosleep", "clock_gettime",
    "clock_getres", "gettimeofday", "time", "times", "getrusage", "getpid", "gettid", "getppid",
    "getuid", "geteuid", "getgid", "getegid", "getrandom", "getrlimit", "sysinfo", "uname",
    "sched_yield", "sched_getaffinity", "getpriority", "arch_prctl", "set_tid_address",
    "set_robust_list", "rseq", "exit", "exit_group", "poll", "ppoll", "select", "pselect6",
    "restart_syscall",
    // The start of the helper itself. Landlock decides which file that can be, and what is started
    // keeps all restrictions.
    "execve"};

/// Adds the calls that are allowed or answered by their arguments. 0 or -errno.
int add_conditional_calls(scmp_filter_ctx filter) {
  // Reading only, also where Landlock is missing: what can be opened cannot be changed or emptied.
  constexpr std::uint64_t kChanging = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC;
  const int openat_to_read = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
                                              SCMP_A2(SCMP_CMP_MASKED_EQ, kChanging, 0));
  if (openat_to_read != 0) return openat_to_read;
  const int open_call = seccomp_syscall_resolve_name("open");  // absent on newer architectures
  const int open_to_read = open_call < 0
                               ? 0
                               : seccomp_rule_add(filter, SCMP_ACT_ALLOW, open_call, 1,
                                                  SCMP_A1(SCMP_CMP_MASKED_EQ, kChanging, 0));
  if (open_to_read != 0) return open_to_read;
  // A process may look at its own limits and not set them.
  return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, SCMP_A0(SCMP_CMP_EQ, 0),
                          SCMP_A2(SCMP_CMP_EQ, 0));
}

}  // namespace

Result<FileDescriptor> make_file_rules(const std::filesystem::path& program,
                                       const std::vector<std::filesystem::path>& readable) {
  const long version =
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 1)
    return make_error(ErrorCode::kUnsupported,
                      "this kernel has no Landlock, or it is switched off");
  RulesetAttributes attributes;
  attributes.handled_access_fs = kFileRightsFirst;
  if (version >= 2) attributes.handled_access_fs |= kRefer;
  if (version >= 3) attributes.handled_access_fs |= kTruncate;
  if (version >= 5) attributes.handled_access_fs |= kDeviceControl;
  if (version >= 4) attributes.handled_access_net = kBindAndConnectTcp;
  if (version >= 6) attributes.scoped = kScopeSocketsAndSignals;
  // A kernel that knows a shorter form accepts this one as long as the rest is zero.
  FileDescriptor ruleset(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0)));
  if (!ruleset.valid()) return errno_error(errno, "cannot make sandbox rules for", program);
  KNAP_CHECK_OK(allow(ruleset.get(), program, kReadAndRunFile, IfAbsent::kFail));
  for (const char* folder : kLibraryFolders)
    KNAP_CHECK_OK(allow(ruleset.get(), folder, kReadFolder | kReadAndRunFile, IfAbsent::kSkip));
  KNAP_CHECK_OK(allow(ruleset.get(), "/etc/ld.so.cache", kReadFile, IfAbsent::kSkip));
  for (const auto& path : readable)
    KNAP_CHECK_OK(allow(ruleset.get(), path, kReadFolder, IfAbsent::kSkip));
  return ruleset;
}

Result<std::vector<sock_filter>> make_call_filter() {
  const std::unique_ptr<void, decltype(&seccomp_release)> filter(
      seccomp_init(SCMP_ACT_ERRNO(EPERM)), &seccomp_release);
  const auto failed = [] {
    return make_error(ErrorCode::kInternal, "libseccomp cannot make the sandbox's call filter");
  };
  if (!filter) return failed();
  for (const char* name : kAllowedCalls) {
    const int call = seccomp_syscall_resolve_name(name);
    if (call == __NR_SCMP_ERROR) continue;  // newer than this libseccomp: stays denied
    // Calls that this architecture lacks have negative numbers; libseccomp skips or rejects them.
    if (call >= 0 && seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0) != 0) return failed();
  }
  if (add_conditional_calls(filter.get()) != 0) return failed();
  // libseccomp gives its program to a descriptor only.
  const FileDescriptor memory(::memfd_create("knap-call-filter", MFD_CLOEXEC));
  if (!memory.valid() || seccomp_export_bpf(filter.get(), memory.get()) != 0) return failed();
  const off_t length = ::lseek(memory.get(), 0, SEEK_END);
  if (length <= 0 || length % static_cast<off_t>(sizeof(sock_filter)) != 0) return failed();
  std::vector<sock_filter> program(static_cast<std::size_t>(length) / sizeof(sock_filter));
  if (::pread(memory.get(), program.data(), static_cast<std::size_t>(length), 0) != length)
    return failed();
  return program;
}

}  // namespace knap::extract
