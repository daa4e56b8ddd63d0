#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/result.hpp"
#include "knap/cache/kind.hpp"

/// The bytes of the disk cache's segments (docs/formats/Cache segment.md). All functions are pure.
namespace knap::cache::disk {

inline constexpr std::uint32_t kVersion = 1;
inline constexpr std::size_t kSegmentHeadBytes = 40;
inline constexpr std::size_t kRecordHeadBytes = 56;
inline constexpr std::size_t kTrailerBytes = 32;
inline constexpr std::size_t kAlignment = 8;
inline constexpr std::size_t kKeyBytesMax = 64U << 10;
inline constexpr std::size_t kValueBytesMax = 16U << 20;
inline constexpr std::size_t kLabelsMax = 1'024;
/// Of a whole record, head and padding included.
inline constexpr std::size_t kRecordBytesMax =
    kRecordHeadBytes + kKeyBytesMax + kLabelsMax * 8 + kValueBytesMax + kAlignment;

/// One value as it stands in a segment, or (erased) that there is none under the key any more.
/// Lifetime: views of the caller's bytes.
struct Record {
  Kind kind = Kind::kSearch;
  bool negative = false;
  bool erased = false;
  bool compressed = false;  ///< `stored` is zstd of `value_bytes` bytes.
  std::uint32_t cost_us = 0;
  std::int64_t written_ms = 0;  ///< Unix time.
  std::int64_t expires_ms = 0;  ///< Unix time; 0: never.
  std::uint64_t hash = 0;       ///< hash64(key)
  std::uint32_t value_bytes = 0;
  std::string_view key, stored;
  std::string_view labels;  ///< u64 each, as they stand.
};

/// @pre key, labels and value are within their bounds
/// @param salt  of the segment: a value may hold bytes of anyone's choice, and without knowing it
///              nobody can make such that a scan takes for a record
void append_record(const Record& record, std::uint64_t salt, std::string& out);
/// The record at the beginning of `bytes`, and how many bytes it takes. Nothing: no record of this
/// salt stands there, or it is damaged.
struct Parsed {
  Record record;
  std::size_t bytes = 0;
};
std::optional<Parsed> parse_record(std::string_view bytes, std::uint64_t salt);

/// Where a record stands, for the list at the end of a segment.
struct Listed {
  std::uint64_t hash = 0;
  std::uint32_t offset = 0;  ///< In units of kAlignment.
  std::uint32_t bytes = 0;   ///< 0: the key was erased.
  std::int64_t expires_ms = 0;
};
static_assert(sizeof(Listed) == 24);

struct SegmentHead {
  std::uint64_t number = 0, salt = 0;
};
std::string segment_head(const SegmentHead& head);
/// Nothing when it is not the head of a segment of this version.
std::optional<SegmentHead> parse_segment_head(std::string_view bytes);

/// What closes a segment: the list, then a trailer that says where it begins.
std::string seal(std::span<const Listed> list, std::uint64_t list_offset);
/// What a trailer says; checked against the list by parse_list.
struct Trailer {
  std::uint64_t list_offset = 0, count = 0, checksum = 0;
};
std::optional<Trailer> parse_trailer(std::string_view bytes, std::uint64_t file_bytes);
/// Nothing when it is damaged, or names a place before the list that cannot hold a record.
std::optional<std::vector<Listed>> parse_list(std::string_view bytes, const Trailer& trailer);

/// The records of a segment without a trailer, wherever they stand: after a damaged place the
/// search goes on at the next one.
/// @return where the last whole record ends
std::size_t scan(std::string_view segment, std::uint64_t salt, std::vector<Listed>& out);

/// zstd at a level that costs little; nothing when that saves less than an eighth.
std::optional<std::string> compress(std::string_view value);
/// Errors: kCorruptData.
Result<std::string> value_of(const Record& record);

}  // namespace knap::cache::disk
