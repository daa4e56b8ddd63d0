#pragma once

namespace knap::detail {
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);
}  // namespace knap::detail

/// A broken invariant is a bug: says where and aborts. Stays on in release. Never on input from
/// outside.
#define KNAP_ASSERT(...)                                                                    \
  do {                                                                                      \
    if (!(__VA_ARGS__)) ::knap::detail::assertion_failed(#__VA_ARGS__, __FILE__, __LINE__); \
  } while (false)

/// The same in debug builds only, for measured hot loops.
#ifdef NDEBUG
#define KNAP_DCHECK(...) \
  do {                   \
  } while (false)
#else
#define KNAP_DCHECK(...) KNAP_ASSERT(__VA_ARGS__)
#endif
