// Look-up tables: parallel lookups and piecewise linear approximation.
//
// A table for four parallel accesses holds each 128-bit group of values twice in a row, and exists twice
// (ab and cd). All four copies are equal, so here the first of each pair in ab is read.
#pragma once

#include "streams.hpp"

namespace aie {

enum class lut_oor_policy { saturate, truncate };

template <unsigned ParallelAccesses, class OffsetType, class SlopeType = OffsetType>
struct lut {
    static_assert(ParallelAccesses == 1 || ParallelAccesses == 2 || ParallelAccesses == 4, "a table serves 1, 2 or 4 accesses at once");
    using offset_type = OffsetType;
    using slope_type = SlopeType;

    lut(unsigned LUT_elems, const void *LUT_ab, const void *LUT_cd)
        requires(ParallelAccesses == 4)
        : elems(LUT_elems), table(static_cast<const unsigned char *>(LUT_ab)) {
        (void)LUT_cd;
    }
    lut(unsigned LUT_elems, const void *LUT_ab)
        requires(ParallelAccesses == 2)
        : elems(LUT_elems), table(static_cast<const unsigned char *>(LUT_ab)) {}
    lut(unsigned LUT_elems, const void *LUT_a)
        requires(ParallelAccesses == 1)
        : elems(LUT_elems), table(static_cast<const unsigned char *>(LUT_a)) {}

    // `bytes` bytes of entry `index`, entries being `bytes` apart before duplication.
    template <class V>
    V read(unsigned index, unsigned entry_bytes, unsigned offset) const {
        const unsigned at = index * entry_bytes;
        V value;
        __builtin_memcpy(&value, table + at / 16 * (ParallelAccesses == 1 ? 16 : 32) + at % 16 + offset, sizeof(V));
        return value;
    }

    unsigned elems;
    const unsigned char *table;
};

namespace detail {
template <class T> inline constexpr bool is_lut_v = false;
template <unsigned P, class O, class S> inline constexpr bool is_lut_v<lut<P, O, S>> = true;
}  // namespace detail
template <class T>
concept ParallelLUT = detail::is_lut_v<T>;

// Entry (key >> step_bits) + bias of the table. Keys are integers.
template <class T, ParallelLUT MyLUT, lut_oor_policy oor_policy = lut_oor_policy::saturate>
    requires(detail::is_integral_v<T>)
struct parallel_lookup {
    template <class U = T>
        requires(std::is_signed_v<U>)
    parallel_lookup(const MyLUT &l, unsigned step_bits = 0, unsigned bias = 0) : lut_(l), step_bits_(step_bits), bias_(static_cast<int>(bias)) {}
    template <class U = T>
        requires(std::is_unsigned_v<U>)
    parallel_lookup(const MyLUT &l, unsigned step_bits = 0) : lut_(l), step_bits_(step_bits), bias_(0) {}

    // 16 or 32 keys give as many values as a register of 512 bits holds, or less if asked.
    template <Vector Vec, unsigned N = Vec::size()>
        requires((Vec::size() == 16 || Vec::size() == 32) && N <= Vec::size() && N * detail::type_bits_v<typename MyLUT::offset_type> <= 512)
    vector<typename MyLUT::offset_type, N> fetch(const Vec &input) {
        using V = typename MyLUT::offset_type;
        static_assert(std::is_same_v<typename Vec::value_type, T>, "the keys are not of the lookup's type");
        vector<V, N> out;
        for (unsigned i = 0; i < N; ++i) {
            int index = (static_cast<int>(detail::value(input).get(i)) >> step_bits_) + bias_;
            if constexpr (oor_policy == lut_oor_policy::saturate) index = index < 0 ? 0 : index >= int(lut_.elems) ? int(lut_.elems) - 1 : index;
            else index &= static_cast<int>(lut_.elems) - 1;
            out.set(lut_.template read<V>(static_cast<unsigned>(index), sizeof(V), 0), i);
        }
        return out;
    }
    template <unsigned N, Vector Vec>
    vector<typename MyLUT::offset_type, N> fetch(const Vec &input) {
        return fetch<Vec, N>(input);
    }

private:
    MyLUT lut_;
    unsigned step_bits_;
    int bias_;
};

// offset + slope * (input, or for integers its low step_bits), the pair read at (input >> step_bits) + bias.
template <class T, ParallelLUT MyLUT>
struct linear_approx {
    static constexpr bool is_int8 = std::is_same_v<T, int8> && std::is_same_v<MyLUT, lut<4, int8, int8>>;
    static constexpr bool is_int16 = std::is_same_v<T, int16> && (std::is_same_v<MyLUT, lut<4, int16, int16>> || std::is_same_v<MyLUT, lut<4, int32, int32>>);
    static constexpr bool is_float = std::is_same_v<T, bfloat16> && std::is_same_v<MyLUT, lut<4, float, bfloat16>>;
    static_assert(is_int8 || is_int16 || is_float, "no linear approximation for these types");
    using tag = std::conditional_t<is_float, accfloat, std::conditional_t<is_int8, acc32, acc64>>;

    linear_approx(const MyLUT &l, unsigned step_bits, int bias = 0, int shift_offset = 0)
        : lut_(l), step_bits_(static_cast<int>(step_bits)), bias_(bias), shift_offset_(shift_offset) {}

    template <Vector Vec>
    accum<tag, Vec::size()> compute(const Vec &input) {
        static_assert(Vec::size() <= (is_int8 ? 32 : 16), "an approximation takes 16 elements at once, 32 of int8");
        static_assert(std::is_same_v<typename Vec::value_type, T>, "the input is not of the approximation's type");
        using L = typename accum<tag, Vec::size()>::lane_type;
        typename accum<tag, Vec::size()>::lanes_type out;
        for (unsigned i = 0; i < Vec::size(); ++i) {
            const T x = detail::value(input).get(i);
            if constexpr (is_float) {
                const unsigned at = index(detail::bf16_to_int_lane(float(x), -step_bits_));
                // Slopes lie in 32-bit words whose low half is zero.
                const float slope = float(bfloat16::from_bits(lut_.template read<uint16_t>(at, 8, 2)));
                out.set(i, lut_.template read<float>(at, 8, 4) + slope * float(x));
            } else {
                using V = typename MyLUT::offset_type;
                const unsigned at = index(x >> step_bits_);
                const L rest = x & ((1 << step_bits_) - 1);
                out.set(i, lut_.template read<V>(at, 2 * sizeof(V), 0) * rest + (static_cast<L>(lut_.template read<V>(at, 2 * sizeof(V), sizeof(V))) << shift_offset_));
            }
        }
        return out;
    }

private:
    unsigned index(int64_t at) const {
        at += bias_;
        return static_cast<unsigned>(at < 0 ? 0 : at >= int64_t(lut_.elems) ? lut_.elems - 1 : at);
    }

    MyLUT lut_;
    int step_bits_;
    int bias_;
    int shift_offset_;
};

}  // namespace aie
