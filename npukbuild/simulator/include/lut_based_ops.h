// Exponential, hyperbolic tangent and reciprocal by tables, under the names of mlir-aie's lut_based_ops.h.
//
// The tables have that library's structure: e^x as a table over the integer part times one over 256
// fractions, both bfloat16; tanh as 32 linear segments with bfloat16 coefficients; 1/x over 128 mantissas.
// Their entries are computed here, to nearest; the tanh segments are the best straight lines, whose offsets
// can differ from the library's in their last bit.
#pragma once

#include "aie_api/aie.hpp"

namespace npuk {

constexpr uint16_t nearest_bf16(double value) { return bf16_nearest_even(__builtin_bit_cast(uint32_t, static_cast<float>(value))); }
constexpr double bf16_double(uint16_t bits) { return __builtin_bit_cast(float, uint32_t(bits) << 16); }

struct exp_tables {
    uint16_t integer[256];   // e^i, i as a signed byte; from 88 on e^88, the last that is finite
    uint16_t fraction[256];  // e^(i / 256)
};
inline constexpr exp_tables exp_table = [] {
    exp_tables t{};
    for (int i = 0; i < 256; ++i) {
        const int n = i < 128 ? i : i - 256;
        t.integer[i] = nearest_bf16(exp_value(n > 88 ? 88 : n));
        t.fraction[i] = nearest_bf16(exp_value(i / 256.0));
    }
    return t;
}();

// Segment i covers [i / 4, i / 4 + 1/4) and, mirrored, the negative side.
struct tanh_tables {
    float slope[16], offset[16];
};
inline constexpr tanh_tables tanh_table = [] {
    tanh_tables t{};
    t.slope[0] = 1;
    t.offset[15] = 1;
    for (int i = 1; i < 15; ++i) {
        const double a = i / 4.0, b = a + 0.25;
        const double slope = bf16_double(nearest_bf16((tanh_exact(b) - tanh_exact(a)) * 4));
        double low = 1, high = -1;
        for (int s = 0; s <= 64; ++s) {
            const double x = a + s / 256.0;
            const double rest = tanh_exact(x) - slope * x;
            low = rest < low ? rest : low;
            high = rest > high ? rest : high;
        }
        t.slope[i] = static_cast<float>(slope);
        t.offset[i] = static_cast<float>(bf16_double(nearest_bf16((low + high) / 2)));
    }
    return t;
}();

struct inverse_table_type {
    uint8_t mantissa[128];
};
inline constexpr inverse_table_type inverse_table = [] {
    inverse_table_type t{};
    for (int m = 1; m < 128; ++m) t.mantissa[m] = static_cast<uint8_t>((256.0 / (128 + m) - 1) * 128 + 0.5);
    return t;
}();

}  // namespace npuk

inline __attribute__((always_inline)) v16accfloat getExpBf16(v16bfloat16 x) {
    v16bfloat16 whole, part;
    for (unsigned i = 0; i < 16; ++i) {
        const auto fixed = static_cast<uint16_t>(aie::detail::bf16_to_int_lane(float(x.get(i)), 8));
        whole.set(bfloat16::from_bits(npuk::exp_table.integer[fixed >> 8]), i);
        part.set(bfloat16::from_bits(npuk::exp_table.fraction[fixed & 255]), i);
    }
    return aie::mul(whole, part);
}

inline __attribute__((always_inline)) v16bfloat16 getTanhBf16(v16bfloat16 x) {
    npuk::lanes<float, 16> out;
    for (unsigned i = 0; i < 16; ++i) {
        const float value = float(x.get(i));
        const int segment = aie::detail::bf16_to_int_lane(value, 2);
        const int at = segment < -16 ? -16 : segment > 15 ? 15 : segment;
        const float slope = npuk::tanh_table.slope[at < 0 ? -1 - at : at];
        const float offset = npuk::tanh_table.offset[at < 0 ? -1 - at : at];
        out.set(i, slope * value + (at < 0 ? -offset : offset));
    }
    return v16accfloat(out).to_vector<bfloat16>();
}

// 1 / x for positive x.
inline __attribute__((always_inline)) bfloat16 getInvBf16(float x) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, x) + 0x8000;
    const uint32_t exponent = bits >> 23 & 255;
    const uint32_t mantissa = bits >> 16 & 127;
    const uint32_t inverse = ((mantissa == 0) + (253 - exponent)) << 7;
    return bfloat16::from_bits(static_cast<uint16_t>(inverse + npuk::inverse_table.mantissa[mantissa]));
}
