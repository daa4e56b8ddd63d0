#include "facts.hpp"

#include <algorithm>

#include "knap/base/hash.hpp"
#include "knap/base/text.hpp"

namespace knap::search {
namespace {

std::vector<std::string> fold_all(const std::vector<std::string>& texts) {
  std::vector<std::string> out;
  out.reserve(texts.size());
  for (const std::string& text : texts) out.push_back(text::fold_case(text));
  return out;
}

std::uint64_t bytes_of(const std::string& text) {
  return sizeof text + (text.capacity() > 15 ? text.capacity() : 0);
}

std::uint64_t bytes_of(const std::vector<std::string>& texts) {
  std::uint64_t bytes = sizeof texts;
  for (const std::string& text : texts) bytes += bytes_of(text);
  return bytes;
}

}  // namespace

std::uint64_t FoldedFacts::bytes() const {
  std::uint64_t bytes = sizeof *this;
  for (const auto* text : {&path, &name, &title, &type, &language}) bytes += bytes_of(*text);
  for (const auto* texts : {&tags, &headings, &links_to}) bytes += bytes_of(*texts);
  bytes += link_hashes.capacity() * sizeof link_hashes[0];
  for (const Property& property : properties)
    bytes += bytes_of(property.name) + property.values.capacity() * sizeof property.values[0];
  return bytes;
}

FoldedFacts fold_facts(const NoteFacts& facts) {
  FoldedFacts out;
  out.path = text::fold_case(facts.path);
  out.name = text::fold_case(facts.name);
  out.title = text::fold_case(facts.title);
  out.type = text::fold_case(facts.type);
  out.language = text::fold_case(facts.language);
  out.tags = fold_all(facts.tags);
  out.headings = fold_all(facts.headings);
  out.links_to = fold_all(facts.links_to);
  // A note that links to another twenty times asks for one comparison.
  std::sort(out.links_to.begin(), out.links_to.end());
  out.links_to.erase(std::unique(out.links_to.begin(), out.links_to.end()), out.links_to.end());
  out.modified_s = facts.modified_s;
  out.created_s = facts.created_s;
  out.has_open_task = facts.has_open_task;
  out.has_done_task = facts.has_done_task;
  out.properties.reserve(facts.properties.size());
  for (const auto& property : facts.properties) {
    auto& folded = out.properties.emplace_back();
    folded.name = text::fold_case(property.name);
    for (const auto& value : property.values) {
      if (const auto* text = std::get_if<std::string>(&value)) {
        folded.values.emplace_back(text::fold_case(*text));
      } else {
        folded.values.push_back(value);
      }
    }
  }
  hash_links(out);
  return out;
}

void hash_links(FoldedFacts& facts) {
  facts.path_hash = hash64(facts.path);
  facts.link_hashes.clear();
  facts.link_hashes.reserve(facts.links_to.size());
  for (const std::string& path : facts.links_to) facts.link_hashes.push_back(hash64(path));
}

}  // namespace knap::search
