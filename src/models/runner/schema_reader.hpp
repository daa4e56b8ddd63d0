#pragma once

#include <boost/json.hpp>
#include <map>
#include <string>
#include <string_view>

#include "runner/json_grammar.hpp"

namespace knap::models::runner {

/// Reads one JSON schema into a grammar. For JsonGrammar::add_schema().
class SchemaReader {
 public:
  SchemaReader(JsonGrammar& grammar, const boost::json::value& root, JsonGrammar::Keep keep)
      : grammar_(grammar), root_(root), keep_(keep) {}

  Result<std::string> read() { return read_schema(root_); }

 private:
  using Object = boost::json::object;
  Result<std::string> read_schema(const boost::json::value& schema);
  Result<std::string> body_of(const Object& schema);
  Status check_keywords(const Object& schema) const;

  Result<std::string> read_reference(const Object& schema);
  Result<const boost::json::value*> resolve(std::string_view pointer) const;
  Result<std::string> read_alternatives(const Object& schema, std::string_view keyword);
  Result<std::string> read_constants(const Object& schema);
  Result<std::string> read_types(const Object& schema);
  Result<std::string> read_type(const Object& schema, std::string_view type);
  Result<std::string> read_string(const Object& schema);
  Result<std::string> read_integer(const Object& schema) const;
  Result<std::string> read_number(const Object& schema) const;
  Result<std::string> read_array(const Object& schema);
  Result<std::string> read_tuple(const Object& schema);
  Result<std::string> read_object(const Object& schema);
  Result<std::string> read_map(const Object& schema);
  Result<std::string> read_members(const Object& properties, const Object& schema);

  struct Counts {
    std::size_t min = 0;
    std::optional<std::size_t> max;
  };
  Result<Counts> read_counts(const Object& schema, std::string_view min, std::string_view max);
  bool loose() const { return keep_ == JsonGrammar::Keep::kLoose; }
  Error wrong(std::string_view what) const;

  /// One step into the schema while it is read, for messages. With dots: what looks like an
  /// absolute path is taken out of messages for callers.
  class Step {
   public:
    Step(SchemaReader& reader, std::string_view name) : path_(reader.path_), size_(path_.size()) {
      if (!path_.empty()) path_ += '.';
      path_ += name;
    }
    ~Step() { path_.resize(size_); }
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;

   private:
    std::string& path_;
    std::size_t size_;
  };

  JsonGrammar& grammar_;
  const boost::json::value& root_;
  const JsonGrammar::Keep keep_;
  std::string path_;
  std::size_t depth_ = 0;
  std::map<const boost::json::value*, std::string> references_;  ///< Rules of what $ref points to.
};

}  // namespace knap::models::runner
