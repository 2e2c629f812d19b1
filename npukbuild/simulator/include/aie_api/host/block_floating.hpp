// Block floating point: some elements share one exponent and have an 8-bit two's complement mantissa each.
//
// A block is stored as its exponent's byte (that of its largest element, biased by 127 as in float) and then
// the mantissas, in units of 2^(exponent - 127 - 6). The converter rounds as the rounding register says, after
// reset towards minus infinity, which biases products of converted operands. Where rounding to nearest leaves
// the 8 bits, the whole block moves one exponent up.
#pragma once

#include "lanes.hpp"

namespace npuk {

template <unsigned N, unsigned Block>
struct block_floats {
    uint8_t exponent[N / Block];
    int8_t mantissa[N];
};

// Rounded magnitudes of one block under an exponent, with their signs. Denormals count as zero.
template <unsigned Block>
NPUK_INLINE void block_mantissas(const uint32_t *bits, uint32_t exponent, uint32_t table, int32_t *out) {
    for (unsigned i = 0; i < Block; ++i) {
        const uint32_t own = bits[i] >> 23 & 255;
        const uint32_t significand = own == 0 ? 0 : (bits[i] & 0x7fffff) | 0x800000;
        const uint32_t lost = 17 + exponent - own;
        const uint32_t shift = lost < 26 ? lost : 26;
        const uint32_t kept = significand >> shift;
        const uint32_t rest = significand & ((1u << shift) - 1);
        const uint32_t half = 1u << (shift - 1);
        const uint32_t place = uint32_t(rest != 0) + uint32_t(rest >= half) + uint32_t(rest > half);
        const uint32_t index = place | (bits[i] >> 31) << 2 | (kept & 1) << 3;
        const auto magnitude = static_cast<int32_t>(kept + ((table >> index) & 1));
        out[i] = bits[i] >> 31 ? -magnitude : magnitude;
    }
}

template <unsigned Block, unsigned N>
NPUK_INLINE block_floats<N, Block> to_blocks(const lanes<float, N> &a) {
    uint32_t bits[N];
    a.store(bits);
    const uint32_t table = rounding.up[1][control.rounding & 15];
    block_floats<N, Block> out;
    for (unsigned b = 0; b < N / Block; ++b) {
        const uint32_t *in = bits + b * Block;
        uint32_t exponent = 0;
        for (unsigned i = 0; i < Block; ++i) {
            const uint32_t own = in[i] >> 23 & 255;
            exponent = own > exponent ? own : exponent;
        }
        int32_t mantissa[Block];
        block_mantissas<Block>(in, exponent, table, mantissa);
        int32_t high = 0, low = 0;
        for (unsigned i = 0; i < Block; ++i) {
            high = mantissa[i] > high ? mantissa[i] : high;
            low = mantissa[i] < low ? mantissa[i] : low;
        }
        if (high > 127 || low < -128) block_mantissas<Block>(in, ++exponent, table, mantissa);
        out.exponent[b] = static_cast<uint8_t>(exponent < 255 ? exponent : 255);
        for (unsigned i = 0; i < Block; ++i) out.mantissa[b * Block + i] = static_cast<int8_t>(mantissa[i]);
    }
    return out;
}

// The values of blocks; those too small for a normal float are zero, an exponent of all ones is infinite.
template <unsigned N, unsigned Block>
NPUK_INLINE lanes<float, N> from_blocks(const block_floats<N, Block> &blocks) {
    float out[N];
    for (unsigned b = 0; b < N / Block; ++b) {
        const uint32_t exponent = blocks.exponent[b];
        const uint32_t unit = exponent == 255 ? 0x7f800000 : exponent > 6 ? (exponent - 6) << 23 : 0;
        const float scale = __builtin_bit_cast(float, unit);
        for (unsigned i = 0; i < Block; ++i) out[b * Block + i] = static_cast<float>(blocks.mantissa[b * Block + i]) * scale;
    }
    return lanes<float, N>::load(out);
}

// What is left of values that pass through blocks of 8.
template <unsigned N>
NPUK_INLINE lanes<float, N> through_blocks(const lanes<float, N> &a) {
    return from_blocks(to_blocks<8>(a));
}

}  // namespace npuk
