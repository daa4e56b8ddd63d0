#pragma once

#include <string>

#include <boost/json/fwd.hpp>

namespace knap {

/// A value as compact JSON text, with numbers as people write them ("0.63", where
/// boost::json::serialize writes "6.3E-1"). Numbers that came from a float have a float's digits;
/// what is no number becomes null. Depth is bounded by whoever made the value (parsers: 32).
std::string json_text(const boost::json::value& value);
std::string json_text(const boost::json::object& object);

}  // namespace knap
