#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace knap::models {

/// Writes the metadata of a GGUF file, for tests.
class GgufWriter {
 public:
  void text(std::string_view key, std::string_view value) {
    begin(key, 8);
    string(value);
  }
  void number(std::string_view key, std::uint32_t value) {
    begin(key, 4);
    plain(value);
  }
  void texts(std::string_view key, std::initializer_list<std::string_view> values) {
    begin(key, 9);
    plain(std::uint32_t{8});
    plain(std::uint64_t{values.size()});
    for (const auto value : values) string(value);
  }
  std::string finish() const {
    std::string out = "GGUF";
    const std::uint32_t version = 3;
    const std::uint64_t tensors = 0;
    out.append(reinterpret_cast<const char*>(&version), sizeof version);
    out.append(reinterpret_cast<const char*>(&tensors), sizeof tensors);
    out.append(reinterpret_cast<const char*>(&pairs_), sizeof pairs_);
    return out + pairs_bytes_;
  }

 private:
  template <typename Number>
  void plain(Number number) {
    pairs_bytes_.append(reinterpret_cast<const char*>(&number), sizeof number);
  }
  void string(std::string_view value) {
    plain(std::uint64_t{value.size()});
    pairs_bytes_.append(value);
  }
  void begin(std::string_view key, std::uint32_t type) {
    ++pairs_;
    string(key);
    plain(type);
  }

  std::uint64_t pairs_ = 0;
  std::string pairs_bytes_;
};

/// A sound header of a chat model without weights.
inline std::string small_gguf(bool chat = true) {
  GgufWriter writer;
  writer.text("general.architecture", "llama");
  writer.text("general.name", "Small \"one\"");
  writer.number("general.file_type", 15);
  writer.texts("tokenizer.ggml.tokens", {"a", "b"});
  writer.number("llama.context_length", 2'048);
  writer.number("llama.embedding_length", 64);
  writer.number("llama.block_count", 4);
  writer.number("llama.attention.head_count", 4);
  writer.number("llama.attention.head_count_kv", 2);
  if (chat) writer.text("tokenizer.chat_template", "{{ messages }}");
  return writer.finish();
}

}  // namespace knap::models
