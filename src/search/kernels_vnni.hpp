#pragma once

#include <cstdint>
#include <span>

namespace knap::search {

/// Whether this machine has AVX-512 VNNI. False on other architectures.
bool has_vnni();

/// dot_rows() of kernels.hpp by VNNI. @pre has_vnni()
void dot_rows_vnni(std::span<const std::int8_t> query, const std::int8_t* rows,
                   std::span<std::int32_t> out);

/// Whether this machine counts the bits of whole AVX-512 registers (VPOPCNTDQ). False on other
/// architectures.
bool has_vpopcnt();

/// sign_sums() of kernels.hpp with them. @pre has_vpopcnt()
void sign_sums_vpopcnt(std::span<const std::uint64_t> planes, const std::uint64_t* codes,
                       std::span<std::int32_t> out);

}  // namespace knap::search
