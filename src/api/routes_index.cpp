#include <array>

#include "json_views.hpp"
#include "requests.hpp"
#include "routes.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;

constexpr std::array<std::string_view, 5> kStates{"indexed", "skipped", "failed", "pending",
                                                  "stale"};
static_assert(static_cast<int>(index::FileState::kStale) == 4);

Outcome get_status(const Context& context) {
  json::array vaults;
  for (const index::VaultStatus& status : context.parts.index.status())
    vaults.push_back(vault_status(status));
  return json_response(200, json::object{{"vaults", std::move(vaults)}});
}

json::object file_row(const index::FileRow& row) {
  json::object out{{"vault", row.vault},
                   {"path", row.path},
                   {"state", kStates[static_cast<std::size_t>(row.state)]}};
  out["reason"] = text_or_null(row.reason);
  out["hash"] = text_or_null(row.hash);
  out["model"] = text_or_null(row.model);
  out["indexed_at"] = iso_time_or_null(row.indexed_at_ms / 1000);
  return out;
}

json::object duplicate_group(const index::DuplicateGroup& group) {
  json::array notes;
  for (const index::DuplicateNote& note : group.notes) {
    notes.push_back(json::object{{"path", note.path},
                                 {"title", note.title},
                                 {"modified", iso_time_or_null(note.modified_s)},
                                 {"similarity", note.similarity},
                                 {"exact", note.exact},
                                 {"uri", obsidian_uri(group.vault, note.path)}});
  }
  return {{"vault", group.vault}, {"notes", std::move(notes)}};
}

Outcome get_duplicates(const Context& context, Call& call) {
  double threshold = .8;
  std::int64_t limit = 50;
  std::string vault;
  BodyReader reader = BodyReader::from_query(call.request->query);
  reader.number("threshold", .3, 1, threshold);
  reader.integer("limit", 1, 1000, limit);
  reader.text("vault", BodyReader::Need::kOptional, {1, 256}, vault);
  if (const auto finished = reader.finish(); !finished) return refuse(finished.error());
  index::DuplicatesRequest request;
  if (!vault.empty()) request.vaults.push_back(vault);
  request.threshold = static_cast<float>(threshold);
  request.limit = static_cast<std::uint32_t>(limit);
  const Deadline deadline = call.deadline(service::spec(service::Level::kComplex).limit);
  const auto view = context.parts.index.duplicates(request, deadline, call.cancel());
  if (!view) return refuse(to_problem(view.error()));
  json::array groups;
  for (const index::DuplicateGroup& group : view->groups) groups.push_back(duplicate_group(group));
  return json_response(200, json::object{{"groups", std::move(groups)},
                                         {"groups_found", view->groups_found},
                                         {"notes", view->notes}});
}

Outcome get_files(const Context& context, Call& call) {
  constexpr std::size_t kMaxCursor = 8192;  // A cursor may hold a path.
  std::size_t state = kStates.size();
  std::int64_t limit = 100;
  std::string vault;
  std::string cursor;
  BodyReader reader = BodyReader::from_query(call.request->query);
  reader.choice("state", kStates, state);
  reader.integer("limit", 1, 1000, limit);
  reader.text("vault", BodyReader::Need::kOptional, {0, 256}, vault);
  reader.text("cursor", BodyReader::Need::kOptional, {0, kMaxCursor}, cursor);
  if (const auto finished = reader.finish(); !finished) return refuse(finished.error());
  std::optional<index::FileState> wanted;
  if (state < kStates.size()) wanted = static_cast<index::FileState>(state);
  const auto page =
      context.parts.index.files(wanted, vault, static_cast<std::uint32_t>(limit), cursor);
  if (!page) return refuse(to_problem(page.error()));
  json::array files;
  for (const index::FileRow& row : page->files) files.push_back(file_row(row));
  json::object out{{"files", std::move(files)}};
  if (page->next_cursor.empty()) {
    out["next_cursor"] = nullptr;
  } else {
    out["next_cursor"] = page->next_cursor;
  }
  return json_response(200, out);
}

Outcome start_job(const Context& context, std::string_view kind, Jobs::Work work) {
  const auto id = context.jobs.start(kind, std::move(work));
  if (!id) return refuse(to_problem(id.error()));
  http::Response response =
      json_response(202, context.jobs.get(*id).value_or(json::object{{"id", *id}}));
  response.fields.set("Location", "/api/jobs/" + *id);
  return response;
}

/// Jobs are started with or without a body.
Checked<BodyReader> optional_body(const Call& call) {
  if (call.request->body.empty()) return BodyReader::parse("{}", BodyReader::Unknown::kRefuse);
  return body_of(call, BodyReader::Unknown::kRefuse);
}

Outcome post_reindex(const Context& context, Call& call) {
  auto reader = optional_body(call);
  if (!reader) return refuse(reader.error());
  if (const auto finished = reader->finish(); !finished) return refuse(finished.error());
  return start_job(context, "reindex",
                   [&index = context.parts.index](const CancelToken& cancel, const auto& progress) {
                     return index.rebuild(Deadline::never(), cancel, progress);
                   });
}

Outcome post_scan(const Context& context, Call& call) {
  auto reader = optional_body(call);
  if (!reader) return refuse(reader.error());
  const auto body = decode_scan(std::move(*reader));
  if (!body) return refuse(body.error());
  const bool semantic = body->wait == index::Service::WaitFor::kSemantic;
  return start_job(context, semantic ? "scan-semantic" : "scan",
                   [&index = context.parts.index, wait = body->wait](const CancelToken& cancel,
                                                                     const auto& progress) {
                     return index.scan(wait, Deadline::never(), cancel, progress);
                   });
}

Problem no_such_job() {
  return not_found("no such job: /api/jobs lists the jobs that are remembered");
}

Outcome get_job(const Context& context, Call& call) {
  auto job = context.jobs.get(call.path_argument);
  if (!job) return refuse(no_such_job());
  return json_response(200, std::move(*job));
}

Outcome delete_job(const Context& context, Call& call) {
  if (!context.jobs.cancel(call.path_argument)) return refuse(no_such_job());
  return get_job(context, call);
}

Outcome watch_job(const Context& context, Call& call) {
  if (!context.jobs.get(call.path_argument)) return refuse(no_such_job());
  const auto stream = std::make_shared<EventStream>(call);
  context.heartbeat.watch(stream);
  if (const Status watched = context.jobs.watch(call.path_argument, stream); !watched) {
    stream->end();
    return refuse(to_problem(watched.error()));
  }
  return std::nullopt;
}

}  // namespace

void add_index_routes(const Context& context, std::vector<Route>& routes) {
  using service::Level;
  routes.push_back({"GET", "/api/index/duplicates", service::Level::kComplex, Lane::kAsk,
                    [&context](Call& call) { return get_duplicates(context, call); },
                    "Find notes with the same or nearly the same text"});
  routes.push_back({"GET", "/api/index/status", Level::kStatus, Lane::kReports,
                    [&context](Call&) { return get_status(context); },
                    "Tell how far the index is"});
  routes.push_back({"GET", "/api/index/files", Level::kStatus, Lane::kSearch,
                    [&context](Call& call) { return get_files(context, call); },
                    "List files and their state"});
  routes.push_back({"POST", "/api/reindex", Level::kBatch, Lane::kReports,
                    [&context](Call& call) { return post_reindex(context, call); },
                    "Rebuild the index"});
  routes.push_back({"POST", "/api/scan_vault", Level::kBatch, Lane::kReports,
                    [&context](Call& call) { return post_scan(context, call); },
                    "Look for changed files"});
  routes.push_back({"GET", "/api/jobs", Level::kStatus, Lane::kReports,
                    [&context](Call&) -> Outcome {
                      return json_response(200, json::object{{"jobs", context.jobs.list()}});
                    },
                    "List jobs"});
  routes.push_back({"GET", "/api/jobs/{id}", Level::kStatus, Lane::kReports,
                    [&context](Call& call) { return get_job(context, call); },
                    "Tell how far a job is"});
  routes.push_back({"DELETE", "/api/jobs/{id}", Level::kStatus, Lane::kReports,
                    [&context](Call& call) { return delete_job(context, call); }, "Cancel a job"});
  routes.push_back({"GET", "/api/jobs/{id}/events", Level::kStatus, Lane::kReports,
                    [&context](Call& call) { return watch_job(context, call); }, "Watch a job"});
}

}  // namespace knap::api
