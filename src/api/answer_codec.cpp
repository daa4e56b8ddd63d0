// Answers as JSON, for the cache.
#include <boost/json.hpp>

#include "answer_cache.hpp"
#include "json_views.hpp"
#include "knap/base/json_text.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;
using answer::Answer;

json::object citation_of(const answer::Citation& citation) {
  return {{"id", citation.id},
          {"vault", citation.vault},
          {"path", citation.path},
          {"title", citation.title},
          {"name", citation.note_name},
          {"headings", text_list(citation.headings)},
          {"first", citation.lines.first},
          {"last", citation.lines.last},
          {"place", citation.place},
          {"quote", citation.quote}};
}

json::object claim_of(const answer::Claim& claim) {
  return {{"text", claim.text},
          {"citations", json::array(claim.citations.begin(), claim.citations.end())},
          {"verdict", static_cast<int>(claim.verdict)},
          {"score", claim.score}};
}

std::string text_of(const json::object& object, std::string_view name) {
  return std::string(object.at(name).as_string());
}
template <typename Number>
Number number_of(const json::object& object, std::string_view name) {
  return object.at(name).to_number<Number>();
}
std::vector<std::string> texts_of(const json::object& object, std::string_view name) {
  std::vector<std::string> out;
  for (const json::value& value : object.at(name).as_array()) out.emplace_back(value.as_string());
  return out;
}

answer::Citation read_citation(const json::object& from) {
  answer::Citation out;
  out.id = number_of<std::uint32_t>(from, "id");
  out.vault = text_of(from, "vault");
  out.path = text_of(from, "path");
  out.title = text_of(from, "title");
  out.note_name = text_of(from, "name");
  out.headings = texts_of(from, "headings");
  out.lines = {number_of<std::uint32_t>(from, "first"), number_of<std::uint32_t>(from, "last")};
  out.place = number_of<std::uint32_t>(from, "place");
  out.quote = text_of(from, "quote");
  return out;
}

answer::Claim read_claim(const json::object& from) {
  answer::Claim out;
  out.text = text_of(from, "text");
  for (const json::value& id : from.at("citations").as_array())
    out.citations.push_back(id.to_number<std::uint32_t>());
  const int verdict = number_of<int>(from, "verdict");
  if (verdict < 0 || verdict > static_cast<int>(answer::Verdict::kUnsupported))
    throw std::out_of_range("verdict");
  out.verdict = static_cast<answer::Verdict>(verdict);
  out.score = number_of<float>(from, "score");
  return out;
}

Answer read(const json::object& from) {
  Answer out;
  out.text = text_of(from, "text");
  for (const json::value& each : from.at("citations").as_array())
    out.citations.push_back(read_citation(each.as_object()));
  for (const json::value& each : from.at("claims").as_array())
    out.claims.push_back(read_claim(each.as_object()));
  out.refused = from.at("refused").as_bool();
  out.mode = text_of(from, "mode");
  out.model = text_of(from, "model");
  out.degraded = texts_of(from, "degraded");
  out.prompt_tokens = number_of<std::uint64_t>(from, "prompt_tokens");
  out.completion_tokens = number_of<std::uint64_t>(from, "completion_tokens");
  out.confidence = number_of<double>(from, "confidence");
  out.reworded_from = text_of(from, "reworded_from");
  return out;
}

}  // namespace

std::string encode_answer(const Answer& answer) {
  json::array citations, claims;
  for (const answer::Citation& citation : answer.citations)
    citations.push_back(citation_of(citation));
  for (const answer::Claim& claim : answer.claims) claims.push_back(claim_of(claim));
  return json_text(json::object{{"text", answer.text},
                                {"citations", std::move(citations)},
                                {"claims", std::move(claims)},
                                {"refused", answer.refused},
                                {"mode", answer.mode},
                                {"model", answer.model},
                                {"degraded", text_list(answer.degraded)},
                                {"prompt_tokens", answer.prompt_tokens},
                                {"completion_tokens", answer.completion_tokens},
                                {"confidence", answer.confidence},
                                {"reworded_from", answer.reworded_from}});
}

std::optional<Answer> decode_answer(std::string_view bytes) {
  try {
    return read(json::parse(bytes).as_object());
  } catch (const std::exception&) {
    return std::nullopt;  // bytes of another version, or not ours: a miss
  }
}

}  // namespace knap::api
