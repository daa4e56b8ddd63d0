#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>

#include <arpa/inet.h>
#include <array>
#include <csignal>
#include <string>

#include "socket_wait.hpp"

namespace knap::http {
namespace {

struct SslFree {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};

std::string last_ssl_error() {
  std::array<char, 256> text{};
  const unsigned long code = ERR_get_error();
  if (code == 0) return "the connection broke";
  ERR_error_string_n(code, text.data(), text.size());
  return text.data();
}

/// OpenSSL writes with plain write(): a closed peer must not end the program.
class SigpipeGuard {
 public:
  SigpipeGuard() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  ~SigpipeGuard() {
    const timespec none{};
    while (sigtimedwait(&set_, nullptr, &none) == SIGPIPE) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  SigpipeGuard(const SigpipeGuard&) = delete;
  SigpipeGuard& operator=(const SigpipeGuard&) = delete;

 private:
  sigset_t set_{};
  sigset_t before_{};
};

SSL_CTX* shared_context() {
  static const std::unique_ptr<SSL_CTX, SslFree> context = [] {
    std::unique_ptr<SSL_CTX, SslFree> made(SSL_CTX_new(TLS_client_method()));
    if (made) {
      SSL_CTX_set_min_proto_version(made.get(), TLS1_2_VERSION);
      SSL_CTX_set_default_verify_paths(made.get());
      SSL_CTX_set_verify(made.get(), SSL_VERIFY_PEER, nullptr);
      SSL_CTX_set_mode(made.get(),
                       SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    }
    return made;
  }();
  return context.get();
}

class TlsSocket final : public StreamSocket {
 public:
  TlsSocket(FileDescriptor fd, std::unique_ptr<SSL, SslFree> ssl)
      : fd_(std::move(fd)), ssl_(std::move(ssl)) {}

  Status handshake(const std::string& host, const Patience& patience) {
    SSL_set_fd(ssl_.get(), fd_.get());
    std::array<unsigned char, sizeof(in6_addr)> address{};
    const bool is_address = inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
                            inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
    if (is_address) {
      X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_.get()), host.c_str());
    } else {
      SSL_set_tlsext_host_name(ssl_.get(), host.c_str());
      SSL_set1_host(ssl_.get(), host.c_str());
    }
    KNAP_TRY(const int done, repeat(patience, [this] { return SSL_connect(ssl_.get()); }));
    if (done == 1) return {};
    const long verdict = SSL_get_verify_result(ssl_.get());
    if (verdict != X509_V_OK) {
      return make_error(ErrorCode::kUnavailable,
                        "the certificate of '" + host +
                            "' is not trusted: " + X509_verify_cert_error_string(verdict));
    }
    return make_error(ErrorCode::kUnavailable,
                      "TLS with '" + host + "' failed: " + last_ssl_error());
  }

  Status write(std::string_view bytes, const Patience& patience) override {
    while (!bytes.empty()) {
      const int size = static_cast<int>(std::min<std::size_t>(bytes.size(), 1U << 20));
      KNAP_TRY(const int count,
               repeat(patience, [&] { return SSL_write(ssl_.get(), bytes.data(), size); }));
      if (count <= 0) return make_error(ErrorCode::kUnavailable, last_ssl_error());
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return {};
  }

  Result<std::size_t> read(char* into, std::size_t most, const Patience& patience) override {
    const int size = static_cast<int>(std::min<std::size_t>(most, 1U << 20));
    KNAP_TRY(const int count, repeat(patience, [&] { return SSL_read(ssl_.get(), into, size); }));
    if (count > 0) return static_cast<std::size_t>(count);
    if (SSL_get_error(ssl_.get(), count) == SSL_ERROR_ZERO_RETURN) return std::size_t{0};
    return make_error(ErrorCode::kUnavailable, last_ssl_error());
  }

  bool is_quiet() override {
    pollfd entry{fd_.get(), POLLIN, 0};
    return SSL_pending(ssl_.get()) == 0 && ::poll(&entry, 1, 0) == 0;
  }

 private:
  /// Calls until it is neither waiting to read nor to write.
  template <typename Call>
  Result<int> repeat(const Patience& patience, Call call) {
    const SigpipeGuard guard;
    for (;;) {
      ERR_clear_error();
      const int result = call();
      if (result > 0) return result;
      const int why = SSL_get_error(ssl_.get(), result);
      if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) return result;
      KNAP_CHECK_OK(wait_ready(
          fd_.get(), why == SSL_ERROR_WANT_READ ? WaitFor::kRead : WaitFor::kWrite, patience));
    }
  }

  FileDescriptor fd_;
  std::unique_ptr<SSL, SslFree> ssl_;
};

}  // namespace

Result<std::unique_ptr<StreamSocket>> start_tls(FileDescriptor socket, const std::string& host,
                                                const Patience& patience) {
  SSL_CTX* const context = shared_context();
  std::unique_ptr<SSL, SslFree> ssl(context == nullptr ? nullptr : SSL_new(context));
  if (!ssl) return make_error(ErrorCode::kUnavailable, "TLS cannot be set up: " + last_ssl_error());
  auto tls = std::make_unique<TlsSocket>(std::move(socket), std::move(ssl));
  KNAP_CHECK_OK(tls->handshake(host, patience));
  return std::unique_ptr<StreamSocket>(std::move(tls));
}

}  // namespace knap::http
