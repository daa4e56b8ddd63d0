#include <filesystem>
#include <thread>

#include <fmt/format.h>

#include "commands.hpp"
#include "knap/base/file.hpp"
#include "knap/base/json_text.hpp"
#include "remote.hpp"
#include "terminal.hpp"

namespace knap::app {
namespace {

constexpr std::uint64_t kUploadBytesMax = 1ULL << 30;
constexpr auto kLookEvery = std::chrono::milliseconds(100);
constexpr auto kWaitMax = std::chrono::minutes(10);

/// Waits for the job; its last state.
Result<boost::json::value> wait_for_job(Remote& remote, const std::string& id) {
  const Deadline deadline = Deadline::after(kWaitMax);
  for (;;) {
    KNAP_TRY(auto job, remote.get("/api/jobs/" + encode_parameter(id)));
    const std::string state = text_of(job, "state");
    if (state != "queued" && state != "running") return job;
    if (deadline.expired())
      return make_error(ErrorCode::kDeadlineExceeded,
                        "the server still reads the file: `knap files` shows when it is done");
    std::this_thread::sleep_for(kLookEvery);
  }
}

Result<boost::json::value> import_one(Remote& remote, const std::string& file) {
  KNAP_TRY(std::string bytes, read_file(file, kUploadBytesMax));
  const std::string name = std::filesystem::path(file).filename().string();
  KNAP_TRY(auto started,
           remote.upload("/api/index_pdf?name=" + encode_parameter(name), std::move(bytes)));
  KNAP_TRY(const auto job, wait_for_job(remote, text_of(member(started, "job"), "id")));
  return boost::json::value(boost::json::object{{"file", file},
                                                {"vault", text_of(started, "vault")},
                                                {"path", text_of(started, "path")},
                                                {"state", text_of(job, "state")},
                                                {"error", member(job, "error")}});
}

}  // namespace

int import_files(const Config& config, const ServerAddress& server,
                 const std::vector<std::string>& files) {
  auto remote = Remote::open(config, server);
  if (!remote) return report(remote.error());
  int code = kExitDone;
  boost::json::array imported;
  for (const std::string& file : files) {
    auto one = import_one(*remote, file);
    if (!one) {
      code = report(with_context(one.error(), file));
      continue;
    }
    const bool done = text_of(*one, "state") == "done";
    if (!done) code = kExitFailed;
    if (server.output == Output::kText) {
      fmt::print(
          "{}: {}\n", printable(file),
          done ? "searchable as " + printable(text_of(*one, "vault") + "/" + text_of(*one, "path"))
               : printable(text_of(*one, "error")));
    }
    imported.push_back(std::move(*one));
  }
  if (server.output == Output::kJson)
    fmt::print("{}\n", json_text(boost::json::object{{"imported", std::move(imported)}}));
  return code;
}

}  // namespace knap::app
