// Prints what extract() takes out of each file named: for measurements and for looking.
#include <fcntl.h>
#include <fmt/format.h>

#include "knap/base/file.hpp"
#include "knap/extract/extract.hpp"

namespace {

using knap::extract::Block;

std::string_view mark_of(const Block& block) {
  switch (block.kind) {
    case Block::Kind::kHeading: return "heading";
    case Block::Kind::kParagraph: return "text";
    case Block::Kind::kListItem: return "item";
    case Block::Kind::kTableRow: return "row";
    case Block::Kind::kCode: return "code";
  }
  return "?";
}

/// By the ending of the name.
knap::extract::Format format_of(std::string_view path) {
  using knap::extract::Format;
  constexpr std::pair<std::string_view, Format> kEndings[] = {
      {".docx", Format::kDocx}, {".pptx", Format::kPptx}, {".xlsx", Format::kXlsx},
      {".odt", Format::kOdf},   {".ods", Format::kOdf},   {".odp", Format::kOdf},
      {".rtf", Format::kRtf},   {".csv", Format::kCsv},   {".txt", Format::kText}};
  for (const auto& [ending, format] : kEndings)
    if (path.ends_with(ending)) return format;
  return Format::kPdf;
}

/// One line a block: place, kind with level, text.
bool print(const char* path) {
  const knap::FileDescriptor file(::open(path, O_RDONLY | O_CLOEXEC));
  if (!file.valid()) {
    fmt::print(stderr, "cannot open {}\n", path);
    return false;
  }
  knap::extract::ExtractOptions options;
  options.weak = knap::extract::WeakSandbox::kAllow;
  const auto document = knap::extract::extract(format_of(path), file.get(), options,
                                               knap::Deadline::after(std::chrono::minutes(5)), {});
  if (!document) {
    fmt::print("error\t{}\t{}\n", path, document.error().message);
    return true;
  }
  fmt::print("file\t{}\t{}\n", path, document->title);
  for (const std::string& warning : document->warnings) fmt::print("warning\t{}\n", warning);
  for (const Block& block : document->blocks)
    fmt::print("{}\t{}{}\t{}\n", block.place, mark_of(block),
               block.level == 0 ? "" : std::to_string(block.level), block.text);
  return true;
}

}  // namespace

int main(int count, char** paths) {
  bool all = true;
  for (int i = 1; i < count; ++i) all = print(paths[i]) && all;
  return all ? 0 : 1;
}
