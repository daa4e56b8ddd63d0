#include "knap/web/fetch.hpp"

#include <curl/curl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>

#include "address_rules.hpp"
#include "knap/base/text.hpp"
#include "resolve.hpp"

namespace knap::web {
namespace {

constexpr long kConnectTimeoutMs = 5'000;
constexpr std::size_t kFieldBytesMax = 64U << 10;  // all header fields of one answer
constexpr const char* kAgent = "Mozilla/5.0 (compatible; knap)";

void prepare_curl() {
  static const CURLcode once = ::curl_global_init(CURL_GLOBAL_DEFAULT);
  static_cast<void>(once);
}

/// An address in the parts that libcurl itself sees: what is checked is what is connected to.
struct Target {
  std::string whole;  ///< Normalised.
  std::string scheme, host;
  std::uint16_t port = 0;

  std::string host_and_port() const { return fmt::format("{}:{}", host, port); }
};

std::string part_of(CURLU* parts, CURLUPart part, unsigned flags) {
  char* text = nullptr;
  if (::curl_url_get(parts, part, &text, flags) != CURLUE_OK || text == nullptr) return {};
  std::string out(text);
  ::curl_free(text);
  return out;
}

Error refused(std::string message) {
  return make_error(ErrorCode::kPermissionDenied, std::move(message));
}

Result<Target> parse_target(const std::string& address) {
  const auto bad = [](std::string_view why) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("the address {}: give one like https://example.org/page", why));
  };
  if (address.size() > kAddressBytesMax) return bad("is longer than 2,048 bytes");
  const bool printable = std::all_of(address.begin(), address.end(), [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && c != 0x7F && c != '\\';
  });
  if (!printable) return bad("holds spaces, backslashes or control characters");
  if (address.find("://") == std::string::npos) return bad("has no scheme");
  const std::unique_ptr<CURLU, decltype(&::curl_url_cleanup)> parts(::curl_url(),
                                                                    &::curl_url_cleanup);
  if (!parts) return make_error(ErrorCode::kInternal, "no memory for an address");
  constexpr unsigned kFlags = CURLU_NON_SUPPORT_SCHEME;
  if (::curl_url_set(parts.get(), CURLUPART_URL, address.c_str(), kFlags) != CURLUE_OK)
    return bad("cannot be read");
  Target target;
  target.scheme = part_of(parts.get(), CURLUPART_SCHEME, 0);
  if (target.scheme != "http" && target.scheme != "https")
    return refused("only addresses of http and https are fetched");
  if (!part_of(parts.get(), CURLUPART_USER, 0).empty() ||
      !part_of(parts.get(), CURLUPART_PASSWORD, 0).empty() ||
      address.substr(0, address.find_first_of("/?#", address.find("://") + 3)).find('@') !=
          std::string::npos)
    return refused("an address with a user name or a password is not fetched");
  if (!part_of(parts.get(), CURLUPART_ZONEID, 0).empty())
    return refused("an address that holds on one link only is not fetched");
  target.host = part_of(parts.get(), CURLUPART_HOST, 0);
  while (target.host.ends_with('.')) target.host.pop_back();
  if (target.host.empty()) return bad("names no host");
  std::transform(target.host.begin(), target.host.end(), target.host.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  const std::string port = part_of(parts.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
  std::from_chars(port.data(), port.data() + port.size(), target.port);
  if (target.port == 0) return bad("has no usable port");
  ::curl_url_set(parts.get(), CURLUPART_HOST, target.host.c_str(), 0);
  ::curl_url_set(parts.get(), CURLUPART_FRAGMENT, nullptr, 0);
  target.whole = part_of(parts.get(), CURLUPART_URL, 0);
  return target;
}

/// Host names are letters, digits, hyphens, dots and underscores; others go through libcurl's IDN
/// into that form, which would not be the name that was checked.
bool is_plain_name(std::string_view host) {
  return std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
  });
}

/// The last part of a name that is no name but a number: forms of addresses that only some parsers
/// know.
bool ends_in_number(std::string_view host) {
  const std::string_view last = host.substr(host.rfind('.') + 1);
  return !last.empty() &&
         (last.starts_with("0x") ||
          std::all_of(last.begin(), last.end(), [](char c) { return c >= '0' && c <= '9'; }));
}

/// Addresses to connect to, all checked.
class Checked {
 public:
  Checked(const Target& target, const FetchOptions& options)
      : target_(target),
        options_(options),
        allowed_(std::find(options.allowed_hosts.begin(), options.allowed_hosts.end(),
                           target.host_and_port()) != options.allowed_hosts.end()) {}

  Status find(Deadline deadline) {
    if (!allowed_ && std::find(options_.ports.begin(), options_.ports.end(), target_.port) ==
                         options_.ports.end())
      return refused(fmt::format("port {} is not among those allowed (web.ports)", target_.port));
    std::string_view literal = target_.host;
    if (literal.starts_with('[') && literal.ends_with(']'))
      literal = literal.substr(1, literal.size() - 2);
    if (const auto address = parse_address(literal)) {
      addresses_ = {*address};
    } else {
      if (!is_plain_name(target_.host))
        return make_error(ErrorCode::kInvalidArgument,
                          "the host's name must be in letters, digits, hyphens and dots "
                          "(international names in their xn-- form)");
      if (ends_in_number(target_.host))
        return refused("the host is written as a number, but is no address");
      KNAP_TRY(addresses_, resolve(target_.host, options_.name_server, deadline));
    }
    for (const Address& address : addresses_)
      if (!may_connect(address))
        return refused(fmt::format(
            "{} is an address of this machine, of its network or of no public place: it is not "
            "fetched (web.allow_private, web.allowed_hosts)",
            target_.host));
    return {};
  }

  bool may_connect(const Address& address) const {
    if (std::find(addresses_.begin(), addresses_.end(), address) == addresses_.end()) return false;
    if (allowed_) return true;
    const Reach reach = reach_of(address);
    return reach == Reach::kPublic || (reach == Reach::kPrivate && options_.allow_private);
  }

  /// As CURLOPT_RESOLVE wants it: libcurl asks no name server itself.
  std::string pin() const {
    std::string list;
    for (const Address& address : addresses_)
      list +=
          (list.empty() ? "" : ",") + (address.is_v4 ? address.text() : "[" + address.text() + "]");
    return fmt::format("{}:{}:{}", target_.host, target_.port, list);
  }

 private:
  const Target& target_;
  const FetchOptions& options_;
  const bool allowed_;
  std::vector<Address> addresses_;
};

/// One request without following anything.
class Step {
 public:
  Step(const Target& target, const Checked& checked, const FetchOptions& options,
       const CancelToken& cancel)
      : target_(target), checked_(checked), options_(options), cancel_(cancel) {}

  Status run(Deadline deadline) {
    const std::unique_ptr<CURL, void (*)(CURL*)> handle(::curl_easy_init(), ::curl_easy_cleanup);
    if (!handle) return make_error(ErrorCode::kInternal, "no memory for a request");
    curl_ = handle.get();
    const std::unique_ptr<curl_slist, void (*)(curl_slist*)> pinned(
        ::curl_slist_append(nullptr, checked_.pin().c_str()), ::curl_slist_free_all);
    const std::unique_ptr<curl_slist, void (*)(curl_slist*)> fields(
        ::curl_slist_append(nullptr, "Accept: text/html, application/xhtml+xml"),
        ::curl_slist_free_all);
    set_rules(pinned.get());
    ::curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, fields.get());
    const auto left = std::min(options_.timeout, deadline.remaining_ms());
    ::curl_easy_setopt(curl_, CURLOPT_TIMEOUT_MS,
                       static_cast<long>(std::max<std::int64_t>(1, left.count())));
    const CURLcode code = ::curl_easy_perform(curl_);
    return judge(code);
  }

  std::string take_body() { return std::move(body_); }
  std::string location() const {
    char* text = nullptr;
    ::curl_easy_getinfo(curl_, CURLINFO_REDIRECT_URL, &text);
    return text == nullptr ? std::string() : std::string(text);
  }
  const std::string& redirect() const { return redirect_; }
  const std::string& charset() const { return charset_; }

 private:
  void set_rules(curl_slist* pinned) {
    ::curl_easy_setopt(curl_, CURLOPT_URL, target_.whole.c_str());
    ::curl_easy_setopt(curl_, CURLOPT_RESOLVE, pinned);
    ::curl_easy_setopt(curl_, CURLOPT_PROTOCOLS_STR, "http,https");
    ::curl_easy_setopt(curl_, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    ::curl_easy_setopt(curl_, CURLOPT_FOLLOWLOCATION, 0L);
    ::curl_easy_setopt(curl_, CURLOPT_PROXY, "");
    ::curl_easy_setopt(curl_, CURLOPT_NOPROXY, "*");
    ::curl_easy_setopt(curl_, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
    ::curl_easy_setopt(curl_, CURLOPT_FRESH_CONNECT, 1L);
    ::curl_easy_setopt(curl_, CURLOPT_FORBID_REUSE, 1L);
    ::curl_easy_setopt(curl_, CURLOPT_NOSIGNAL, 1L);
    ::curl_easy_setopt(curl_, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
    ::curl_easy_setopt(curl_, CURLOPT_USERAGENT, kAgent);
    ::curl_easy_setopt(curl_, CURLOPT_ACCEPT_ENCODING, "");  // all that libcurl unpacks
    ::curl_easy_setopt(curl_, CURLOPT_OPENSOCKETFUNCTION, &Step::on_socket);
    ::curl_easy_setopt(curl_, CURLOPT_OPENSOCKETDATA, this);
    ::curl_easy_setopt(curl_, CURLOPT_HEADERFUNCTION, &Step::on_field);
    ::curl_easy_setopt(curl_, CURLOPT_HEADERDATA, this);
    ::curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, &Step::on_bytes);
    ::curl_easy_setopt(curl_, CURLOPT_WRITEDATA, this);
    ::curl_easy_setopt(curl_, CURLOPT_NOPROGRESS, 0L);
    ::curl_easy_setopt(curl_, CURLOPT_XFERINFOFUNCTION, &Step::on_progress);
    ::curl_easy_setopt(curl_, CURLOPT_XFERINFODATA, this);
  }

  /// The second wall: no socket is made to an address that was not checked.
  static curl_socket_t on_socket(void* self, curlsocktype, curl_sockaddr* address) {
    auto& step = *static_cast<Step*>(self);
    const auto parsed = from_socket(address->addr);
    if (!parsed || !step.checked_.may_connect(*parsed)) {
      step.failure_ = refused("a connection to an address that was not checked was refused");
      return CURL_SOCKET_BAD;
    }
    return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  }

  static std::size_t on_field(char* data, std::size_t size, std::size_t count, void* self) {
    return static_cast<Step*>(self)->take_field({data, size * count}) ? size * count : 0;
  }
  static std::size_t on_bytes(char* data, std::size_t size, std::size_t count, void* self) {
    return static_cast<Step*>(self)->take_bytes({data, size * count}) ? size * count : 0;
  }
  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<Step*>(self)->cancel_.cancelled() ? 1 : 0;
  }

  long status() const {
    long value = 0;
    ::curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &value);
    return value;
  }

  bool take_field(std::string_view line) {
    field_bytes_ += line.size();
    if (field_bytes_ <= kFieldBytesMax) return true;
    failure_ = make_error(ErrorCode::kResourceExhausted, "the server's header is too long");
    return false;
  }

  bool take_bytes(std::string_view bytes) {
    if (status() != 200) return true;  // an error's or a redirect's page
    if (!checked_type_) {
      checked_type_ = true;
      if (!take_type()) return false;
    }
    if (body_.size() + bytes.size() > options_.bytes_max) {
      failure_ = make_error(
          ErrorCode::kResourceExhausted,
          fmt::format("the page has more than {} bytes (web.max_bytes)", options_.bytes_max));
      return false;
    }
    body_.append(bytes);
    return true;
  }

  /// Only HTML; a server that names no type is not believed to send any.
  bool take_type() {
    char* text = nullptr;
    ::curl_easy_getinfo(curl_, CURLINFO_CONTENT_TYPE, &text);
    std::string type(text == nullptr ? "" : text);
    std::transform(type.begin(), type.end(), type.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    const std::string_view plain = text::trim(std::string_view(type).substr(0, type.find(';')));
    if (plain != "text/html" && plain != "application/xhtml+xml") {
      failure_ = make_error(ErrorCode::kUnsupported, "the address leads to no HTML page");
      return false;
    }
    constexpr std::string_view kKey = "charset=";
    if (const std::size_t at = type.find(kKey); at != std::string::npos) {
      const std::size_t begin = type.find_first_not_of("\"' ", at + kKey.size());
      if (begin != std::string::npos)
        charset_ = type.substr(begin, type.find_first_of("\"'; ", begin) - begin);
    }
    return true;
  }

  Status judge(CURLcode code) {
    if (failure_) return *failure_;
    if (cancel_.cancelled()) return make_error(ErrorCode::kCancelled, "the caller has gone");
    if (code == CURLE_OPERATION_TIMEDOUT)
      return make_error(ErrorCode::kDeadlineExceeded, fmt::format("{} is too slow", target_.host));
    if (code != CURLE_OK)
      return make_error(
          ErrorCode::kUnavailable,
          fmt::format("{} cannot be fetched: {}", target_.host, ::curl_easy_strerror(code)));
    const long answer = status();
    if (answer == 301 || answer == 302 || answer == 303 || answer == 307 || answer == 308) {
      redirect_ = location();
      if (!redirect_.empty()) return {};
    }
    if (answer == 200) {
      if (!checked_type_ && !take_type()) return *failure_;
      return {};
    }
    return make_error(
        answer == 404 || answer == 410 ? ErrorCode::kNotFound : ErrorCode::kUnavailable,
        fmt::format("{} answers {}", target_.host, answer));
  }

  const Target& target_;
  const Checked& checked_;
  const FetchOptions& options_;
  const CancelToken& cancel_;
  CURL* curl_ = nullptr;
  std::string body_, charset_, redirect_;
  std::size_t field_bytes_ = 0;
  bool checked_type_ = false;
  std::optional<Error> failure_;
};

}  // namespace

Result<Fetched> fetch_page(const std::string& address, const FetchOptions& options,
                           Deadline deadline, const CancelToken& cancel) {
  if (!options.enabled)
    return make_error(ErrorCode::kFailedPrecondition,
                      "fetching from the web is off: set web.enabled to true in knap.yaml, or "
                      "KNAP_WEB_ENABLED=true, and start again");
  prepare_curl();
  deadline = deadline.earlier(Deadline::after(options.timeout));
  std::string next = address;
  std::string scheme;
  for (std::uint32_t step_number = 0; step_number <= kRedirectsMax; ++step_number) {
    KNAP_CHECK_OK(still_wanted(cancel, deadline));
    KNAP_TRY(const Target target, parse_target(next));
    if (scheme == "https" && target.scheme == "http")
      return refused("a redirect from https to http is not followed");
    scheme = target.scheme;
    Checked checked(target, options);
    KNAP_CHECK_OK(checked.find(deadline));
    Step step(target, checked, options, cancel);
    KNAP_CHECK_OK(step.run(deadline));
    if (step.redirect().empty())
      return Fetched{target.whole, step.charset(), step.take_body(), step_number};
    next = step.redirect();
  }
  return make_error(ErrorCode::kResourceExhausted,
                    fmt::format("more than {} redirects", kRedirectsMax));
}

}  // namespace knap::web
