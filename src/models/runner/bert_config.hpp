#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>

#include "knap/base/result.hpp"

namespace knap::models::runner {

/// The shape of a BERT encoder, from its config.json.
struct BertConfig {
  std::size_t vocabulary = 0, positions = 0, types = 0;
  std::size_t hidden = 0, layers = 0, heads = 0, intermediate = 0;
  float norm_epsilon = 1e-12F;
};

/// Errors: kCorruptData (no such JSON, absurd sizes), kUnsupported (no BERT, another activation).
Result<BertConfig> parse_bert_config(std::string_view text);
Result<BertConfig> read_bert_config(const std::filesystem::path& file);

}  // namespace knap::models::runner
