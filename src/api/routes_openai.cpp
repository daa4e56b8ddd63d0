#include "routes.hpp"

#include <algorithm>
#include <bit>
#include <numeric>
#include <span>

#include "json_views.hpp"
#include "knap/base/hash.hpp"
#include "openai_chat.hpp"
#include "requests.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;

constexpr std::size_t kEmbedBatch = 512;  ///< What an Embedder takes at once.

Problem no_such_model(std::string_view name) {
  return {404, "model_not_found",
          "the model '" + std::string(name) +
              "' does not exist here: GET /v1/models lists those that do",
          "model"};
}

json::object model_entry(const Context& context, std::string_view id) {
  return {{"id", id}, {"object", "model"}, {"created", context.started_s}, {"owned_by", "knap"}};
}

json::array model_list(const Context& context) {
  json::array data;
  data.push_back(model_entry(context, "knap"));
  for (const std::string& vault : context.parts.index.vaults())
    data.push_back(model_entry(context, "knap:" + vault));
  for (const models::ModelInfo& model : context.parts.models.list()) {
    if (!model.installed || !model.runnable) continue;
    json::object entry = model_entry(context, model.name);
    entry["knap"] = json::object{{"role", model.role},
                                 {"state", without_paths(model.state)},
                                 {"memory_bytes", model.memory_bytes},
                                 {"resident_bytes", model.resident_bytes},
                                 {"pinned", model.pinned}};
    data.push_back(std::move(entry));
  }
  return data;
}

Outcome get_model(const Context& context, Call& call) {
  for (const json::value& entry : model_list(context)) {
    if (entry.at("id").get_string() == std::string_view(call.path_argument)) {
      return json_response(200, entry.get_object());
    }
  }
  return refuse(no_such_model(call.path_argument));
}

Outcome post_chat(const Context& context, Call& call) {
  auto reader = body_of(call, BodyReader::Unknown::kIgnore);
  if (!reader) return refuse(reader.error());
  auto body = decode_chat(std::move(*reader));
  if (!body) return refuse(body.error());
  // What a header says goes before OpenAI's fields, which clients fill in for other servers.
  if (call.request->fields.get("X-Knap-Priority")) body->request.priority = call.priority;
  if (!call.tenant.empty()) body->request.tenant = call.tenant;
  body->request.request_id = call.id;
  if (body->model == "knap" || body->model.starts_with("knap:")) {
    std::vector<std::string> vaults;
    if (body->model != "knap") {
      vaults.push_back(body->model.substr(5));
      const auto known = context.parts.index.vaults();
      if (std::find(known.begin(), known.end(), vaults.front()) == known.end()) {
        return refuse(no_such_model(body->model));
      }
    }
    return chat_with_notes(context, call, *body, std::move(vaults));
  }
  auto generator = context.parts.models.generator();
  if (!generator || generator->id() != body->model)
    generator = context.parts.models.generator(body->model);
  if (!generator) return refuse(no_such_model(body->model));
  return chat_with_model(context, call, *body, *generator);
}

json::value embedding_value(std::span<const float> row, EmbeddingsBody::Encoding encoding) {
  if (encoding == EmbeddingsBody::Encoding::kBase64) {
    static_assert(std::endian::native == std::endian::little, "the encoding is little-endian");
    return json::value(
        base64_encode({reinterpret_cast<const char*>(row.data()), row.size_bytes()}));
  }
  json::array values;
  values.reserve(row.size());
  for (const float value : row) values.emplace_back(static_cast<double>(value));
  return values;
}

/// The embedder that a name means: `knap` is the one in use. Null: none.
std::shared_ptr<models::Embedder> find_embedder(const Context& context, const std::string& name) {
  if (name.empty()) return nullptr;
  auto embedder = context.parts.models.embedder();
  if (name == "knap" || (embedder && embedder->id() == name)) return embedder;
  return context.parts.models.embedder(name);
}

Outcome post_embeddings(const Context& context, Call& call) {
  auto reader = body_of(call, BodyReader::Unknown::kIgnore);
  if (!reader) return refuse(reader.error());
  const auto body = decode_embeddings(std::move(*reader));
  if (!body) return refuse(body.error());
  const auto embedder = find_embedder(context, body->model);
  if (!embedder) return refuse(no_such_model(body->model));
  if (body->dimensions && static_cast<std::size_t>(*body->dimensions) != embedder->dimensions()) {
    return refuse(wrong_field("dimensions", "the model gives " +
                                                std::to_string(embedder->dimensions()) +
                                                " dimensions and cannot give another number"));
  }
  const Deadline deadline = call.deadline(body->deadline.value_or(kChatLimit));
  const std::span<const std::string> input(body->input);
  json::array data;
  std::uint64_t tokens = 0;
  for (std::size_t begin = 0; begin < input.size(); begin += kEmbedBatch) {
    const auto part = input.subspan(begin, std::min(kEmbedBatch, input.size() - begin));
    const auto priority =
        input.size() > 8 ? models::Priority::kBackground : models::Priority::kSearch;
    const auto embedded = embedder->embed(part, body->kind, priority, deadline, call.cancel());
    if (!embedded) return refuse(to_problem(embedded.error()));
    tokens += embedded->tokens;
    for (std::size_t i = 0; i < part.size(); ++i) {
      data.push_back(
          json::object{{"object", "embedding"},
                       {"index", begin + i},
                       {"embedding", embedding_value(embedded->row(i), body->encoding)}});
    }
  }
  return json_response(
      200,
      json::object{{"object", "list"},
                   {"data", std::move(data)},
                   {"model", body->model},
                   {"usage", json::object{{"prompt_tokens", tokens}, {"total_tokens", tokens}}}});
}

Outcome post_rerank(const Context& context, Call& call) {
  auto reader = body_of(call, BodyReader::Unknown::kIgnore);
  if (!reader) return refuse(reader.error());
  const auto body = decode_rerank(std::move(*reader));
  if (!body) return refuse(body.error());
  const auto reranker = body->model == "knap" ? context.parts.models.reranker()
                                              : context.parts.models.reranker(body->model);
  if (!reranker) return refuse(no_such_model(body->model));
  const Deadline deadline = call.deadline(body->deadline.value_or(kChatLimit));
  if (const Status loaded = reranker->load(deadline, call.cancel()); !loaded)
    return refuse(to_problem(loaded.error()));
  auto lease =
      context.parts.leases.acquire(service::Lane::kGeneration, context.parts.leases.usage().cores,
                                   deadline, call.cancel(), "rerank");
  if (!lease) return refuse(to_problem(lease.error()));
  const auto scores = reranker->score(body->query, body->documents, models::Priority::kSearch,
                                      lease->threads(), deadline, call.cancel());
  if (!scores) return refuse(to_problem(scores.error()));
  std::vector<std::size_t> order(body->documents.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return scores->values[a] > scores->values[b];
  });
  if (body->top_n > 0 && static_cast<std::size_t>(body->top_n) < order.size())
    order.resize(static_cast<std::size_t>(body->top_n));
  json::array results;
  for (const std::size_t i : order) {
    json::object result{{"index", i}, {"relevance_score", scores->values[i]}};
    if (body->return_documents) result["document"] = json::object{{"text", body->documents[i]}};
    results.push_back(std::move(result));
  }
  return json_response(200,
                       json::object{{"model", body->model},
                                    {"results", std::move(results)},
                                    {"usage", json::object{{"total_tokens", scores->tokens}}}});
}

}  // namespace

void add_openai_routes(const Context& context, std::vector<Route>& routes) {
  using service::Level;
  routes.push_back(
      {"GET", "/v1/models", Level::kStatus, Lane::kReports,
       [&context](Call&) -> Outcome {
         return json_response(200, json::object{{"object", "list"}, {"data", model_list(context)}});
       },
       "List models (OpenAI)"});
  routes.push_back({"GET", "/v1/models/{model}", Level::kStatus, Lane::kReports,
                    [&context](Call& call) { return get_model(context, call); },
                    "Describe a model (OpenAI)"});
  routes.push_back({"POST", "/v1/chat/completions", Level::kSearch, Lane::kAsk,
                    [&context](Call& call) { return post_chat(context, call); },
                    "Chat with the notes or with a model (OpenAI)"});
  routes.push_back({"POST", "/v1/embeddings", Level::kSearch, Lane::kAsk,
                    [&context](Call& call) { return post_embeddings(context, call); },
                    "Embed texts (OpenAI)"});
  routes.push_back({"POST", "/v1/rerank", Level::kSearch, Lane::kAsk,
                    [&context](Call& call) { return post_rerank(context, call); },
                    "Order texts by how well they answer a question (Jina)"});
}

}  // namespace knap::api
