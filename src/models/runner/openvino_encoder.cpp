#include <fmt/format.h>

#include <algorithm>
#include <openvino/openvino.hpp>

#include "knap/base/assert.hpp"
#include "knap/base/mutex.hpp"
#include "runner/bert_encoder.hpp"
#include "runner/bert_graph.hpp"

namespace knap::models::runner {
namespace {

// Added to the scores of padding before softmax. Finite and within bf16 and f16: minus infinity
// would make a row of padding alone into NaN.
constexpr float kMasked = -10'000.0F;

// Values that share one scale when activations are quantised. Measured on MiniLM (AVX-512,
// tokens/s): 32 4,088; 64 4,858; 128 5,515; 384 5,663. It must be a multiple of 16 and divide the
// rows of all products, as the hidden size does in this family; otherwise the plugin falls back to
// unquantised activations.
ov::AnyMap compile_settings(Precision precision, std::size_t hidden, std::size_t threads) {
  const bool bf16 = precision == Precision::kBf16 || precision == Precision::kInt8Bf16;
  const bool int8 = precision == Precision::kInt8 || precision == Precision::kInt8Bf16;
  ov::AnyMap settings;
  settings.emplace(ov::inference_num_threads(static_cast<std::int32_t>(threads)));
  settings.emplace(ov::num_streams(1));
  settings.emplace(ov::hint::inference_precision(bf16 ? ov::element::bf16 : ov::element::f32));
  settings.emplace(ov::hint::enable_cpu_pinning(false));
  settings.emplace(ov::hint::dynamic_quantization_group_size(int8 ? hidden : 0));
  return settings;
}

/// A query is padded to a multiple: each change of length costs the plugin more than some tokens
/// do. Queries of all lengths in turn, median and p95, two threads: alone 1.56 and 2.6 ms, in steps
/// of 8 1.50 and 2.5, of 16 1.36 and 2.3.
constexpr std::size_t kQueryStep = 16;

/// Requests lent to the callers, one each.
class RequestPool {
 public:
  ov::InferRequest take() KNAP_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (free_.empty()) returned_.wait(mutex_);
    ov::InferRequest request = std::move(free_.back());
    free_.pop_back();
    return request;
  }
  void give(ov::InferRequest request) KNAP_EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      free_.push_back(std::move(request));
    }
    returned_.notify_one();
  }

 private:
  Mutex mutex_;
  CondVar returned_;
  std::vector<ov::InferRequest> free_ KNAP_GUARDED_BY(mutex_);
};

class OpenVinoEncoder final : public BertEncoder {
 public:
  OpenVinoEncoder(const BertConfig& config, const EmbeddingTable& table, const Options& options)
      : options_(options), config_(config), table_(table) {}

  void compile(const std::shared_ptr<ov::Model>& model) {
    // One compiled model for each call that may run at a time, one of them for interactive calls
    // alone. A model of one stream computes on the thread that calls, whose priority then counts;
    // one model of several streams would compute on threads of its own. It costs a copy of the
    // encoder's weights each (11 MB in int8).
    for (std::size_t i = 0; i <= options_.streams; ++i) {
      const std::size_t threads = i == 0 ? options_.interactive_threads : 1;
      compiled_.push_back(core_.compile_model(
          model, "CPU", compile_settings(options_.precision, config_.hidden, threads)));
      (i == 0 ? interactive_requests_ : background_requests_)
          .give(compiled_.back().create_infer_request());
    }
  }

  Status encode(std::span<const std::vector<std::int32_t>* const> texts, std::span<float> out,
                Lane lane) override {
    KNAP_ASSERT(!texts.empty() && out.size() == texts.size() * config_.hidden);
    RequestPool& pool = lane == Lane::kInteractive ? interactive_requests_ : background_requests_;
    ov::InferRequest request = pool.take();
    Status status;
    try {
      // Queries are short and of all lengths: padding all to the longest would cost more than they
      // do.
      const bool in_one_row = lane == Lane::kInteractive && texts.size() > 1;
      if (in_one_row) {
        infer_in_one_row(request, texts, out);
      } else {
        infer(request, texts, out, lane);
      }
    } catch (const std::exception& failure) {
      status = make_error(ErrorCode::kInternal, fmt::format("OpenVINO: {}", failure.what()));
    }
    pool.give(std::move(request));
    return status;
  }

 private:
  void infer(ov::InferRequest& request, std::span<const std::vector<std::int32_t>* const> texts,
             std::span<float> out, Lane lane) const {
    std::size_t longest = 0;
    for (const auto* text : texts) longest = std::max(longest, text->size());
    KNAP_ASSERT(longest > 0 && longest <= options_.max_tokens);
    if (lane == Lane::kInteractive) {
      longest = (longest + kQueryStep - 1) / kQueryStep * kQueryStep;
      longest = std::min(longest, options_.max_tokens);
    }
    ov::Tensor hidden = request.get_tensor("hidden");
    ov::Tensor mask = request.get_tensor("mask");
    hidden.set_shape({texts.size(), longest, config_.hidden});
    mask.set_shape({texts.size(), 1, 1, longest});
    auto* hidden_values = hidden.data<float>();
    auto* mask_values = mask.data<float>();
    for (std::size_t t = 0; t < texts.size(); ++t) {
      const auto& ids = *texts[t];
      float* rows = hidden_values + t * longest * config_.hidden;
      table_.look_up_text(ids, options_.pair_end_id, rows);
      for (std::size_t i = ids.size(); i < longest; ++i)
        table_.look_up(options_.pad_id, i, rows + i * config_.hidden);
      for (std::size_t i = 0; i < longest; ++i)
        mask_values[t * longest + i] = i < ids.size() ? 0.0F : kMasked;
    }
    request.infer();
    const auto* states = request.get_output_tensor().data<const float>();
    for (std::size_t t = 0; t < texts.size(); ++t) {
      pool_states(options_.output, states + t * longest * config_.hidden, texts[t]->size(),
                  out.subspan(t * config_.hidden, config_.hidden));
    }
  }

  /// All texts one after another as if they were one; each token sees those of its own text only.
  void infer_in_one_row(ov::InferRequest& request,
                        std::span<const std::vector<std::int32_t>* const> texts,
                        std::span<float> out) const {
    std::size_t tokens = 0;
    for (const auto* text : texts) {
      KNAP_ASSERT(!text->empty() && text->size() <= options_.max_tokens);
      tokens += text->size();
    }
    const std::size_t length = (tokens + kPackedStep - 1) / kPackedStep * kPackedStep;
    ov::Tensor hidden = request.get_tensor("hidden");
    ov::Tensor mask = request.get_tensor("mask");
    hidden.set_shape({1, length, config_.hidden});
    mask.set_shape({1, 1, length, length});
    auto* hidden_values = hidden.data<float>();
    auto* mask_values = mask.data<float>();
    std::fill_n(mask_values, length * length, kMasked);
    std::size_t at = 0;
    for (const auto* text : texts) {
      table_.look_up_text(*text, options_.pair_end_id, hidden_values + at * config_.hidden);
      for (std::size_t i = at; i < at + text->size(); ++i)
        std::fill_n(mask_values + i * length + at, text->size(), 0.0F);
      at += text->size();
    }
    for (; at < length; ++at) {
      table_.look_up(options_.pad_id, 0, hidden_values + at * config_.hidden);
      mask_values[at * length + at] = 0;
    }
    request.infer();
    const auto* states = request.get_output_tensor().data<const float>();
    for (std::size_t t = 0; t < texts.size(); ++t) {
      pool_states(options_.output, states, texts[t]->size(),
                  out.subspan(t * config_.hidden, config_.hidden));
      states += texts[t]->size() * config_.hidden;
    }
  }

  const Options options_;
  const BertConfig config_;
  const EmbeddingTable& table_;
  ov::Core core_;
  std::vector<ov::CompiledModel> compiled_;
  RequestPool background_requests_, interactive_requests_;
};

}  // namespace

Result<std::unique_ptr<BertEncoder>> make_openvino_encoder(const BertConfig& config,
                                                           const TensorSource& weights,
                                                           const EmbeddingTable& table,
                                                           const BertEncoder::Options& options) {
  KNAP_TRY(const auto graph, build_bert_encoder(config, weights, options.precision));
  try {
    auto encoder = std::make_unique<OpenVinoEncoder>(config, table, options);
    encoder->compile(graph);
    return std::unique_ptr<BertEncoder>(std::move(encoder));
  } catch (const std::exception& failure) {
    return make_error(ErrorCode::kInternal,
                      fmt::format("OpenVINO cannot run this model: {}", failure.what()));
  }
}

}  // namespace knap::models::runner
