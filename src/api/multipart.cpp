#include "multipart.hpp"

#include "knap/base/text.hpp"
#include "knap/http/message.hpp"

namespace knap::api {
namespace {

constexpr std::size_t kBoundaryMax = 70;  // RFC 2046
constexpr std::size_t kHeadMax = 8'192;   // of one part
constexpr std::size_t kNameMax = 200;
constexpr std::string_view kLineEnd = "\r\n";

tl::unexpected<Problem> no_form(std::string detail) {
  return refuse({400, "malformed_form", "the body is no multipart form: " + std::move(detail), {}});
}

/// The value of a parameter as `name=value` or `name="va\"lue"` among others, after the first ';'.
std::string parameter(std::string_view field, std::string_view wanted) {
  for (std::size_t at = field.find(';'); at != std::string_view::npos && at < field.size();) {
    ++at;
    while (at < field.size() && field[at] == ' ') ++at;
    const std::size_t equals = field.find('=', at);
    if (equals == std::string_view::npos) return {};
    const bool found = http::equals_ignoring_case(field.substr(at, equals - at), wanted);
    std::string value;
    at = equals + 1;
    if (at < field.size() && field[at] == '"') {
      for (++at; at < field.size() && field[at] != '"'; ++at) {
        // Browsers write a quotation mark as %22; a backslash stands before it in other clients.
        if (field[at] == '\\' && at + 1 < field.size() && field[at + 1] == '"') ++at;
        value.push_back(field[at]);
      }
      at = field.find(';', at);
    } else {
      const std::size_t end = field.find(';', at);
      value = text::trim(field.substr(at, end == std::string_view::npos ? end : end - at));
      at = end;
    }
    if (found) return value;
  }
  return {};
}

/// The field Content-Disposition of a part's head, or nothing.
std::string_view disposition(std::string_view head) {
  while (!head.empty()) {
    const std::size_t end = head.find(kLineEnd);
    const std::string_view line = head.substr(0, end);
    head = end == std::string_view::npos ? std::string_view() : head.substr(end + kLineEnd.size());
    const std::size_t colon = line.find(':');
    if (colon != std::string_view::npos &&
        http::equals_ignoring_case(line.substr(0, colon), "Content-Disposition"))
      return text::trim(line.substr(colon + 1));
  }
  return {};
}

}  // namespace

bool is_form(std::string_view content_type) {
  return http::equals_ignoring_case(text::trim(content_type.substr(0, content_type.find(';'))),
                                    "multipart/form-data");
}

Checked<std::vector<FormPart>> parse_form(std::string_view content_type, std::string_view body) {
  const std::string boundary = parameter(content_type, "boundary");
  if (boundary.empty() || boundary.size() > kBoundaryMax)
    return no_form("Content-Type names no boundary");
  const std::string delimiter = "--" + boundary;
  const std::string next = "\r\n" + delimiter;
  std::size_t at = body.starts_with(delimiter) ? 0 : body.find(next);
  if (at == std::string_view::npos) return no_form("its boundary does not occur");
  at += body.starts_with(delimiter) ? delimiter.size() : next.size();
  std::vector<FormPart> parts;
  while (!body.substr(at).starts_with("--")) {
    if (!body.substr(at).starts_with(kLineEnd)) return no_form("a boundary goes on in its line");
    at += kLineEnd.size();
    if (parts.size() >= kFormPartsMax) return no_form("too many fields");
    const std::size_t head_end = body.find("\r\n\r\n", at);
    if (head_end == std::string_view::npos || head_end - at > kHeadMax)
      return no_form("a field has no end of its head");
    const std::size_t begin = head_end + 4;
    // The boundary's own line end may be the head's: an empty field.
    const std::size_t end = body.find(next, begin - kLineEnd.size());
    if (end == std::string_view::npos) return no_form("it ends within a field");
    const std::string_view what = disposition(body.substr(at, head_end - at));
    FormPart part;
    part.name = parameter(what, "name");
    part.file_name = text::repair_utf8(text::truncate(parameter(what, "filename"), kNameMax));
    if (part.name.empty() || part.name.size() > kNameMax) return no_form("a field has no name");
    part.data = end > begin ? body.substr(begin, end - begin) : std::string_view();
    parts.push_back(std::move(part));
    at = end + next.size();
  }
  return parts;
}

}  // namespace knap::api
