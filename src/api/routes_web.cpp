#include "json_views.hpp"
#include "knap/observe/log.hpp"
#include "routes.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;

json::object page_body(const web::Imported& page, const index::FileRow& kept) {
  json::array flags;
  for (const web::Flag& flag : page.flags)
    flags.push_back(json::object{{"kind", flag.kind}, {"text", flag.text}});
  json::object out{{"requested", page.requested},
                   {"address", page.address},
                   {"canonical", text_or_null(page.canonical)},
                   {"title", page.title},
                   {"author", text_or_null(page.author)},
                   {"published", text_or_null(page.published)},
                   {"site", text_or_null(page.site)},
                   {"language", text_or_null(page.language)},
                   {"description", text_or_null(page.description)},
                   {"fetched", page.fetched},
                   {"hash", page.hash},
                   {"trust", "untrusted"},
                   {"flags", std::move(flags)},
                   {"markdown", page.markdown},
                   {"kept", nullptr},
                   {"note", nullptr}};
  if (!kept.path.empty()) out["kept"] = json::object{{"vault", kept.vault}, {"path", kept.path}};
  if (!page.note.empty())
    out["note"] = json::object{{"vault", page.note_vault},
                               {"path", page.note},
                               {"uri", obsidian_uri(page.note_vault, page.note)}};
  return out;
}

Outcome post_web(const Context& context, Call& call) {
  auto reader = body_of(call, BodyReader::Unknown::kRefuse);
  if (!reader) return refuse(reader.error());
  std::string url;
  bool write_note = false;
  reader->text("url", BodyReader::Need::kRequired, {1, web::kAddressBytesMax}, url);
  reader->boolean("write_note", write_note);
  if (const auto finished = reader->finish(); !finished) return refuse(finished.error());
  if (context.parts.web == nullptr)
    return refuse(to_problem(
        make_error(ErrorCode::kFailedPrecondition, "this server brings no web pages in")));
  const auto page = context.parts.web->import(
      url, write_note ? web::Importer::Note::kWrite : web::Importer::Note::kNone,
      call.deadline(service::spec(service::Level::kComplex).limit), call.cancel());
  if (page) {
    index::FileRow kept;
    // Its text is found from now on; as the owner's note where one was asked for, and only there.
    if (!page->note.empty()) {
      // The note stands whatever becomes of this: to answer with an error would bring a second one.
      const Status dropped = context.parts.index.drop_import(web::kept_name(*page));
      if (!dropped)
        observe::log_warning("import_not_dropped",
                             "a page will be found twice: " + dropped.error().message);
    } else {
      auto row = context.parts.index.import_note(web::kept_name(*page), web::note_of(*page));
      if (row) {
        kept = *std::move(row);
      } else if (row.error().code != ErrorCode::kFailedPrecondition) {
        return refuse(to_problem(row.error()));
      }
    }
    return json_response(200, page_body(*page, kept));
  }
  // The page's fault, not this server's load: asking again is no use.
  if (page.error().code == ErrorCode::kResourceExhausted)
    return refuse({422, "page_too_large", page.error().message, "url"});
  return refuse(to_problem(page.error()));
}

}  // namespace

void add_web_routes(const Context& context, std::vector<Route>& routes) {
  routes.push_back({"POST", "/api/web", service::Level::kComplex, Lane::kAsk,
                    [&context](Call& call) { return post_web(context, call); },
                    "Bring in a web page"});
}

}  // namespace knap::api
