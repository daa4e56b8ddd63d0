#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "body_reader.hpp"
#include "knap/answer/answer.hpp"
#include "knap/index/service.hpp"
#include "knap/models/models.hpp"

namespace knap::api {

/// A caller's own limit on the time of its request.
using DeadlineWish = std::optional<std::chrono::milliseconds>;

struct SearchBody {
  index::SearchRequest request;
  std::string filter;  ///< As written.
  DeadlineWish deadline;
};
/// @param query_name  "query" in bodies, "q" in query parameters
Checked<SearchBody> decode_search(BodyReader reader, std::string_view query_name,
                                  std::int64_t now_s);

/// The time that filters count ages ("7d") from: the full minute, so that what they ask for stays
/// the same for a minute.
std::int64_t filter_now();

/// The request as JSON that decode_search() reads. Its deadline and explain are left out.
std::string encode_search(const SearchBody& body);

enum class Delivery { kWhole, kStream };

struct AskBody {
  answer::AskRequest request;
  std::string filter;  ///< As written.
  Delivery delivery = Delivery::kWhole;
  DeadlineWish deadline;
  bool explain = false;
};
Checked<AskBody> decode_ask(BodyReader reader, std::int64_t now_s);
/// The same for a question; empty when it belongs to a conversation.
std::string encode_ask(const AskBody& body);

struct ChatBody {
  std::string model;
  models::GenerateRequest request;
  Delivery delivery = Delivery::kWhole;
  bool include_usage = false;
  DeadlineWish deadline;
};
Checked<ChatBody> decode_chat(BodyReader reader);

struct EmbeddingsBody {
  std::string model;
  std::vector<std::string> input;
  enum class Encoding { kFloat, kBase64 } encoding = Encoding::kFloat;
  models::InputKind kind = models::InputKind::kPassage;
  std::optional<std::int64_t> dimensions;
  DeadlineWish deadline;
};
Checked<EmbeddingsBody> decode_embeddings(BodyReader reader);

/// Jina's shape, which OpenAI has nothing for.
struct RerankBody {
  std::string model, query;
  std::vector<std::string> documents;
  std::int64_t top_n = 0;  ///< 0: all.
  bool return_documents = false;
  DeadlineWish deadline;
};
Checked<RerankBody> decode_rerank(BodyReader reader);

struct ScanBody {
  index::Service::WaitFor wait = index::Service::WaitFor::kKeyword;
};
Checked<ScanBody> decode_scan(BodyReader reader);

}  // namespace knap::api
