// Bitwise operations and shifts of integer vectors.
#pragma once

#include "arithmetic.hpp"

namespace aie {

namespace detail {
template <class V>
NPUK_INLINE V bit_and_impl(const V &a, const V &b) {
    return map(a, b, [](auto x, auto y) { return x & y; });
}
template <class V>
NPUK_INLINE V bit_or_impl(const V &a, const V &b) {
    return map(a, b, [](auto x, auto y) { return x | y; });
}
template <class V>
NPUK_INLINE V bit_xor_impl(const V &a, const V &b) {
    return map(a, b, [](auto x, auto y) { return x ^ y; });
}
}  // namespace detail

template <Vector Vec1, Vector Vec2>
    requires(detail::is_same_vector_v<Vec1, Vec2> && detail::is_integral_v<typename Vec1::value_type>)
NPUK_INLINE operand_base_type_t<Vec1> bit_and(const Vec1 &v1, const Vec2 &v2) {
    return detail::bit_and_impl(detail::value(v1), detail::value(v2));
}
template <Vector Vec1, Vector Vec2>
    requires(detail::is_same_vector_v<Vec1, Vec2> && detail::is_integral_v<typename Vec1::value_type>)
NPUK_INLINE operand_base_type_t<Vec1> bit_or(const Vec1 &v1, const Vec2 &v2) {
    return detail::bit_or_impl(detail::value(v1), detail::value(v2));
}
template <Vector Vec1, Vector Vec2>
    requires(detail::is_same_vector_v<Vec1, Vec2> && detail::is_integral_v<typename Vec1::value_type>)
NPUK_INLINE operand_base_type_t<Vec1> bit_xor(const Vec1 &v1, const Vec2 &v2) {
    return detail::bit_xor_impl(detail::value(v1), detail::value(v2));
}
// With an element the element comes first, as in the real API.
template <Elem E, Vector Vec>
    requires(is_valid_elem_op_v<E, typename Vec::value_type> && detail::is_integral_v<typename Vec::value_type>)
NPUK_INLINE operand_base_type_t<Vec> bit_and(E a, const Vec &v) {
    return bit_and(detail::splat<operand_base_type_t<Vec>>(a), v);
}
template <Elem E, Vector Vec>
    requires(is_valid_elem_op_v<E, typename Vec::value_type> && detail::is_integral_v<typename Vec::value_type>)
NPUK_INLINE operand_base_type_t<Vec> bit_or(E a, const Vec &v) {
    return bit_or(detail::splat<operand_base_type_t<Vec>>(a), v);
}
template <Elem E, Vector Vec>
    requires(is_valid_elem_op_v<E, typename Vec::value_type> && detail::is_integral_v<typename Vec::value_type>)
NPUK_INLINE operand_base_type_t<Vec> bit_xor(E a, const Vec &v) {
    return bit_xor(detail::splat<operand_base_type_t<Vec>>(a), v);
}
template <Vector Vec>
    requires(detail::is_integral_v<typename Vec::value_type>)
NPUK_INLINE operand_base_type_t<Vec> bit_not(const Vec &v) {
    return detail::wrap4(operand_base_type_t<Vec>(npuk::each(detail::value(v).lanes(), [](auto a) { return ~a; })));
}

inline constexpr int max_shift = 59;
inline constexpr int min_shift = -4;

template <Vector Vec>
    requires(detail::is_integral_v<typename Vec::value_type>)
NPUK_INLINE operand_base_type_t<Vec> upshift(const Vec &v, unsigned shift) {
    return detail::wrap4(operand_base_type_t<Vec>(npuk::each(detail::value(v).lanes(), [=](auto a) { return a << int(shift); })));
}
// Arithmetic for signed elements, with the bits shifted out dropped.
template <Vector Vec>
    requires(detail::is_integral_v<typename Vec::value_type>)
NPUK_INLINE operand_base_type_t<Vec> downshift(const Vec &v, unsigned shift) {
    return npuk::each(detail::value(v).lanes(), [=](auto a) { return a >> int(shift); });
}
template <Vector Vec>
    requires(detail::is_integral_v<typename Vec::value_type>)
NPUK_INLINE operand_base_type_t<Vec> logical_downshift(const Vec &v, unsigned shift) {
    using L = std::make_unsigned_t<typename operand_base_type_t<Vec>::lane_type>;
    const unsigned low = Vec::type_bits() == 4 ? 15 : ~0u;
    const auto shifted = npuk::each(npuk::bitcast<L>(detail::value(v).lanes()), [=](auto a) { return (a & static_cast<L>(low)) >> int(shift); });
    return detail::wrap4(operand_base_type_t<Vec>(npuk::bitcast<typename operand_base_type_t<Vec>::lane_type>(shifted)));
}

}  // namespace aie
