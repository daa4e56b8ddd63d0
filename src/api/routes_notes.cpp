#include "json_views.hpp"
#include "routes.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;

/// Reads `vault` and, where a route has one, `limit` from the query.
struct NoteQuery {
  std::string vault;
  std::int64_t limit = 10;
};

enum class HasLimit { kNo, kYes };

Checked<NoteQuery> note_query(const Call& call, HasLimit has_limit) {
  NoteQuery query;
  BodyReader reader = BodyReader::from_query(call.request->query);
  reader.text("vault", BodyReader::Need::kOptional, {1, 256}, query.vault);
  if (has_limit == HasLimit::kYes) reader.integer("limit", 1, 100, query.limit);
  if (const auto finished = reader.finish(); !finished) return refuse(finished.error());
  return query;
}

json::array link_list(const std::string& vault, const std::vector<index::LinkView>& links) {
  json::array out;
  for (const index::LinkView& link : links) {
    json::object entry;
    if (link.path.empty()) {
      entry["path"] = nullptr;
      entry["uri"] = nullptr;
    } else {
      entry["path"] = link.path;
      entry["uri"] = obsidian_uri(vault, link.path);
    }
    entry["title"] = link.title;
    entry["context"] = link.context;
    entry["line"] = link.line;
    out.push_back(std::move(entry));
  }
  return out;
}

Outcome get_note(const Context& context, Call& call) {
  const auto query = note_query(call, HasLimit::kNo);
  if (!query) return refuse(query.error());
  const auto note = context.parts.index.note(query->vault, call.path_argument);
  if (!note) return refuse(to_problem(note.error()));
  return json_response(200, note_body(*note));
}

Outcome get_links(const Context& context, Call& call) {
  const auto query = note_query(call, HasLimit::kNo);
  if (!query) return refuse(query.error());
  const auto links = context.parts.index.links(query->vault, call.path_argument);
  if (!links) return refuse(to_problem(links.error()));
  return json_response(200, json::object{{"vault", links->vault},
                                         {"path", links->path},
                                         {"links", link_list(links->vault, links->links)},
                                         {"backlinks", link_list(links->vault, links->backlinks)}});
}

Outcome get_mentions(const Context& context, Call& call) {
  const auto query = note_query(call, HasLimit::kNo);
  if (!query) return refuse(query.error());
  const Deadline deadline = call.deadline(service::spec(service::Level::kSearch).limit);
  const auto mentions =
      context.parts.index.mentions(query->vault, call.path_argument, deadline, call.cancel());
  if (!mentions) return refuse(to_problem(mentions.error()));
  return json_response(
      200, json::object{{"vault", mentions->vault},
                        {"path", mentions->path},
                        {"unlinked", link_list(mentions->vault, mentions->unlinked)},
                        {"suggestions", link_list(mentions->vault, mentions->suggestions)}});
}

Outcome get_related(const Context& context, Call& call) {
  const auto query = note_query(call, HasLimit::kYes);
  if (!query) return refuse(query.error());
  const auto hits = context.parts.index.related(query->vault, call.path_argument,
                                                static_cast<std::uint32_t>(query->limit));
  if (!hits) return refuse(to_problem(hits.error()));
  json::array results;
  for (const index::SearchHit& hit : *hits) results.push_back(search_result(hit, {}, false));
  return json_response(200, json::object{{"results", std::move(results)}});
}

}  // namespace

void add_note_routes(const Context& context, std::vector<Route>& routes) {
  routes.push_back({"GET", "/api/notes/{path}", service::Level::kSearch, Lane::kSearch,
                    [&context](Call& call) { return get_note(context, call); }, "Read a note"});
  routes.push_back({"GET", "/api/notes/{path}/related", service::Level::kSearch, Lane::kSearch,
                    [&context](Call& call) { return get_related(context, call); },
                    "Find notes near a note"});
  routes.push_back({"GET", "/api/notes/{path}/links", service::Level::kSearch, Lane::kSearch,
                    [&context](Call& call) { return get_links(context, call); },
                    "List a note's links and backlinks"});
  routes.push_back({"GET", "/api/notes/{path}/mentions", service::Level::kSearch, Lane::kSearch,
                    [&context](Call& call) { return get_mentions(context, call); },
                    "List unlinked mentions and suggest links"});
}

}  // namespace knap::api
