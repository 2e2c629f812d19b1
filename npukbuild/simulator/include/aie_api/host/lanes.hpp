// Fixed numbers of lanes held in host registers: the storage of vectors and accumulators.
#pragma once

#include "bfloat16.hpp"

#include <utility>

namespace npuk {

// The type a lane of T is stored as.
template <class T> struct lane { using type = T; };
template <> struct lane<bfloat16> { using type = uint16_t; };
template <> struct lane<int4_t> { using type = int8_t; };
template <> struct lane<uint4_t> { using type = uint8_t; };
template <class T> using lane_t = typename lane<T>::type;

template <class T>
NPUK_INLINE constexpr lane_t<T> to_lane(T value) {
    if constexpr (std::is_same_v<T, bfloat16>) return value.bits();
    else if constexpr (std::is_same_v<T, int4_t> || std::is_same_v<T, uint4_t>) return static_cast<lane_t<T>>(int(value));
    else return value;
}

template <class T>
NPUK_INLINE constexpr T from_lane(lane_t<T> value) {
    if constexpr (std::is_same_v<T, bfloat16>) return bfloat16::from_bits(value);
    else if constexpr (std::is_same_v<T, int4_t> || std::is_same_v<T, uint4_t>) return T(int(value));
    else return value;
}

// A host register with as many lanes as a float register (fewer when N is smaller), whatever the lane
// type, so that conversions are lane by lane.
template <class L, unsigned W>
struct register_of {
    typedef L type __attribute__((vector_size(W * sizeof(L))));
};
template <class L, unsigned W>
using register_t = typename register_of<L, W>::type;

template <class L, unsigned N>
struct lanes {
    static constexpr unsigned width = N < register_lanes ? N : register_lanes;
    static constexpr unsigned count = N / width;
    static_assert(N > 0 && N % width == 0);
    using reg = register_t<L, width>;

    reg r[count];

    NPUK_INLINE L get(unsigned i) const { return r[i / width][i % width]; }
    NPUK_INLINE void set(unsigned i, L value) { r[i / width][i % width] = value; }

        static NPUK_INLINE lanes load(const void *p) {
        lanes out;
        for (unsigned i = 0; i < count; ++i)
            __builtin_memcpy(&out.r[i], static_cast<const char *>(p) + i * sizeof(reg), sizeof(reg));
        return out;
    }
    NPUK_INLINE void store(void *p) const {
        for (unsigned i = 0; i < count; ++i)
            __builtin_memcpy(static_cast<char *>(p) + i * sizeof(reg), &r[i], sizeof(reg));
    }
    static NPUK_INLINE lanes splat(L value) {
        lanes out;
        if constexpr (std::is_floating_point_v<L>) {  // by its bits: denormals too
            const auto bits = __builtin_bit_cast(int32_t, value) - register_t<int32_t, width>{};
            for (unsigned i = 0; i < count; ++i) out.r[i] = reinterpret_cast<const reg &>(bits);
        } else {
            for (unsigned i = 0; i < count; ++i) out.r[i] = value - reg{};
        }
        return out;
    }
    static NPUK_INLINE lanes zero() {
        lanes out;
        for (unsigned i = 0; i < count; ++i) out.r[i] = reg{};
        return out;
    }
};

template <class L, unsigned N, class F>
NPUK_INLINE lanes<L, N> each(const lanes<L, N> &a, F f) {
    lanes<L, N> out;
    for (unsigned i = 0; i < lanes<L, N>::count; ++i) out.r[i] = f(a.r[i]);
    return out;
}
template <class L, unsigned N, class F>
NPUK_INLINE lanes<L, N> each(const lanes<L, N> &a, const lanes<L, N> &b, F f) {
    lanes<L, N> out;
    for (unsigned i = 0; i < lanes<L, N>::count; ++i) out.r[i] = f(a.r[i], b.r[i]);
    return out;
}

// Lane-wise conversion between arithmetic lane types (C rules).
template <class To, class From, unsigned N>
NPUK_INLINE lanes<To, N> convert(const lanes<From, N> &a) {
    if constexpr (std::is_same_v<To, From>) return a;
    else {
        lanes<To, N> out;
        for (unsigned i = 0; i < lanes<To, N>::count; ++i)
            out.r[i] = __builtin_convertvector(a.r[i], typename lanes<To, N>::reg);
        return out;
    }
}

template <class To, class From, unsigned N>
NPUK_INLINE lanes<To, N> bitcast(const lanes<From, N> &a) {
    static_assert(sizeof(To) == sizeof(From));
    lanes<To, N> out;
    for (unsigned i = 0; i < lanes<To, N>::count; ++i) out.r[i] = reinterpret_cast<const typename lanes<To, N>::reg &>(a.r[i]);
    return out;
}

// bfloat16 bits to float, exact.
template <unsigned N>
NPUK_INLINE lanes<float, N> widen_bf16(const lanes<uint16_t, N> &a) {
    lanes<float, N> out;
    for (unsigned i = 0; i < lanes<float, N>::count; ++i) {
        auto wide = __builtin_convertvector(a.r[i], typename lanes<uint32_t, N>::reg) << 16;
        out.r[i] = reinterpret_cast<typename lanes<float, N>::reg &>(wide);
    }
    return out;
}

// float to bfloat16 bits under a rounding mode; the two usual modes have short forms.
template <unsigned N>
NPUK_INLINE lanes<uint16_t, N> narrow_bf16(const lanes<float, N> &a, unsigned mode) {
    using u32 = typename lanes<uint32_t, N>::reg;
    using i32 = typename lanes<int32_t, N>::reg;
    lanes<uint16_t, N> out;
    const uint32_t table = rounding.up[1][mode & 15];
    for (unsigned i = 0; i < lanes<float, N>::count; ++i) {
        const u32 bits = reinterpret_cast<const u32 &>(a.r[i]);
        const u32 rest = bits & 0xffff;
        const u32 kept = bits >> 16;
        // Comparisons give all-ones (-1), hence the subtractions.
        const u32 some = (u32)(rest != 0);
        const u32 half = (u32)(rest >= 0x8000);
        const u32 more = (u32)(rest > 0x8000);
        const u32 place = -(some + half + more);
        const u32 index = place | (bits >> 31) << 2 | (kept & 1) << 3;
        const u32 up = ((table + u32{}) >> index) & 1;
        const u32 special = (u32)((bits & 0x7f800000) == 0x7f800000);
        const u32 lost_nan = (u32)((bits & 0x007f0000) == 0) & some & 1;
        const u32 rounded = kept + ((special & lost_nan) | (~special & up));
        out.r[i] = __builtin_convertvector((i32)rounded, typename lanes<uint16_t, N>::reg);
    }
    return out;
}

// Accumulator lanes to To lanes: shift, round, then saturate or wrap.
template <class To, bool SaturateSigned, unsigned Bits, class Wide, unsigned N>
NPUK_INLINE lanes<To, N> shift_round_saturate(const lanes<Wide, N> &a, int shift) {
    Wide in[N];
    To out[N];
    a.store(in);
    const uint32_t table = rounding.up[0][control.rounding & 15];
    const unsigned mode = control.saturation;
    if (mode == 0) {
        for (unsigned i = 0; i < N; ++i) out[i] = static_cast<To>(srs_round(in[i], shift, table));
    } else if (shift < 0) {  // up: what leaves the lane saturates too
        const limits range = saturation_limits<Bits, SaturateSigned>(mode);
        const int up = -shift;
        for (unsigned i = 0; i < N; ++i) {
            const int64_t value = in[i], far = int64_t(1) << 34;
            const int64_t near = value < -far ? -far : value > far ? far : value;  // beyond every range already
            const int64_t shifted = up > 28 ? near * (int64_t(1) << 28) : near << up;
            out[i] = static_cast<To>(shifted < range.low ? range.low : shifted > range.high ? range.high : shifted);
        }
    } else {
        const limits range = saturation_limits<Bits, SaturateSigned>(mode);
        for (unsigned i = 0; i < N; ++i) {
            int64_t value = srs_round(in[i], shift, table);
            value = value < range.low ? range.low : value > range.high ? range.high : value;
            out[i] = static_cast<To>(value);
        }
    }
    return lanes<To, N>::load(out);
}

// Any rearrangement: out lane i is in lane from(i).
template <unsigned M, class L, unsigned N, class F>
NPUK_INLINE lanes<L, M> rearrange(const lanes<L, N> &a, F from) {
    L in[N];
    L out[M];
    a.store(in);
    for (unsigned i = 0; i < M; ++i) out[i] = in[from(i)];
    return lanes<L, M>::load(out);
}

}  // namespace npuk
