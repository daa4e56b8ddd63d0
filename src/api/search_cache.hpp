#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knap/cache/flights.hpp"
#include "knap/cache/layers.hpp"
#include "knap/http/message.hpp"
#include "knap/index/service.hpp"
#include "results_by_content.hpp"

namespace knap::api {

struct Setting;

/// Names the settings that results depend on, for keys: those of ranking, answers and models, and
/// the program's version.
std::string settings_print(const std::vector<Setting>& settings);

/// The text with its white space joined: what searches run with when their result may be kept.
std::string joined_white_space(std::string_view text);

/// A search's result as bytes: all of the response but what differs from one answer to the next.
/// Threads: all functions are pure.
namespace search_value {

std::string make(const index::SearchRequest& request, const index::SearchOutcome& outcome);

struct Told {
  std::optional<cache::Layer> cached;  ///< Nothing: it was made for this request.
  double took_ms = 0;
  std::uint64_t epoch = 0;
};
/// @param extra  further members of the object, as JSON text that begins with ','; may be empty
http::Response response(std::string_view value, const Told& told, std::string_view extra = {});

/// label_of() notes, tags and vaults that it shows.
std::vector<std::uint64_t> labels(const std::vector<index::SearchHit>& hits);

}  // namespace search_value

/// Searches by way of the cache. Threads: safe.
class SearchCache {
 public:
  /// @param layers  null: nothing is kept
  SearchCache(cache::Layers* layers, index::Service& index, std::string settings)
      : layers_(layers), index_(index), settings_(std::move(settings)) {}

  /// What one request looks for. Absent where its result may not be kept.
  struct Wanted {
    cache::Key key;
    index::Content content;
    std::uint64_t name = 0;  ///< Of the request, whatever the content.
  };
  /// Brings the request into its normal form: it must be run so.
  std::optional<Wanted> want(index::SearchRequest& request, index::Effort effort) const;

  struct Hit {
    std::string value;
    cache::Layer layer = cache::Layer::kMemory;
    std::uint32_t cost_us = 0;
    bool refresh = false;  ///< It should be made anew.
  };
  bool holds(const Wanted& wanted) const { return layers_->holds(wanted.key); }
  std::optional<Hit> find_in_memory(const Wanted& wanted) const;
  std::optional<Hit> find(const Wanted& wanted) const;
  cache::Flights::Turn join(const Wanted& wanted, Deadline deadline, const CancelToken& cancel) {
    return flights_.join(wanted.key, deadline, cancel);
  }
  /// Keeps a value when nothing has been published since want(), and hands it to those who wait.
  void keep(const Wanted& wanted, const index::SearchRequest& request,
            const index::SearchOutcome& outcome, std::string_view value,
            std::chrono::microseconds took, cache::Flights::Lead* lead) const;

 private:
  cache::Layers* const layers_;
  index::Service& index_;
  const std::string settings_;
  cache::Flights flights_;
  mutable ResultsByContent kept_;
};

/// Whether a content is still what it was: then what was made meanwhile belongs to it.
bool unchanged(const index::Service& index, const std::vector<std::string>& vaults,
               const index::Content& before);
/// Parts of keys.
std::string vaults_key(std::vector<std::string> vaults);

}  // namespace knap::api
