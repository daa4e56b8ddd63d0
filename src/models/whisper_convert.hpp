#pragma once

#include <filesystem>
#include <string_view>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"

namespace knap::models {

/// Files that a Whisper model is made of.
struct WhisperParts {
  std::filesystem::path weights;     ///< CTranslate2's model.bin with 16-bit floats.
  std::filesystem::path vocabulary;  ///< Its vocabulary.txt: one token a line.
  std::filesystem::path head;        ///< First 64,376 bytes of a ggml file with 80 mel filters.
};

/// How the matrices of a converted model are stored.
enum class WhisperBits {
  kEight,    ///< q8_0: what is installed.
  kSixteen,  ///< As they came: the file that whisper.cpp's makers publish.
};

/// Writes a Whisper model as whisper.cpp reads it.
///
/// What it would be in 16 bits is hashed on the way and compared: byte for byte the file that
/// whisper.cpp's makers publish, so that no step of the conversion can go wrong unnoticed.
/// @param published_sha256  of that file; empty: not compared
/// Errors: kCorruptData (no such file, another version, shapes that do not fit, or another
/// checksum), kIo, kCancelled. Reads the weights by mapping; takes about a second for 145 MB.
Status convert_whisper(const WhisperParts& parts, const std::filesystem::path& out,
                       std::string_view published_sha256, const CancelToken& cancel,
                       WhisperBits bits = WhisperBits::kEight);

/// Where the head lies on this machine; empty in a program built without engines.
std::filesystem::path whisper_head();

}  // namespace knap::models
