#include "knap/extract/document.hpp"

#include <algorithm>

#include "knap/base/bytes.hpp"
#include "knap/base/text.hpp"

namespace knap::extract {
namespace {

constexpr std::uint8_t kVersion = 2;
constexpr std::size_t kFieldBytesMax = 4096;
constexpr std::uint8_t kHeadingLevelMax = 6;
constexpr std::uint8_t kConfidenceMax = 100;

void write_text(ByteWriter& out, std::string_view text) {
  out.varint(text.size());
  out.raw(text);
}

std::string read_text(ByteReader& in, std::size_t bytes_max) {
  const std::uint64_t size = in.varint();
  if (size > bytes_max) in.fail();
  return in.ok() ? std::string(in.take(size)) : std::string();
}

bool is_valid(const Block& block) {
  return block.kind <= Block::Kind::kCode && block.level <= kHeadingLevelMax &&
         text::is_valid_utf8(block.text) &&
         (block.kind == Block::Kind::kCode || block.text.find('\n') == std::string::npos);
}

/// Characters that no reader sees: controls, soft hyphens, joiners' neighbours, direction marks.
/// Joiners themselves (U+200C, U+200D) are part of words in Persian and in Indian scripts.
bool is_invisible(char32_t c) {
  return c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == 0xAD || c == 0x200B || c == 0x200E ||
         c == 0x200F || (c >= 0x202A && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) ||
         c == 0xFEFF || c == 0xFFFE || c == 0xFFFF;
}

}  // namespace

std::string encode(const Document& document) {
  ByteWriter out;
  out.value(kVersion);
  for (const std::string* field : {&document.title, &document.author, &document.created})
    write_text(out, text::truncate(*field, kFieldBytesMax));
  out.varint(document.places);
  out.value(document.confidence);
  out.varint(document.warnings.size());
  for (const std::string& warning : document.warnings) write_text(out, warning);
  out.varint(document.blocks.size());
  for (const Block& block : document.blocks) {
    out.value(block.kind);
    out.value(block.level);
    out.varint(block.place);
    write_text(out, block.text);
  }
  return out.take();
}

Result<Document> decode(std::string_view bytes) {
  const auto damaged = [] {
    return make_error(ErrorCode::kCorruptData, "an extracted text is damaged");
  };
  ByteReader in(bytes);
  if (in.value<std::uint8_t>() != kVersion) return damaged();
  Document document;
  for (std::string* field : {&document.title, &document.author, &document.created}) {
    *field = read_text(in, kFieldBytesMax);
    if (!text::is_valid_utf8(*field)) return damaged();
  }
  document.places = static_cast<std::uint32_t>(in.varint());
  document.confidence = in.value<std::uint8_t>();
  if (document.confidence > kConfidenceMax) return damaged();
  const std::uint64_t warnings = in.plausible(in.varint(), 1);
  if (warnings > kWarningsMax) return damaged();
  for (std::uint64_t i = 0; i < warnings && in.ok(); ++i)
    document.warnings.push_back(read_text(in, kFieldBytesMax));
  constexpr std::size_t kBlockBytesMin = 4;
  const std::uint64_t blocks = in.plausible(in.varint(), kBlockBytesMin);
  if (blocks > kBlocksMax || bytes.size() > kDocumentBytesMax * 2) return damaged();
  document.blocks.reserve(blocks);
  for (std::uint64_t i = 0; i < blocks && in.ok(); ++i) {
    Block block;
    block.kind = static_cast<Block::Kind>(in.value<std::uint8_t>());
    block.level = in.value<std::uint8_t>();
    block.place = static_cast<std::uint32_t>(in.varint());
    block.text = read_text(in, kDocumentBytesMax);
    if (!is_valid(block)) return damaged();
    document.blocks.push_back(std::move(block));
  }
  if (!in.ok() || !in.at_end()) return damaged();
  return document;
}

std::string clean_line(std::string_view text) {
  const std::string normal = text::nfc(text);
  std::string out;
  out.reserve(normal.size());
  for (std::size_t at = 0; at < normal.size();) {
    const char32_t c = text::decode(normal, at);
    if (text::is_space(c) || c == U'\t' || c == U'\n' || c == U'\r' || c == U'\f') {
      if (!out.empty() && out.back() != ' ') out += ' ';
    } else if (!is_invisible(c)) {
      text::append(out, c);
    }
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

}  // namespace knap::extract
