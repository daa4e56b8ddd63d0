#include <cstddef>
#include <cstdint>
#include <string>

#include "disk_format.hpp"
#include "knap/base/assert.hpp"

/// Segments, lists and records of any bytes: no trap, and what is taken for a record is written the
/// same again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace knap::cache;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  constexpr std::uint64_t kSalt = 0;
  static_cast<void>(disk::parse_segment_head(bytes));
  if (size >= disk::kTrailerBytes) {
    const auto trailer = disk::parse_trailer(bytes.substr(size - disk::kTrailerBytes), size);
    if (trailer) {
      static_cast<void>(disk::parse_list(
          bytes.substr(trailer->list_offset, trailer->count * sizeof(disk::Listed)), *trailer));
    }
  }
  std::vector<disk::Listed> listed;
  KNAP_ASSERT(disk::scan(bytes, kSalt, listed) <= size + disk::kSegmentHeadBytes);
  if (const auto parsed = disk::parse_record(bytes, kSalt)) {
    std::string again;
    disk::append_record(parsed->record, kSalt, again);
    const auto twice = disk::parse_record(again, kSalt);
    KNAP_ASSERT(twice && twice->record.key == parsed->record.key &&
                twice->record.stored == parsed->record.stored);
    static_cast<void>(disk::value_of(parsed->record));
  }
  // The same bytes as a value: what is written is read.
  disk::Record record;
  record.key = bytes.substr(0, size / 3);
  record.stored = bytes.substr(size / 3);
  record.value_bytes = static_cast<std::uint32_t>(record.stored.size());
  if (record.key.size() <= disk::kKeyBytesMax && record.stored.size() <= disk::kValueBytesMax) {
    std::string out;
    disk::append_record(record, kSalt, out);
    const auto parsed = disk::parse_record(out, kSalt);
    KNAP_ASSERT(parsed && parsed->record.key == record.key && parsed->bytes == out.size());
  }
  return 0;
}
