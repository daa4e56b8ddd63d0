#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "catalogue.hpp"

namespace knap::models {
namespace {

// What runners took beyond weights and state, measured as resident memory after a prompt of 4,000
// tokens or 64 long texts with two threads, rounded up. Language models: 69 MiB (135M), 80 (1.5B).
constexpr std::uint64_t kAnswerBytes = 80U << 20;
// llama.cpp lays 4-bit matrices out anew for the processor and keeps both: 63 % of the file more
// for the 1.5B model in Q4_K_M.
constexpr std::uint64_t kRepackedPercent = 70;
// Encoders: MiniLM in f32 took 134 MiB beside its file and its weights in f32; the 4-bit pack of E5
// 411 MiB beside its file, for it is widened.
constexpr std::uint64_t kEncoderBytes = 140U << 20;
constexpr std::uint64_t kPackBytes = 420U << 20;
// Of models whose shape is not known: state and computing together, by far enough for small ones.
constexpr std::uint64_t kUnknownBytes = 512U << 20;
// Speech: state and buffers for 30 s of sound, and the voice model.
constexpr std::uint64_t kSpeechBytes = 260U << 20;

bool is_pack(const ModelSpec& spec) {
  return std::ranges::any_of(spec.files,
                             [](const ModelFile& file) { return file.name == "model.e5"; });
}

}  // namespace

MemoryNeed ModelSpec::memory_need(std::uint32_t tokens) const {
  if (std::ranges::any_of(files, [](const ModelFile& file) { return file.bytes == 0; })) return {};
  MemoryNeed need;
  need.weights = bytes();
  if (role == Role::kAnswer) {
    if (attention.layers == 0) return {};
    const bool repacked = quantisation.starts_with("Q4_K") || quantisation.starts_with("Q4_0");
    if (repacked) need.rewritten = bytes() * kRepackedPercent / 100;
    need.state = kContextsHeld * tokens * attention.bytes_per_token();
    need.computing = kAnswerBytes;
  } else if (role == Role::kSpeech) {
    need.computing = kSpeechBytes;
  } else if (is_pack(*this)) {
    need.rewritten = kPackBytes;
  } else {
    need.rewritten = parameters * sizeof(float);
    need.computing = kEncoderBytes;
  }
  return need;
}

MemoryNeed ModelSpec::expected_memory() const {
  MemoryNeed need = memory_need(context);
  if (need.total() > 0) return need;
  need.weights = bytes();
  need.rewritten = bytes() * kRepackedPercent / 100;
  need.computing = kUnknownBytes;
  return need;
}

std::string MemoryNeed::arithmetic() const {
  std::string out;
  const auto add = [&](std::uint64_t bytes, std::string_view what) {
    if (bytes == 0) return;
    out += fmt::format("{}{:.2f} GiB {}", out.empty() ? "" : " + ",
                       static_cast<double>(bytes) / (1U << 30), what);
  };
  add(weights, "weights");
  add(rewritten, "weights laid out for computing");
  add(state, "state of its contexts");
  add(computing, "computing");
  return out;
}

}  // namespace knap::models
