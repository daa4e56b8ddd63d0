#pragma once

#include <filesystem>

#include "knap/base/result.hpp"

namespace knap::models::runner {

enum class BertWeights { kF32, kQ8 };  ///< Of the matrices; all else is f32.

/// Writes a BERT encoder (model.safetensors, config.json, vocab.txt) as the GGUF file that
/// llama.cpp reads, with its own converter's names: for the benchmark that compares the engines on
/// the same weights, and for measuring quantisations. Errors: those of the safetensors reader; kIo.
Status write_bert_gguf(const std::filesystem::path& model_dir,
                       const std::filesystem::path& gguf_file, BertWeights weights);

}  // namespace knap::models::runner
