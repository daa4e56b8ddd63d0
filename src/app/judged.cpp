#include "judged.hpp"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include "knap/base/file.hpp"

namespace knap::app {
namespace {

constexpr std::uint64_t kFileBytesMax = 16U << 20;
constexpr std::size_t kQuestionsMax = 100'000;
constexpr std::size_t kQueryBytesMax = 4096;
constexpr int kGradeMax = 3;

/// What reading stumbled over; the file's name is added outside.
Error at(const YAML::Node& node, std::string_view message) {
  return make_error(ErrorCode::kInvalidArgument,
                    fmt::format("line {}: {}", node.Mark().line + 1, message));
}

Result<std::string> scalar(const YAML::Node& node, std::string_view what) {
  if (!node.IsScalar()) return at(node, fmt::format("'{}' must be plain text", what));
  return node.Scalar();
}

Status read_note(const YAML::Node& node, JudgedQuestion& out) {
  if (node.IsScalar()) {
    out.grades[node.Scalar()] = 1;
    return {};
  }
  if (!node.IsMap() || !node["path"])
    return at(node, "a note is a path, or {path: ..., grade: 1 to 3}");
  KNAP_TRY(const std::string path, scalar(node["path"], "path"));
  const YAML::Node grade = node["grade"];
  const int value = grade ? grade.as<int>(0) : 1;
  if (value < 1 || value > kGradeMax)
    return at(node, fmt::format("'grade' must be from 1 to {}", kGradeMax));
  out.grades[path] = value;
  return {};
}

Result<JudgedQuestion> read_question(const YAML::Node& node) {
  if (!node.IsMap()) return at(node, "a question has 'query' and 'notes'");
  JudgedQuestion out;
  for (const auto& entry : node) {
    KNAP_TRY(const std::string key, scalar(entry.first, "key"));
    if (key == "query") {
      KNAP_TRY(out.query, scalar(entry.second, key));
    } else if (key == "filter") {
      KNAP_TRY(out.filter, scalar(entry.second, key));
    } else if (key == "vault") {
      KNAP_TRY(out.vault, scalar(entry.second, key));
    } else if (key == "notes") {
      if (!entry.second.IsSequence()) return at(entry.second, "'notes' must be a list");
      for (const auto& note : entry.second) KNAP_CHECK_OK(read_note(note, out));
    } else {
      return at(
          entry.first,
          fmt::format("unknown key '{}'; a question has query, notes, filter and vault", key));
    }
  }
  if (out.query.empty() || out.query.size() > kQueryBytesMax)
    return at(node, fmt::format("'query' must have 1 to {} bytes", kQueryBytesMax));
  if (out.grades.empty()) return at(node, "'notes' names no note that answers the question");
  return out;
}

Result<std::vector<JudgedQuestion>> read_text(const std::string& text) {
  const YAML::Node root = YAML::Load(text);
  const YAML::Node list = root.IsMap() ? root["questions"] : root;
  if (!list || !list.IsSequence() || list.size() == 0)
    return at(root,
              "expected 'questions:' and under it a list of questions with 'query' and 'notes'");
  if (list.size() > kQuestionsMax)
    return at(list, fmt::format("more than {} questions", kQuestionsMax));
  std::vector<JudgedQuestion> out;
  out.reserve(list.size());
  for (const auto& node : list) {
    KNAP_TRY(out.emplace_back(), read_question(node));
  }
  return out;
}

}  // namespace

Result<std::vector<JudgedQuestion>> read_judged(const std::filesystem::path& file) {
  KNAP_TRY(const std::string text, read_file(file, kFileBytesMax));
  try {
    auto questions = read_text(text);
    if (!questions)
      return make_error(questions.error().code,
                        fmt::format("{} {}", file.string(), questions.error().message));
    return questions;
  } catch (const YAML::Exception& error) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("{} line {}: not valid YAML: {}", file.string(),
                                  error.mark.line + 1, error.msg));
  }
}

}  // namespace knap::app
