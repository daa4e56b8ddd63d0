#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>

#include "circuit.hpp"
#include "knap/models/models.hpp"
#include "knap/observe/metrics.hpp"
#include "route_log.hpp"

namespace knap::models {

/// Until when a server asked to be left alone (Retry-After). Threads: safe.
class RetryAfter {
 public:
  static constexpr std::chrono::seconds kLongest{600};  ///< More is taken as this.
  void ask(std::chrono::seconds wait);
  std::chrono::milliseconds left() const;  ///< 0: it did not ask, or the time is over.

 private:
  std::atomic<SteadyClock::rep> until_{0};
};

/// How a remote server is dealt with.
struct RemoteRules {
  std::string server;  ///< Its host and port, for the record.
  std::chrono::milliseconds silence{30'000};
  std::uint32_t retries = 2;                   ///< Of one request, before its first token.
  std::chrono::milliseconds first_pause{250};  ///< Before the first retry; doubles.
  double price_read = 0, price_write = 0;      ///< For a million tokens.
  /// What the server asked for: a request waits as long as that where it is at most two seconds,
  /// else it is refused. Null: it is not asked.
  std::shared_ptr<RetryAfter> retry_after;
};

/// A remote model, guarded: refuses text that is kept on this machine, records what is sent before
/// it is sent, gives a silent server up, tries again what failed before its first token within a
/// budget, leaves a failing server alone, and counts tokens and cost. Threads: as Generator.
class GuardedGenerator final : public Generator {
 public:
  GuardedGenerator(std::shared_ptr<Generator> inner, RemoteRules rules,
                   std::shared_ptr<SentLog> sent, observe::Registry& metrics,
                   Circuit::Now now = SteadyClock::now);

  std::string id() const override { return inner_->id(); }
  std::uint32_t context_tokens() const override { return inner_->context_tokens(); }
  bool remote() const override { return true; }
  GeneratorSpeed speed() const override { return inner_->speed(); }
  Result<GenerateResult> generate(const GenerateRequest& request, Deadline deadline,
                                  const CancelToken& cancel,
                                  const std::function<bool(std::string_view)>& on_token) override;

  const Circuit& circuit() const { return circuit_; }
  double cost_of(std::uint64_t prompt_tokens, std::uint64_t completion_tokens) const;
  /// Why it had better not be asked now, e.g. "it asked to be left alone for 7 s"; empty: it may.
  std::string unusable() const;
  bool costs() const { return rules_.price_read > 0 || rules_.price_write > 0; }

 private:
  Result<GenerateResult> attempt(const GenerateRequest& request, Deadline deadline,
                                 const CancelToken& cancel,
                                 const std::function<bool(std::string_view)>& on_token);
  Status record(const GenerateRequest& request);
  void account(const GenerateRequest& request, GenerateResult& result);

  const std::shared_ptr<Generator> inner_;
  const RemoteRules rules_;
  const std::shared_ptr<SentLog> sent_;
  Circuit circuit_;
  RetryBudget budget_;
  observe::Counter& requests_;
  observe::Counter& failures_;
  observe::Counter& retries_;
  observe::Counter& refused_;
  observe::Counter& tokens_read_;
  observe::Counter& tokens_written_;
  observe::Gauge& cost_;
};

}  // namespace knap::models
