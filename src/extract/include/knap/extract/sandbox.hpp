#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/file.hpp"
#include "knap/base/result.hpp"

namespace knap::extract {

/// What one run of a helper may use. A limit that is reached ends the helper.
struct HelperLimits {
  std::chrono::seconds cpu_time{20};
  std::chrono::milliseconds wall_time{30'000};
  std::uint64_t memory_bytes = 512ULL << 20;  ///< of address space
  std::uint64_t output_bytes = 64ULL << 20;
  std::uint32_t open_files = 32;
};

/// Which protections this kernel offers, as found by trying them.
struct SandboxSupport {
  bool file_rules = false;   ///< Landlock: only named files can be opened
  bool call_filter = false;  ///< seccomp: no sockets, no processes, no writing
  bool namespaces = false;   ///< own user, network, IPC and host name: a second wall
  /// What is lacking of what helpers must be kept from, one sentence each.
  std::vector<std::string> missing;
  /// What holds by one layer where it could by two, one sentence each.
  std::vector<std::string> weaker;

  /// A helper reaches no network, no other process and no file but those it was given; limits hold
  /// on every kernel.
  bool contained() const { return file_rules && call_filter; }
};

/// Asks the kernel, once: the answer holds as long as the program runs. Starts a child for an
/// instant. Safe from any thread.
const SandboxSupport& probe_sandbox();

/// Whether a helper runs where the kernel cannot contain it (SandboxSupport::contained).
enum class WeakSandbox { kRefuse, kAllow };

/// One run of a helper program.
struct HelperRun {
  std::filesystem::path program;  ///< absolute
  std::vector<std::string> arguments;
  int input = -1;  ///< the helper's standard input, open for reading only; stays the caller's
  /// What it may read besides itself and the system's libraries: data files of its own.
  std::vector<std::filesystem::path> readable;
  HelperLimits limits;
  WeakSandbox weak = WeakSandbox::kRefuse;
  bool urgent = false;  ///< somebody waits for it: not niced
};

/// How a helper ended by itself.
struct HelperResult {
  std::string output;       ///< standard output
  std::string diagnostics;  ///< start of standard error. May quote the input: not for logs.
  int exit_code = -1;       ///< -1 when a signal ended it
  int signal = 0;
};

/// Runs a program that reads hostile input, and waits for its end.
///
/// The child has no network, no file but its standard input and what is named above, no other
/// process, no second thread and no environment of ours. Three layers see to it: own namespaces,
/// Landlock rules for files, and a seccomp list of allowed system calls; resource limits bound the
/// rest. It runs niced unless it is urgent: whoever waits for a search or an answer goes first.
/// None needs root. The list of calls alone already denies sockets, new processes, signals to
/// others and opening files for writing.
///
/// Threads: safe from any thread. Blocks up to limits.wall_time.
/// Errors: kInvalidArgument (program not absolute, no input, or one that could be
/// written); kNotFound (program);
/// kFailedPrecondition (the kernel cannot contain it and `weak` refuses); kDeadlineExceeded (wall
/// time); kResourceExhausted (processor time or output); kCancelled; kIo. A helper out of memory
/// fails in its own way: by exit code or signal.
Result<HelperResult> run_helper(const HelperRun& run, const CancelToken& cancel);

}  // namespace knap::extract
