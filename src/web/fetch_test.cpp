#include "knap/web/fetch.hpp"

#include <gtest/gtest.h>

#include "resolve.hpp"

namespace knap::web {
namespace {

// What is refused before any name is asked for; tests/test_web.py does the rest with real servers.

FetchOptions on() {
  FetchOptions options;
  options.enabled = true;
  options.name_server = "127.0.0.1:1";  // never reached
  options.timeout = std::chrono::milliseconds(3'000);
  return options;
}

ErrorCode code_of(const std::string& address, const FetchOptions& options) {
  const auto page = fetch_page(address, options, Deadline::never(), {});
  return page ? ErrorCode::kInternal : page.error().code;
}

TEST(Fetch, IsOffUntilAllowed) {
  EXPECT_EQ(code_of("https://example.org/", {}), ErrorCode::kFailedPrecondition);
}

TEST(Fetch, RefusesOtherSchemesAndUserNames) {
  for (const char* address : {"file:///etc/passwd",          "ftp://example.org/",
                              "gopher://127.0.0.1:70/_x",    "dict://127.0.0.1:11211/stat",
                              "ldap://127.0.0.1/",           "http://user@example.org/",
                              "http://user:pass@127.0.0.1/", "http://example.org@127.0.0.1/",
                              "http://:@127.0.0.1/",         "http://@127.0.0.1/",
                              "http://127.0.0.1/",           "http://[::1]/",
                              "http://2130706433/",          "http://0x7f.1/",
                              "http://0177.0.0.1/",          "http://127.1/",
                              "http://[::ffff:7f00:1]/",     "http://[fe80::1%25eth0]/",
                              "http://1.1.1.1:22/",          "http://999.1.1.1/",
                              "http://1.2.3.4.5/",           "http://127.0.0.1./"})
    EXPECT_EQ(code_of(address, on()), ErrorCode::kPermissionDenied) << address;
}

TEST(Fetch, RefusesWhatIsNoAddress) {
  for (const char* address :
       {"", "example.org", "//example.org/", "http://", "http://exa mple.org/",
        "http://example.org\\@127.0.0.1/", "http://ex\tample.org/", "http://1.1.1.1:99999/",
        "javascript:alert(1)"}) {
    const ErrorCode code = code_of(address, on());
    EXPECT_TRUE(code == ErrorCode::kInvalidArgument || code == ErrorCode::kPermissionDenied)
        << address;
  }
  EXPECT_EQ(code_of("http://a.org/" + std::string(kAddressBytesMax, 'a'), on()),
            ErrorCode::kInvalidArgument);
}

TEST(Fetch, AllowsHostsOnlyWithTheirPort) {
  auto options = on();
  options.allowed_hosts = {"127.0.0.1:1"};
  EXPECT_EQ(code_of("http://127.0.0.1:1/", options), ErrorCode::kUnavailable);
  EXPECT_EQ(code_of("http://127.0.0.1:2/", options), ErrorCode::kPermissionDenied);
}

TEST(Fetch, EndsWithItsCaller) {
  const CancelToken cancel;
  cancel.cancel();
  EXPECT_EQ(fetch_page("http://1.1.1.1/", on(), Deadline::never(), cancel).error().code,
            ErrorCode::kCancelled);
}

TEST(Resolve, TellsOfAWrongNameServer) {
  EXPECT_EQ(resolve("a.test", "nonsense", Deadline::never()).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(resolve("a.test", "127.0.0.1:1", Deadline::after(std::chrono::seconds(1))).error().code,
            ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace knap::web
