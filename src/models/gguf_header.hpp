#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "catalogue.hpp"
#include "knap/base/result.hpp"

namespace knap::models {

/// What the beginning of a GGUF file says of its model.
struct GgufHeader {
  std::string architecture;  ///< "llama", "qwen2", "bert" ...
  std::string name, licence;
  std::string quantisation;   ///< By the file type, e.g. "Q4_K_M"; empty: a type unknown here.
  std::uint32_t context = 0;  ///< That it was trained for; 0: not said.
  std::uint32_t dimensions = 0;
  AttentionShape attention;  ///< All 0 when not said. Of layers that differ, the largest.
  bool has_chat_template = false;
};

/// Reads the metadata of a GGUF file of version 2 or 3, whose layout is described in ggml's
/// docs/gguf.md. The bytes are hostile: every length is checked, and tensors are not looked at.
/// Errors: kCorruptData (no GGUF file, cut, or beyond the limits: says which), kUnsupported
/// (another version, big-endian).
Result<GgufHeader> parse_gguf_header(std::string_view bytes);
/// The same from a file. Errors: also kNotFound, kIo.
Result<GgufHeader> read_gguf_header(const std::filesystem::path& file);

}  // namespace knap::models
