#include "runner/measuring.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <chrono>
#include <utility>

#include "process.hpp"

namespace knap::models::runner {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr const char* kLockName = "lock";
constexpr std::uint64_t kFiguresBytesMax = 4U << 20;
constexpr std::chrono::minutes kMeasureTimeMax{60};

/// Of a folder's lock file; invalid: another run holds it, or there is none. The kernel gives the
/// lock back when its process ends, however that ends.
FileDescriptor take_lock(const fs::path& folder, int flags) {
  FileDescriptor handle(::open((folder / kLockName).c_str(), O_RDWR | O_CLOEXEC | flags, 0600));
  if (handle.valid() && ::flock(handle.get(), LOCK_EX | LOCK_NB) == 0) return handle;
  return FileDescriptor();
}

/// What a run left that was killed: nobody holds its lock. One without a lock file was killed
/// between making folder and lock, or is just there; a day tells them apart.
void remove_leftovers(const fs::path& scratch) {
  std::error_code error;
  const auto old = fs::file_time_type::clock::now() - std::chrono::hours(24);
  for (const auto& entry : fs::directory_iterator(scratch, error)) {
    if (!entry.path().filename().string().starts_with("quantize-")) continue;
    const FileDescriptor lock = take_lock(entry.path(), 0);
    const bool unlocked = !fs::exists(entry.path() / kLockName, error) &&
                          entry.last_write_time(error) < old && !error;
    if (lock.valid() || unlocked) fs::remove_all(entry.path(), error);
  }
}

}  // namespace

Result<MeasuringFolder> MeasuringFolder::make(const fs::path& scratch) {
  std::string pattern = (scratch / "quantize-XXXXXX").string();
  std::error_code error;
  fs::create_directories(scratch, error);
  remove_leftovers(scratch);
  if (::mkdtemp(pattern.data()) == nullptr)
    return errno_error(errno, "cannot make a folder in", scratch);
  MeasuringFolder folder;
  folder.path_ = pattern;
  folder.lock_ = take_lock(folder.path_, O_CREAT);
  if (!folder.lock_.valid()) return errno_error(errno, "cannot lock", folder.path_ / kLockName);
  return folder;
}

MeasuringFolder::MeasuringFolder(MeasuringFolder&& other) noexcept
    : path_(std::exchange(other.path_, {})), lock_(std::move(other.lock_)) {}

MeasuringFolder::~MeasuringFolder() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

Status check_space(const MeasuringFolder& folder, std::string_view what, std::uint64_t bytes) {
  std::error_code error;
  const auto space = fs::space(folder.path(), error);
  if (error || space.available >= bytes) return {};
  return make_error(
      ErrorCode::kResourceExhausted,
      fmt::format("{} needs about {} MB in {}, and {} MB are free: choose fewer levels, or another "
                  "folder",
                  what, bytes / 1'000'000, folder.path().string(), space.available / 1'000'000));
}

Result<json::object> run_measuring(const fs::path& program,
                                   const std::vector<std::string>& arguments,
                                   const MeasuringFolder& folder, const CancelToken& cancel) {
  const fs::path out = folder.path() / "figures.json";
  std::vector<std::string> all = {program.string(), "runner", "measure"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  KNAP_TRY(ChildProcess child,
           ChildProcess::start({.arguments = all, .output_file = out.string()}));
  const Deadline deadline = Deadline::after(kMeasureTimeMax);
  while (!child.poll_end()) {
    KNAP_CHECK_OK(still_wanted(cancel, deadline));
    ::usleep(5'000);
  }
  KNAP_TRY(const std::string text, read_file(out, kFiguresBytesMax));
  boost::system::error_code error;
  const json::value value = json::parse(text, error);
  if (error || !value.is_object()) {
    return make_error(ErrorCode::kInternal,
                      fmt::format("measuring ended with {}", child.poll_end()->describe()));
  }
  if (const auto* failure = value.get_object().if_contains("error"))
    return make_error(ErrorCode::kInternal, std::string(failure->as_string()));
  return value.get_object();
}

double figure(const json::object& figures, std::string_view key) {
  const auto* value = figures.if_contains(key);
  return value == nullptr ? 0.0 : value->to_number<double>();
}

}  // namespace knap::models::runner
