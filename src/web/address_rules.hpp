#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace knap::web {

/// An internet address: 4 bytes of IPv4, or 16 of IPv6.
struct Address {
  std::array<std::uint8_t, 16> bytes{};
  bool is_v4 = false;

  std::string text() const;  ///< As people write it.
  bool operator==(const Address&) const = default;
};

std::optional<Address> parse_address(std::string_view text);  ///< Strict: dotted quad, or IPv6.
/// Empty: another family, or an IPv6 address of one link only (scope id).
std::optional<Address> from_socket(const sockaddr& address);

/// What an address is, as far as fetching cares.
enum class Reach {
  kPublic,
  kPrivate,  ///< This machine or its own network: asked for by the owner alone.
  kNever,    ///< No place for pages at all: multicast, link-local, clouds' own metadata, unusable.
};

/// By the registries of special addresses (RFC 6890 and its successors). IPv6 forms that carry an
/// IPv4 address (mapped, NAT64) are judged by that; 6to4, Teredo and other tunnels are refused.
Reach reach_of(const Address& address);

}  // namespace knap::web
