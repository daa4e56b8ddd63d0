#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "knap/base/file.hpp"
#include "knap/base/result.hpp"

namespace knap::models {

/// How a child ended.
struct ProcessEnd {
  int exit_code = 0;  ///< Meaningless when signal != 0.
  int signal = 0;
  std::string describe() const;  ///< "exit code 3", "signal 9 (Killed)"
};

/// A child process, started without a shell, with no file descriptor but the standard ones and an
/// environment cut down to what it needs. Destruction kills and reaps it.
///
/// Threads: from one at a time. A runner dies with the *thread* that started it (PR_SET_PDEATHSIG):
/// keep that alive.
class ChildProcess {
 public:
  struct Options {
    std::vector<std::string>
        arguments;            ///< The program first; a name without "/" is looked up in PATH.
    std::string output_file;  ///< Standard output and error go there; empty: inherited.
    bool whole_environment = false;  ///< pip needs its user's settings; runners do not.
  };
  /// Errors: kNotFound (no such program), kIo.
  static Result<ChildProcess> start(const Options& options);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess();

  pid_t pid() const { return pid_; }
  /// Readable when the process has ended; invalid where the kernel has no pidfd.
  const FileDescriptor& ended_descriptor() const { return pidfd_; }
  /// How it ended, when it has. Does not wait.
  std::optional<ProcessEnd> poll_end();
  /// Asks it to stop, waits at most `grace`, then kills. Returns when it is gone.
  ProcessEnd stop(std::chrono::milliseconds grace);

 private:
  ChildProcess() = default;
  pid_t pid_ = -1;
  FileDescriptor pidfd_;
  std::optional<ProcessEnd> end_;
};

/// What a process holds in memory now, in bytes: also mapped files and libraries that it shares. 0
/// when there is no such process.
std::uint64_t resident_bytes(pid_t pid);

}  // namespace knap::models
