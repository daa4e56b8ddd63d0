// Any text as a filter: no crash, errors within the text, and evaluation that agrees with negation.
#include <cstdint>
#include <string>

#include "knap/base/assert.hpp"
#include "knap/search/filter.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace knap::search;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto filter = Filter::parse(text, 1'767'268'800);
  if (!filter) {
    KNAP_ASSERT(filter.error().offset <= text.size() && filter.error().character >= 1);
    KNAP_ASSERT(!filter.error().message.empty());
    return 0;
  }
  NoteFacts facts;
  facts.path = "a/b.md";
  facts.name = facts.title = "b";
  facts.tags = {"x/y"};
  facts.headings = {"h"};
  facts.links_to = {"c.md"};
  facts.modified_s = 1'767'000'000;
  facts.properties = {{"p", {1.0, std::string("2026-01-01"), true}}, {"q", {}}};
  const bool matches = filter->matches(facts);
  const auto negated = Filter::parse("-(" + std::string(text) + ")", 1'767'268'800);
  if (negated && !filter->canonical().empty()) KNAP_ASSERT(negated->matches(facts) != matches);
  return 0;
}
