#include "html_address.hpp"

#include <fmt/format.h>

#include <boost/url.hpp>

#include "knap/base/text.hpp"

namespace knap::extract::html {
namespace {

constexpr std::size_t kAddressBytesMax = 2048;

/// What people and programs write into pages, as the standard wants it.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\t' || c == '\n' || c == '\r') continue;
    constexpr std::string_view kUnsafe = " \"<>\\^`{|}()";
    if (byte < 0x20 || byte >= 0x7F || kUnsafe.find(c) != std::string_view::npos)
      out += fmt::format("%{:02X}", byte);
    else
      out += c;
  }
  return out;
}

}  // namespace

std::string absolute_address(std::string_view base, std::string_view reference) {
  reference = text::trim(reference);
  if (reference.empty() || reference.size() > kAddressBytesMax) return {};
  const std::string clean = escaped(reference);
  const auto parsed = boost::urls::parse_uri_reference(clean);
  if (!parsed) return {};
  boost::urls::url out;
  const auto base_parsed = boost::urls::parse_uri(base);
  if (parsed->has_scheme()) {
    out = *parsed;
  } else {
    if (!base_parsed || !boost::urls::resolve(*base_parsed, *parsed, out)) return {};
  }
  const auto scheme = out.scheme_id();
  const bool web = scheme == boost::urls::scheme::http || scheme == boost::urls::scheme::https;
  if (web ? out.encoded_host().empty() : out.scheme() != "mailto") return {};
  std::string result = escaped(std::string_view(out.buffer().data(), out.buffer().size()));
  return result.size() <= kAddressBytesMax ? result : std::string();
}

}  // namespace knap::extract::html
