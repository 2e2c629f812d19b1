// The raw shuffle of 512-bit registers and its modes.
#pragma once

#include "intrinsics.hpp"

// A mode T<bits>_<rows>x<columns> reads its input as row-major matrices of that shape and writes the transpose
// of each (AI Engine-ML Intrinsics User Guide, "Illustration of Shuffle Modes"). With _lo and _hi the one matrix
// of 1024 bits is both registers, the first one low, and the result is the transpose's low or high half.
// Without, it is the first register alone; a shape of fewer than 512 bits is transposed in each of its blocks
// there. T<bits>_1x<n>_flip reverses each group of n elements. Names and values are those of Peano's
// aiev2_enums.h and aie2p_enums.h, where _hi is _lo plus one: the API itself counts on that.
namespace npuk {

struct shuffle_mode {
    unsigned bits, rows, columns;
    enum { low, high, whole, flip } part;
};

inline constexpr shuffle_mode shuffle_modes[] = {
    {8, 64, 2, shuffle_mode::low},    {8, 64, 2, shuffle_mode::high},    // 0
    {16, 32, 2, shuffle_mode::low},   {16, 32, 2, shuffle_mode::high},   // 2
    {32, 16, 2, shuffle_mode::low},   {32, 16, 2, shuffle_mode::high},   // 4
    {64, 8, 2, shuffle_mode::low},    {64, 8, 2, shuffle_mode::high},    // 6
    {128, 4, 2, shuffle_mode::low},   {128, 4, 2, shuffle_mode::high},   // 8
    {256, 2, 2, shuffle_mode::low},   {256, 2, 2, shuffle_mode::high},   // 10
    {128, 2, 4, shuffle_mode::low},   {128, 2, 4, shuffle_mode::high},   // 12
    {64, 2, 8, shuffle_mode::low},    {64, 2, 8, shuffle_mode::high},    // 14
    {32, 2, 16, shuffle_mode::low},   {32, 2, 16, shuffle_mode::high},   // 16
    {16, 2, 32, shuffle_mode::low},   {16, 2, 32, shuffle_mode::high},   // 18
    {8, 2, 64, shuffle_mode::low},    {8, 2, 64, shuffle_mode::high},    // 20
    {512, 1, 2, shuffle_mode::low},   {512, 1, 2, shuffle_mode::high},   // 22
    {16, 16, 4, shuffle_mode::low},   {16, 16, 4, shuffle_mode::high},   // 24
    {16, 4, 16, shuffle_mode::low},   {16, 4, 16, shuffle_mode::high},   // 26
    {16, 8, 4, shuffle_mode::whole},  {16, 4, 8, shuffle_mode::whole},   // 28
    {32, 8, 4, shuffle_mode::low},    {32, 8, 4, shuffle_mode::high},    // 30
    {32, 4, 8, shuffle_mode::low},    {32, 4, 8, shuffle_mode::high},    // 32
    {32, 4, 4, shuffle_mode::whole},  {8, 8, 8, shuffle_mode::whole},    // 34
    {8, 16, 4, shuffle_mode::whole},  {8, 4, 16, shuffle_mode::whole},   // 36
    {16, 1, 2, shuffle_mode::flip},   {16, 4, 4, shuffle_mode::whole},   // 38
    {16, 4, 2, shuffle_mode::whole},  {16, 2, 4, shuffle_mode::whole},   // 40
    {16, 8, 2, shuffle_mode::whole},  {16, 2, 8, shuffle_mode::whole},   // 42
    {16, 16, 2, shuffle_mode::whole}, {16, 2, 16, shuffle_mode::whole},  // 44
    {8, 8, 4, shuffle_mode::whole},   {8, 4, 8, shuffle_mode::whole},    // 46
#if __AIE_ARCH__ == 21
    {32, 8, 2, shuffle_mode::whole},  {32, 2, 8, shuffle_mode::whole},  // 48
    {64, 4, 2, shuffle_mode::whole},  {64, 2, 4, shuffle_mode::whole},  // 50
    {16, 8, 8, shuffle_mode::low},    {16, 8, 8, shuffle_mode::high},   // 52
    {32, 1, 16, shuffle_mode::flip},  {8, 1, 4, shuffle_mode::flip},    // 54
#endif
};
inline constexpr unsigned shuffle_mode_count = sizeof(shuffle_modes) / sizeof(shuffle_modes[0]);

// Which of the 128 input bytes, the first register's first, is byte `at` of the result.
constexpr unsigned shuffled_byte(const shuffle_mode &mode, unsigned at) {
    const unsigned bytes = mode.bits / 8, block = bytes * mode.rows * mode.columns;
    const unsigned whole = at + (mode.part == shuffle_mode::high ? 64 : 0);
    const unsigned element = whole % block / bytes;
    const unsigned from = mode.part == shuffle_mode::flip ? mode.columns - 1 - element : element % mode.rows * mode.columns + element / mode.rows;
    return whole / block * block + from * bytes + whole % bytes;
}

struct shuffle_table {
    uint8_t from[shuffle_mode_count][64];
};
inline constexpr shuffle_table shuffle_bytes = [] {
    shuffle_table table{};
    for (unsigned mode = 0; mode < shuffle_mode_count; ++mode)
        for (unsigned at = 0; at < 64; ++at) table.from[mode][at] = static_cast<uint8_t>(shuffled_byte(shuffle_modes[mode], at));
    return table;
}();

}  // namespace npuk

#define NPUK_SHUFFLE(name, value) inline constexpr unsigned name = value;
#define NPUK_SHUFFLE_PAIR(name, value)            \
    inline constexpr unsigned name##_lo = value; \
    inline constexpr unsigned name##_hi = value + 1;
NPUK_SHUFFLE_PAIR(T8_64x2, 0)
NPUK_SHUFFLE_PAIR(T16_32x2, 2)
NPUK_SHUFFLE_PAIR(T32_16x2, 4)
NPUK_SHUFFLE_PAIR(T64_8x2, 6)
NPUK_SHUFFLE_PAIR(T128_4x2, 8)
NPUK_SHUFFLE_PAIR(T256_2x2, 10)
NPUK_SHUFFLE_PAIR(T128_2x4, 12)
NPUK_SHUFFLE_PAIR(T64_2x8, 14)
NPUK_SHUFFLE_PAIR(T32_2x16, 16)
NPUK_SHUFFLE_PAIR(T16_2x32, 18)
NPUK_SHUFFLE_PAIR(T8_2x64, 20)
NPUK_SHUFFLE_PAIR(T512_1x2, 22)
NPUK_SHUFFLE_PAIR(T16_16x4, 24)
NPUK_SHUFFLE_PAIR(T16_4x16, 26)
NPUK_SHUFFLE(T16_8x4, 28)
NPUK_SHUFFLE(T16_4x8, 29)
NPUK_SHUFFLE_PAIR(T32_8x4, 30)
NPUK_SHUFFLE_PAIR(T32_4x8, 32)
NPUK_SHUFFLE(T32_4x4, 34)
NPUK_SHUFFLE(T8_8x8, 35)
NPUK_SHUFFLE(T8_16x4, 36)
NPUK_SHUFFLE(T8_4x16, 37)
NPUK_SHUFFLE(T16_1x2_flip, 38)
NPUK_SHUFFLE(T16_4x4, 39)
NPUK_SHUFFLE(T16_4x2, 40)
NPUK_SHUFFLE(T16_2x4, 41)
NPUK_SHUFFLE(T16_8x2, 42)
NPUK_SHUFFLE(T16_2x8, 43)
NPUK_SHUFFLE(T16_16x2, 44)
NPUK_SHUFFLE(T16_2x16, 45)
NPUK_SHUFFLE(T8_8x4, 46)
NPUK_SHUFFLE(T8_4x8, 47)
#if __AIE_ARCH__ == 21
NPUK_SHUFFLE(T32_8x2, 48)
NPUK_SHUFFLE(T32_2x8, 49)
NPUK_SHUFFLE(T64_4x2, 50)
NPUK_SHUFFLE(T64_2x4, 51)
NPUK_SHUFFLE_PAIR(T16_8x8, 52)
NPUK_SHUFFLE(T32_1x16_flip, 54)
NPUK_SHUFFLE(T8_1x4_flip, 55)
#endif

// The same by what they do to pairs of elements: take them apart, put them together.
#define NPUK_INTERLEAVE(elements, apart, together)                   \
    inline constexpr unsigned DINTLV_lo_##elements = apart##_lo;    \
    inline constexpr unsigned DINTLV_hi_##elements = apart##_hi;    \
    inline constexpr unsigned INTLV_lo_##elements = together##_lo; \
    inline constexpr unsigned INTLV_hi_##elements = together##_hi;
NPUK_INTERLEAVE(8o16, T8_64x2, T8_2x64)
NPUK_INTERLEAVE(16o32, T16_32x2, T16_2x32)
NPUK_INTERLEAVE(32o64, T32_16x2, T32_2x16)
NPUK_INTERLEAVE(64o128, T64_8x2, T64_2x8)
NPUK_INTERLEAVE(128o256, T128_4x2, T128_2x4)
NPUK_INTERLEAVE(256o512, T256_2x2, T256_2x2)
NPUK_INTERLEAVE(512o1024, T512_1x2, T512_1x2)
#undef NPUK_INTERLEAVE
#undef NPUK_SHUFFLE
#undef NPUK_SHUFFLE_PAIR

template <aie::ElemBaseType T, unsigned N>
    requires(aie::vector<T, N>::bits() == 512)
NPUK_INLINE aie::vector<T, N> shuffle(const aie::vector<T, N> &a, const aie::vector<T, N> &b, unsigned mode) {
    unsigned char in[128], out[64];
    a.to_memory(in);
    b.to_memory(in + 64);
    // No core has a mode beyond the last: its lowest bits would be read as another.
    const uint8_t *from = npuk::shuffle_bytes.from[mode < npuk::shuffle_mode_count ? mode : 0];
    for (unsigned i = 0; i < 64; ++i) out[i] = in[from[i]];
    return aie::vector<T, N>::from_memory(out);
}
// The second register is undefined; here it is zero.
template <aie::ElemBaseType T, unsigned N>
    requires(aie::vector<T, N>::bits() == 512)
NPUK_INLINE aie::vector<T, N> shuffle(const aie::vector<T, N> &a, unsigned mode) {
    return shuffle(a, aie::vector<T, N>(aie::vector<T, N>::lanes_type::zero()), mode);
}

// The bytes of b:a, a low, from byte `shift` on: in bytes, or in elements. One whole register at most.
template <aie::ElemBaseType T, unsigned N>
    requires(aie::vector<T, N>::bits() == 512)
NPUK_INLINE aie::vector<T, N> shift_bytes(const aie::vector<T, N> &a, const aie::vector<T, N> &b, unsigned shift) {
    unsigned char both[128];
    a.to_memory(both);
    b.to_memory(both + 64);
    return aie::vector<T, N>::from_memory(both + shift % 64);
}
template <aie::ElemBaseType T, unsigned N>
    requires(aie::vector<T, N>::bits() == 512 && aie::vector<T, N>::type_bits() >= 8)
NPUK_INLINE aie::vector<T, N> shift(const aie::vector<T, N> &a, const aie::vector<T, N> &b, unsigned elements) {
    return shift_bytes(a, b, elements * sizeof(T));
}

// An element in every lane.
template <aie::ElemBaseType T, unsigned N>
    requires(aie::vector<T, N>::bits() == 512 && aie::vector<T, N>::type_bits() >= 8 && !std::is_same_v<T, bfloat16>)
NPUK_INLINE aie::vector<T, N> broadcast_elem(const aie::vector<T, N> &v, int idx) {
    return aie::broadcast<T, N>(v.get(static_cast<unsigned>(idx) % N));
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
