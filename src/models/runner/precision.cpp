#include "runner/precision.hpp"

#include <fmt/format.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "runner/int8_linear.hpp"

namespace knap::models::runner {
namespace {

#if defined(__x86_64__)
// CPUID leaf 7: subleaf 0 EDX bit 22 AMX-BF16, ECX bit 11 AVX512-VNNI; subleaf 1 EAX bit 5
// AVX512-BF16. GCC 12's
// __builtin_cpu_supports knows no AMX. The system must also keep the wide registers: "avx512f"
// checks XCR0.
bool has_bf16() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (!__builtin_cpu_supports("avx512f")) return false;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (edx & (1U << 22)) != 0) return true;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & (1U << 5)) != 0;
}
bool has_int8_dot() { return __builtin_cpu_supports("avx512vnni") != 0; }
#else
bool has_bf16() { return false; }
bool has_int8_dot() { return false; }
#endif

}  // namespace

std::string_view to_string(Precision precision) {
  switch (precision) {
    case Precision::kF32: return "f32";
    case Precision::kBf16: return "bf16";
    case Precision::kInt8: return "int8";
    case Precision::kInt8Bf16: return "int8-bf16";
    case Precision::kInt8Plain: return "int8-plain";
  }
  return "f32";
}

Result<Precision> parse_precision(std::string_view name) {
  for (const Precision each : {Precision::kF32, Precision::kBf16, Precision::kInt8,
                               Precision::kInt8Bf16, Precision::kInt8Plain}) {
    if (to_string(each) == name) return each;
  }
  return make_error(
      ErrorCode::kInvalidArgument,
      fmt::format("unknown precision '{}': one of f32, bf16, int8, int8-bf16, int8-plain", name));
}

Precision best_precision() {
  if (has_int8_dot()) return has_bf16() ? Precision::kInt8Bf16 : Precision::kInt8;
  if (has_bf16()) return Precision::kBf16;
  return has_avx2() ? Precision::kInt8Plain : Precision::kF32;
}

}  // namespace knap::models::runner
