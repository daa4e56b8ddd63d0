#include <cstddef>
#include <cstdint>
#include <string_view>

#include "runner/passage_state.hpp"

// What is read, written again, is the same; damage is an error, never a state.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace knap::models::runner;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const knap::Hash128 model{1, 2}, text{3, 4};
  const auto state = read_passage_state(bytes, model, text);
  if (state && write_passage_state(*state, model) != bytes) __builtin_trap();
  // With a checksum that is right: the lengths must hold by themselves.
  std::string sealed(bytes);
  const knap::Hash128 sum = knap::hash128(sealed);
  sealed.append(reinterpret_cast<const char*>(&sum.high), sizeof sum.high);
  sealed.append(reinterpret_cast<const char*>(&sum.low), sizeof sum.low);
  const auto read = read_passage_state(sealed, model, text);
  if (read && write_passage_state(*read, model) != sealed) __builtin_trap();
  return 0;
}
