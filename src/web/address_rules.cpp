#include "address_rules.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <span>

namespace knap::web {
namespace {

struct Range4 {
  std::uint32_t base = 0;
  unsigned bits = 0;
  Reach reach = Reach::kNever;
};

constexpr std::uint32_t v4(unsigned a, unsigned b, unsigned c, unsigned d) {
  return (a << 24U) | (b << 16U) | (c << 8U) | d;
}

// The first that holds counts.
constexpr std::array<Range4, 20> kRanges4{{
    {v4(100, 100, 100, 200), 32, Reach::kNever},  // metadata of a cloud
    {v4(192, 0, 0, 192), 32, Reach::kNever},      // metadata of a cloud
    {v4(168, 63, 129, 16), 32, Reach::kNever},    // a cloud's service for its own machines
    {v4(169, 254, 0, 0), 16, Reach::kNever},      // link-local; metadata of most clouds
    {v4(0, 0, 0, 0), 8, Reach::kNever},           // "this network"; 0.0.0.0 is this machine
    {v4(10, 0, 0, 0), 8, Reach::kPrivate},
    {v4(100, 64, 0, 0), 10, Reach::kPrivate},  // behind a provider's NAT
    {v4(127, 0, 0, 0), 8, Reach::kPrivate},
    {v4(172, 16, 0, 0), 12, Reach::kPrivate},
    {v4(192, 168, 0, 0), 16, Reach::kPrivate},
    {v4(192, 0, 0, 0), 24, Reach::kNever},     // protocol assignments
    {v4(192, 0, 2, 0), 24, Reach::kNever},     // documentation
    {v4(192, 31, 196, 0), 24, Reach::kNever},  // AS112
    {v4(192, 52, 193, 0), 24, Reach::kNever},  // AMT relays
    {v4(192, 88, 99, 0), 24, Reach::kNever},   // 6to4 relays
    {v4(192, 175, 48, 0), 24, Reach::kNever},  // AS112
    {v4(198, 18, 0, 0), 15, Reach::kNever},    // measurements of networks
    {v4(198, 51, 100, 0), 24, Reach::kNever},  // documentation
    {v4(203, 0, 113, 0), 24, Reach::kNever},   // documentation
    {v4(224, 0, 0, 0), 3, Reach::kNever},      // multicast, reserved, broadcast
}};

Reach reach_of_v4(std::uint32_t address) {
  for (const Range4& range : kRanges4) {
    const std::uint32_t mask = ~std::uint32_t{0} << (32 - range.bits);
    if ((address & mask) == range.base) return range.reach;
  }
  return Reach::kPublic;
}

std::uint32_t v4_at(const Address& address, std::size_t at) {
  return v4(address.bytes[at], address.bytes[at + 1], address.bytes[at + 2], address.bytes[at + 3]);
}

/// Whether the first `bits` are those of `prefix`, which is given in whole bytes and may be longer.
bool begins(const Address& address, std::initializer_list<unsigned> prefix, unsigned bits) {
  unsigned at = 0;
  for (const unsigned byte : prefix) {
    const unsigned left = bits - std::min(bits, at * 8);
    const unsigned mask = left >= 8 ? 0xFFU : (0xFF00U >> left) & 0xFFU;
    if ((address.bytes[at] & mask) != (byte & mask)) return false;
    ++at;
  }
  return true;
}

Reach reach_of_v6(const Address& a) {
  const auto zeros = [&](std::size_t first, std::size_t end) {
    return std::all_of(a.bytes.begin() + static_cast<std::ptrdiff_t>(first),
                       a.bytes.begin() + static_cast<std::ptrdiff_t>(end),
                       [](std::uint8_t byte) { return byte == 0; });
  };
  constexpr std::size_t kV4At = 12;
  if (zeros(0, 15) && a.bytes[15] == 1) return Reach::kPrivate;                   // ::1
  if (zeros(0, 10) && begins(a, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF}, 96))  // mapped
    return reach_of_v4(v4_at(a, kV4At));
  if (begins(a, {0x00, 0x64, 0xFF, 0x9B, 0, 0, 0, 0, 0, 0, 0, 0}, 96))  // NAT64
    // A gateway to the own network's addresses would be one to this network's.
    return reach_of_v4(v4_at(a, kV4At)) == Reach::kPublic ? Reach::kPublic : Reach::kNever;
  // A cloud's metadata among the unique local addresses.
  if (begins(a, {0xFD, 0x00, 0x0E, 0xC2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54}, 128))
    return Reach::kNever;
  if (begins(a, {0xFC}, 7)) return Reach::kPrivate;
  if (!begins(a, {0x20}, 3)) return Reach::kNever;                    // only 2000::/3 is given out
  if (begins(a, {0x20, 0x01, 0x00}, 23)) return Reach::kNever;        // Teredo, ORCHID, protocols
  if (begins(a, {0x20, 0x01, 0x0D, 0xB8}, 32)) return Reach::kNever;  // documentation
  if (begins(a, {0x20, 0x02}, 16)) return Reach::kNever;              // 6to4
  if (begins(a, {0x3F, 0xFF, 0x00}, 20)) return Reach::kNever;        // documentation
  if (begins(a, {0x26, 0x20, 0x00, 0x4F, 0x80, 0x00}, 48)) return Reach::kNever;  // AS112
  return Reach::kPublic;
}

}  // namespace

std::string Address::text() const {
  std::array<char, INET6_ADDRSTRLEN> out{};
  ::inet_ntop(is_v4 ? AF_INET : AF_INET6, bytes.data(), out.data(), out.size());
  return out.data();
}

std::optional<Address> parse_address(std::string_view text) {
  const std::string copy(text);
  Address out;
  if (::inet_pton(AF_INET, copy.c_str(), out.bytes.data()) == 1) {
    out.is_v4 = true;
    return out;
  }
  if (::inet_pton(AF_INET6, copy.c_str(), out.bytes.data()) == 1) return out;
  return std::nullopt;
}

std::optional<Address> from_socket(const sockaddr& address) {
  Address out;
  if (address.sa_family == AF_INET) {
    sockaddr_in four{};
    std::memcpy(&four, &address, sizeof four);
    std::memcpy(out.bytes.data(), &four.sin_addr, sizeof four.sin_addr);
    out.is_v4 = true;
    return out;
  }
  if (address.sa_family != AF_INET6) return std::nullopt;
  sockaddr_in6 six{};
  std::memcpy(&six, &address, sizeof six);
  if (six.sin6_scope_id != 0) return std::nullopt;
  std::memcpy(out.bytes.data(), &six.sin6_addr, sizeof six.sin6_addr);
  return out;
}

Reach reach_of(const Address& address) {
  return address.is_v4 ? reach_of_v4(v4_at(address, 0)) : reach_of_v6(address);
}

}  // namespace knap::web
