#pragma once

#include <filesystem>

#include "knap/base/result.hpp"

namespace knap::models::runner {

/// Writes a BERT encoder (model.safetensors, config.json, vocab.txt) as the Q8_0 GGUF file that
/// llama.cpp reads, with its own converter's names: matrices in Q8_0, vectors and the position and
/// type tables in f32. For the benchmark that compares the engines on the same weights. Errors:
/// those of the safetensors reader; kIo.
Status write_bert_q8_gguf(const std::filesystem::path& model_dir,
                          const std::filesystem::path& gguf_file);

}  // namespace knap::models::runner
