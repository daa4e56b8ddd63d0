#include "json_views.hpp"

#include <array>
#include <chrono>
#include <ctime>

#include <fmt/format.h>

#include "knap/vault/parse.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;

json::value property_value(const vault::Property::Scalar& scalar) {
  struct Visitor {
    json::value operator()(std::monostate) const { return nullptr; }
    json::value operator()(bool value) const { return value; }
    json::value operator()(double value) const { return value; }
    json::value operator()(const std::string& value) const {
      return json::value(std::string_view(value));
    }
    json::value operator()(const vault::DateTime& d) const {
      std::string text = fmt::format("{:04}-{:02}-{:02}", d.year, d.month, d.day);
      if (d.has_time) text += fmt::format("T{:02}:{:02}:{:02}", d.hour, d.minute, d.second);
      return json::value(std::string_view(text));
    }
  };
  return std::visit(Visitor{}, scalar);
}

}  // namespace

json::value text_or_null(std::string_view text) {
  if (text.empty()) return nullptr;
  return json::value(text);
}

std::int64_t unix_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string iso_time(std::int64_t unix_s) {
  const std::time_t time = unix_s;
  std::tm parts{};
  gmtime_r(&time, &parts);
  std::array<char, 32> text{};
  const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), length};
}

json::value iso_time_or_null(std::int64_t unix_s) {
  if (unix_s <= 0) return nullptr;
  return json::value(std::string_view(iso_time(unix_s)));
}

std::string percent_encode(std::string_view text) {
  static constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size() + 16);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      out.push_back(c);
    } else {
      out.push_back('%');
      out.push_back(kDigits[byte >> 4U]);
      out.push_back(kDigits[byte & 15U]);
    }
  }
  return out;
}

std::string obsidian_uri(std::string_view vault, std::string_view path, std::uint32_t place) {
  std::string file(path);
  const vault::FileType type = vault::file_type(path);
  if (place > 0 && type == vault::FileType::kPdf) file += "#page=" + std::to_string(place);
  if (place > 0 && type == vault::FileType::kAudio) file += "#t=" + std::to_string(place);
  return "obsidian://open?vault=" + percent_encode(vault) + "&file=" + percent_encode(file);
}

void add_place(json::object& out, std::string_view path, std::uint32_t place) {
  if (place == 0) return;
  const vault::FileType type = vault::file_type(path);
  if (type == vault::FileType::kPdf || type == vault::FileType::kOffice) out["page"] = place;
  if (type == vault::FileType::kAudio) out["time_s"] = place;
}

json::array line_range(vault::LineRange lines) { return {lines.first, lines.last}; }

std::string_view mode_name(search::Mode mode) {
  switch (mode) {
    case search::Mode::kAuto: return "auto";
    case search::Mode::kKeyword: return "keyword";
    case search::Mode::kSemantic: return "semantic";
    case search::Mode::kHybrid: return "hybrid";
  }
  return "auto";
}

json::array stage_list(const std::vector<search::Stage>& stages) {
  json::array out;
  for (const search::Stage& stage : stages) {
    out.push_back(json::object{{"name", stage.name},
                               {"took_ms", static_cast<double>(stage.took.count()) / 1000.0},
                               {"candidates", stage.candidates}});
  }
  return out;
}

json::object search_result(const index::SearchHit& hit, const std::vector<std::string>& terms,
                           bool explain, const json::storage_ptr& memory) {
  constexpr std::size_t kFields = 14;
  const index::PassageView& passage = hit.passage;
  const search::Snippet snippet = search::make_snippet(passage.plain, terms, passage.language);
  json::array highlights(memory);
  highlights.reserve(snippet.highlights.size());
  for (const auto& [begin, end] : snippet.highlights)
    highlights.push_back(json::array({begin, end}, memory));
  json::object out(kFields, memory);
  out["vault"] = passage.vault;
  out["path"] = passage.path;
  out["title"] = passage.title;
  out["headings"] = text_list(passage.headings, memory);
  out["lines"] = json::array({passage.lines.first, passage.lines.last}, memory);
  add_place(out, passage.path, passage.place);
  out["block"] = text_or_null(passage.block);
  out["snippet"] = snippet.text;
  out["highlights"] = std::move(highlights);
  out["score"] = std::clamp(static_cast<double>(hit.hit.score), 0.0, 1.0);
  out["tags"] = text_list(passage.tags, memory);
  out["modified"] = iso_time(passage.modified_s);
  out["uri"] = obsidian_uri(passage.vault, passage.path, passage.place);
  if (explain) {
    const search::ScoreParts& parts = hit.hit.parts;
    json::object terms_part;
    for (const auto& [term, share] : parts.terms) terms_part[term] = share;
    out["explain"] = json::object{{"bm25", parts.bm25},
                                  {"bm25_normalised", parts.bm25_normalised},
                                  {"cosine", parts.cosine},
                                  {"dense_normalised", parts.dense_normalised},
                                  {"phrase", parts.phrase},
                                  {"prior", parts.prior},
                                  {"sentence", parts.sentence},
                                  {"rerank", parts.rerank},
                                  {"terms", std::move(terms_part)}};
  }
  return out;
}

json::array citation_list(const std::vector<answer::Citation>& citations) {
  json::array out;
  for (const answer::Citation& citation : citations) {
    out.push_back(
        json::object{{"id", citation.id},
                     {"vault", citation.vault},
                     {"path", citation.path},
                     {"title", citation.title},
                     {"headings", text_list(citation.headings)},
                     {"lines", line_range(citation.lines)},
                     {"quote", citation.quote},
                     {"uri", obsidian_uri(citation.vault, citation.path, citation.place)}});
    add_place(out.back().get_object(), citation.path, citation.place);
  }
  return out;
}

json::array claim_list(const std::vector<answer::Claim>& claims) {
  json::array out;
  for (const answer::Claim& claim : claims) {
    json::array citations;
    for (const std::uint32_t id : claim.citations) citations.emplace_back(id);
    out.push_back(json::object{{"text", claim.text},
                               {"citations", std::move(citations)},
                               {"verdict", answer::to_string(claim.verdict)},
                               {"score", std::clamp(static_cast<double>(claim.score), 0.0, 1.0)}});
  }
  return out;
}

json::object answer_body(const answer::Answer& answer) {
  json::object out;
  out["answer"] = answer.text;
  out["citations"] = citation_list(answer.citations);
  out["claims"] = claim_list(answer.claims);
  out["refused"] = answer.refused;
  out["mode"] = answer.mode;
  out["model"] = text_or_null(answer.model);
  out["degraded"] = text_list(answer.degraded);
  out["confidence"] = answer.confidence;
  out["cached"] = text_or_null(answer.cached);
  out["reworded_from"] = text_or_null(answer.reworded_from);
  out["timings"] = json::object{{"search_ms", answer.search.count()},
                                {"queue_ms", answer.queue.count()},
                                {"first_token_ms", answer.first_token.count()},
                                {"total_ms", answer.total.count()}};
  out["usage"] = json::object{{"prompt_tokens", answer.prompt_tokens},
                              {"completion_tokens", answer.completion_tokens},
                              {"total_tokens", answer.prompt_tokens + answer.completion_tokens}};
  return out;
}

json::object vault_status(const index::VaultStatus& status) {
  json::object out;
  out["name"] = status.name;
  out["epoch"] = status.epoch;
  out["files"] = json::object{{"total", status.files.total},     {"indexed", status.files.indexed},
                              {"skipped", status.files.skipped}, {"failed", status.files.failed},
                              {"pending", status.files.pending}, {"stale", status.files.stale}};
  out["notes"] = status.notes;
  out["passages"] = status.passages;
  out["coverage"] =
      json::object{{"keyword", status.keyword_coverage}, {"semantic", status.semantic_coverage}};
  out["lag_ms"] = status.lag.count();
  out["watch"] = status.watch_mode;
  out["embed_model"] = text_or_null(status.embed_model);
  out["embed_state"] = status.embed_state;
  return out;
}

json::object note_body(const index::NoteView& note) {
  json::object properties;
  for (const vault::Property& property : note.properties) {
    if (property.is_list) {
      json::array values;
      for (const auto& value : property.values) values.push_back(property_value(value));
      properties[property.name] = std::move(values);
    } else {
      properties[property.name] =
          property.values.empty() ? json::value() : property_value(property.values.front());
    }
  }
  json::array headings;
  for (const vault::Heading& heading : note.headings) {
    headings.push_back(
        json::object{{"level", heading.level}, {"text", heading.text}, {"line", heading.line}});
  }
  json::object out;
  out["vault"] = note.vault;
  out["path"] = note.path;
  out["title"] = note.title;
  out["language"] = text_or_null(note.language);
  out["aliases"] = text_list(note.aliases);
  out["tags"] = text_list(note.tags);
  out["properties"] = std::move(properties);
  out["headings"] = std::move(headings);
  out["modified"] = iso_time(note.modified_s);
  out["text"] = note.text;
  out["uri"] = obsidian_uri(note.vault, note.path);
  return out;
}

std::string series_key(const observe::Registry::SeriesValue& series) {
  std::string key = series.name;
  for (std::size_t i = 0; i < series.labels.size(); ++i) {
    key += (i == 0 ? "{" : ",") + series.labels[i].first + "=\"" + series.labels[i].second + "\"";
  }
  if (!series.labels.empty()) key += "}";
  return key;
}

json::object series_body(const observe::Registry::SeriesValue& series) {
  json::object labels;
  for (const auto& [name, value] : series.labels) labels[name] = value;
  json::object out{{"name", series.name}, {"labels", std::move(labels)}};
  switch (series.kind) {
    case observe::Registry::SeriesValue::Kind::kCounter:
      out["kind"] = "counter";
      out["value"] = series.value;
      break;
    case observe::Registry::SeriesValue::Kind::kGauge:
      out["kind"] = "gauge";
      out["value"] = series.value;
      break;
    case observe::Registry::SeriesValue::Kind::kHistogram:
      out["kind"] = "histogram";
      out["count"] = series.value;
      out["sum_seconds"] = series.sum;
      out["p50_seconds"] = series.p50;
      out["p95_seconds"] = series.p95;
      out["p99_seconds"] = series.p99;
      break;
  }
  return out;
}

}  // namespace knap::api
