// The check of claims, for bench/claims.py: reads a statement and its quotes, separated by tabs,
// from each line of the standard input, and prints verdict, score and the number of the best quote.
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "knap/answer/answer.hpp"

namespace knap::answer {
namespace {

std::vector<std::string> fields_of(const std::string& line) {
  std::vector<std::string> fields;
  for (std::size_t at = 0; at != std::string::npos;) {
    const std::size_t end = line.find('\t', at);
    fields.push_back(line.substr(at, end - at));
    at = end == std::string::npos ? end : end + 1;
  }
  return fields;
}

void judge_lines() {
  for (std::string line; std::getline(std::cin, line);) {
    const std::vector<std::string> fields = fields_of(line);
    std::vector<Citation> quotes;
    for (std::size_t i = 1; i < fields.size(); ++i) {
      Citation quote;
      quote.id = static_cast<std::uint32_t>(i);
      quote.quote = fields[i];
      quotes.push_back(std::move(quote));
    }
    const Claim claim = check_claim(fields[0], quotes, "en");
    std::cout << to_string(claim.verdict) << '\t' << claim.score << '\t'
              << (claim.citations.empty() ? 0 : claim.citations.front()) << '\n';
  }
}

}  // namespace
}  // namespace knap::answer

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--lines") {
    knap::answer::judge_lines();
  } else {
    std::cout << "claims_bench: the figures come from bench/claims.py\n";
  }
}
