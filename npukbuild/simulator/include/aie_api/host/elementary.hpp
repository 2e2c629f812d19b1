// Conversions between fixed and floating point, reciprocals and roots.
#pragma once

#include "mathematics.hpp"
#include "permute.hpp"

namespace aie {

namespace detail {

NPUK_INLINE float scaled(float value, int exponent) { return __builtin_ldexpf(value, exponent); }

// Round half to even; the magic-number additions of the vector unit do that whatever the control register.
template <class TR>
NPUK_INLINE npuk::lane_t<TR> to_fixed_lane(float value, int shift) {
    constexpr npuk::limits range = npuk::saturation_limits<type_bits_v<TR>, is_signed_v<TR>>(1);
    const double x = __builtin_nearbyint(double(value) * __builtin_ldexp(1.0, shift));
    if (!(x > double(range.low))) return static_cast<npuk::lane_t<TR>>(range.low);
    if (x >= double(range.high)) return static_cast<npuk::lane_t<TR>>(range.high);
    return static_cast<npuk::lane_t<TR>>(static_cast<int64_t>(x));
}

// The bfloat16 to integer instruction: towards minus infinity, saturating at 32 bits. Denormals are not
// flushed on the way: a negative one goes to -1.
NPUK_INLINE int32_t bf16_to_int_lane(float value, int shift) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, value);
    if (bits > 0x80000000u && bits < 0x80800000u) return -1;
    const double x = __builtin_floor(double(value) * __builtin_ldexp(1.0, shift));
    if (!(x > -2147483648.0)) return INT32_MIN;
    if (x >= 2147483647.0) return INT32_MAX;
    return static_cast<int32_t>(x);
}

// AIE2 converts up to 32 floats at once, and as many bfloat16 to uint32; AIE2P any number.
template <class TR, class T, unsigned Elems>
inline constexpr bool converts_to_fixed_v = is_integral_v<TR> && (npuk::arch != 20 || Elems <= 32 || (std::is_same_v<T, bfloat16> && !std::is_same_v<TR, uint32>));
}  // namespace detail

// v * 2^shift as integers. From bfloat16 to int16 and int32 one instruction does it, rounding down, and
// int16 keeps the low bits; all others round to nearest and saturate.
template <class TR = int32, unsigned Elems>
    requires(detail::converts_to_fixed_v<TR, float, Elems>)
NPUK_INLINE vector<TR, Elems> to_fixed(const vector<float, Elems> &v, int shift = 0) {
    vector<TR, Elems> out;
    for (unsigned i = 0; i < Elems; ++i) out.set(npuk::from_lane<TR>(detail::to_fixed_lane<TR>(v.get(i), shift)), i);
    return out;
}
template <class TR = int32, unsigned Elems>
    requires(detail::converts_to_fixed_v<TR, bfloat16, Elems>)
NPUK_INLINE vector<TR, Elems> to_fixed(const vector<bfloat16, Elems> &v, int shift = 0) {
    vector<TR, Elems> out;
    for (unsigned i = 0; i < Elems; ++i) {
        if constexpr (detail::is_one_of_v<TR, int16, int32>) out.set(static_cast<TR>(detail::bf16_to_int_lane(v.get(i), shift)), i);
        else out.set(npuk::from_lane<TR>(detail::to_fixed_lane<TR>(v.get(i), shift)), i);
    }
    return out;
}
template <class TR = int32>
    requires(detail::is_one_of_v<TR, int8, int16, int32>)
NPUK_INLINE TR to_fixed(float a, int shift = 0) {
    return detail::to_fixed_lane<TR>(a, shift);
}

// v / 2^shift as floating point.
template <class TR = float, VectorOrOp Vec>
    requires(detail::is_integral_v<detail::elem_of_t<Vec>> && detail::is_floating_point_v<TR>)
NPUK_INLINE vector<TR, Vec::size()> to_float(const Vec &v, int shift = 0) {
    const auto x = detail::value(v);
    const bool sign = detail::sign_of(v);
    npuk::lanes<float, Vec::size()> out;
    for (unsigned i = 0; i < Vec::size(); ++i) {
        const auto lane = x.lanes().get(i);
        const int64_t wide = sign ? int64_t(static_cast<std::make_signed_t<decltype(+lane)>>(lane)) : int64_t(static_cast<std::make_unsigned_t<std::remove_const_t<decltype(lane)>>>(lane));
        out.set(i, detail::scaled(static_cast<float>(wide), -shift));
    }
    return detail::from_float<TR, Vec::size()>(out);
}
template <class TR = float, Accum Acc>
    requires(std::is_same_v<TR, float> && !Acc::is_floating_point())
NPUK_INLINE vector<TR, Acc::size()> to_float(const Acc &acc, int shift = 0) {
    vector<TR, Acc::size()> out;
    for (unsigned i = 0; i < Acc::size(); ++i) out.set(detail::scaled(static_cast<float>(acc.lanes().get(i)), -shift), i);
    return out;
}
template <class TR = float>
NPUK_INLINE TR to_float(int a, int shift = 0) {
    return TR(detail::scaled(static_cast<float>(a), -shift));
}

namespace detail {
// Reciprocal as the API computes it: an estimate from the exponent's bits, one step of a tuned
// iteration, one of Newton's, each intermediate result in the element type.
template <class T>
struct reciprocal {
    static constexpr float slope = 1.9395974f, offset = 1.436142f;

    template <unsigned N>
    static NPUK_INLINE vector<T, N> of(const vector<T, N> &v) {
        auto rounded = [](const npuk::lanes<float, N> &x) { return as_float(from_float<T, N>(x)); };
        const auto x = as_float(v);
        const auto y0 = as_float(estimate(v));
        const auto times = [](auto a, auto b) { return a * b; };
        const float k1 = float(T(slope));
        const auto residue = npuk::each(npuk::each(x, y0, times), [](auto p) { return offset - p; });
        auto t = rounded(npuk::each(rounded(residue), y0, times));
        const auto minus_y = rounded(npuk::each(t, [=](auto p) { return -(p * k1); }));
        t = rounded(npuk::each(npuk::each(minus_y, x, times), [](auto p) { return p + 2.0f; }));
        return from_float<T, N>(npuk::each(npuk::each(minus_y, t, times), [](auto p) { return -p; }));
    }

private:
    template <unsigned N>
    static NPUK_INLINE vector<T, N> estimate(const vector<T, N> &v) {
        if constexpr (std::is_same_v<T, float>)
            return npuk::bitcast<float>(npuk::each(npuk::bitcast<int32_t>(v.lanes()), [](auto i) { return 0x7eb53567 - i; }));
        else return npuk::each(v.lanes(), [](auto i) { return 0x7eb5 - i; });
    }
};

// Reciprocal square root, likewise.
template <class T>
struct reciprocal_root {
    static constexpr float c2 = 0.703952253f, c3 = 2.38924456f;

    template <unsigned N>
    static NPUK_INLINE vector<T, N> of(const vector<T, N> &v) {
        auto rounded = [](const npuk::lanes<float, N> &x) { return as_float(from_float<T, N>(x)); };
        const auto times = [](auto a, auto b) { return a * b; };
        const auto x = as_float(v);
        const float half = float(T(c2));
        const auto x2 = rounded(npuk::each(x, [=](auto p) { return p * half; }));
        const auto halved = npuk::shift_round_saturate<int32_t, true, 32>(npuk::bitcast<int32_t>(x), 1);
        const auto y = rounded(npuk::bitcast<float>(npuk::each(halved, [](auto i) { return 0x5f1ffff9 - i; })));
        const auto yy = rounded(npuk::each(y, y, times));
        const auto t = rounded(npuk::each(npuk::each(x2, yy, times), [](auto p) { return c2 * c3 - p; }));
        return from_float<T, N>(npuk::each(y, t, times));
    }
};

// AIE2P's scalar unit has reciprocals and roots of floats, and takes the elements of a vector one by one; here
// the correctly rounded result, which the unit need not give.
template <class Vec> inline constexpr bool by_scalar_unit_v = npuk::arch == 21 && std::is_same_v<typename Vec::value_type, float>;

template <class Vec, class F>
NPUK_INLINE operand_base_type_t<Vec> by_element(const Vec &v, F f) {
    using T = typename Vec::value_type;
    const operand_base_type_t<Vec> x = value(v);
    operand_base_type_t<Vec> out;
    for (unsigned i = 0; i < Vec::size(); ++i) out.set(T(f(float(x.get(i)))), i);
    return out;
}
}  // namespace detail

// Integers have a reciprocal, with what follows the point dropped, and no root. The real API reads the elements of
// a vector as unsigned, and leaves the reciprocal of zero undefined: zero here.
namespace detail {
template <class T> inline constexpr bool is_whole_byte_integer_v = is_integral_v<T> && type_bits_v<T> >= 8;
}  // namespace detail

template <Vector Vec>
    requires(detail::is_whole_byte_integer_v<typename Vec::value_type>)
NPUK_INLINE operand_base_type_t<Vec> inv(const Vec &v) {
    using T = typename Vec::value_type;
    operand_base_type_t<Vec> out;
    for (unsigned i = 0; i < Vec::size(); ++i) out.set(T(detail::value(v).get(i) == 1), i);
    return out;
}
template <Elem E>
    requires(detail::is_whole_byte_integer_v<operand_base_type_t<E>>)
NPUK_INLINE operand_base_type_t<E> inv(E a) {
    using T = operand_base_type_t<E>;
    const T x = detail::elem_value(a);
    return x == T(1) || (detail::is_signed_v<T> && x == T(-1)) ? x : T(0);
}

template <Vector Vec>
    requires(detail::is_floating_point_v<typename Vec::value_type>)
NPUK_INLINE operand_base_type_t<Vec> inv(const Vec &v) {
    if constexpr (detail::by_scalar_unit_v<Vec>) return detail::map(operand_base_type_t<Vec>(detail::value(v)), [](auto x) { return 1.0f / x; });
    else return detail::reciprocal<typename Vec::value_type>::of(operand_base_type_t<Vec>(detail::value(v)));
}
template <Vector Vec>
    requires(detail::is_floating_point_v<typename Vec::value_type>)
NPUK_INLINE operand_base_type_t<Vec> invsqrt(const Vec &v) {
    if constexpr (detail::by_scalar_unit_v<Vec>) return detail::by_element(v, [](float x) { return 1.0f / npuk::square_root(x); });
    else return detail::reciprocal_root<typename Vec::value_type>::of(operand_base_type_t<Vec>(detail::value(v)));
}
// Roots are taken element by element in scalar code.
template <Vector Vec>
    requires(detail::is_floating_point_v<typename Vec::value_type>)
NPUK_INLINE operand_base_type_t<Vec> sqrt(const Vec &v) {
    return detail::by_element(v, [](float x) { return npuk::square_root(x); });
}
template <Elem E>
    requires(detail::is_floating_point_v<operand_base_type_t<E>>)
NPUK_INLINE auto sqrt(E a) {
    using T = operand_base_type_t<E>;
    return T(npuk::square_root(float(detail::elem_value(a))));
}
template <Elem E>
    requires(detail::is_floating_point_v<operand_base_type_t<E>>)
NPUK_INLINE auto inv(E a) {
    using T = operand_base_type_t<E>;
    if constexpr (std::is_same_v<T, bfloat16>) return inv(detail::splat<vector<T, 16>>(a)).get(0);
    else return T(T(1) / detail::elem_value(a));
}
template <Elem E>
    requires(detail::is_floating_point_v<operand_base_type_t<E>>)
NPUK_INLINE auto invsqrt(E a) {
    using T = operand_base_type_t<E>;
    if constexpr (std::is_same_v<T, bfloat16>) return invsqrt(detail::splat<vector<T, 16>>(a)).get(0);
    else return 1.0f / npuk::square_root(detail::elem_value(a));
}

NPUK_INLINE float div(float a, float b) { return a / b; }
template <Vector Vec1, RealVector Vec2>
    requires(Vec1::size() == Vec2::size() && detail::is_floating_point_v<typename Vec2::value_type>)
NPUK_INLINE auto div(const Vec1 &a, const Vec2 &b) {
    return mul(a, inv(b));
}
template <Vector Vec, RealElem E>
    requires(detail::is_floating_point_v<typename Vec::value_type> && detail::is_floating_point_v<E>)
NPUK_INLINE auto div(const Vec &a, E b) {
    return mul(a, inv(b));
}

// AIE2P's non-linear unit; here the correctly rounded result, which the unit need not give.
template <class TR = bfloat16, unsigned Elems>
    requires(npuk::arch == 21 && std::is_same_v<TR, bfloat16>)
NPUK_INLINE vector<TR, Elems> exp2(const vector<float, Elems> &v) {
    npuk::lanes<float, Elems> out;
    for (unsigned i = 0; i < Elems; ++i) out.set(i, npuk::exp2_value(v.get(i)));
    return detail::from_float<TR, Elems>(out);
}
template <class TR = bfloat16, unsigned Elems>
    requires(npuk::arch == 21 && std::is_same_v<TR, bfloat16>)
NPUK_INLINE vector<TR, Elems> tanh(const vector<float, Elems> &v) {
    npuk::lanes<float, Elems> out;
    for (unsigned i = 0; i < Elems; ++i) out.set(i, npuk::tanh_value(v.get(i)));
    return detail::from_float<TR, Elems>(out);
}

template <ElemBaseType T>
constexpr T zero() {
    return T(0);
}

}  // namespace aie
