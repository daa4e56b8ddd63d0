#include "runner/answer_engine.hpp"

#include <fmt/format.h>
#include <ggml-backend.h>
#include <llama.h>

#include <algorithm>

#include "gguf_header.hpp"
#include "knap/base/assert.hpp"
#include "knap/observe/log.hpp"
#include "runner/chat_tokens.hpp"
#include "runner/devices.hpp"
#include "runner/engine_threads.hpp"
#include "runner/placement.hpp"
#include "runner/product_backend.hpp"
#include "runner/token_sampler.hpp"

namespace knap::models::runner {
namespace {

constexpr std::size_t kPieceBytesMax = 256;
// Even blanks and rulers seldom make longer tokens; a text beyond it is not worth tokenizing.
constexpr std::size_t kTokenBytesMax = 64;
// What a step of 512 tokens takes of a graphics card beside weights and state, with some room.
constexpr std::uint64_t kGpuComputingBytes = 512U << 20;

/// What the abort callback asks while a step computes.
struct Watch {
  const std::function<bool()>* should_abort = nullptr;
};

bool should_abort(void* data) {
  const auto* watch = static_cast<const Watch*>(data);
  return watch->should_abort != nullptr && (*watch->should_abort)();
}

using Model = std::unique_ptr<llama_model, void (*)(llama_model*)>;
using Context = std::unique_ptr<llama_context, void (*)(llama_context*)>;

/// The arrays that a llama_batch points to.
class Batch {
 public:
  explicit Batch(std::size_t capacity) {
    tokens_.reserve(capacity);
    positions_.reserve(capacity);
    counts_.reserve(capacity);
    slots_.reserve(capacity);
    outputs_.reserve(capacity);
  }

  /// Which tokens of a step: all, those that are only read, or those whose outputs are wanted.
  enum class Part { kAll, kRead, kWritten };

  void fill(std::span<const AnswerEngine::Item> items, Part part) {
    tokens_.clear(), positions_.clear(), counts_.clear(), slots_.clear(), outputs_.clear();
    for (const auto& item : items) {
      const std::size_t all = item.tokens.size() + item.guess.size();
      const std::size_t read = item.tokens.size() - (item.sampler != nullptr ? 1 : 0);
      const std::size_t end = part == Part::kRead ? read : all;
      for (std::size_t i = part == Part::kWritten ? read : 0; i < end; ++i) {
        const bool known = i < item.tokens.size();
        tokens_.push_back(known ? item.tokens[i] : item.guess[i - item.tokens.size()]);
        positions_.push_back(static_cast<llama_pos>(item.begin + i));
        counts_.push_back(1);
        slots_.push_back(item.slot);
        outputs_.push_back(item.sampler != nullptr && i + 1 >= item.tokens.size() ? 1 : 0);
      }
    }
    slot_pointers_.resize(slots_.size());
    for (std::size_t i = 0; i < slots_.size(); ++i) slot_pointers_[i] = &slots_[i];
  }

  std::size_t size() const { return tokens_.size(); }

  llama_batch view() {
    return {.n_tokens = static_cast<std::int32_t>(tokens_.size()),
            .token = tokens_.data(),
            .embd = nullptr,
            .pos = positions_.data(),
            .n_seq_id = counts_.data(),
            .seq_id = slot_pointers_.data(),
            .logits = outputs_.data()};
  }

 private:
  std::vector<llama_token> tokens_;
  std::vector<llama_pos> positions_;
  std::vector<std::int32_t> counts_;
  std::vector<llama_seq_id> slots_;
  std::vector<llama_seq_id*> slot_pointers_;
  std::vector<std::int8_t> outputs_;
};

class LlamaEngine final : public AnswerEngine {
 public:
  LlamaEngine(const Options& options, Model model, EngineThreads threads, Context context,
              std::unique_ptr<Watch> watch, std::string placement)
      : options_(options),
        placement_(std::move(placement)),
        watch_(std::move(watch)),
        model_(std::move(model)),
        threads_(std::move(threads)),
        context_(std::move(context)),
        memory_(llama_get_memory(context_.get())),
        vocabulary_(llama_model_get_vocab(model_.get())),
        batch_(options.step_tokens) {}

  std::uint32_t context() const override { return options_.context; }
  std::uint32_t cells() const override { return llama_n_ctx(context_.get()); }
  bool can_cut() const override {
    return !llama_model_is_recurrent(model_.get()) && !llama_model_is_hybrid(model_.get()) &&
           llama_model_n_swa(model_.get()) == 0;
  }

  std::string description() const override {
    char text[256] = {};
    llama_model_desc(model_.get(), text, sizeof text);
    return text;
  }

  std::string placement() const override { return placement_; }

  bool can_join() const override { return can_cut() && llama_memory_can_shift(memory_); }

  Result<Prompt> tokenize(const std::vector<ResolvedMessage>& messages) const override {
    std::size_t bytes = 0;
    for (const auto& message : messages) {
      for (const auto& piece : message.pieces) bytes += piece.text.size();
    }
    if (bytes / kTokenBytesMax >= context()) {
      return make_error(
          ErrorCode::kResourceExhausted,
          fmt::format("the prompt has {} bytes, far more than the model's context of {} tokens "
                      "holds: shorten it",
                      bytes, context()));
    }
    return chat_tokens(*model_, messages);
  }

  std::vector<Token> tokenize_alone(std::string_view text) const override {
    return plain_tokens(*model_, text);
  }

  std::string piece(Token token) const override {
    char text[kPieceBytesMax];
    const std::int32_t length =
        llama_token_to_piece(vocabulary_, token, text, sizeof text, 0, false);
    return length > 0 ? std::string(text, static_cast<std::size_t>(length)) : std::string();
  }

  bool is_end(Token token) const override { return llama_vocab_is_eog(vocabulary_, token); }

  Result<std::unique_ptr<TokenSampler>> make_sampler(
      const GenerationRequest& request) const override {
    KNAP_TRY(auto sampler, LlamaSampler::make(vocabulary_, request));
    return std::unique_ptr<TokenSampler>(std::move(sampler));
  }

  void drop(Slot slot) override { llama_memory_seq_rm(memory_, slot, -1, -1); }

  void cut(Slot slot, std::size_t length) override {
    if (llama_memory_seq_rm(memory_, slot, static_cast<llama_pos>(length), -1)) return;
    drop(slot);  // a state that cannot be cut
  }

  void fork(Slot from, Slot to, std::size_t length) override {
    llama_memory_seq_cp(memory_, from, to, -1, can_cut() ? static_cast<llama_pos>(length) : -1);
  }

  Result<std::string> save(Slot slot) override {
    std::string bytes(llama_state_seq_get_size(context_.get(), slot), '\0');
    const std::size_t written = llama_state_seq_get_data(
        context_.get(), reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size(), slot);
    if (written == 0 || written > bytes.size())
      return make_error(ErrorCode::kInternal, "llama.cpp gave no state of a sequence");
    bytes.resize(written);
    return bytes;
  }

  Status join(Slot slot, std::size_t at, const PassageState& state) override {
    const Slot aside = joining_slot();
    drop(aside);
    const std::size_t read = llama_state_seq_set_data(
        context_.get(), reinterpret_cast<const std::uint8_t*>(state.bytes.data()),
        state.bytes.size(), aside);
    const auto count = static_cast<llama_pos>(state.tokens.size());
    if (read != state.bytes.size() || llama_memory_seq_pos_min(memory_, aside) != 0 ||
        llama_memory_seq_pos_max(memory_, aside) != count - 1) {
      drop(aside);
      return make_error(ErrorCode::kCorruptData, "the kept state of a passage does not fit");
    }
    if (at > 0) {
      llama_memory_seq_add(memory_, aside, 0, count, static_cast<llama_pos>(at));
      shift_pending_ = true;
    }
    llama_memory_seq_cp(memory_, aside, slot, -1, -1);
    drop(aside);
    return {};
  }

  Result<std::vector<std::vector<Token>>> step(std::span<const Item> items, std::size_t threads,
                                               const std::function<bool()>& should_abort) override {
    const auto count =
        static_cast<std::int32_t>(std::clamp<std::size_t>(threads, 1, options_.threads));
    llama_set_n_threads(context_.get(), count, count);
    const bool apart = in_two_parts(items);
    std::int32_t code = 0;
    if (apart) code = decode(items, Batch::Part::kRead, should_abort);
    if (code == 0) {
      code = decode(items, apart ? Batch::Part::kWritten : Batch::Part::kAll, should_abort);
    }
    if (code != 0) {
      for (const Item& item : items) cut(item.slot, item.begin);
      if (code == 2) return make_error(ErrorCode::kCancelled, "the step was given up");
      return make_error(ErrorCode::kInternal,
                        fmt::format("llama.cpp failed to decode (code {})", code));
    }
    std::vector<std::vector<Token>> chosen(items.size());
    std::size_t begin = 0;
    for (std::size_t i = 0; i < items.size(); ++i) {
      const std::size_t before = apart ? 0 : items[i].tokens.size() - 1;
      if (items[i].sampler != nullptr) chosen[i] = choose(items[i], begin + before);
      if (items[i].sampler != nullptr || !apart) begin += before + 1 + items[i].guess.size();
    }
    return chosen;
  }

 private:
  /// Steps of many tokens round differently (BatchProduct). What an answer says must not depend on
  /// how much was read in the same step, so outputs are computed apart from what is only read: with
  /// the same state before them they are always the same.
  static bool in_two_parts(std::span<const Item> items) {
    if (product_device() == nullptr) return false;
    std::size_t read = 0, written = 0;
    for (const Item& item : items) {
      const std::size_t last = item.sampler != nullptr ? 1 : 0;
      read += item.tokens.size() - last;
      written += last + item.guess.size();
    }
    return read > 0 && written > 0 && read + written >= std::size_t{kProductTokensMin};
  }

  /// llama.cpp's answer: 0 when all went well, 2 when it was given up.
  std::int32_t decode(std::span<const Item> items, Batch::Part part,
                      const std::function<bool()>& should_abort) {
    batch_.fill(items, part);
    threads_.attach(context_.get(), batch_.size());
    // Keys are shifted to their places where they lie: given up half-way they would be lost.
    watch_->should_abort = shift_pending_ ? nullptr : &should_abort;
    shift_pending_ = false;
    const std::int32_t code = llama_decode(context_.get(), batch_.view());
    watch_->should_abort = nullptr;
    return code;
  }

  /// @param last  where the last of the item's tokens stands in the batch; its guess follows
  std::vector<Token> choose(const Item& item, std::size_t last) {
    auto& sampler = static_cast<LlamaSampler&>(*item.sampler);
    std::vector<Token> chosen;
    for (std::size_t right = 0;; ++right) {
      const Token token = sampler.choose(
          llama_get_logits_ith(context_.get(), static_cast<std::int32_t>(last + right)));
      chosen.push_back(token);
      if (right < item.guess.size() && token == item.guess[right] && !is_end(token)) continue;
      if (right < item.guess.size()) cut(item.slot, item.begin + item.tokens.size() + right);
      return chosen;
    }
  }

  // One more than the scheduler knows of.
  Slot joining_slot() const { return static_cast<Slot>(options_.slots); }

  const Options options_;
  const std::string placement_;
  const std::unique_ptr<Watch> watch_;  // its address was given to the context
  const Model model_;
  const EngineThreads threads_;  // outlive the context, which computes on them
  const Context context_;
  const llama_memory_t memory_;
  const llama_vocab* const vocabulary_;
  Batch batch_;
  bool shift_pending_ = false;
};

llama_context_params context_parameters(const AnswerEngine::Options& options, Watch* watch) {
  llama_context_params parameters = llama_context_default_params();
  parameters.n_ctx = options.cells;
  parameters.n_batch = options.step_tokens;
  parameters.n_ubatch = options.step_tokens;
  parameters.n_seq_max = options.slots + 1;  // one to put states together in
  // Outputs are wanted of the last token of each sequence only, and of guesses; room for all of a
  // prompt's would take hundreds of megabytes with a vocabulary of 150,000.
  parameters.n_outputs_max = parameters.n_seq_max + static_cast<std::uint32_t>(kGuessMax);
  parameters.kv_unified = true;  // slots share cells
  parameters.n_threads = static_cast<std::int32_t>(options.threads);
  parameters.n_threads_batch = parameters.n_threads;
  parameters.abort_callback = should_abort;
  parameters.abort_callback_data = watch;
  return parameters;
}

/// What llama.cpp is told of graphics cards; the arrays that its parameters point to.
class GpuParameters {
 public:
  GpuParameters(const Placement& placement, const std::vector<GpuHandle>& gpus)
      : split_(llama_max_devices(), 0.0F) {
    // A list that only ends: none, also for what it would else compute there of large steps.
    for (const auto& share : placement.shares) {
      if (devices_.size() >= split_.size()) break;
      split_[devices_.size()] = static_cast<float>(share.layers);
      devices_.push_back(gpus[share.device].handle);
      layers_ += static_cast<std::int32_t>(share.layers);
    }
    devices_.push_back(nullptr);
  }

  void put_into(llama_model_params& parameters) {
    parameters.devices = devices_.data();
    parameters.n_gpu_layers = layers_;
    parameters.tensor_split = split_.data();
    parameters.split_mode = devices_.size() > 2 ? LLAMA_SPLIT_MODE_LAYER : LLAMA_SPLIT_MODE_NONE;
    parameters.main_gpu = devices_.size() > 1 ? 0 : -1;
  }

 private:
  std::vector<ggml_backend_dev_t> devices_;
  std::vector<float> split_;
  std::int32_t layers_ = 0;
};

Result<std::unique_ptr<AnswerEngine>> open_placed(const AnswerEngine::Options& wanted,
                                                  const Placement& placement,
                                                  const std::vector<GpuHandle>& gpus) {
  const EngineMessages messages;
  GpuParameters gpu(placement, gpus);
  llama_model_params model_parameters = llama_model_default_params();
  gpu.put_into(model_parameters);
  Model model(llama_model_load_from_file(wanted.model_file.c_str(), model_parameters),
              llama_model_free);
  if (!model) {
    return make_error(ErrorCode::kCorruptData, fmt::format("llama.cpp cannot load {}",
                                                           wanted.model_file.filename().string()));
  }
  auto watch = std::make_unique<Watch>();
  AnswerEngine::Options options = wanted;
  const auto trained =
      static_cast<std::uint32_t>(std::max(llama_model_n_ctx_train(model.get()), 1));
  options.context = std::min(options.context, trained);
  options.cells = std::max(options.cells, options.context);
  Context context(llama_init_from_model(model.get(), context_parameters(options, watch.get())),
                  llama_free);
  if (!context) {
    return make_error(
        ErrorCode::kResourceExhausted,
        fmt::format("llama.cpp cannot make a context of {} tokens: too little memory?",
                    options.cells));
  }
  return std::unique_ptr<AnswerEngine>(
      std::make_unique<LlamaEngine>(options, std::move(model), EngineThreads(options.threads),
                                    std::move(context), std::move(watch), placement.why));
}

GpuNeed gpu_need(const AnswerEngine::Options& options) {
  GpuNeed need{.computing_bytes = kGpuComputingBytes};
  std::error_code ignored;
  need.weight_bytes = std::filesystem::file_size(options.model_file, ignored);
  // What the header does not tell counts as nothing here; a card that is then too small is given
  // up when it fails.
  const auto header = read_gguf_header(options.model_file);
  if (!header) return need;
  need.layers = header->attention.layers;
  need.state_bytes = std::uint64_t{options.cells} * header->attention.bytes_per_token();
  return need;
}

}  // namespace

Result<std::unique_ptr<AnswerEngine>> AnswerEngine::open(const Options& wanted) {
  load_backends();
  std::vector<GpuHandle> gpus;
  if (wanted.gpu.use != GpuUse::kNever) gpus = find_gpus();
  std::vector<GpuDevice> devices;
  for (const auto& each : gpus) devices.push_back(each.device);
  KNAP_TRY(Placement placement, place_model(gpu_need(wanted), devices, wanted.gpu));
  auto engine = open_placed(wanted, placement, gpus);
  if (engine || placement.shares.empty() || wanted.gpu.use == GpuUse::kAlways) return engine;
  observe::log_warning("gpu_given_up", engine.error().message, {{"placement", placement.why}});
  placement.shares.clear();
  placement.layers = 0;
  placement.why =
      fmt::format("the processor, because a graphics card failed: {}", engine.error().message);
  return open_placed(wanted, placement, gpus);
}

}  // namespace knap::models::runner
