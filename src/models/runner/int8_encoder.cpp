#include <algorithm>
#include <cmath>
#include <cstring>

#include "knap/base/assert.hpp"
#include "knap/base/mutex.hpp"
#include "runner/bert_encoder.hpp"
#include "runner/encoder_math.hpp"
#include "runner/int8_linear.hpp"

namespace knap::models::runner {
namespace {

// Tokens that pass a layer's wide part together. Its 64 x 1,536 floats (393 KB for MiniLM) stay in
// the second-level cache, and each block of weights read from further away serves 64 rows.
constexpr std::size_t kChunk = 64;

struct Layer {
  Int8Linear attention_input, attention_output, wide, narrow;
  NormWeights attention_norm, output_norm;

  static Result<Layer> make(LayerWeights weights) {
    Layer layer;
    using Input = Int8Linear::Input;
    KNAP_TRY(layer.attention_input, Int8Linear::make(weights.attention_input, Input::kSigned));
    KNAP_TRY(layer.attention_output, Int8Linear::make(weights.attention_output, Input::kSigned));
    KNAP_TRY(layer.wide, Int8Linear::make(weights.wide, Input::kSigned));
    KNAP_TRY(layer.narrow, Int8Linear::make(weights.narrow, Input::kGelu));
    layer.attention_norm = std::move(weights.attention_norm);
    layer.output_norm = std::move(weights.output_norm);
    return layer;
  }
};

/// What one call needs; kept between calls, lent to one at a time.
struct Space {
  std::vector<float> states, joined, mixed, wide;
  ByteRows narrow_rows, wide_rows;
  AttentionSpace attention;
};

class Int8Encoder final : public BertEncoder {
 public:
  Int8Encoder(const BertConfig& config, const EmbeddingTable& table, const Options& options,
              std::vector<Layer> layers)
      : config_(config),
        table_(table),
        max_tokens_(options.max_tokens),
        output_(options.output),
        pair_end_id_(options.pair_end_id),
        layers_(std::move(layers)) {
    for (std::size_t i = 0; i <= options.streams; ++i) spaces_.push_back(make_space());
  }

  // Texts one after another without padding: each block of weights that is read serves the rows of
  // several, and only attention looks at one text at a time.
  Status encode(std::span<const std::vector<std::int32_t>* const> texts, std::span<float> out,
                Lane /*lane*/) override {
    KNAP_ASSERT(!texts.empty() && out.size() == texts.size() * config_.hidden);
    auto space = take_space();
    for (std::size_t first = 0; first < texts.size();) {
      const std::size_t count = texts_that_fit(texts.subspan(first));
      encode_texts(texts.subspan(first, count), *space,
                   out.subspan(first * config_.hidden, count * config_.hidden));
      first += count;
    }
    const MutexLock lock(mutex_);
    spaces_.push_back(std::move(space));
    return check_finite(out);
  }

 private:
  std::unique_ptr<Space> make_space() const {
    auto space = std::make_unique<Space>();
    space->narrow_rows.columns = config_.hidden;
    space->wide_rows.columns = config_.intermediate;
    space->wide_rows.resize(kChunk);
    space->wide.resize(kChunk * config_.intermediate);
    return space;
  }

  // More callers than streams are no mistake here: each has its space.
  std::unique_ptr<Space> take_space() KNAP_EXCLUDES(mutex_) {
    {
      const MutexLock lock(mutex_);
      if (!spaces_.empty()) {
        auto space = std::move(spaces_.back());
        spaces_.pop_back();
        return space;
      }
    }
    return make_space();
  }

  static Status check_finite(std::span<const float> out) {
    if (std::ranges::all_of(out, [](float value) { return std::isfinite(value); })) return {};
    return make_error(ErrorCode::kCorruptData,
                      "the model's weights give vectors that are no finite numbers");
  }

  using Texts = std::span<const std::vector<std::int32_t>* const>;

  /// From the first on, at least one: as many as have the tokens of one long text together.
  std::size_t texts_that_fit(Texts texts) const {
    std::size_t tokens = 0, count = 0;
    for (const auto* text : texts) {
      KNAP_ASSERT(!text->empty() && text->size() <= max_tokens_);
      tokens += text->size();
      if (tokens > max_tokens_) break;
      ++count;
    }
    return count;
  }

  void encode_texts(Texts texts, Space& space, std::span<float> out) const {
    std::size_t tokens = 0;
    for (const auto* text : texts) tokens += text->size();
    space.states.resize(tokens * config_.hidden);
    space.mixed.resize(tokens * config_.hidden);
    space.joined.resize(tokens * 3 * config_.hidden);
    space.narrow_rows.resize(tokens);
    float* state = space.states.data();
    for (const auto* text : texts) {
      table_.look_up_text(*text, pair_end_id_, state);
      state += text->size() * config_.hidden;
    }
    for (const Layer& layer : layers_) {
      mix_tokens(layer, texts, tokens, space);
      for (std::size_t first = 0; first < tokens; first += kChunk)
        widen(layer, first, std::min(kChunk, tokens - first), space);
    }
    const float* states = space.states.data();
    for (std::size_t t = 0; t < texts.size(); ++t) {
      pool_states(output_, states, texts[t]->size(),
                  out.subspan(t * config_.hidden, config_.hidden));
      states += texts[t]->size() * config_.hidden;
    }
  }

  void normalise(std::size_t first, std::size_t count, const NormWeights& norm,
                 Space& space) const {
    for (std::size_t i = first; i < first + count; ++i) {
      layer_norm({space.states.data() + i * config_.hidden, config_.hidden}, norm.gain, norm.bias,
                 config_.norm_epsilon);
    }
  }

  void mix_tokens(const Layer& layer, Texts texts, std::size_t tokens, Space& space) const {
    quantise_rows(space.states.data(), tokens, space.narrow_rows);
    layer.attention_input.multiply(space.narrow_rows, tokens, Int8Linear::Mode::kReplace,
                                   space.joined.data());
    std::size_t first = 0;
    for (const auto* text : texts) {
      attend(space.joined.data() + first * 3 * config_.hidden, text->size(), config_.heads,
             config_.hidden / config_.heads, space.mixed.data() + first * config_.hidden,
             space.attention);
      first += text->size();
    }
    quantise_rows(space.mixed.data(), tokens, space.narrow_rows);
    layer.attention_output.multiply(space.narrow_rows, tokens, Int8Linear::Mode::kAdd,
                                    space.states.data());
    normalise(0, tokens, layer.attention_norm, space);
  }

  void widen(const Layer& layer, std::size_t first, std::size_t count, Space& space) const {
    float* states = space.states.data() + first * config_.hidden;
    quantise_rows(states, count, space.narrow_rows);
    layer.wide.multiply(space.narrow_rows, count, Int8Linear::Mode::kReplace, space.wide.data());
    quantise_gelu_rows(space.wide.data(), count, space.wide_rows);
    layer.narrow.multiply(space.wide_rows, count, Int8Linear::Mode::kAdd, states);
    normalise(first, count, layer.output_norm, space);
  }

  const BertConfig config_;
  const EmbeddingTable& table_;
  const std::size_t max_tokens_;
  const Output output_;
  const std::int32_t pair_end_id_;
  const std::vector<Layer> layers_;
  Mutex mutex_;
  std::vector<std::unique_ptr<Space>> spaces_ KNAP_GUARDED_BY(mutex_);
};

}  // namespace

Result<std::unique_ptr<BertEncoder>> make_int8_encoder(const BertConfig& config,
                                                       const TensorSource& weights,
                                                       const EmbeddingTable& table,
                                                       const BertEncoder::Options& options) {
  if (config.hidden / config.heads % 16 != 0) {
    return make_error(ErrorCode::kUnsupported,
                      "the 8-bit kernels need attention heads of a multiple of 16 values");
  }
  std::vector<Layer> layers;
  for (std::size_t i = 0; i < config.layers; ++i) {
    KNAP_TRY(auto read, read_layer(config, weights, i));
    KNAP_TRY(auto layer, Layer::make(std::move(read)));
    layers.push_back(std::move(layer));
  }
  return std::unique_ptr<BertEncoder>(
      std::make_unique<Int8Encoder>(config, table, options, std::move(layers)));
}

void pool_states(Output output, const float* states, std::size_t rows, std::span<float> out) {
  std::copy_n(states, out.size(), out.data());
  if (output == Output::kFirstState) return;
  for (std::size_t r = 1; r < (output == Output::kMean ? rows : 1); ++r) {
    const float* state = states + r * out.size();
    for (std::size_t d = 0; d < out.size(); ++d) out[d] += state[d];
  }
  float squares = 0;
  for (const float value : out) squares += value * value;
  const float scale = squares > 0 ? 1.0F / std::sqrt(squares) : 0.0F;
  for (float& value : out) value *= scale;
}

}  // namespace knap::models::runner
