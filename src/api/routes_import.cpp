#include "json_views.hpp"
#include "routes.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxName = 200;
constexpr std::size_t kMaxPath = 4'096;

/// Browsers send these to another origin only after asking, which the guard answers.
bool is_upload(std::string_view content_type) {
  const std::string_view type = content_type.substr(0, content_type.find_first_of("; "));
  return type == "application/pdf" || type == "application/octet-stream";
}

Outcome start_reading(const Context& context, const index::FileRow& file) {
  // Each file is a job of its own: two of them are not one because both wait.
  const auto id = context.jobs.start(
      "index_pdf",
      [&index = context.parts.index, vault = file.vault, path = file.path](
          const CancelToken& cancel, const Jobs::OnProgress& progress) -> Status {
        progress({"documents", 0, 1, 0, {}});
        KNAP_TRY(const index::FileRow row,
                 index.wait_for_file(vault, path, Deadline::never(), cancel));
        if (row.state != index::FileState::kIndexed)
          return make_error(ErrorCode::kUnsupported, row.reason);
        progress({"documents", 1, 1, 0, {}});
        return {};
      },
      Jobs::Same::kAnother);
  if (!id) return refuse(to_problem(id.error()));
  http::Response response = json_response(
      202, json::object{{"job", context.jobs.get(*id).value_or(json::object{{"id", *id}})},
                        {"vault", file.vault},
                        {"path", file.path},
                        {"uri", obsidian_uri(file.vault, file.path)}});
  response.fields.set("Location", "/api/jobs/" + *id);
  return response;
}

Outcome upload(const Context& context, Call& call) {
  std::string name;
  BodyReader reader = BodyReader::from_query(call.request->query);
  reader.text("name", BodyReader::Need::kRequired, {1, kMaxName}, name);
  if (const auto finished = reader.finish(); !finished) return refuse(finished.error());
  const auto file = context.parts.index.import_file(name, call.request->body);
  if (!file) return refuse(to_problem(file.error()));
  return start_reading(context, *file);
}

Outcome post_index_pdf(const Context& context, Call& call) {
  const auto type = call.request->fields.get("Content-Type");
  if (type && is_upload(*type)) return upload(context, call);
  auto reader = body_of(call, BodyReader::Unknown::kRefuse);
  if (!reader) return refuse(reader.error());
  std::string vault, path;
  reader->text("vault", BodyReader::Need::kOptional, {1, 256}, vault);
  reader->text("path", BodyReader::Need::kRequired, {1, kMaxPath}, path);
  if (const auto finished = reader->finish(); !finished) return refuse(finished.error());
  const auto file = context.parts.index.file(vault, path);
  if (!file) return refuse(to_problem(file.error()));
  return start_reading(context, *file);
}

}  // namespace

void add_import_routes(const Context& context, std::vector<Route>& routes) {
  routes.push_back({"POST", "/api/index_pdf", service::Level::kComplex, Lane::kSearch,
                    [&context](Call& call) { return post_index_pdf(context, call); },
                    "Read a PDF of a vault now, or import one"});
}

}  // namespace knap::api
