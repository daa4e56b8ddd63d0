#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <tl/expected.hpp>

namespace knap {

/// What kind of failure happened. Few codes; each says when a neighbour fits better.
enum class ErrorCode {
  kInvalidArgument,  ///< The caller's input is wrong whatever the state; see kFailedPrecondition.
  kNotFound,         ///< The named thing does not exist.
  kAlreadyExists,    ///< The named thing exists and must not.
  kFailedPrecondition,  ///< Input is fine, the system's state is not (not configured, not ready for
                        ///< this ever).
  kUnavailable,  ///< Not now; the same call may succeed later (starting, restarting, peer down).
  kResourceExhausted,  ///< A limit is reached: queue full, disk full, too large, too many.
  kDeadlineExceeded,   ///< The deadline passed before the work was done.
  kCancelled,          ///< The caller went away or asked to stop.
  kCorruptData,        ///< Bytes at rest or from a peer break their format; names the file.
  kIo,                 ///< The operating system refused a read, write or call; names the path.
  kPermissionDenied,   ///< Refused by file mode or policy.
  kUnsupported,        ///< Well formed, but not something this build or model can do.
  kInternal,           ///< A bug of ours. Counted.
};

/// The code's stable name in snake case, e.g. "not_found".
std::string_view to_string(ErrorCode code);

/// A failure: its kind, and a message that says what failed, on which object, and what to do. Never
/// note text.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
};

/// A value or an Error. Must be looked at.
template <typename T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
  // NOLINTNEXTLINE(google-explicit-constructor): `return error;` is how functions fail.
  Result(Error error) : tl::expected<T, Error>(tl::unexpect, std::move(error)) {}
};

/// Success or an Error.
using Status = Result<void>;

inline Error make_error(ErrorCode code, std::string message) {
  return Error{code, std::move(message)};
}

/// The same error with "context: " put before its message.
inline Error with_context(Error error, std::string_view context) {
  error.message = std::string(context) + ": " + error.message;
  return error;
}

}  // namespace knap

#define KNAP_CONCAT_INNER(a, b) a##b
#define KNAP_CONCAT(a, b) KNAP_CONCAT_INNER(a, b)

/// KNAP_TRY(auto value, expression): declares `value` from a Result, or returns its Error.
#define KNAP_TRY(declaration, ...) \
  KNAP_TRY_IMPL(KNAP_CONCAT(knap_try_, __LINE__), declaration, __VA_ARGS__)
#define KNAP_TRY_IMPL(temporary, declaration, ...)     \
  auto temporary = (__VA_ARGS__);                      \
  if (!temporary) return std::move(temporary).error(); \
  declaration = std::move(*temporary)

/// KNAP_CHECK_OK(expression): returns the Error of a Status, or goes on.
#define KNAP_CHECK_OK(...)                                                                     \
  do {                                                                                         \
    if (auto knap_status = (__VA_ARGS__); !knap_status) return std::move(knap_status).error(); \
  } while (false)
