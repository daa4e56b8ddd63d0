#include "knap/extract/sandbox.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <span>
#include <thread>

namespace knap::extract {
namespace {

using testing::HasSubstr;

FileDescriptor input_of(std::string_view text) {
  FileDescriptor memory(::memfd_create("input", MFD_CLOEXEC));
  EXPECT_EQ(::pwrite(memory.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  const std::string path = "/proc/self/fd/" + std::to_string(memory.get());
  return FileDescriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

Result<HelperResult> misbehave(std::vector<std::string> arguments, HelperLimits limits = {},
                               const CancelToken& cancel = {}) {
  const FileDescriptor input = input_of("text");
  HelperRun run;
  run.program = KNAP_HOSTILE_HELPER;
  run.arguments = std::move(arguments);
  run.input = input.get();
  run.limits = limits;
  run.weak = WeakSandbox::kAllow;
  return run_helper(run, cancel);
}

std::string output_of(std::vector<std::string> arguments, HelperLimits limits = {}) {
  const auto result = misbehave(std::move(arguments), limits);
  return result ? result->output : result.error().message;
}

TEST(Sandbox, GivesInputAndTakesOutput) {
  const auto result = misbehave({"copy"});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->output, "text");
  EXPECT_EQ(result->exit_code, 0);
}

TEST(Sandbox, RunsARealHelper) {
  // No table of objects: poppler rebuilds it, which is the way of broken files.
  const FileDescriptor input = input_of(
      "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
      "2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
      "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R/Resources<</Font<</F1 "
      "5 0 R>>>>>>endobj\n"
      "4 0 obj<</Length 41>>stream\nBT /F1 12 Tf 20 100 Td (hello world) Tj ET\nendstream endobj\n"
      "5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\n"
      "trailer<</Root 1 0 R>>\n%%EOF\n");
  HelperRun run;
  run.program = "/usr/bin/pdftotext";
  run.arguments = {"-enc", "UTF-8", "-", "-"};
  run.input = input.get();
  run.weak = WeakSandbox::kAllow;
  const auto result = run_helper(run, {});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->exit_code, 0) << result->diagnostics;
  EXPECT_THAT(result->output, HasSubstr("hello world"));
}

TEST(Sandbox, OpensNoOtherFile) {
  if (!probe_sandbox().file_rules) GTEST_SKIP() << "this kernel has no Landlock";
  EXPECT_EQ(output_of({"read", "/etc/passwd"}), "Permission denied\n");
  EXPECT_EQ(output_of({"read", "/proc/self/environ"}), "Permission denied\n");
  EXPECT_EQ(output_of({"read", "/"}), "Permission denied\n");
  EXPECT_EQ(output_of({"run", "/usr/bin/true"}), "Permission denied\n");
}

TEST(Sandbox, CreatesNoFile) {
  EXPECT_EQ(output_of({"create", "/tmp/knap_sandbox_test"}), "Operation not permitted\n");
}

TEST(Sandbox, ReadsFilesThatAreNamed) {
  const FileDescriptor input = input_of("");
  HelperRun run;
  run.program = KNAP_HOSTILE_HELPER;
  run.arguments = {"read", "/etc/passwd"};
  run.readable = {"/etc/passwd", "/does/not/exist"};
  run.input = input.get();
  run.weak = WeakSandbox::kAllow;
  const auto result = run_helper(run, {});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->output, "done\n");
}

TEST(Sandbox, OpensNoSocket) {
  EXPECT_EQ(output_of({"internet"}), "Operation not permitted\n");
  EXPECT_EQ(output_of({"unix"}), "Operation not permitted\n");
}

TEST(Sandbox, ReachesNoOtherProcess) {
  EXPECT_EQ(output_of({"kill"}), "Operation not permitted\n");
  EXPECT_EQ(output_of({"fork"}), "0\n");
  EXPECT_EQ(output_of({"threads"}), "0\n");
}

TEST(Sandbox, GivesWayToOthers) { EXPECT_GE(std::stoi(output_of({"niceness"})), 10); }

TEST(Sandbox, LeavesTheCallersSignalsAlone) {
  struct sigaction before {};
  struct sigaction after {};
  std::signal(SIGUSR1, SIG_IGN);
  ::sigaction(SIGUSR1, nullptr, &before);
  EXPECT_EQ(output_of({"copy"}), "text");
  ::sigaction(SIGUSR1, nullptr, &after);
  EXPECT_EQ(before.sa_handler, after.sa_handler);
  sigset_t blocked;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  EXPECT_EQ(::sigismember(&blocked, SIGTERM), 0);
}

TEST(Sandbox, HasNoEnvironment) { EXPECT_NE(output_of({"environment"}), "done\n"); }

TEST(Sandbox, StopsAllocationAtLimit) {
  const int got_mib = std::stoi(output_of({"allocate"}, {.memory_bytes = 64 << 20}));
  EXPECT_GT(got_mib, 16);
  EXPECT_LT(got_mib, 64);
}

TEST(Sandbox, StopsOutputAtLimit) {
  const auto result = misbehave({"write"}, {.output_bytes = 3'000'000});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(result.error().message, HasSubstr("3000000 bytes"));
}

TEST(Sandbox, StopsOpenFilesAtLimit) { EXPECT_EQ(output_of({"open"}, {.open_files = 8}), "5\n"); }

TEST(Sandbox, StopsSleepersAtWallTime) {
  const HelperLimits limits{.wall_time = std::chrono::milliseconds(100)};
  for (const char* how : {"sleep", "silent"}) {
    const auto started = SteadyClock::now();
    const auto result = misbehave({how}, limits);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::kDeadlineExceeded);
    EXPECT_LT(SteadyClock::now() - started, std::chrono::seconds(10));
  }
}

TEST(Sandbox, StopsComputationAtProcessorTime) {
  for (const char* how : {"compute", "stubborn"}) {
    const auto result = misbehave({how}, {.cpu_time = std::chrono::seconds(1)});
    ASSERT_FALSE(result) << how;
    EXPECT_EQ(result.error().code, ErrorCode::kResourceExhausted) << how;
  }
}

TEST(Sandbox, StopsWhenCancelled) {
  const CancelToken cancel;
  std::jthread caller([&] { cancel.cancel(); });
  const auto result = misbehave({"sleep"}, {}, cancel);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kCancelled);
}

TEST(Sandbox, RefusesWhatCannotStart) {
  const FileDescriptor input = input_of("");
  HelperRun run;
  run.program = "/does/not/exist";
  run.input = input.get();
  run.weak = WeakSandbox::kAllow;
  const auto absent = run_helper(run, {});
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, ErrorCode::kNotFound);
  run.program = "relative";
  const auto relative = run_helper(run, {});
  ASSERT_FALSE(relative);
  EXPECT_EQ(relative.error().code, ErrorCode::kInvalidArgument);
}

TEST(Sandbox, RefusesAnInputThatCouldBeWritten) {
  const FileDescriptor memory(::memfd_create("input", MFD_CLOEXEC));
  HelperRun run;
  run.program = KNAP_HOSTILE_HELPER;
  run.arguments = {"copy"};
  run.input = memory.get();
  run.weak = WeakSandbox::kAllow;
  const auto result = run_helper(run, {});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
}

TEST(Sandbox, RefusesWhatCannotBeContainedUnlessAllowed) {
  const FileDescriptor input = input_of("");
  HelperRun run;
  run.program = KNAP_HOSTILE_HELPER;
  run.arguments = {"copy"};
  run.input = input.get();
  const auto result = run_helper(run, {});
  const bool contained = probe_sandbox().contained();
  EXPECT_EQ(result.has_value(), contained);
  if (!contained) {
    EXPECT_EQ(result.error().code, ErrorCode::kFailedPrecondition);
  }
}

TEST(Sandbox, SaysInWordsWhatIsMissing) {
  const SandboxSupport& support = probe_sandbox();
  EXPECT_EQ(support.missing.empty(), support.contained());
  EXPECT_EQ(support.weaker.empty(), support.namespaces);
}

// As containers and older kernels do. A denied call stays so for all that is started, so the tests
// above run once more in a child.
int run_without(std::span<const int> calls, const char* tests) {
  std::vector<sock_filter> filter{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const int call : calls) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM));
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0)
      ::execl(self.c_str(), self.c_str(), tests, nullptr);
    ::_exit(127);
  }
  int status = -1;
  ::waitpid(pid, &status, 0);
  return status;
}

constexpr const char* kAll = "--gtest_filter=Sandbox.*";
constexpr const char* kAllButFiles = "--gtest_filter=Sandbox.*-Sandbox.OpensNoOtherFile";

TEST(WeakSandbox, HoldsWithoutNamespaces) {
  const bool files = probe_sandbox().file_rules;
  EXPECT_EQ(run_without(std::array{SYS_unshare}, files ? kAll : kAllButFiles), 0);
}

TEST(WeakSandbox, HoldsWithoutNamespacesAndLandlock) {
  EXPECT_EQ(run_without(std::array{SYS_unshare, SYS_landlock_create_ruleset}, kAllButFiles), 0);
}

}  // namespace
}  // namespace knap::extract
