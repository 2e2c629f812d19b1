// bfloat16 and the 4-bit integers as classes: g++ 12 has neither.
#pragma once

#include <limits>

#include "rounding.hpp"

// Behaves as Peano's `__bf16`: implicit from and to the arithmetic types, bfloat16 results of bfloat16
// operands. Conversions from a value known at compile time round to nearest even, as the compiler would;
// all others go through the vector unit and obey the rounding register.
class bfloat16 {
public:
    bfloat16() = default;

    template <class T>
        requires std::is_arithmetic_v<T>
    NPUK_INLINE constexpr bfloat16(T value) : bits_(convert(static_cast<float>(value))) {}

    // From what reads as a float, such as an element of a vector.
    template <class T>
        requires(!std::is_arithmetic_v<T> && !std::is_same_v<T, bfloat16> && std::is_convertible_v<const T &, float>)
    NPUK_INLINE explicit bfloat16(const T &value) : bfloat16(static_cast<float>(value)) {}

    static constexpr bfloat16 from_bits(uint16_t bits) {
        bfloat16 result{};
        result.bits_ = bits;
        return result;
    }
    constexpr uint16_t bits() const { return bits_; }

    NPUK_INLINE constexpr operator float() const { return __builtin_bit_cast(float, uint32_t(bits_) << 16); }

    NPUK_INLINE constexpr bfloat16 operator-() const { return from_bits(bits_ ^ 0x8000); }
    NPUK_INLINE constexpr bfloat16 operator+() const { return *this; }

#define NPUK_BF16_OPERATOR(op)                                                                          \
    friend NPUK_INLINE constexpr bfloat16 operator op(bfloat16 a, bfloat16 b) { return float(a) op float(b); } \
    template <class T>                                                                                  \
        requires std::is_integral_v<T>                                                                  \
    friend NPUK_INLINE constexpr bfloat16 operator op(bfloat16 a, T b) { return float(a) op float(bfloat16(b)); } \
    template <class T>                                                                                  \
        requires std::is_integral_v<T>                                                                  \
    friend NPUK_INLINE constexpr bfloat16 operator op(T a, bfloat16 b) { return float(bfloat16(a)) op float(b); } \
    template <class T>                                                                                  \
        requires std::is_floating_point_v<T>                                                            \
    friend NPUK_INLINE constexpr T operator op(bfloat16 a, T b) { return T(float(a)) op b; }            \
    template <class T>                                                                                  \
        requires std::is_floating_point_v<T>                                                            \
    friend NPUK_INLINE constexpr T operator op(T a, bfloat16 b) { return a op T(float(b)); }            \
    template <class T>                                                                                  \
    NPUK_INLINE constexpr bfloat16 &operator op##=(T b) { return *this = bfloat16(float(*this op b)); }
    NPUK_BF16_OPERATOR(+)
    NPUK_BF16_OPERATOR(-)
    NPUK_BF16_OPERATOR(*)
    NPUK_BF16_OPERATOR(/)
#undef NPUK_BF16_OPERATOR

private:
    static NPUK_INLINE constexpr uint16_t convert(float value) {
        const uint32_t bits = __builtin_bit_cast(uint32_t, value);
        if (std::is_constant_evaluated() || __builtin_constant_p(value)) return npuk::bf16_nearest_even(bits);
        return npuk::bf16_round(bits, npuk::rounding.up[1][npuk::control.rounding & 15]);
    }

    uint16_t bits_;
};

static_assert(sizeof(bfloat16) == 2 && std::is_trivially_default_constructible_v<bfloat16>);

template <>
struct std::numeric_limits<bfloat16> : std::numeric_limits<float> {
    static constexpr int digits = 8;
    static constexpr bfloat16 min() { return bfloat16::from_bits(0x0080); }
    static constexpr bfloat16 max() { return bfloat16::from_bits(0x7f7f); }
    static constexpr bfloat16 lowest() { return bfloat16::from_bits(0xff7f); }
    static constexpr bfloat16 epsilon() { return bfloat16::from_bits(0x3c00); }
    static constexpr bfloat16 infinity() { return bfloat16::from_bits(0x7f80); }
    static constexpr bfloat16 quiet_NaN() { return bfloat16::from_bits(0x7fc0); }
    static constexpr bfloat16 denorm_min() { return bfloat16::from_bits(0x0001); }
};

// Four-bit integers; in memory two share a byte, low nibble first.
class int4_t {
public:
    int4_t() = default;
    constexpr explicit int4_t(int value) : value_(static_cast<int8_t>(static_cast<int8_t>(unsigned(value) << 4) >> 4)) {}
    constexpr operator int() const { return value_; }

private:
    int8_t value_;
};

class uint4_t {
public:
    uint4_t() = default;
    constexpr explicit uint4_t(int value) : value_(static_cast<uint8_t>(value & 15)) {}
    constexpr operator int() const { return value_; }

private:
    uint8_t value_;
};

using int4 = int4_t;
using uint4 = uint4_t;
