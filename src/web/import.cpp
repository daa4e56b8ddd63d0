#include "knap/web/import.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include <boost/json.hpp>

#include "knap/base/file.hpp"
#include "knap/base/hash.hpp"
#include "knap/base/json_text.hpp"
#include "knap/base/text.hpp"
#include "note_writer.hpp"

namespace knap::web {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

std::string now_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", parts);
}

/// A text as YAML takes it too.
std::string quoted(const std::string& text) { return json_text(json::string(text)); }

std::string kept_text(const Imported& page) {
  json::array flags;
  for (const Flag& flag : page.flags)
    flags.push_back(json::object{{"kind", flag.kind}, {"text", flag.text}});
  return json_text(json::object{{"version", 1},
                                {"extractor", extract::kPageReaderVersion},
                                {"trust", "untrusted"},
                                {"requested", page.requested},
                                {"address", page.address},
                                {"canonical", page.canonical},
                                {"fetched", page.fetched},
                                {"hash", page.hash},
                                {"title", page.title},
                                {"author", page.author},
                                {"published", page.published},
                                {"site", page.site},
                                {"language", page.language},
                                {"description", page.description},
                                {"flags", std::move(flags)},
                                {"markdown", page.markdown}}) +
         "\n";
}

/// Removes the oldest files until those left hold at most bytes_max.
void make_room(const fs::path& folder, std::uint64_t bytes_max) {
  struct Kept {
    fs::file_time_type time;
    std::uint64_t bytes = 0;
    fs::path path;
  };
  std::vector<Kept> files;
  std::uint64_t sum = 0;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    files.push_back({it->last_write_time(ignored), it->file_size(ignored), it->path()});
    sum += files.back().bytes;
  }
  if (sum <= bytes_max) return;
  std::sort(files.begin(), files.end(),
            [](const Kept& a, const Kept& b) { return a.time < b.time; });
  for (const Kept& file : files) {
    if (sum <= bytes_max) return;
    fs::remove(file.path, error);
    sum -= file.bytes;
  }
}

Status keep(const Imported& page, const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return errno_error(error.value(), "cannot make", folder);
  KNAP_CHECK_OK(write_file_atomic(folder / (page.hash + ".json"), kept_text(page)));
  make_room(folder, Importer::kKeptBytesMax);
  return {};
}

Imported put_together(const std::string& requested, Fetched fetched, extract::WebPage page) {
  Imported out;
  out.requested = requested;
  out.address = std::move(fetched.address);
  out.canonical = std::move(page.canonical);
  out.title = std::move(page.document.title);
  out.author = std::move(page.document.author);
  out.published = std::move(page.document.created);
  out.site = std::move(page.site);
  out.language = std::move(page.language);
  out.description = std::move(page.description);
  out.markdown = std::move(page.markdown);
  out.fetched = now_utc();
  out.hash = sha256(fetched.body);
  out.flags = find_instructions(page.document);
  return out;
}

/// Counts down when it goes.
struct Running {
  std::atomic<std::size_t>& count;
  ~Running() { --count; }
};

}  // namespace

std::string note_of(const Imported& page) {
  std::string out = "---\n";
  const auto property = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) out += fmt::format("{}: {}\n", name, quoted(value));
  };
  property("title", page.title);
  property("source", page.address);
  if (page.canonical != page.address) property("canonical", page.canonical);
  property("author", page.author);
  property("site", page.site);
  if (!page.published.empty()) out += fmt::format("published: {}\n", page.published);
  out += fmt::format("fetched: {}\n", page.fetched.substr(0, page.fetched.size() - 1));
  property("lang", page.language);
  out += "trust: untrusted\n";
  if (!page.flags.empty()) out += fmt::format("flags: {}\n", page.flags.size());
  return out + "---\n\n" + page.markdown;
}

std::string kept_name(const Imported& page) {
  constexpr std::size_t kTitleBytesMax = 120;
  constexpr std::size_t kMarkChars = 8;
  const std::string name = note_name(page.title);
  return fmt::format("{} {}.web.md", text::trim(text::truncate(name, kTitleBytesMax)),
                     sha256(page.address).substr(0, kMarkChars));
}

Result<Imported> Importer::import(const std::string& address, Note note, Deadline deadline,
                                  const CancelToken& cancel) {
  if (note == Note::kWrite && options_.note_folder.empty())
    return make_error(ErrorCode::kFailedPrecondition,
                      "no folder for notes from the web is set: name one of a vault as "
                      "web.note_folder, or leave write_note out");
  const bool room = ++running_ <= kImportsAtOnce;
  const Running running{running_};
  if (!room)
    return make_error(ErrorCode::kUnavailable,
                      fmt::format("{} pages are being brought in already: ask again in a moment",
                                  kImportsAtOnce));
  KNAP_TRY(Fetched fetched, fetch_page(address, options_.fetch, deadline, cancel));
  auto page = extract::read_page(fetched.body, {fetched.address, fetched.charset}, options_.page,
                                 deadline, cancel);
  if (!page) {
    if (page.error().code == ErrorCode::kCorruptData)
      return make_error(ErrorCode::kUnsupported, page.error().message);
    return page.error();
  }
  Imported out = put_together(address, std::move(fetched), std::move(*page));
  KNAP_CHECK_OK(keep(out, options_.kept_dir));
  if (note == Note::kWrite) {
    KNAP_TRY(const std::string name,
             write_new_note(options_.note_folder, note_name(out.title), note_of(out)));
    out.note_vault = options_.note_vault;
    out.note = options_.note_prefix + name;
  }
  return out;
}

}  // namespace knap::web
