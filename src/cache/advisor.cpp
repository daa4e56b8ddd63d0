#include "advisor.hpp"

namespace knap::cache {

SizeAdvisor::SizeAdvisor(std::uint64_t capacity_bytes) : capacity_(capacity_bytes) {
  for (std::size_t i = 0; i < kFactors.size(); ++i) {
    copies_[i].capacity = static_cast<std::uint64_t>(static_cast<double>(capacity_bytes) *
                                                     kFactors[i] / double{kSampleShare});
  }
}

void SizeAdvisor::asked(std::uint64_t hash) {
  if (!sampled(hash)) return;
  const MutexLock lock(mutex_);
  ++asked_;
  for (Copy& copy : copies_) {
    const auto place = copy.places.find(hash);
    if (place == copy.places.end()) continue;
    ++copy.hits;
    copy.entries.splice(copy.entries.begin(), copy.entries, place->second);
  }
}

void SizeAdvisor::came(std::uint64_t hash, std::uint64_t bytes) {
  if (!sampled(hash)) return;
  const MutexLock lock(mutex_);
  for (Copy& copy : copies_) {
    if (const auto place = copy.places.find(hash); place != copy.places.end()) {
      copy.bytes -= place->second->bytes;
      copy.entries.erase(place->second);
      copy.places.erase(place);
    }
    copy.entries.push_front({hash, bytes});
    copy.places.emplace(hash, copy.entries.begin());
    copy.bytes += bytes;
    while (!copy.entries.empty() &&
           (copy.bytes > copy.capacity || copy.entries.size() > kEntriesMax)) {
      copy.bytes -= copy.entries.back().bytes;
      copy.places.erase(copy.entries.back().hash);
      copy.entries.pop_back();
    }
  }
}

void SizeAdvisor::clear() {
  const MutexLock lock(mutex_);
  for (Copy& copy : copies_) {
    copy.entries.clear();
    copy.places.clear();
    copy.bytes = 0;
  }
}

SizeAdvisor::Report SizeAdvisor::report() const {
  const MutexLock lock(mutex_);
  Report out;
  out.asked = asked_;
  for (std::size_t i = 0; i < kFactors.size(); ++i) {
    out.sizes[i] = {kFactors[i],
                    static_cast<std::uint64_t>(static_cast<double>(capacity_) * kFactors[i]),
                    copies_[i].hits};
  }
  return out;
}

}  // namespace knap::cache
