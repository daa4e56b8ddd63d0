#include "tokens.hpp"

#include <array>

namespace knap::vault {
namespace {

enum class Class : std::uint8_t {
  kSpace,
  kLetter,
  kDigit,
  kMark,
  kOther2,
  kOther3,
  kOther4,
  kInside
};

constexpr std::array<Class, 256> class_table() {
  std::array<Class, 256> table{};
  for (unsigned c = 0; c < 256; ++c) {
    Class value = Class::kMark;
    if (c <= 0x20) {
      value = Class::kSpace;
    } else if ((c >= '0' && c <= '9')) {
      value = Class::kDigit;
    } else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= 0xC3 && c <= 0xC9)) {
      value = Class::kLetter;  // Latin letters with accents are letters of a word.
    } else if (c >= 0x80 && c < 0xC0) {
      value = Class::kInside;
    } else if (c >= 0xC0 && c < 0xE0) {
      value = Class::kOther2;
    } else if (c >= 0xE0 && c < 0xF0) {
      value = Class::kOther3;
    } else if (c >= 0xF0) {
      value = Class::kOther4;
    }
    table[c] = value;
  }
  return table;
}
constexpr std::array<Class, 256> kClasses = class_table();

constexpr std::uint64_t kToken = 4;  ///< Counted in quarters.

}  // namespace

std::uint32_t estimate_tokens(std::string_view text) {
  std::uint64_t quarters = 0;
  std::uint32_t letters = 0;
  std::uint32_t digits = 0;
  for (const char byte : text) {
    switch (kClasses[static_cast<unsigned char>(byte)]) {
      case Class::kSpace: letters = digits = 0; break;
      case Class::kLetter:
        digits = 0;
        quarters += letters == 0 ? kToken : letters >= 7 ? 1 : 0;
        ++letters;
        break;
      case Class::kDigit:
        letters = 0;
        quarters += digits == 0 ? kToken : 2;
        ++digits;
        break;
      case Class::kMark:
      case Class::kOther4:
        letters = digits = 0;
        quarters += kToken;
        break;
      case Class::kOther2: quarters += 3; break;
      case Class::kOther3: quarters += kToken; break;
      case Class::kInside: break;
    }
  }
  return static_cast<std::uint32_t>((quarters + kToken - 1) / kToken);
}

}  // namespace knap::vault
