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

// Lane i takes lane i ^ Step.
template <unsigned Step, class L, unsigned N>
NPUK_INLINE lanes<L, N> exchanged(const lanes<L, N> &a) {
    constexpr unsigned W = lanes<L, N>::width;
    lanes<L, N> out;
    for (unsigned i = 0; i < lanes<L, N>::count; ++i) {
        if constexpr (Step >= W) out.r[i] = a.r[i ^ (Step / W)];
        else
            out.r[i] = [&]<unsigned... l>(std::integer_sequence<unsigned, l...>) __attribute__((always_inline)) {
                return __builtin_shufflevector(a.r[i], a.r[i], (l ^ Step)...);
            }(std::make_integer_sequence<unsigned, W>{});
    }
    return out;
}

// Every lane gets the largest of its block.
template <unsigned Block, unsigned Step = 1, unsigned N>
NPUK_INLINE lanes<uint32_t, N> block_max(const lanes<uint32_t, N> &a) {
    if constexpr (Step == Block) return a;
    else
        return block_max<Block, 2 * Step>(each(a, exchanged<Step>(a), [](auto p, auto q) { return p > q ? p : q; }));
}

// Magnitudes under the exponents of their blocks, rounded. Denormals count as zero.
template <unsigned N>
NPUK_INLINE lanes<uint32_t, N> block_magnitudes(const lanes<uint32_t, N> &bits, const lanes<uint32_t, N> &exponent, uint32_t table) {
    return each(bits, exponent, [=](auto bit, auto shared) {
        using V = decltype(bit);
        const V own = (bit >> 23) & 255;
        const V significand = ((bit & 0x7fffff) | 0x800000) & (V)(own != 0);
        const V lost = 17 + shared - own;
        const V shift = lost < 26 ? lost : 26 + V{};
        const V kept = significand >> shift;
        const V half = (1 + V{}) << (shift - 1);
        const V rest = significand & (half + half - 1);
        // Comparisons give all-ones (-1), hence the negation.
        const V place = -((V)(rest != 0) + (V)(rest >= half) + (V)(rest > half));
        const V index = place | (bit >> 31) << 2 | (kept & 1) << 3;
        return V(kept + (((table + V{}) >> index) & 1));
    });
}

// The shared exponent, in every lane of its block, and each lane's mantissa.
template <unsigned N>
struct block_parts {
    lanes<uint32_t, N> exponent;
    lanes<int32_t, N> mantissa;
};
template <unsigned Block, unsigned N>
NPUK_INLINE block_parts<N> split_blocks(const lanes<float, N> &a) {
    const auto bits = bitcast<uint32_t>(a);
    const uint32_t table = rounding.up[1][control.rounding & 15];
    auto exponent = block_max<Block>(each(bits, [](auto bit) { return bit >> 23 & 255; }));
    auto magnitude = block_magnitudes(bits, exponent, table);
    // One when the magnitude is above 127, or above 128 with a minus sign.
    const auto over = each(magnitude, bits, [](auto m, auto bit) { return (m + 127 - (bit >> 31) + 1) >> 8; });
    auto all = over.r[0];
    for (unsigned i = 1; i < lanes<uint32_t, N>::count; ++i) all |= over.r[i];
    uint32_t any = 0;
    for (unsigned l = 0; l < lanes<uint32_t, N>::width; ++l) any |= all[l];
    if (__builtin_expect(any != 0, 0)) {
        exponent = each(exponent, block_max<Block>(over), [](auto e, auto up) { return e + up; });
        magnitude = block_magnitudes(bits, exponent, table);
    }
    const auto mantissa = each(magnitude, bits, [](auto m, auto bit) { return (m ^ -(bit >> 31)) + (bit >> 31); });
    return {each(exponent, [](auto e) { return e < 255 ? e : 255 + decltype(e){}; }), bitcast<int32_t>(mantissa)};
}

// Values too small for a normal float are zero; under an exponent of all ones they are infinite.
template <unsigned N>
NPUK_INLINE lanes<float, N> join_blocks(const block_parts<N> &parts) {
    const auto unit = each(parts.exponent, [](auto e) {
        using V = decltype(e);
        const V normal = ((e - 6) << 23) & (V)(e > 6);
        return e == 255 ? 0x7f800000 + V{} : normal;
    });
    return each(convert<float>(parts.mantissa), bitcast<float>(unit), [](auto m, auto u) { return m * u; });
}

template <unsigned Block, unsigned N>
NPUK_INLINE block_floats<N, Block> to_blocks(const lanes<float, N> &a) {
    const auto parts = split_blocks<Block>(a);
    block_floats<N, Block> out;
    for (unsigned b = 0; b < N / Block; ++b) out.exponent[b] = static_cast<uint8_t>(parts.exponent.get(b * Block));
    convert<int8_t>(parts.mantissa).store(out.mantissa);
    return out;
}

template <unsigned N, unsigned Block>
NPUK_INLINE lanes<float, N> from_blocks(const block_floats<N, Block> &blocks) {
    uint32_t exponent[N];
    for (unsigned i = 0; i < N; ++i) exponent[i] = blocks.exponent[i / Block];
    return join_blocks<N>({lanes<uint32_t, N>::load(exponent), convert<int32_t>(lanes<int8_t, N>::load(blocks.mantissa))});
}

// What is left of values that pass through blocks of 8.
template <unsigned N>
NPUK_INLINE lanes<float, N> through_blocks(const lanes<float, N> &a) {
    return join_blocks(split_blocks<8>(a));
}

}  // namespace npuk
