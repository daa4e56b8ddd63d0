#include "resolve.hpp"

#include <arpa/nameser.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <memory>

namespace knap::web {
namespace {

constexpr std::size_t kAnswerBytesMax = 4096;
constexpr int kSecondsPerTry = 2;
constexpr int kTries = 2;

Error no_such_name(const std::string& host) {
  return make_error(ErrorCode::kNotFound, fmt::format("no host named {} is known", host));
}

Result<std::vector<Address>> by_system(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
  if (code == EAI_AGAIN)
    return make_error(ErrorCode::kUnavailable, "the name server does not answer");
  if (code != 0) return no_such_name(host);
  std::vector<Address> out;
  for (const addrinfo* one = list; one != nullptr; one = one->ai_next) {
    const auto address = from_socket(*one->ai_addr);
    if (!address)
      return make_error(ErrorCode::kPermissionDenied,
                        fmt::format("{} has an address that holds on one link only", host));
    out.push_back(*address);
  }
  return out;
}

/// Where to ask, as the resolver library takes it.
Result<sockaddr_in> parse_server(const std::string& text) {
  const auto bad = [&] {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("web.name_server is \"{}\", but must be an IPv4 address and a "
                                  "port, as in 127.0.0.1:53",
                                  text));
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) return bad();
  const auto address = parse_address(std::string_view(text).substr(0, colon));
  std::uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data() + colon + 1, end, port);
  if (!address || !address->is_v4 || error != std::errc() || stopped != end) return bad();
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(port);
  std::memcpy(&out.sin_addr, address->bytes.data(), sizeof out.sin_addr);
  return out;
}

/// Asks one server for one kind of address. An empty list: the name has none of this kind.
class Query {
 public:
  Query() { initialised_ = ::res_ninit(&state_) == 0; }
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  ~Query() {
    if (initialised_) ::res_nclose(&state_);
  }

  void use(const sockaddr_in& server, Deadline deadline) {
    state_.nscount = 1;
    state_.nsaddr_list[0] = server;
    const auto left = std::chrono::duration_cast<std::chrono::seconds>(deadline.remaining());
    state_.retrans = static_cast<int>(std::clamp<std::int64_t>(left.count(), 1, kSecondsPerTry));
    state_.retry = kTries;
    // No other names than the one asked for: no search list, no file of hosts.
    state_.options &= ~static_cast<unsigned long>(RES_DEFNAMES | RES_DNSRCH);
  }

  Status ask(const std::string& host, ns_type type, std::vector<Address>& out) {
    if (!initialised_) return make_error(ErrorCode::kUnavailable, "no resolver");
    std::vector<unsigned char> answer(kAnswerBytesMax);
    const int length = ::res_nquery(&state_, host.c_str(), ns_c_in, type, answer.data(),
                                    static_cast<int>(answer.size()));
    if (length < 0) {
      if (state_.res_h_errno == HOST_NOT_FOUND || state_.res_h_errno == NO_DATA) return {};
      return make_error(ErrorCode::kUnavailable, "the name server does not answer");
    }
    ns_msg message;
    const auto usable = static_cast<int>(std::min<std::size_t>(length, answer.size()));
    if (::ns_initparse(answer.data(), usable, &message) != 0)
      return make_error(ErrorCode::kUnavailable, "the name server's answer cannot be read");
    const int records = ns_msg_count(message, ns_s_an);
    for (int i = 0; i < records; ++i) {
      ns_rr record;
      if (::ns_parserr(&message, ns_s_an, i, &record) != 0) break;
      const std::size_t bytes = type == ns_t_a ? 4 : 16;
      if (ns_rr_type(record) != type || ns_rr_rdlen(record) != bytes) continue;
      Address address;
      address.is_v4 = type == ns_t_a;
      std::memcpy(address.bytes.data(), ns_rr_rdata(record), bytes);
      out.push_back(address);
    }
    return {};
  }

 private:
  struct __res_state state_ {};
  bool initialised_ = false;
};

}  // namespace

Result<std::vector<Address>> resolve(const std::string& host, const std::string& name_server,
                                     Deadline deadline) {
  std::vector<Address> out;
  if (name_server.empty()) {
    KNAP_TRY(out, by_system(host));
  } else {
    KNAP_TRY(const sockaddr_in server, parse_server(name_server));
    Query query;
    query.use(server, deadline);
    KNAP_CHECK_OK(query.ask(host, ns_t_a, out));
    KNAP_CHECK_OK(query.ask(host, ns_t_aaaa, out));
  }
  if (out.empty()) return no_such_name(host);
  if (out.size() > kAddressesMax)
    return make_error(ErrorCode::kResourceExhausted,
                      fmt::format("{} has more than {} addresses", host, kAddressesMax));
  return out;
}

}  // namespace knap::web
