#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"
#include "knap/models/models.hpp"

namespace knap::models {

/// One line of what the catalogue says of a model.
struct ModelFact {
  std::string label, value;
};

/// Everything the catalogue says of a model, in the order in which people read it: also what it
/// needs in memory by context, and where its files come from.
/// Errors: kInvalidArgument (unknown: names the nearest; catalogue errors with the line).
Result<std::vector<ModelFact>> describe_model(const ModelsOptions& options, std::string_view name);

/// Takes an answer model that the user has as a GGUF file: copies it into the models folder (a
/// reflink where the file system can), computes its checksum, and enters it in `imported.yaml`
/// there. What the entry says of size, context and attention is read from the file.
/// @param name  of a model that is not in the catalogue yet, or was imported before
/// Errors: kInvalidArgument (name), kAlreadyExists (the catalogue has it), kNotFound,
/// kCorruptData (no sound GGUF file), kUnsupported (no language model, or no chat template),
/// kResourceExhausted (disk space: says how much is needed), kCancelled, kIo.
Status import_model(const ModelsOptions& options, const std::filesystem::path& file,
                    std::string_view name, const Models::Progress& progress,
                    const CancelToken& cancel);

/// Takes the entry of an imported model out again; that there is none is no error.
Status forget_import(const ModelsOptions& options, std::string_view name);

/// Fetches the 16-bit weights of a Whisper model, whose installed file has 8 bits, and writes them
/// to `out` as whisper.cpp reads them. Errors: those of Models::pull(); kUnsupported (the model is
/// not made from such weights).
Status fetch_speech_source(const ModelsOptions& options, std::string_view name,
                           const std::filesystem::path& out, const Models::Progress& progress,
                           const CancelToken& cancel);

}  // namespace knap::models
