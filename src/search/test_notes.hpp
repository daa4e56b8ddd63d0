#pragma once

#include <string>
#include <vector>

#include "knap/search/index.hpp"

/// Small notes for this room's tests.
namespace knap::search::testing_notes {

inline NoteInput note(std::uint64_t id, std::string title, const std::vector<std::string>& passages,
                      std::string language = "en") {
  NoteInput input;
  input.id = NoteId{id};
  input.name = title;
  input.path = title + ".md";
  input.title = std::move(title);
  input.language = std::move(language);
  input.facts.path = input.path;
  input.facts.name = input.name;
  input.facts.title = input.title;
  input.facts.language = input.language;
  input.facts.type = "md";
  for (const std::string& plain : passages) {
    PassageInput passage;
    passage.hash = hash128(plain);
    passage.plain = plain;
    input.passages.push_back(std::move(passage));
  }
  return input;
}

inline Index::Batch upsert(std::vector<NoteInput> notes) { return {std::move(notes), {}}; }

inline std::vector<std::uint64_t> ids(const SearchResult& result) {
  std::vector<std::uint64_t> out;
  for (const Hit& hit : result.hits) out.push_back(static_cast<std::uint64_t>(hit.note));
  return out;
}

inline SearchResult search(const Index& index, std::string text, Mode mode = Mode::kKeyword,
                           std::vector<float> embedding = {}, Group group = Group::kNote) {
  Query query;
  query.text = std::move(text);
  query.mode = mode;
  query.group = group;
  query.embedding = std::move(embedding);
  auto result = index.search(query, Deadline::never());
  return result ? std::move(*result) : SearchResult{};
}

}  // namespace knap::search::testing_notes
