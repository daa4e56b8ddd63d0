#include <cstdint>

#include "runner/e5_pack.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto pack = knap::models::runner::E5Pack::parse(bytes);
  if (!pack) return 0;
  const auto& config = (*pack)->config();
  static_cast<void>((*pack)->tokenizer()->encode(bytes, 64));
  static_cast<void>(
      (*pack)->read("embeddings.LayerNorm.weight", std::vector<std::size_t>{config.hidden}));
  const std::vector<std::size_t> shape{config.vocabulary, config.hidden};
  if (const auto rows = (*pack)->rows("embeddings.word_embeddings.weight", shape)) {
    std::vector<float> row(config.hidden);
    (*rows)(config.vocabulary - 1, row);
  }
  return 0;
}
