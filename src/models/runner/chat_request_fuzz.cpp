#include <cstddef>
#include <cstdint>
#include <string>

#include "runner/chat_request.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto request = knap::models::runner::parse_chat_request(std::string(data, data + size));
  if (request && request->work.messages.empty()) __builtin_trap();
  return 0;
}
