#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include "knap/base/result.hpp"
#include "knap/http/message.hpp"

namespace knap::api {

/// What goes wrong with a request, before it has one of the two shapes that callers see.
struct Problem {
  int status = 500;
  std::string code = "internal";  ///< Stable, snake case: in `type`, and OpenAI's `code`.
  std::string detail;  ///< What happened and what to do. Never note text or a path of this machine.
  std::string field;   ///< The field to blame; may be empty.
  std::optional<std::size_t> position = std::nullopt;  ///< 1-based character within the field.
  std::chrono::seconds retry_after{1};                 ///< For 429 and 503.
};

template <typename T>
using Checked = tl::expected<T, Problem>;

inline tl::unexpected<Problem> refuse(Problem problem) {
  return tl::unexpected<Problem>(std::move(problem));
}

/// 422: a field's value is wrong.
Problem wrong_field(std::string_view field, std::string detail);
Problem not_found(std::string detail);
Problem overloaded(std::string detail);

/// The one place where kinds of failure become HTTP statuses.
Problem to_problem(const Error& error);

/// Takes absolute paths of this machine out of a message for callers.
std::string without_paths(std::string_view message);

http::Response problem_json(const Problem& problem, std::string_view request_id);
http::Response openai_error(const Problem& problem);

}  // namespace knap::api
