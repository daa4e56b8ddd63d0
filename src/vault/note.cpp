#include "knap/vault/note.hpp"

#include <algorithm>
#include <array>

#include "knap/vault/parse.hpp"

namespace knap::vault {
namespace {

struct Extension {
  std::string_view extension;
  FileType type;
};
// What Obsidian opens itself, and what Knap reads besides.
constexpr std::array<Extension, 48> kExtensions = {{
    {"md", FileType::kMarkdown},
    {"markdown", FileType::kMarkdown},
    {"canvas", FileType::kCanvas},
    {"base", FileType::kBase},
    {"excalidraw", FileType::kExcalidraw},
    {"pdf", FileType::kPdf},
    {"mp3", FileType::kAudio},
    {"wav", FileType::kAudio},
    {"m4a", FileType::kAudio},
    {"ogg", FileType::kAudio},
    {"oga", FileType::kAudio},
    {"opus", FileType::kAudio},
    {"flac", FileType::kAudio},
    {"3gp", FileType::kAudio},
    {"aac", FileType::kAudio},
    {"webm", FileType::kAudio},  // Obsidian plays it as both, and its own recorder made it
    {"mp4", FileType::kVideo},
    {"ogv", FileType::kVideo},
    {"mov", FileType::kVideo},
    {"mkv", FileType::kVideo},
    {"avi", FileType::kVideo},
    {"m4v", FileType::kVideo},
    {"png", FileType::kImage},
    {"jpg", FileType::kImage},
    {"jpeg", FileType::kImage},
    {"gif", FileType::kImage},
    {"bmp", FileType::kImage},
    {"svg", FileType::kImage},
    {"webp", FileType::kImage},
    {"avif", FileType::kImage},
    {"tif", FileType::kImage},
    {"tiff", FileType::kImage},
    {"heic", FileType::kImage},
    {"ico", FileType::kImage},
    {"html", FileType::kWeb},
    {"htm", FileType::kWeb},
    {"xhtml", FileType::kWeb},
    {"mhtml", FileType::kWeb},
    {"docx", FileType::kOffice},
    {"pptx", FileType::kOffice},
    {"xlsx", FileType::kOffice},
    {"odt", FileType::kOffice},
    {"odp", FileType::kOffice},
    {"ods", FileType::kOffice},
    {"rtf", FileType::kOffice},
    {"csv", FileType::kOffice},
    {"txt", FileType::kText},
    {"epub", FileType::kBook},
}};

constexpr std::size_t kExtensionBytesMax = 16;

}  // namespace

std::string_view to_string(FileType type) {
  switch (type) {
    case FileType::kMarkdown: return "md";
    case FileType::kCanvas: return "canvas";
    case FileType::kBase: return "base";
    case FileType::kExcalidraw: return "excalidraw";
    case FileType::kPdf: return "pdf";
    case FileType::kAudio: return "audio";
    case FileType::kVideo: return "video";
    case FileType::kImage: return "image";
    case FileType::kWeb: return "web";
    case FileType::kOther: return "other";
    case FileType::kOffice: return "office";
    case FileType::kText: return "text";
    case FileType::kBook: return "book";
  }
  return "other";
}

FileType file_type(std::string_view path) {
  std::string_view name = path.substr(path.rfind('/') + 1);
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || dot == 0 || name.size() - dot > kExtensionBytesMax)
    return FileType::kOther;
  std::string extension(name.substr(dot + 1));
  for (char& c : extension)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  const auto* const found =
      std::find_if(kExtensions.begin(), kExtensions.end(),
                   [&](const Extension& e) { return e.extension == extension; });
  if (found == kExtensions.end()) return FileType::kOther;
  if (found->type == FileType::kMarkdown) {
    constexpr std::string_view kDrawing = ".excalidraw";
    std::string stem(name.substr(0, dot));
    for (char& c : stem)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
    if (stem.ends_with(kDrawing)) return FileType::kExcalidraw;
    // A page of the web that was brought in, as Markdown.
    if (stem.ends_with(".web")) return FileType::kWeb;
  }
  return found->type;
}

}  // namespace knap::vault
