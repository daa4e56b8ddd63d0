#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <boost/json.hpp>

#include "knap/answer/answer.hpp"
#include "knap/index/service.hpp"
#include "knap/observe/metrics.hpp"

namespace knap::api {

/// How things of other rooms look in responses (openapi.yaml). All pure but unix_now().
std::int64_t unix_now();
std::string iso_time(std::int64_t unix_s);  ///< "2026-01-31T09:00:00Z"
boost::json::value iso_time_or_null(std::int64_t unix_s);

boost::json::value text_or_null(std::string_view text);  ///< null for an empty one

std::string percent_encode(std::string_view text);
/// @param place  page of a PDF, as "#page=3", second of a recording, as "#t=75"; 0: none
std::string obsidian_uri(std::string_view vault, std::string_view path, std::uint32_t place = 0);
/// Adds where in a document something stands: "page" of a PDF or of slides, "time_s" of a
/// recording. Of a note nothing.
void add_place(boost::json::object& out, std::string_view path, std::uint32_t place);

template <typename Texts>
boost::json::array text_list(const Texts& texts, const boost::json::storage_ptr& memory = {}) {
  boost::json::array out(memory);
  out.reserve(texts.size());
  for (const auto& text : texts) out.emplace_back(std::string_view(text));
  return out;
}
boost::json::array line_range(vault::LineRange lines);

/// @param memory  of the object and all in it
boost::json::object search_result(const index::SearchHit& hit,
                                  const std::vector<std::string>& terms, bool explain,
                                  const boost::json::storage_ptr& memory = {});
std::string_view mode_name(search::Mode mode);
boost::json::array stage_list(const std::vector<search::Stage>& stages);

boost::json::array citation_list(const std::vector<answer::Citation>& citations);
boost::json::array claim_list(const std::vector<answer::Claim>& claims);
boost::json::object answer_body(const answer::Answer& answer);

boost::json::object vault_status(const index::VaultStatus& status);
boost::json::object note_body(const index::NoteView& note);
boost::json::object series_body(const observe::Registry::SeriesValue& series);
std::string series_key(const observe::Registry::SeriesValue& series);  ///< name{label="value",...}

}  // namespace knap::api
