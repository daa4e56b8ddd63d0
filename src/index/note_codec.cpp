#include "note_codec.hpp"

#include <bit>
#include <chrono>
#include <type_traits>

#include <fmt/format.h>

#include "knap/base/bytes.hpp"

namespace knap::index {
namespace {

constexpr std::uint8_t kVersion = 1;

enum class ScalarTag : std::uint8_t { kEmpty, kFalse, kTrue, kNumber, kDate, kText };

class Writer {
 public:
  void number(std::uint64_t value) { out_.varint(value); }
  void text(std::string_view value) {
    out_.varint(value.size());
    out_.raw(value);
  }
  void fixed(std::uint64_t value) { out_.value(value); }
  std::string take() { return out_.take(); }

 private:
  ByteWriter out_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : in_(bytes) {}
  bool ok() const { return in_.ok(); }
  bool at_end() const { return in_.at_end(); }
  std::uint64_t number() { return in_.varint(); }
  std::string text() { return std::string(in_.take(in_.varint())); }
  std::uint64_t fixed() { return in_.value<std::uint64_t>(); }
  /// A count of things of at least one byte each.
  std::size_t count() { return in_.plausible(in_.varint(), 1); }

 private:
  ByteReader in_;
};

void write_date(Writer& out, const vault::DateTime& date) {
  const auto year = static_cast<std::uint64_t>(static_cast<std::uint16_t>(date.year));
  out.fixed(year | std::uint64_t{date.month} << 16 | std::uint64_t{date.day} << 24 |
            std::uint64_t{date.hour} << 32 | std::uint64_t{date.minute} << 40 |
            std::uint64_t{date.second} << 48 | std::uint64_t{date.has_time ? 1U : 0U} << 56);
}

vault::DateTime read_date(Reader& in) {
  const std::uint64_t bits = in.fixed();
  vault::DateTime date;
  date.year = static_cast<std::int16_t>(bits & 0xFFFF);
  date.month = static_cast<std::uint8_t>(bits >> 16);
  date.day = static_cast<std::uint8_t>(bits >> 24);
  date.hour = static_cast<std::uint8_t>(bits >> 32);
  date.minute = static_cast<std::uint8_t>(bits >> 40);
  date.second = static_cast<std::uint8_t>(bits >> 48);
  date.has_time = (bits >> 56) != 0;
  return date;
}

void write_scalar(Writer& out, const vault::Property::Scalar& scalar) {
  std::visit(
      [&](const auto& value) {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, std::monostate>) {
          out.number(static_cast<std::uint8_t>(ScalarTag::kEmpty));
        } else if constexpr (std::is_same_v<T, bool>) {
          out.number(static_cast<std::uint8_t>(value ? ScalarTag::kTrue : ScalarTag::kFalse));
        } else if constexpr (std::is_same_v<T, double>) {
          out.number(static_cast<std::uint8_t>(ScalarTag::kNumber));
          out.fixed(std::bit_cast<std::uint64_t>(value));
        } else if constexpr (std::is_same_v<T, vault::DateTime>) {
          out.number(static_cast<std::uint8_t>(ScalarTag::kDate));
          write_date(out, value);
        } else {
          out.number(static_cast<std::uint8_t>(ScalarTag::kText));
          out.text(value);
        }
      },
      scalar);
}

vault::Property::Scalar read_scalar(Reader& in) {
  switch (static_cast<ScalarTag>(in.number())) {
    case ScalarTag::kFalse: return false;
    case ScalarTag::kTrue: return true;
    case ScalarTag::kNumber: return std::bit_cast<double>(in.fixed());
    case ScalarTag::kDate: return read_date(in);
    case ScalarTag::kText: return in.text();
    case ScalarTag::kEmpty: break;
  }
  return std::monostate();
}

void write_texts(Writer& out, const std::vector<std::string>& texts) {
  out.number(texts.size());
  for (const std::string& text : texts) out.text(text);
}

std::vector<std::string> read_texts(Reader& in) {
  std::vector<std::string> texts;
  for (std::size_t left = in.count(); left > 0 && in.ok(); --left) texts.push_back(in.text());
  return texts;
}

void write_link(Writer& out, const vault::Link& link) {
  out.number(static_cast<std::uint64_t>(link.kind));
  out.text(link.target);
  write_texts(out, link.heading);
  out.text(link.block);
  out.text(link.alias);
  out.number(link.line);
}

vault::Link read_link(Reader& in) {
  vault::Link link;
  link.kind = static_cast<vault::Link::Kind>(in.number() & 0xF);
  link.target = in.text();
  link.heading = read_texts(in);
  link.block = in.text();
  link.alias = in.text();
  link.line = static_cast<std::uint32_t>(in.number());
  return link;
}

}  // namespace

NoteMeta meta_of(const vault::Note& note) {
  NoteMeta meta{note.type, note.aliases, note.properties, note.headings, note.links, 0,
                false,     false};
  if (note.created) {
    meta.created_s = unix_seconds(*note.created);
  } else if (note.daily) {
    meta.created_s = unix_seconds(*note.daily);
  }
  for (const vault::Task& task : note.tasks) {
    const bool done = task.state == U'x' || task.state == U'X';
    (done ? meta.has_done_task : meta.has_open_task) = true;
  }
  return meta;
}

std::string encode(const NoteMeta& meta) {
  Writer out;
  out.number(kVersion);
  out.number(static_cast<std::uint64_t>(meta.type));
  out.number((meta.has_open_task ? 1U : 0U) | (meta.has_done_task ? 2U : 0U));
  out.fixed(static_cast<std::uint64_t>(meta.created_s));
  write_texts(out, meta.aliases);
  out.number(meta.properties.size());
  for (const vault::Property& property : meta.properties) {
    out.text(property.name);
    out.number(property.is_list ? 1 : 0);
    out.number(property.values.size());
    for (const auto& value : property.values) write_scalar(out, value);
  }
  out.number(meta.headings.size());
  for (const vault::Heading& heading : meta.headings) {
    out.number(heading.level);
    out.text(heading.text);
    out.number(heading.line);
  }
  out.number(meta.links.size());
  for (const vault::Link& link : meta.links) write_link(out, link);
  return out.take();
}

Result<NoteMeta> decode(std::string_view bytes) {
  Reader in(bytes);
  NoteMeta meta;
  if (in.number() != kVersion)
    return make_error(ErrorCode::kCorruptData, "a note's data have another version");
  const std::uint64_t type = in.number();
  if (type > static_cast<std::uint64_t>(vault::FileType::kBook)) {
    return make_error(ErrorCode::kCorruptData, "a note's data name an unknown file type");
  }
  meta.type = static_cast<vault::FileType>(type);
  const std::uint64_t tasks = in.number();
  meta.has_open_task = (tasks & 1) != 0;
  meta.has_done_task = (tasks & 2) != 0;
  meta.created_s = static_cast<std::int64_t>(in.fixed());
  meta.aliases = read_texts(in);
  for (std::size_t left = in.count(); left > 0 && in.ok(); --left) {
    vault::Property& property = meta.properties.emplace_back();
    property.name = in.text();
    property.is_list = in.number() != 0;
    for (std::size_t values = in.count(); values > 0 && in.ok(); --values) {
      property.values.push_back(read_scalar(in));
    }
  }
  for (std::size_t left = in.count(); left > 0 && in.ok(); --left) {
    vault::Heading& heading = meta.headings.emplace_back();
    heading.level = static_cast<std::uint8_t>(in.number());
    heading.text = in.text();
    heading.line = static_cast<std::uint32_t>(in.number());
  }
  for (std::size_t left = in.count(); left > 0 && in.ok(); --left)
    meta.links.push_back(read_link(in));
  if (!in.ok() || !in.at_end())
    return make_error(ErrorCode::kCorruptData, "a note's data are damaged");
  return meta;
}

std::int64_t unix_seconds(const vault::DateTime& time) {
  const std::chrono::year_month_day day{std::chrono::year(time.year),
                                        std::chrono::month(time.month), std::chrono::day(time.day)};
  const auto days = std::chrono::sys_days(day).time_since_epoch().count();
  return std::int64_t{days} * 86'400 + time.hour * 3'600 + time.minute * 60 + time.second;
}

std::string iso_text(const vault::DateTime& time) {
  std::string text = fmt::format("{:04}-{:02}-{:02}", time.year, time.month, time.day);
  if (time.has_time) text += fmt::format("T{:02}:{:02}:{:02}", time.hour, time.minute, time.second);
  return text;
}

std::string join_lines(const std::vector<std::string>& parts) {
  std::string joined;
  for (const std::string& part : parts) {
    if (!joined.empty()) joined += '\n';
    joined += part;
  }
  return joined;
}

std::vector<std::string> split_lines(std::string_view joined) {
  std::vector<std::string> parts;
  while (!joined.empty()) {
    const std::size_t end = joined.find('\n');
    if (end != 0) parts.emplace_back(joined.substr(0, end));
    if (end == std::string_view::npos) break;
    joined.remove_prefix(end + 1);
  }
  return parts;
}

}  // namespace knap::index
