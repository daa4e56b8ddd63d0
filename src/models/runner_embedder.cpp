#include "runner_embedder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstring>

#include "knap/base/hash.hpp"
#include "knap/base/json_text.hpp"
#include "knap/base/text.hpp"
#include "remote_error.hpp"
#include "runner/precision.hpp"

namespace knap::models {
namespace {

namespace json = boost::json;

constexpr std::size_t kTextsMax = 512;
// A window of a few hundred tokens never needs more; keeps 512 texts within the server's limit for
// a body.
constexpr std::size_t kTextBytesMax = 16U << 10;
// How long background work waits for a runner that is starting before it gives the error to its
// caller.
constexpr std::chrono::seconds kBackgroundPatience{10};

class RunnerEmbedder final : public Embedder {
 public:
  RunnerEmbedder(const ModelSpec& spec, std::string precision, std::size_t threads,
                 std::shared_ptr<RunnerPool> pool, std::shared_ptr<RunnerPool::Slot> slot,
                 observe::Registry& metrics)
      : spec_(spec),
        id_(fmt::format("{}@{}/{}", spec.name, revision_of(spec), precision)),
        query_threads_(precision == to_string(runner::Precision::kInt8Plain)
                           ? 1
                           : std::min(threads, kQueryThreads)),
        pool_(std::move(pool)),
        slot_(std::move(slot)),
        texts_(metrics.counter("knap_models_embedded_texts_total", "Texts turned into vectors")),
        tokens_(metrics.counter("knap_models_embedded_tokens_total",
                                "Tokens read by the embedding model")),
        interactive_seconds_(metrics.histogram("knap_models_embed_seconds",
                                               "Time of one embedding call",
                                               {{"priority", "interactive"}})),
        background_seconds_(metrics.histogram("knap_models_embed_seconds",
                                              "Time of one embedding call",
                                              {{"priority", "background"}})) {}

  std::string id() const override { return id_; }
  std::size_t dimensions() const override { return spec_.dimensions; }
  std::vector<std::string> languages() const override { return spec_.languages; }
  std::size_t query_threads() const override { return query_threads_; }

  Result<Embeddings> embed(std::span<const std::string> texts, InputKind kind, Priority priority,
                           Deadline deadline, const CancelToken& cancel) override {
    if (texts.empty() || texts.size() > kTextsMax) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("{} texts: 1 to {} are taken", texts.size(), kTextsMax));
    }
    KNAP_CHECK_OK(still_wanted(cancel, deadline));
    KNAP_TRY(const RunnerPool::Use use, take(priority, deadline, cancel));
    PooledRunner& runner = use.runner();
    const auto begin = SteadyClock::now();
    http::ClientRequest request;
    request.method = "POST";
    request.path = "/v1/embeddings";
    request.fields.set("Content-Type", "application/json");
    request.body = make_body(texts, kind, priority);
    auto response = runner.client().call(request, deadline, cancel);
    if (!response) {
      if (response.error().code == ErrorCode::kUnavailable) runner.suspect();
      return connection_error(std::move(response).error(), spec_.name);
    }
    if (response->status != 200) return remote_error(response->status, response->body, spec_.name);
    KNAP_TRY(Embeddings result, read_body(response->body, texts.size()));
    texts_.add(texts.size());
    tokens_.add(result.tokens);
    (priority == Priority::kBackground ? background_seconds_ : interactive_seconds_)
        .record(SteadyClock::now() - begin);
    return result;
  }

 private:
  Result<RunnerPool::Use> take(Priority priority, Deadline deadline, const CancelToken& cancel) {
    switch (priority) {
      case Priority::kInteractive: return pool_->use_now(slot_);
      case Priority::kSearch: return pool_->use(slot_, deadline, cancel);
      case Priority::kBackground: break;
    }
    return pool_->use(slot_, deadline.earlier(Deadline::after(kBackgroundPatience)), cancel);
  }

  std::string make_body(std::span<const std::string> texts, InputKind kind,
                        Priority priority) const {
    const std::string& prefix =
        kind == InputKind::kQuery ? spec_.query_prefix : spec_.passage_prefix;
    json::array input;
    input.reserve(texts.size());
    for (const std::string& text : texts) {
      const std::string_view cut = text::truncate(text, kTextBytesMax);
      json::string whole(prefix);
      // JSON holds UTF-8 only; broken text is mended as everywhere.
      whole.append(text::is_valid_utf8(cut) ? std::string(cut) : text::repair_utf8(cut));
      input.push_back(std::move(whole));
    }
    json::object body;
    body["input"] = std::move(input);
    body["encoding_format"] = "base64";
    body["priority"] = priority == Priority::kBackground ? "background" : "interactive";
    return json_text(body);
  }

  Result<Embeddings> read_body(const std::string& text, std::size_t count) const {
    const auto broken = [&](std::string_view what) {
      return make_error(ErrorCode::kCorruptData,
                        fmt::format("model {} answered with {}", spec_.name, what));
    };
    boost::system::error_code error;
    const json::value root = json::parse(text, error);
    if (error || !root.is_object()) return broken("no JSON");
    const auto* data = root.get_object().if_contains("data");
    if (data == nullptr || !data->is_array() || data->get_array().size() != count)
      return broken("too few vectors");
    Embeddings result;
    result.dimensions = spec_.dimensions;
    result.values.resize(count * spec_.dimensions);
    for (std::size_t i = 0; i < count; ++i) {
      const auto* item = data->get_array()[i].if_object();
      const auto* encoded = item == nullptr ? nullptr : item->if_contains("embedding");
      if (encoded == nullptr || !encoded->is_string()) return broken("no vector");
      KNAP_TRY(const std::string bytes, base64_decode(std::string_view(encoded->get_string())));
      if (bytes.size() != spec_.dimensions * sizeof(float))
        return broken("vectors of another length");
      std::memcpy(result.values.data() + i * spec_.dimensions, bytes.data(), bytes.size());
    }
    if (const auto* usage = root.get_object().if_contains("usage");
        usage != nullptr && usage->is_object()) {
      const auto* tokens = usage->get_object().if_contains("prompt_tokens");
      if (tokens != nullptr && tokens->is_int64())
        result.tokens = static_cast<std::uint64_t>(tokens->get_int64());
    }
    return result;
  }

  const ModelSpec spec_;
  const std::string id_;
  const std::size_t query_threads_;
  const std::shared_ptr<RunnerPool> pool_;
  const std::shared_ptr<RunnerPool::Slot> slot_;
  observe::Counter& texts_;
  observe::Counter& tokens_;
  observe::Histogram& interactive_seconds_;
  observe::Histogram& background_seconds_;
};

}  // namespace

// The weights decide the vectors: their checksum is the model's revision. They come first.
std::string revision_of(const ModelSpec& spec) {
  return spec.files.empty() ? std::string() : spec.files.front().sha256.substr(0, 12);
}

EmbedderId split_embedder_id(std::string_view id) {
  const std::size_t at = id.find('@');
  const std::size_t slash = id.find('/', at == std::string_view::npos ? 0 : at);
  if (at == std::string_view::npos || slash == std::string_view::npos) return {id, {}, {}};
  return {id.substr(0, at), id.substr(at + 1, slash - at - 1), id.substr(slash + 1)};
}

std::shared_ptr<Embedder> make_runner_embedder(const ModelSpec& spec, std::string precision,
                                               std::size_t threads,
                                               std::shared_ptr<RunnerPool> pool,
                                               std::shared_ptr<RunnerPool::Slot> slot,
                                               observe::Registry& metrics) {
  return std::make_shared<RunnerEmbedder>(spec, std::move(precision), threads, std::move(pool),
                                          std::move(slot), metrics);
}

}  // namespace knap::models
