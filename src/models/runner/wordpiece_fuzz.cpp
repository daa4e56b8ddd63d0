#include <cstdint>
#include <cstdlib>

#include "runner/wordpiece.hpp"

// The first line's worth of bytes is the text, the rest a vocabulary.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::size_t cut = bytes.find('\n');
  const auto tokenizer = knap::models::runner::Wordpiece::parse(
      "[PAD]\n[UNK]\n[CLS]\n[SEP]\n" +
      std::string(cut == std::string_view::npos ? "" : bytes.substr(cut + 1)));
  if (!tokenizer) std::abort();
  const auto tokens = tokenizer->encode(bytes.substr(0, cut), 64);
  if (tokens.ids.size() < 2 || tokens.ids.size() > 64) std::abort();
  for (const auto id : tokens.ids) {
    if (id < 0 || static_cast<std::size_t>(id) >= tokenizer->size()) std::abort();
  }
  return 0;
}
