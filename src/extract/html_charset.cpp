#include "html_charset.hpp"

#include <iconv.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "knap/base/text.hpp"

namespace knap::extract::html {
namespace {

constexpr std::size_t kHeadBytes = 4096;  // browsers look for the page's own word in so many
constexpr std::size_t kNameBytesMax = 40;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

/// The name behind `charset=`, in quotes or not.
std::string named_in_page(std::string_view bytes) {
  const std::string head = lower(bytes.substr(0, kHeadBytes));
  constexpr std::string_view kKey = "charset=";
  for (std::size_t at = head.find(kKey); at != std::string::npos; at = head.find(kKey, at + 1)) {
    std::size_t begin = at + kKey.size();
    while (begin < head.size() && (head[begin] == '"' || head[begin] == '\'' || head[begin] == ' '))
      ++begin;
    const std::size_t end = head.find_first_of("\"' />;", begin);
    if (end != std::string::npos && end > begin) return head.substr(begin, end - begin);
  }
  return {};
}

/// The name for iconv: what pages call by narrower names is read as browsers do.
std::string usual_name(std::string name) {
  name = lower(text::trim(name));
  constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kWider{
      {{"iso-8859-1", "windows-1252"},
       {"latin1", "windows-1252"},
       {"us-ascii", "windows-1252"},
       {"ascii", "windows-1252"},
       {"gb2312", "gb18030"},
       {"gbk", "gb18030"},
       {"shift_jis", "cp932"},
       {"iso-8859-9", "windows-1254"}}};
  for (const auto& [narrow, wide] : kWider)
    if (name == narrow) return std::string(wide);
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == ':';
  });
  return plain && name.size() <= kNameBytesMax ? name : std::string();
}

/// Empty: no such encoding.
std::string convert(std::string_view bytes, const std::string& name) {
  const iconv_t converter = ::iconv_open("UTF-8", name.c_str());
  // NOLINTNEXTLINE(performance-no-int-to-ptr): iconv's own failure value
  if (converter == reinterpret_cast<iconv_t>(-1)) return {};
  std::string out;
  std::array<char, 16 << 10> buffer;           // NOLINT(*-member-init): iconv fills it
  char* in = const_cast<char*>(bytes.data());  // iconv does not change it
  std::size_t left = bytes.size();
  while (left > 0) {
    char* to = buffer.data();
    std::size_t room = buffer.size();
    const std::size_t done = ::iconv(converter, &in, &left, &to, &room);
    const int error_number = errno;
    out.append(buffer.data(), buffer.size() - room);
    if (done != static_cast<std::size_t>(-1) || error_number == E2BIG) continue;
    text::append(out, U'\uFFFD');
    if (error_number == EINVAL || left == 0) break;  // cut within a character
    ++in;
    --left;
  }
  ::iconv_close(converter);
  return out;
}

}  // namespace

std::string to_utf8(std::string_view bytes, std::string_view charset_of_server) {
  if (bytes.starts_with("\xEF\xBB\xBF")) return text::repair_utf8(bytes.substr(3));
  if (bytes.starts_with("\xFF\xFE")) return text::repair_utf8(convert(bytes.substr(2), "utf-16le"));
  if (bytes.starts_with("\xFE\xFF")) return text::repair_utf8(convert(bytes.substr(2), "utf-16be"));
  std::string name = usual_name(std::string(charset_of_server));
  if (name.empty()) name = usual_name(named_in_page(bytes));
  if (name.starts_with("utf-16")) name = "utf-8";  // the word could be read: it is not
  // Pages lie: bytes that are UTF-8 as a whole are hardly anything else.
  const bool utf8 = text::is_valid_utf8(bytes);
  if (utf8 && !name.starts_with("iso-2022")) return std::string(bytes);
  if (name.empty()) name = "windows-1252";
  if (name == "utf-8" || name == "utf8") return text::repair_utf8(bytes);
  std::string converted = convert(bytes, name);
  if (converted.empty()) converted = convert(bytes, "windows-1252");
  return text::repair_utf8(converted.empty() ? bytes : converted);
}

}  // namespace knap::extract::html
