// The raw shuffle of 512-bit registers and its modes.
#pragma once

#include "intrinsics.hpp"

// A mode T<bits>_<rows>x<columns> reads its input as a matrix of that shape and writes its transpose. With
// _lo and _hi the input is both registers, the first one low, and the result the low or high half; without,
// it is the first register. The values are this header's own: kernels must use the names.
namespace npuk {
constexpr unsigned shuffle_mode(unsigned bits, unsigned rows, unsigned columns, unsigned half) {
    return bits << 20 | rows << 12 | columns << 4 | half;
}
}  // namespace npuk
inline constexpr unsigned T8_2x64_lo = npuk::shuffle_mode(8, 2, 64, 0);
inline constexpr unsigned T8_2x64_hi = npuk::shuffle_mode(8, 2, 64, 1);
inline constexpr unsigned T8_64x2_lo = npuk::shuffle_mode(8, 64, 2, 0);
inline constexpr unsigned T8_64x2_hi = npuk::shuffle_mode(8, 64, 2, 1);
inline constexpr unsigned T16_2x32_lo = npuk::shuffle_mode(16, 2, 32, 0);
inline constexpr unsigned T16_2x32_hi = npuk::shuffle_mode(16, 2, 32, 1);
inline constexpr unsigned T16_32x2_lo = npuk::shuffle_mode(16, 32, 2, 0);
inline constexpr unsigned T16_32x2_hi = npuk::shuffle_mode(16, 32, 2, 1);
inline constexpr unsigned T32_2x16_lo = npuk::shuffle_mode(32, 2, 16, 0);
inline constexpr unsigned T32_2x16_hi = npuk::shuffle_mode(32, 2, 16, 1);
inline constexpr unsigned T32_16x2_lo = npuk::shuffle_mode(32, 16, 2, 0);
inline constexpr unsigned T32_16x2_hi = npuk::shuffle_mode(32, 16, 2, 1);
inline constexpr unsigned T64_2x8_lo = npuk::shuffle_mode(64, 2, 8, 0);
inline constexpr unsigned T64_2x8_hi = npuk::shuffle_mode(64, 2, 8, 1);
inline constexpr unsigned T64_8x2_lo = npuk::shuffle_mode(64, 8, 2, 0);
inline constexpr unsigned T64_8x2_hi = npuk::shuffle_mode(64, 8, 2, 1);
inline constexpr unsigned T128_2x4_lo = npuk::shuffle_mode(128, 2, 4, 0);
inline constexpr unsigned T128_2x4_hi = npuk::shuffle_mode(128, 2, 4, 1);
inline constexpr unsigned T128_4x2_lo = npuk::shuffle_mode(128, 4, 2, 0);
inline constexpr unsigned T128_4x2_hi = npuk::shuffle_mode(128, 4, 2, 1);
inline constexpr unsigned T256_2x2_lo = npuk::shuffle_mode(256, 2, 2, 0);
inline constexpr unsigned T256_2x2_hi = npuk::shuffle_mode(256, 2, 2, 1);
inline constexpr unsigned T512_1x2_lo = npuk::shuffle_mode(512, 1, 2, 0);
inline constexpr unsigned T512_1x2_hi = npuk::shuffle_mode(512, 1, 2, 1);
inline constexpr unsigned T8_2x32 = npuk::shuffle_mode(8, 2, 32, 0);
inline constexpr unsigned T8_4x16 = npuk::shuffle_mode(8, 4, 16, 0);
inline constexpr unsigned T8_8x8 = npuk::shuffle_mode(8, 8, 8, 0);
inline constexpr unsigned T8_16x4 = npuk::shuffle_mode(8, 16, 4, 0);
inline constexpr unsigned T8_32x2 = npuk::shuffle_mode(8, 32, 2, 0);
inline constexpr unsigned T16_2x16 = npuk::shuffle_mode(16, 2, 16, 0);
inline constexpr unsigned T16_4x8 = npuk::shuffle_mode(16, 4, 8, 0);
inline constexpr unsigned T16_8x4 = npuk::shuffle_mode(16, 8, 4, 0);
inline constexpr unsigned T16_16x2 = npuk::shuffle_mode(16, 16, 2, 0);
inline constexpr unsigned T32_2x8 = npuk::shuffle_mode(32, 2, 8, 0);
inline constexpr unsigned T32_4x4 = npuk::shuffle_mode(32, 4, 4, 0);
inline constexpr unsigned T32_8x2 = npuk::shuffle_mode(32, 8, 2, 0);

template <aie::ElemBaseType T, unsigned N>
    requires(aie::vector<T, N>::bits() == 512)
NPUK_INLINE aie::vector<T, N> shuffle(const aie::vector<T, N> &a, const aie::vector<T, N> &b, unsigned mode) {
    const unsigned bytes = mode >> 23, rows = mode >> 12 & 255, columns = mode >> 4 & 255, half = mode & 1;
    unsigned char in[128], out[64];
    a.to_memory(in);
    b.to_memory(in + 64);
    for (unsigned i = 0; i < 64 / bytes; ++i) {
        const unsigned at = i + half * (64 / bytes);
        __builtin_memcpy(out + i * bytes, in + (at % rows * columns + at / rows) * bytes, bytes);
    }
    return aie::vector<T, N>::from_memory(out);
}
template <aie::ElemBaseType T, unsigned N>
    requires(aie::vector<T, N>::bits() == 512)
NPUK_INLINE aie::vector<T, N> shuffle(const aie::vector<T, N> &a, unsigned mode) {
    return shuffle(a, a, mode);
}

// Bits of whole registers.
#define NPUK_BITS(name, operation)                                                                       \
    template <aie::ElemBaseType T, unsigned N>                                                          \
        requires(aie::detail::is_integral_v<T> && aie::vector<T, N>::bits() == 512)                     \
    NPUK_INLINE aie::vector<T, N> name(const aie::vector<T, N> &a, const aie::vector<T, N> &b) {        \
        return aie::operation(a, b);                                                                    \
    }
NPUK_BITS(bor, bit_or)
NPUK_BITS(band, bit_and)
NPUK_BITS(bxor, bit_xor)
#undef NPUK_BITS
