#include "runner/placement.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>

namespace knap::models {

Result<GpuUse> parse_gpu_use(std::string_view word) {
  for (const GpuUse use : {GpuUse::kNever, GpuUse::kAuto, GpuUse::kAlways})
    if (word == to_string(use)) return use;
  return make_error(
      ErrorCode::kInvalidArgument,
      fmt::format("the use of graphics cards is '{}': one of never, auto, always", word));
}

std::string_view to_string(GpuUse use) {
  switch (use) {
    case GpuUse::kNever: return "never";
    case GpuUse::kAlways: return "always";
    case GpuUse::kAuto: break;
  }
  return "auto";
}

namespace runner {
namespace {

constexpr double kGiB = 1U << 30;

/// A GPU that may be used, with the bytes that may be taken of it.
struct Room {
  std::size_t device;
  std::uint64_t bytes;
};

std::uint64_t room_of(const GpuDevice& device, double fraction) {
  const double kept =
      static_cast<double>(device.total_bytes) * (1 - std::clamp(fraction, 0.0, 1.0));
  const double room = static_cast<double>(device.free_bytes) - kept;
  return room > 0 ? static_cast<std::uint64_t>(room) : 0;
}

std::vector<Room> rooms_of(std::span<const GpuDevice> devices, const GpuWish& wish) {
  std::vector<std::size_t> usable;
  for (const bool shared : {false, true}) {
    for (std::size_t i = 0; i < devices.size() && (!shared || usable.empty()); ++i)
      if (devices[i].shares_memory == shared) usable.push_back(i);
    if (!usable.empty()) break;
  }
  std::vector<Room> rooms;
  const std::size_t replicas = std::max<std::size_t>(wish.replicas, 1);
  for (std::size_t i = 0; i < usable.size(); ++i) {
    const bool own = usable.size() >= replicas ? i % replicas == wish.replica
                                               : i == wish.replica % usable.size();
    if (own) rooms.push_back({usable[i], room_of(devices[usable[i]], wish.memory_fraction)});
  }
  // The roomiest first; of equal ones the first, so that the same machine gives the same placement.
  std::ranges::stable_sort(rooms, std::greater(), &Room::bytes);
  return rooms;
}

/// How many layers go where.
class Layers {
 public:
  explicit Layers(const GpuNeed& need)
      : need_(need),
        all_(need.layers + 1),
        // The state belongs to the layers, the outputs have none; counted alike, each is a little
        // too large.
        each_((need.weight_bytes + need.state_bytes) / std::max<std::uint32_t>(need.layers, 1) +
              1) {}

  std::uint32_t all() const { return all_; }
  std::uint64_t whole_bytes() const {
    return need_.weight_bytes + need_.state_bytes + need_.computing_bytes;
  }
  std::uint32_t fitting(std::uint64_t room) const {
    if (room <= need_.computing_bytes) return 0;
    return static_cast<std::uint32_t>(
        std::min<std::uint64_t>((room - need_.computing_bytes) / each_, all_));
  }
  Placement::Share share(std::size_t device, std::uint32_t layers) const {
    return {device, layers, std::uint64_t{layers} * each_ + need_.computing_bytes};
  }

 private:
  const GpuNeed& need_;
  const std::uint32_t all_;
  const std::uint64_t each_;
};

// In proportion to what each holds at most; what rounding leaves over goes to those with room.
void share_out(const std::vector<Room>& rooms, const Layers& layers, Placement& out) {
  std::vector<std::uint32_t> most;
  for (const Room& room : rooms) most.push_back(layers.fitting(room.bytes));
  const std::uint32_t sum = std::accumulate(most.begin(), most.end(), 0U);
  const std::uint32_t wanted = std::min(sum, layers.all());
  std::vector<std::uint32_t> given(rooms.size(), 0);
  std::uint32_t left = wanted;
  for (std::size_t i = 0; i < rooms.size() && sum > 0; ++i) {
    given[i] = static_cast<std::uint32_t>(std::uint64_t{wanted} * most[i] / sum);
    left -= given[i];
  }
  for (std::size_t i = 0; i < rooms.size(); ++i) {
    const std::uint32_t more = std::min(left, most[i] - given[i]);
    given[i] += more;
    left -= more;
  }
  for (std::size_t i = 0; i < rooms.size(); ++i) {
    if (given[i] == 0) continue;
    out.shares.push_back(layers.share(rooms[i].device, given[i]));
    out.layers += given[i];
  }
}

std::string describe(const Placement& placement, std::span<const GpuDevice> devices,
                     const std::vector<Room>& rooms, const Layers& layers) {
  std::string where;
  for (const auto& share : placement.shares) {
    where += fmt::format("{}{} on {} ({:.2f} GiB)", where.empty() ? "" : ", ", share.layers,
                         devices[share.device].name, static_cast<double>(share.bytes) / kGiB);
  }
  std::string room;
  for (const Room& each : rooms)
    room += fmt::format("{}{:.2f} GiB of {}", room.empty() ? "" : ", ",
                        static_cast<double>(each.bytes) / kGiB, devices[each.device].name);
  return fmt::format("{} of {} layers: {}; the model needs {:.2f} GiB, there is room for {}",
                     placement.layers, placement.all_layers,
                     where.empty() ? "none on a graphics card" : where,
                     static_cast<double>(layers.whole_bytes()) / kGiB,
                     room.empty() ? "none: no graphics card can be used" : room);
}

}  // namespace

Result<Placement> place_model(const GpuNeed& need, std::span<const GpuDevice> devices,
                              const GpuWish& wish) {
  const Layers layers(need);
  Placement out;
  out.all_layers = layers.all();
  if (wish.use == GpuUse::kNever) {
    out.why = "graphics cards are not to be used";
    return out;
  }
  const std::vector<Room> rooms = rooms_of(devices, wish);
  if (rooms.empty() && wish.use == GpuUse::kAuto) {
    out.why = "the processor: no graphics card can be used";
    return out;
  }
  if (!rooms.empty() && rooms.front().bytes >= layers.whole_bytes()) {
    out.layers = layers.all();
    out.shares.push_back({rooms.front().device, out.layers, layers.whole_bytes()});
  } else {
    share_out(rooms, layers, out);
  }
  out.why = describe(out, devices, rooms, layers);
  if (wish.use == GpuUse::kAlways && !out.whole()) {
    return make_error(ErrorCode::kResourceExhausted,
                      fmt::format("the model does not fit onto graphics cards: {}", out.why));
  }
  return out;
}

}  // namespace runner
}  // namespace knap::models
