// Build step: turns openapi.yaml into a C++ file that holds it as JSON.
//   embed_openapi openapi.yaml out.cpp
#include <charconv>
#include <fstream>
#include <iostream>
#include <string>

#include <yaml-cpp/yaml.h>
#include <boost/json.hpp>

namespace {

namespace json = boost::json;

/// A compiler may refuse longer literals; neighbours are joined.
constexpr std::size_t kLiteralBytes = 8000;

/// The kinds that YAML 1.2's core schema gives to plain scalars; quoted ones stay text.
json::value scalar(const YAML::Node& node) {
  const std::string& text = node.Scalar();
  if (node.Tag() == "!") return json::value(text);
  if (text == "true") return true;
  if (text == "false") return false;
  if (text == "null" || text == "~" || text.empty()) return nullptr;
  std::int64_t whole = 0;
  const char* const end = text.data() + text.size();
  if (const auto read = std::from_chars(text.data(), end, whole);
      read.ec == std::errc{} && read.ptr == end) {
    return whole;
  }
  double number = 0;
  if (const auto read = std::from_chars(text.data(), end, number);
      read.ec == std::errc{} && read.ptr == end) {
    return number;
  }
  return json::value(text);
}

json::value convert(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Scalar: return scalar(node);
    case YAML::NodeType::Sequence: {
      json::array out;
      for (const auto& entry : node) out.push_back(convert(entry));
      return out;
    }
    case YAML::NodeType::Map: {
      json::object out;
      for (const auto& entry : node) out[entry.first.Scalar()] = convert(entry.second);
      return out;
    }
    case YAML::NodeType::Undefined:
    case YAML::NodeType::Null: break;
  }
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: embed_openapi openapi.yaml out.cpp\n";
    return 2;
  }
  try {
    const std::string text = json::serialize(convert(YAML::LoadFile(argv[1])));
    std::ofstream out(argv[2]);
    out << "#include \"knap/api/api.hpp\"\n\nnamespace knap::api {\n\nstd::string_view "
           "openapi_json() {\n  return\n";
    for (std::size_t at = 0; at < text.size(); at += kLiteralBytes) {
      out << "      R\"knap(" << text.substr(at, kLiteralBytes) << ")knap\"\n";
    }
    out << "      ;\n}\n\n}  // namespace knap::api\n";
    if (!out.flush()) {
      std::cerr << argv[2] << ": cannot be written\n";
      return 1;
    }
  } catch (const std::exception& error) {
    std::cerr << argv[1] << ": " << error.what() << "\n";
    return 1;
  }
  return 0;
}
