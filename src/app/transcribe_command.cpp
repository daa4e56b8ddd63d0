#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "commands.hpp"
#include "knap/base/file.hpp"
#include "knap/base/json_text.hpp"
#include "remote.hpp"
#include "terminal.hpp"

namespace knap::app {
namespace {

namespace json = boost::json;

constexpr std::uint64_t kFileBytesMax = 1ULL << 30;  // server.max_body_bytes allows no more
constexpr std::chrono::seconds kUploadPatience{120};
constexpr std::chrono::milliseconds kPollStep{500};
constexpr std::chrono::hours kLongest{24};
// Of a note's paragraphs, in seconds: a pause ends one, and so does a minute.
constexpr double kPause = 2;
constexpr double kParagraphMax = 60;

std::string clock(double seconds) {
  const auto total = static_cast<std::int64_t>(seconds);
  return fmt::format("{}:{:02}:{:02}", total / 3'600, total / 60 % 60, total % 60);
}

/// Waits until a long recording is heard, telling how far it is.
Status wait_until_heard(Remote& remote, const std::string& id) {
  const Terminal terminal(Terminal::Stream::kError);
  const Deadline deadline = Deadline::after(kLongest);
  while (!deadline.expired()) {
    KNAP_TRY(const auto recording, remote.get("/api/voice_transcribe/" + id));
    const std::string state = text_of(recording, "state");
    if (terminal.is_terminal())
      fmt::print(stderr, "\rheard {}  ", clock(number_of(recording, "heard_s")));
    if (state == "done") {
      if (terminal.is_terminal()) fmt::print(stderr, "\r\n");
      return {};
    }
    if (state == "failed") return make_error(ErrorCode::kCorruptData, text_of(recording, "error"));
    std::this_thread::sleep_for(kPollStep);
  }
  return make_error(ErrorCode::kDeadlineExceeded, "the recording was not heard in a day");
}

int print_heard(const std::string& body, const std::string& format) {
  fmt::print("{}", body);
  if (format == "json") fmt::print("\n");
  return kExitDone;
}

/// What was heard as a note: paragraphs that begin with a link to their time in the recording.
std::string note_text(const json::value& recording, const std::string& file_name) {
  std::string out = fmt::format("---\nrecording: \"[[{}]]\"\nlanguage: {}\n---\n", file_name,
                                text_of(recording, "language"));
  const auto& segments = member(recording, "segments");
  if (!segments.is_array()) return out;
  double end = 0;
  double paragraph = -kParagraphMax;
  for (const json::value& segment : segments.get_array()) {
    const double begin = number_of(segment, "start");
    const bool begins = begin - end >= kPause || begin - paragraph >= kParagraphMax;
    if (begins) {
      paragraph = begin;
      out += fmt::format("\n\n[[{}#t={}|{}]] ", file_name, static_cast<std::int64_t>(begin),
                         clock(begin));
    } else {
      out += ' ';
    }
    // A transcript is text: what looks like a link or a tag in it is none.
    for (const char c : printable(text_of(segment, "text"))) {
      if (c == '[' || c == '#' || c == '<') out += '\\';
      out += c == '\n' ? ' ' : c;
    }
    end = number_of(segment, "end");
  }
  return out + "\n";
}

/// Beside the recording, with its name; what is there already stays.
int write_note(const std::string& file, const std::string& body) {
  boost::system::error_code failed;
  const json::value recording = json::parse(body, failed);
  std::filesystem::path target = file;
  const std::string name = target.filename().string();
  target.replace_extension(".md");
  const FileDescriptor out(::open(target.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!out.valid() && errno == EEXIST)
    return report(make_error(ErrorCode::kAlreadyExists,
                             fmt::format("{} is there already and stays as it is: rename it, or "
                                         "leave out --note",
                                         target.string())));
  if (!out.valid()) return report(errno_error(errno, "cannot write", target));
  const std::string text = note_text(recording, name);
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t written = ::write(out.get(), text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return report(errno_error(errno, "cannot write", target));
    done += static_cast<std::size_t>(written);
  }
  fmt::print("{}\n", target.string());
  return kExitDone;
}

}  // namespace

int transcribe(const Config& config, const ServerAddress& server,
               const TranscribeOptions& options) {
  const bool as_json = server.output == Output::kJson || options.note;
  const std::string format = as_json ? "json" : options.format;
  const auto bytes = read_file(options.file, kFileBytesMax);
  if (!bytes) return report(bytes.error());
  auto remote = Remote::open(config, server);
  if (!remote) return report(remote.error());
  std::vector<std::pair<std::string, std::string>> fields{{"format", format}};
  if (!options.language.empty()) fields.emplace_back("language", options.language);
  if (!options.model.empty()) fields.emplace_back("model", options.model);
  const std::string name = std::filesystem::path(options.file).filename().string();
  const auto answer =
      remote->raw(form_request("/api/voice_transcribe", name, *bytes, fields), kUploadPatience);
  if (!answer) return report(answer.error());
  const auto finish = [&](const std::string& body) {
    return options.note ? write_note(options.file, body) : print_heard(body, format);
  };
  if (answer->status != 202) return finish(answer->body);
  boost::system::error_code error;
  const std::string id = text_of(json::parse(answer->body, error), "id");
  if (const auto heard = wait_until_heard(*remote, id); !heard) return report(heard.error());
  http::ClientRequest request;
  request.path = fmt::format("/api/voice_transcribe/{}?format={}", id, format);
  const auto text = remote->raw(request, kUploadPatience);
  if (!text) return report(text.error());
  return finish(text->body);
}

}  // namespace knap::app
