#include "knap/cache/flights.hpp"

#include <utility>

namespace knap::cache {
namespace {

/// A client that has gone frees the thread that waits for it after so long.
constexpr auto kLook = std::chrono::milliseconds(50);

}  // namespace

Flights::Lead::~Lead() { flights_.land(key_, flight_, std::move(value_)); }

void Flights::land(const std::string& key, const std::shared_ptr<Flight>& flight, Value value) {
  const MutexLock lock(mutex_);
  flight->over = true;
  flight->value = std::move(value);
  flying_.erase(key);
  landed_.notify_all();
}

Flights::Turn Flights::join(const Key& key, Deadline deadline, const CancelToken& cancel) {
  const MutexLock lock(mutex_);
  for (;;) {
    const auto [place, first] = flying_.try_emplace(key.bytes, nullptr);
    if (first) {
      place->second = std::make_shared<Flight>();
      return {std::make_unique<Lead>(*this, key.bytes, place->second), nullptr};
    }
    const std::shared_ptr<Flight> flight = place->second;
    while (!flight->over) {
      if (deadline.expired() || cancel.cancelled()) return {};
      landed_.wait_until(mutex_, deadline.earlier(Deadline::after(kLook)));
    }
    if (flight->value) {
      ++shared_;
      return {nullptr, flight->value};
    }
  }
}

Flights::Turn Flights::try_lead(const Key& key) {
  const MutexLock lock(mutex_);
  const auto [place, first] = flying_.try_emplace(key.bytes, nullptr);
  if (!first) return {};
  place->second = std::make_shared<Flight>();
  return {std::make_unique<Lead>(*this, key.bytes, place->second), nullptr};
}

std::uint64_t Flights::shared() const {
  const MutexLock lock(mutex_);
  return shared_;
}

}  // namespace knap::cache
