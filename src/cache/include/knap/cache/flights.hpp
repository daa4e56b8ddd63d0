#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "knap/base/deadline.hpp"
#include "knap/base/mutex.hpp"
#include "knap/cache/layers.hpp"

namespace knap::cache {

/// Of several callers that want the same value at once, one makes it while the others wait for it.
///
/// Threads: safe. Must outlive what join() gives. Holds one entry for each value being made, so at
/// most as many as there are threads.
class Flights {
  struct Flight;

 public:
  using Value = std::shared_ptr<const std::string>;

  /// The duty to make a value. Ending without give() lets the next caller try.
  class Lead {
   public:
    Lead(Flights& flights, std::string key, std::shared_ptr<Flight> flight)
        : flights_(flights), key_(std::move(key)), flight_(std::move(flight)) {}
    ~Lead();
    Lead(const Lead&) = delete;
    Lead& operator=(const Lead&) = delete;
    void give(Value value) { value_ = std::move(value); }

   private:
    Flights& flights_;
    const std::string key_;
    const std::shared_ptr<Flight> flight_;
    Value value_;
  };

  /// One of the two, or neither: the caller's time is over or its client gone.
  struct Turn {
    std::unique_ptr<Lead> lead;
    Value value;
  };
  /// Blocks while another makes the value.
  Turn join(const Key& key, Deadline deadline, const CancelToken& cancel) KNAP_EXCLUDES(mutex_);
  /// Leads when nobody does; never blocks and never gives a value.
  Turn try_lead(const Key& key) KNAP_EXCLUDES(mutex_);
  /// How many callers have been given another's value.
  std::uint64_t shared() const KNAP_EXCLUDES(mutex_);

 private:
  struct Flight {
    bool over = false;
    Value value;
  };
  void land(const std::string& key, const std::shared_ptr<Flight>& flight, Value value)
      KNAP_EXCLUDES(mutex_);

  mutable Mutex mutex_;
  CondVar landed_;
  std::unordered_map<std::string, std::shared_ptr<Flight>> flying_ KNAP_GUARDED_BY(mutex_);
  std::uint64_t shared_ KNAP_GUARDED_BY(mutex_) = 0;
};

}  // namespace knap::cache
