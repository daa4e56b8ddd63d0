#include "runner/answer_engine.hpp"

#include <fmt/format.h>
#include <ggml-backend.h>
#include <llama.h>

#include <algorithm>
#include <mutex>

#include "knap/observe/log.hpp"
#include "runner/text_stream.hpp"

namespace knap::models::runner {
namespace {

// Prompt tokens a step: between two steps the caller's going is looked at (the abort callback looks
// more often).
constexpr std::uint32_t kBatchTokens = 512;
constexpr std::size_t kPieceBytesMax = 256;
constexpr std::size_t kTemplateSlack = 4'096;
constexpr int kTopK =
    40;  // llama.cpp's usual choice: the tail of 50,000 candidates costs time and adds nothing

using Token = llama_token;

// What llama.cpp says while it loads explains a broken file. Later it reports each aborted step as
// an error, which is how answers are cancelled; real failures come back as codes.
thread_local bool loading = false;

void log_engine(ggml_log_level level, const char* text, void*) {
  if (level != GGML_LOG_LEVEL_ERROR || text == nullptr || !loading) return;
  std::string_view line = text;
  while (line.ends_with('\n')) line.remove_suffix(1);
  observe::log_error("llama", line);
}

// One CPU backend for each instruction set lies in that folder; ggml takes the best that this
// machine runs.
void load_backends() {
  static std::once_flag once;
  std::call_once(once, [] {
    llama_log_set(log_engine, nullptr);
    ggml_backend_load_all_from_path(KNAP_GGML_BACKEND_DIR);
    llama_backend_init();
  });
}

/// What the abort callback looks at while a step computes.
struct Watch {
  Deadline deadline = Deadline::never();
  CancelToken cancel;
};

bool should_abort(void* data) {
  const auto* watch = static_cast<const Watch*>(data);
  return watch->cancel.cancelled() || watch->deadline.expired();
}

using Model = std::unique_ptr<llama_model, void (*)(llama_model*)>;
using Context = std::unique_ptr<llama_context, void (*)(llama_context*)>;
using Sampler = std::unique_ptr<llama_sampler, void (*)(llama_sampler*)>;

Sampler make_sampler(const AnswerEngine::Request& request) {
  Sampler chain(llama_sampler_chain_init(llama_sampler_chain_default_params()), llama_sampler_free);
  if (request.temperature <= 0) {
    llama_sampler_chain_add(chain.get(), llama_sampler_init_greedy());
    return chain;
  }
  llama_sampler_chain_add(chain.get(), llama_sampler_init_top_k(kTopK));
  llama_sampler_chain_add(chain.get(), llama_sampler_init_temp(request.temperature));
  if (request.top_p < 1)
    llama_sampler_chain_add(chain.get(), llama_sampler_init_top_p(request.top_p, 1));
  llama_sampler_chain_add(chain.get(), llama_sampler_init_dist(request.seed));
  return chain;
}

class LlamaEngine final : public AnswerEngine {
 public:
  LlamaEngine(const Options& options, Model model, Context context, std::unique_ptr<Watch> watch)
      : options_(options),
        watch_(std::move(watch)),
        model_(std::move(model)),
        context_(std::move(context)),
        vocabulary_(llama_model_get_vocab(model_.get())) {}

  std::uint32_t context() const override { return llama_n_ctx(context_.get()); }

  std::string description() const override {
    char text[256] = {};
    llama_model_desc(model_.get(), text, sizeof text);
    return text;
  }

  Result<Outcome> generate(const Request& request, Deadline deadline, const CancelToken& cancel,
                           const OnText& on_text) override {
    KNAP_TRY(const std::vector<Token> prompt, tokenize_chat(request.messages));
    if (prompt.size() >= context()) {
      return make_error(ErrorCode::kResourceExhausted,
                        fmt::format("the prompt has {} tokens, the model's context {}: shorten it",
                                    prompt.size(), context()));
    }
    const auto threads =
        static_cast<std::int32_t>(request.threads > 0 ? request.threads : options_.threads);
    llama_set_n_threads(context_.get(), threads, threads);
    *watch_ = Watch{deadline, cancel};
    Outcome outcome;
    outcome.prompt_tokens = prompt.size();
    auto status = read_prompt(prompt, outcome);
    auto result = status ? write_answer(request, outcome, on_text)
                         : Result<Outcome>(std::move(status).error());
    *watch_ = Watch{};
    return result;
  }

 private:
  /// The template with marks instead of the messages' texts, cut at the marks. The template's own
  /// parts may hold special tokens; the texts may not, whatever they say: a note with "<|im_end|>"
  /// in it stays a note.
  Result<std::vector<Token>> tokenize_chat(const std::vector<Message>& messages) const {
    std::vector<std::string> marks;
    std::vector<llama_chat_message> chat;
    for (std::size_t i = 0; i < messages.size(); ++i)
      marks.push_back(fmt::format("@@knap-content-{}@@", i));
    for (std::size_t i = 0; i < messages.size(); ++i)
      chat.push_back({messages[i].role.c_str(), marks[i].c_str()});
    KNAP_TRY(const std::string rendered, apply_template(chat));

    std::vector<Token> tokens;
    std::string_view rest = rendered;
    bool first = true;
    for (std::size_t i = 0; i < messages.size(); ++i) {
      const std::size_t at = rest.find(marks[i]);
      if (at == std::string_view::npos) {
        return make_error(
            ErrorCode::kUnsupported,
            fmt::format("the model's template drops a message of role '{}'", messages[i].role));
      }
      append_tokens(rest.substr(0, at), first, true, tokens);
      append_tokens(messages[i].content, false, false, tokens);
      rest.remove_prefix(at + marks[i].size());
      first = false;
    }
    append_tokens(rest, first, true, tokens);
    return tokens;
  }

  Result<std::string> apply_template(const std::vector<llama_chat_message>& chat) const {
    std::string text(kTemplateSlack, '\0');
    const auto apply = [&](const char* name) {
      return llama_chat_apply_template(name, chat.data(), chat.size(), true, text.data(),
                                       static_cast<std::int32_t>(text.size()));
    };
    const char* own = llama_model_chat_template(model_.get(), nullptr);
    const char* used = own != nullptr && apply(own) >= 0 ? own : "chatml";
    for (int attempt = 0; attempt < 2; ++attempt) {
      const std::int32_t length = apply(used);
      if (length < 0) break;
      const bool fits = static_cast<std::size_t>(length) <= text.size();
      text.resize(static_cast<std::size_t>(length));
      if (fits) return text;
    }
    return make_error(ErrorCode::kUnsupported, "the model's chat template cannot be applied");
  }

  void append_tokens(std::string_view text, bool begin, bool special,
                     std::vector<Token>& tokens) const {
    // Templates that write the begin token themselves must not get a second one.
    const Token bos = llama_vocab_bos(vocabulary_);
    if (begin && bos >= 0 && text.starts_with(llama_vocab_get_text(vocabulary_, bos)))
      begin = false;
    if (text.empty() && !begin) return;
    const std::size_t before = tokens.size();
    tokens.resize(before + text.size() + 2);
    const std::int32_t count = llama_tokenize(
        vocabulary_, text.data(), static_cast<std::int32_t>(text.size()), tokens.data() + before,
        static_cast<std::int32_t>(tokens.size() - before), begin, special);
    tokens.resize(before + static_cast<std::size_t>(std::max(count, 0)));
  }

  // Keeps the shared beginning of the last state, reads the rest.
  Status read_prompt(const std::vector<Token>& prompt, Outcome& outcome) {
    const auto begin = SteadyClock::now();
    std::size_t shared = 0;
    while (shared < state_.size() && shared < prompt.size() && state_[shared] == prompt[shared])
      ++shared;
    shared = std::min(
        shared, prompt.size() - 1);  // the last token is read in any case: its output is needed
    cut_state(shared);
    outcome.reused_tokens = state_.size();
    while (state_.size() < prompt.size()) {
      const std::size_t count = std::min<std::size_t>(kBatchTokens, prompt.size() - state_.size());
      const auto step = std::span(prompt).subspan(state_.size(), count);
      if (auto status = decode(step); !status) {
        // Stopped while reading: nothing was written, so the deadline's error is the answer.
        return status;
      }
    }
    outcome.prompt_time =
        std::chrono::duration_cast<std::chrono::microseconds>(SteadyClock::now() - begin);
    return {};
  }

  void cut_state(std::size_t length) {
    llama_memory_t memory = llama_get_memory(context_.get());
    if (length > 0 && llama_memory_seq_rm(memory, 0, static_cast<llama_pos>(length), -1)) {
      state_.resize(length);
      return;
    }
    llama_memory_clear(memory, false);
    state_.clear();
  }

  Status decode(std::span<const Token> tokens) {
    std::vector<Token> step(tokens.begin(), tokens.end());
    const std::size_t before = state_.size();
    const std::int32_t code = llama_decode(
        context_.get(), llama_batch_get_one(step.data(), static_cast<std::int32_t>(step.size())));
    if (code == 0) {
      state_.insert(state_.end(), step.begin(), step.end());
      return {};
    }
    cut_state(before);  // whatever part of the step was kept
    KNAP_CHECK_OK(still_wanted(watch_->cancel, watch_->deadline));
    return make_error(ErrorCode::kInternal,
                      fmt::format("llama.cpp failed to decode (code {})", code));
  }

  Result<Outcome> write_answer(const Request& request, Outcome outcome, const OnText& on_text) {
    const auto begin = SteadyClock::now();
    const Sampler sampler = make_sampler(request);
    TextStream stream(request.stop);
    const auto room = static_cast<std::uint64_t>(context() - state_.size());
    const std::uint64_t limit = std::min<std::uint64_t>(request.max_tokens, room);
    outcome.finish_reason = "length";
    const auto show = [&](const std::string& text) {
      return text.empty() || on_text(text, outcome);
    };
    while (outcome.completion_tokens < limit) {
      const Token token = llama_sampler_sample(sampler.get(), context_.get(), -1);
      if (llama_vocab_is_eog(vocabulary_, token)) {
        outcome.finish_reason = "stop";
        break;
      }
      ++outcome.completion_tokens;
      if (!show(stream.push(piece_of(token))))
        return make_error(ErrorCode::kCancelled, "the caller has gone");
      if (stream.stopped()) {
        outcome.finish_reason = "stop";
        break;
      }
      if (outcome.completion_tokens == limit) break;
      if (auto status = decode(std::span(&token, 1)); !status) {
        if (status.error().code == ErrorCode::kDeadlineExceeded)
          break;  // what is written is the answer
        return std::move(status).error();
      }
    }
    if (!show(stream.finish())) return make_error(ErrorCode::kCancelled, "the caller has gone");
    outcome.generation_time =
        std::chrono::duration_cast<std::chrono::microseconds>(SteadyClock::now() - begin);
    return outcome;
  }

  std::string piece_of(Token token) const {
    char piece[kPieceBytesMax];
    const std::int32_t length =
        llama_token_to_piece(vocabulary_, token, piece, sizeof piece, 0, false);
    return length > 0 ? std::string(piece, static_cast<std::size_t>(length)) : std::string();
  }

  const Options options_;
  const std::unique_ptr<Watch> watch_;  // its address was given to the context
  const Model model_;
  const Context context_;
  const llama_vocab* const vocabulary_;
  std::vector<Token> state_;  ///< The tokens whose state the context holds.
};

}  // namespace

Result<std::unique_ptr<AnswerEngine>> AnswerEngine::open(const Options& options) {
  load_backends();
  loading = true;
  llama_model_params model_parameters = llama_model_default_params();
  Model model(llama_model_load_from_file(options.model_file.c_str(), model_parameters),
              llama_model_free);
  if (!model) {
    return make_error(ErrorCode::kCorruptData, fmt::format("llama.cpp cannot load {}",
                                                           options.model_file.filename().string()));
  }
  auto watch = std::make_unique<Watch>();
  llama_context_params parameters = llama_context_default_params();
  const auto trained =
      static_cast<std::uint32_t>(std::max(llama_model_n_ctx_train(model.get()), 1));
  parameters.n_ctx = std::min(options.context, trained);
  parameters.n_batch = kBatchTokens;
  parameters.n_ubatch = kBatchTokens;
  parameters.n_threads = static_cast<std::int32_t>(options.threads);
  parameters.n_threads_batch = parameters.n_threads;
  parameters.abort_callback = should_abort;
  parameters.abort_callback_data = watch.get();
  Context context(llama_init_from_model(model.get(), parameters), llama_free);
  if (!context) {
    return make_error(
        ErrorCode::kResourceExhausted,
        fmt::format("llama.cpp cannot make a context of {} tokens: too little memory?",
                    parameters.n_ctx));
  }
  return std::unique_ptr<AnswerEngine>(std::make_unique<LlamaEngine>(
      options, std::move(model), std::move(context), std::move(watch)));
}

}  // namespace knap::models::runner
