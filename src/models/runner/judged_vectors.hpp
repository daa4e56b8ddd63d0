#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "knap/base/result.hpp"

namespace knap::models::runner {

/// Part of a judged collection of documents, each text as one line.
struct JudgedDocuments {
  std::vector<std::string> documents, queries;
  /// By query: the documents that answer it, with their grades.
  std::vector<std::map<std::size_t, int>> grades;
};

/// Reads a folder in BEIR's form: corpus.jsonl and queries.jsonl with _id, title and text, and
/// qrels/test.tsv with query-id, corpus-id and score.
/// @param documents_max  judged ones come first, then the others in the file's order
/// Errors: kNotFound, kInvalidArgument (file and line).
Result<JudgedDocuments> read_judged_documents(const std::filesystem::path& folder,
                                              std::size_t documents_max);

/// Mean nDCG@10 of ranking the documents by cosine (gain 2^grade - 1, discount log2(rank + 1)).
/// @param vectors  of the documents, then of the queries; unit length, row by row
double mean_ndcg_10(const JudgedDocuments& judged, const std::vector<float>& vectors,
                    std::size_t dimensions);

}  // namespace knap::models::runner
