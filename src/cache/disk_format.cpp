#include "disk_format.hpp"

#include <zstd.h>

#include <cstring>

#include "knap/base/bytes.hpp"
#include "knap/base/hash.hpp"

namespace knap::cache::disk {
namespace {

constexpr std::uint32_t kRecordMagic = 0x4345524B;  // "KREC"
constexpr std::string_view kSegmentMagic = "KNAPCACH";
constexpr std::string_view kTrailerMagic = "KNAPSEAL";
constexpr int kCompressionLevel = 1;

enum Flags : std::uint8_t { kNegative = 1, kErased = 2, kCompressed = 4, kAllFlags = 7 };

/// As it stands before a record's bytes. Fields are ordered so that there is no gap.
struct RecordHead {
  std::uint32_t magic = kRecordMagic;
  std::uint8_t kind = 0;
  std::uint8_t flags = 0;
  std::uint16_t labels = 0;
  std::uint32_t key_bytes = 0;
  std::uint32_t stored_bytes = 0;
  std::uint32_t value_bytes = 0;
  std::uint32_t cost_us = 0;
  std::int64_t written_ms = 0;
  std::int64_t expires_ms = 0;
  std::uint64_t hash = 0;
  std::uint64_t checksum = 0;  ///< XXH3-64, seeded with the salt, of key, labels and value, which
                               ///< seeds that of the head before this field.
};
static_assert(sizeof(RecordHead) == kRecordHeadBytes);
constexpr std::size_t kCheckedHeadBytes = kRecordHeadBytes - sizeof(std::uint64_t);

std::size_t padded(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

std::size_t body_bytes(const RecordHead& head) {
  return std::size_t{head.key_bytes} + std::size_t{head.labels} * 8 + head.stored_bytes;
}

std::uint64_t checksum_of(std::string_view head, std::string_view body, std::uint64_t salt) {
  return hash64(head.substr(0, kCheckedHeadBytes), hash64(body, salt));
}

bool plausible(const RecordHead& head) {
  return head.magic == kRecordMagic && head.kind < kKinds.size() && head.flags <= kAllFlags &&
         head.labels <= kLabelsMax && head.key_bytes <= kKeyBytesMax &&
         head.stored_bytes <= kValueBytesMax && head.value_bytes <= kValueBytesMax;
}

}  // namespace

void append_record(const Record& record, std::uint64_t salt, std::string& out) {
  RecordHead head;
  head.kind = static_cast<std::uint8_t>(record.kind);
  head.flags =
      static_cast<std::uint8_t>((record.negative ? kNegative : 0) | (record.erased ? kErased : 0) |
                                (record.compressed ? kCompressed : 0));
  head.labels = static_cast<std::uint16_t>(record.labels.size() / 8);
  head.key_bytes = static_cast<std::uint32_t>(record.key.size());
  head.stored_bytes = static_cast<std::uint32_t>(record.stored.size());
  head.value_bytes = record.value_bytes;
  head.cost_us = record.cost_us;
  head.written_ms = record.written_ms;
  head.expires_ms = record.expires_ms;
  head.hash = record.hash;
  const std::size_t at = out.size();
  out.append(reinterpret_cast<const char*>(&head), sizeof head);
  out.append(record.key).append(record.labels).append(record.stored);
  const std::string_view whole = std::string_view(out).substr(at);
  head.checksum =
      checksum_of(whole.substr(0, kRecordHeadBytes), whole.substr(kRecordHeadBytes), salt);
  std::memcpy(out.data() + at + kCheckedHeadBytes, &head.checksum, sizeof head.checksum);
  out.append(padded(out.size() - at) - (out.size() - at), '\0');
}

std::optional<Parsed> parse_record(std::string_view bytes, std::uint64_t salt) {
  RecordHead head;
  if (bytes.size() < sizeof head) return std::nullopt;
  std::memcpy(&head, bytes.data(), sizeof head);
  if (!plausible(head) || bytes.size() - sizeof head < body_bytes(head)) return std::nullopt;
  const std::string_view body = bytes.substr(sizeof head, body_bytes(head));
  if (checksum_of(bytes.substr(0, sizeof head), body, salt) != head.checksum) return std::nullopt;
  Parsed out;
  Record& record = out.record;
  record.kind = static_cast<Kind>(head.kind);
  record.negative = (head.flags & kNegative) != 0;
  record.erased = (head.flags & kErased) != 0;
  record.compressed = (head.flags & kCompressed) != 0;
  record.cost_us = head.cost_us;
  record.written_ms = head.written_ms;
  record.expires_ms = head.expires_ms;
  record.hash = head.hash;
  record.value_bytes = head.value_bytes;
  record.key = body.substr(0, head.key_bytes);
  record.labels = body.substr(head.key_bytes, std::size_t{head.labels} * 8);
  record.stored = body.substr(record.key.size() + record.labels.size());
  out.bytes = padded(sizeof head + body.size());
  return out;
}

std::string segment_head(const SegmentHead& head) {
  ByteWriter out;
  out.raw(kSegmentMagic);
  out.value(kVersion);
  out.value(std::uint32_t{0});
  out.value(head.number);
  out.value(head.salt);
  out.value(hash64(out.bytes()));
  return out.take();
}

std::optional<SegmentHead> parse_segment_head(std::string_view bytes) {
  if (bytes.size() < kSegmentHeadBytes) return std::nullopt;
  ByteReader in(bytes.substr(0, kSegmentHeadBytes));
  if (in.take(kSegmentMagic.size()) != kSegmentMagic || in.value<std::uint32_t>() != kVersion)
    return std::nullopt;
  in.value<std::uint32_t>();
  SegmentHead head;
  head.number = in.value<std::uint64_t>();
  head.salt = in.value<std::uint64_t>();
  if (in.value<std::uint64_t>() != hash64(bytes.substr(0, kSegmentHeadBytes - 8)))
    return std::nullopt;
  return head;
}

std::string seal(std::span<const Listed> list, std::uint64_t list_offset) {
  ByteWriter out;
  for (const Listed& each : list) out.value(each);
  const std::uint64_t checksum = hash64(out.bytes(), list_offset);
  out.raw(kTrailerMagic);
  out.value(list_offset);
  out.value(static_cast<std::uint64_t>(list.size()));
  out.value(checksum);
  return out.take();
}

std::optional<Trailer> parse_trailer(std::string_view bytes, std::uint64_t file_bytes) {
  ByteReader in(bytes);
  if (in.take(kTrailerMagic.size()) != kTrailerMagic) return std::nullopt;
  Trailer out;
  out.list_offset = in.value<std::uint64_t>();
  out.count = in.value<std::uint64_t>();
  out.checksum = in.value<std::uint64_t>();
  if (!in.ok() || out.list_offset > file_bytes || out.count > file_bytes / sizeof(Listed) ||
      out.list_offset + out.count * sizeof(Listed) + kTrailerBytes != file_bytes) {
    return std::nullopt;
  }
  return out;
}

std::optional<std::vector<Listed>> parse_list(std::string_view bytes, const Trailer& trailer) {
  if (bytes.size() != trailer.count * sizeof(Listed) ||
      hash64(bytes, trailer.list_offset) != trailer.checksum) {
    return std::nullopt;
  }
  std::vector<Listed> out(trailer.count);
  if (!bytes.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
  for (const Listed& each : out) {
    const std::uint64_t begin = std::uint64_t{each.offset} * kAlignment;
    if (each.bytes > kRecordBytesMax || begin < kSegmentHeadBytes ||
        begin + each.bytes > trailer.list_offset) {
      return std::nullopt;
    }
  }
  return out;
}

std::size_t scan(std::string_view segment, std::uint64_t salt, std::vector<Listed>& out) {
  std::size_t end = kSegmentHeadBytes;
  for (std::size_t at = kSegmentHeadBytes; at + kRecordHeadBytes <= segment.size();) {
    const auto parsed = parse_record(segment.substr(at), salt);
    if (!parsed) {
      at += kAlignment;
      continue;
    }
    const Record& record = parsed->record;
    out.push_back({record.hash, static_cast<std::uint32_t>(at / kAlignment),
                   record.erased ? 0 : static_cast<std::uint32_t>(parsed->bytes),
                   record.expires_ms});
    at += parsed->bytes;
    end = at;
  }
  return end;
}

std::optional<std::string> compress(std::string_view value) {
  std::string out(ZSTD_compressBound(value.size()), '\0');
  const std::size_t size =
      ZSTD_compress(out.data(), out.size(), value.data(), value.size(), kCompressionLevel);
  if (ZSTD_isError(size) != 0 || size > value.size() - value.size() / 8) return std::nullopt;
  out.resize(size);
  return out;
}

Result<std::string> value_of(const Record& record) {
  if (!record.compressed) return std::string(record.stored);
  std::string out(record.value_bytes, '\0');
  const std::size_t size =
      ZSTD_decompress(out.data(), out.size(), record.stored.data(), record.stored.size());
  if (ZSTD_isError(size) != 0 || size != out.size())
    return make_error(ErrorCode::kCorruptData, "a compressed value of the cache is damaged");
  return out;
}

}  // namespace knap::cache::disk
