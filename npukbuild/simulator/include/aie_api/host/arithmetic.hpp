// Element-wise operations on vectors and accumulators.
#pragma once

#include "memory.hpp"

namespace aie {

namespace detail {

// Lane-wise f on whole registers. bfloat16 lanes go through float: the vector unit adds, subtracts and
// compares them as accumulators.
template <class V, class F>
NPUK_INLINE V map(const V &a, F f) {
    return npuk::each(a.lanes(), f);
}
template <class V, class F>
NPUK_INLINE V map(const V &a, const V &b, F f) {
    return npuk::each(a.lanes(), b.lanes(), f);
}

template <class T, unsigned N>
NPUK_INLINE npuk::lanes<float, N> as_float(const vector<T, N> &v) {
    if constexpr (std::is_same_v<T, bfloat16>) return npuk::widen_bf16(v.lanes());
    else return v.lanes();
}
template <class T, unsigned N>
NPUK_INLINE vector<T, N> from_float(const npuk::lanes<float, N> &v) {
    if constexpr (std::is_same_v<T, bfloat16>) return npuk::narrow_bf16(v, npuk::control.rounding);
    else return v;
}

// 4-bit lanes are kept in 8 bits: drop what overflowed.
template <class T, unsigned N>
NPUK_INLINE vector<T, N> wrap4(const vector<T, N> &v) {
    if constexpr (type_bits_v<T> == 4) {
        if constexpr (is_signed_v<T>) return npuk::each(v.lanes(), [](auto a) { return (a << 4) >> 4; });
        else return npuk::each(v.lanes(), [](auto a) { return a & 15; });
    } else
        return v;
}

template <class T, unsigned N, class F>
NPUK_INLINE vector<T, N> arithmetic(const vector<T, N> &a, const vector<T, N> &b, F f) {
    if constexpr (is_floating_point_v<T>) return from_float<T, N>(npuk::each(as_float(a), as_float(b), f));
    else return wrap4(vector<T, N>(npuk::each(a.lanes(), b.lanes(), f)));
}

template <class V, Elem E>
NPUK_INLINE V splat(E e) {
    return typename V::lanes_type(V::lanes_type::splat(npuk::to_lane<typename V::value_type>(elem_value(e))));
}

// Both operands as plain vectors of one type.
template <class Vec>
using plain_t = operand_base_type_t<Vec>;

struct addition {
    template <class R> NPUK_INLINE R operator()(R a, R b) const { return a + b; }
};
struct subtraction {
    template <class R> NPUK_INLINE R operator()(R a, R b) const { return a - b; }
};

}  // namespace detail

#define NPUK_BINARY(name, constraint)                                                                              \
    template <Vector Vec1, Vector Vec2>                                                                            \
        requires(detail::is_same_vector_v<Vec1, Vec2> && constraint<operand_base_type_t<Vec1>>)                     \
    NPUK_INLINE operand_base_type_t<Vec1> name(const Vec1 &v1, const Vec2 &v2) {                                    \
        return detail::name##_impl(detail::value(v1), detail::value(v2));                                           \
    }                                                                                                              \
    template <Elem E, Vector Vec>                                                                                  \
        requires(is_valid_elem_op_v<E, typename Vec::value_type> && constraint<operand_base_type_t<Vec>>)           \
    NPUK_INLINE operand_base_type_t<Vec> name(E a, const Vec &v) {                                                  \
        return detail::name##_impl(detail::splat<operand_base_type_t<Vec>>(a), detail::value(v));                   \
    }                                                                                                              \
    template <Vector Vec, Elem E>                                                                                  \
        requires(is_valid_elem_op_v<E, typename Vec::value_type> && constraint<operand_base_type_t<Vec>>)           \
    NPUK_INLINE operand_base_type_t<Vec> name(const Vec &v, E a) {                                                  \
        return detail::name##_impl(detail::value(v), detail::splat<operand_base_type_t<Vec>>(a));                   \
    }

namespace detail {
template <class Vec> inline constexpr bool any_vector = true;
template <class Vec> inline constexpr bool integer_vector = is_integral_v<typename Vec::value_type>;
template <class Vec> inline constexpr bool saturating_vector = integer_vector<Vec> && type_bits_v<typename Vec::value_type> != 4;

template <class V>
NPUK_INLINE V add_impl(const V &a, const V &b) {
    return arithmetic(a, b, addition{});
}
template <class V>
NPUK_INLINE V sub_impl(const V &a, const V &b) {
    return arithmetic(a, b, subtraction{});
}
template <bool Subtract, class T, unsigned N>
NPUK_INLINE vector<T, N> saturating(const vector<T, N> &a, const vector<T, N> &b) {
    using lane = npuk::lane_t<T>;
    lane x[N], y[N];
    a.lanes().store(x);
    b.lanes().store(y);
    constexpr npuk::limits range = npuk::saturation_limits<type_bits_v<T>, is_signed_v<T>>(1);
    for (unsigned i = 0; i < N; ++i) {
        const int64_t sum = Subtract ? int64_t(x[i]) - y[i] : int64_t(x[i]) + y[i];
        x[i] = static_cast<lane>(sum < range.low ? range.low : sum > range.high ? range.high : sum);
    }
    return npuk::lanes<lane, N>::load(x);
}
template <class V>
NPUK_INLINE V saturating_add_impl(const V &a, const V &b) {
    return saturating<false>(a, b);
}
template <class V>
NPUK_INLINE V saturating_sub_impl(const V &a, const V &b) {
    return saturating<true>(a, b);
}

// Lanes as wide as an element's that hold -1 for true and 0 for false.
template <class T>
using truth_lane_t = std::conditional_t<sizeof(T) == 1, int8_t, std::conditional_t<sizeof(T) == 2, int16_t, int32_t>>;

// The truth of f lane by lane. NaN compares false.
template <class T, unsigned N, class F>
NPUK_INLINE auto compare(const vector<T, N> &a, const vector<T, N> &b, F f) {
    if constexpr (std::is_same_v<T, bfloat16>) {
        npuk::lanes<int16_t, N> out;
        const auto x = npuk::widen_bf16(a.lanes());
        const auto y = npuk::widen_bf16(b.lanes());
        for (unsigned i = 0; i < out.count; ++i)
            out.r[i] = __builtin_convertvector(f(x.r[i], y.r[i]), typename npuk::lanes<int16_t, N>::reg);
        return out;
    } else {
        using L = truth_lane_t<T>;
        npuk::lanes<L, N> out;
        for (unsigned i = 0; i < out.count; ++i) out.r[i] = (typename npuk::lanes<L, N>::reg)(f(a.lanes().r[i], b.lanes().r[i]));
        return out;
    }
}
template <class L, unsigned N>
NPUK_INLINE mask<N> to_mask(const npuk::lanes<L, N> &truth) {
    L all[N];
    truth.store(all);
    mask<N> out;
    for (unsigned i = 0; i < N; ++i)
        if (all[i] != 0) out.set(i);
    return out;
}
template <class L, unsigned N>
NPUK_INLINE npuk::lanes<L, N> from_mask(const mask<N> &m) {
    L all[N];
    for (unsigned i = 0; i < N; ++i) all[i] = m.test(i) ? L(-1) : L(0);
    return npuk::lanes<L, N>::load(all);
}
// b where the lane of truth is -1, else a.
template <class T, unsigned N, class L>
NPUK_INLINE vector<T, N> choose(const vector<T, N> &a, const vector<T, N> &b, const npuk::lanes<L, N> &truth) {
    const auto x = npuk::bitcast<L>(a.lanes());
    const auto y = npuk::bitcast<L>(b.lanes());
    npuk::lanes<L, N> out;
    for (unsigned i = 0; i < out.count; ++i) out.r[i] = (x.r[i] & ~truth.r[i]) | (y.r[i] & truth.r[i]);
    return npuk::bitcast<npuk::lane_t<T>>(out);
}

#define NPUK_COMPARE(name, op)                                                                          \
    template <class T, unsigned N>                                                                      \
    NPUK_INLINE mask<N> name##_impl(const vector<T, N> &a, const vector<T, N> &b) {                     \
        return to_mask(compare(a, b, [](auto x, auto y) { return x op y; }));                           \
    }
NPUK_COMPARE(lt, <)
NPUK_COMPARE(le, <=)
NPUK_COMPARE(gt, >)
NPUK_COMPARE(ge, >=)
NPUK_COMPARE(eq, ==)
NPUK_COMPARE(neq, !=)
#undef NPUK_COMPARE

template <class V>
NPUK_INLINE V max_impl(const V &a, const V &b) {
    return choose(a, b, compare(a, b, [](auto x, auto y) { return x < y; }));
}
template <class V>
NPUK_INLINE V min_impl(const V &a, const V &b) {
    return choose(a, b, compare(a, b, [](auto x, auto y) { return y < x; }));
}
template <class V>
NPUK_INLINE V maxdiff_impl(const V &a, const V &b) {
    return max_impl(sub_impl(a, b), V(V::lanes_type::zero()));
}
}  // namespace detail

NPUK_BINARY(add, detail::any_vector)
NPUK_BINARY(sub, detail::any_vector)
NPUK_BINARY(saturating_add, detail::saturating_vector)
NPUK_BINARY(saturating_sub, detail::saturating_vector)
NPUK_BINARY(max, detail::any_vector)
NPUK_BINARY(min, detail::any_vector)
NPUK_BINARY(maxdiff, detail::any_vector)
#undef NPUK_BINARY

#define NPUK_COMPARE(name)                                                                                     \
    template <RealVector Vec1, RealVector Vec2>                                                                \
        requires(detail::is_same_vector_v<Vec1, Vec2>)                                                         \
    NPUK_INLINE mask<Vec1::size()> name(const Vec1 &v1, const Vec2 &v2) {                                      \
        return detail::name##_impl(detail::value(v1), detail::value(v2));                                      \
    }                                                                                                          \
    template <RealElem E, RealVector Vec>                                                                      \
        requires(is_valid_elem_op_v<E, typename Vec::value_type>)                                              \
    NPUK_INLINE mask<Vec::size()> name(E a, const Vec &v) {                                                    \
        return detail::name##_impl(detail::splat<operand_base_type_t<Vec>>(a), detail::value(v));              \
    }                                                                                                          \
    template <RealVector Vec, RealElem E>                                                                      \
        requires(is_valid_elem_op_v<E, typename Vec::value_type>)                                              \
    NPUK_INLINE mask<Vec::size()> name(const Vec &v, E a) {                                                    \
        return detail::name##_impl(detail::value(v), detail::splat<operand_base_type_t<Vec>>(a));              \
    }
NPUK_COMPARE(lt)
NPUK_COMPARE(le)
NPUK_COMPARE(gt)
NPUK_COMPARE(ge)
NPUK_COMPARE(eq)
NPUK_COMPARE(neq)
#undef NPUK_COMPARE

template <class A, class B>
    requires requires(const A &a, const B &b) { eq(a, b); }
NPUK_INLINE bool equal(const A &a, const B &b) {
    return eq(a, b).full();
}
template <class A, class B>
    requires requires(const A &a, const B &b) { eq(a, b); }
NPUK_INLINE bool not_equal(const A &a, const B &b) {
    return !equal(a, b);
}
template <Elem E, Vector Vec>
    requires(is_valid_elem_op_v<E, typename Vec::value_type>)
NPUK_INLINE bool contains(E a, const Vec &v) {
    return !eq(a, v).empty();
}

// Scalar forms for the floating point types.
#define NPUK_SCALAR(result, name, expression)                   \
    template <class T>                                          \
        requires(detail::is_floating_point_v<T>)                \
    NPUK_INLINE result name(T a, T b) {                         \
        return expression;                                      \
    }
NPUK_SCALAR(bool, lt, float(a) < float(b))
NPUK_SCALAR(bool, gt, float(a) > float(b))
NPUK_SCALAR(bool, le, float(a) <= float(b))
NPUK_SCALAR(bool, ge, float(a) >= float(b))
NPUK_SCALAR(bool, neq, float(a) != float(b))
NPUK_SCALAR(bool, eq, float(a) == float(b))
NPUK_SCALAR(T, max, float(a) < float(b) ? b : a)
NPUK_SCALAR(T, min, float(b) < float(a) ? b : a)
NPUK_SCALAR(T, add, T(float(a) + float(b)))
NPUK_SCALAR(T, sub, T(float(a) - float(b)))
#undef NPUK_SCALAR

// Lanes of v2 where the mask is set, of v1 where it is not.
template <Vector Vec1, Vector Vec2, Mask M>
    requires(detail::is_same_vector_v<Vec1, Vec2> && Vec1::size() == M::size())
NPUK_INLINE operand_base_type_t<Vec1> select(const Vec1 &v1, const Vec2 &v2, const M &m) {
    using L = detail::truth_lane_t<typename Vec1::value_type>;
    return detail::choose(detail::value(v1), detail::value(v2), detail::from_mask<L>(m));
}
template <Elem E, Vector Vec, Mask M>
    requires(is_valid_elem_op_v<E, typename Vec::value_type> && Vec::size() == M::size())
NPUK_INLINE operand_base_type_t<Vec> select(E a, const Vec &v, const M &m) {
    return select(detail::splat<operand_base_type_t<Vec>>(a), v, m);
}
template <Vector Vec, Elem E, Mask M>
    requires(is_valid_elem_op_v<E, typename Vec::value_type> && Vec::size() == M::size())
NPUK_INLINE operand_base_type_t<Vec> select(const Vec &v, E a, const M &m) {
    return select(v, detail::splat<operand_base_type_t<Vec>>(a), m);
}
template <Elem E1, Elem E2, Mask M>
    requires(is_valid_elem_op_v<E1, E2>)
NPUK_INLINE vector<operand_base_type_t<E1>, M::size()> select(const E1 &a, const E2 &b, const M &m) {
    using V = vector<operand_base_type_t<E1>, M::size()>;
    return select(detail::splat<V>(a), detail::splat<V>(b), m);
}

template <RealVector Vec1, RealVector Vec2>
    requires(detail::is_same_vector_v<Vec1, Vec2>)
NPUK_INLINE std::tuple<operand_base_type_t<Vec1>, mask<Vec1::size()>> max_cmp(const Vec1 &v1, const Vec2 &v2) {
    return {max(v1, v2), lt(v1, v2)};
}
template <RealVector Vec1, RealVector Vec2>
    requires(detail::is_same_vector_v<Vec1, Vec2>)
NPUK_INLINE std::tuple<operand_base_type_t<Vec1>, mask<Vec1::size()>> min_cmp(const Vec1 &v1, const Vec2 &v2) {
    return {min(v1, v2), ge(v1, v2)};
}
template <RealVector Vec, class L, class H>
    requires requires(const Vec &v, L lo, H hi) { min(max(v, lo), hi); }
NPUK_INLINE operand_base_type_t<Vec> clamp(const Vec &v, const L &lo, const H &hi) {
    return min(max(v, lo), hi);
}

template <Vector Vec>
NPUK_INLINE operand_base_type_t<Vec> abs(const Vec &v) {
    using T = typename Vec::value_type;
    const auto &x = detail::value(v);
    if constexpr (std::is_same_v<T, bfloat16>) return detail::map(operand_base_type_t<Vec>(x), [](auto a) { return a & 0x7fff; });
    else if constexpr (std::is_same_v<T, float>)
        return npuk::bitcast<float>(npuk::each(npuk::bitcast<int32_t>(x.lanes()), [](auto a) { return a & 0x7fffffff; }));
    else if constexpr (detail::is_signed_v<T>) return detail::wrap4(operand_base_type_t<Vec>(npuk::each(x.lanes(), [](auto a) { return a < 0 ? -a : a; })));
    else return x;
}
template <Elem E>
NPUK_INLINE operand_base_type_t<E> abs(const E &a) {
    using T = operand_base_type_t<E>;
    const T x = detail::elem_value(a);
    if constexpr (std::is_same_v<T, bfloat16>) return bfloat16::from_bits(x.bits() & 0x7fff);
    else return x < 0 ? T(-x) : x;
}
template <Vector Vec>
NPUK_INLINE operand_base_type_t<Vec> neg(const Vec &v) {
    using T = typename Vec::value_type;
    const auto &x = detail::value(v);
    if constexpr (std::is_same_v<T, bfloat16>) return detail::map(operand_base_type_t<Vec>(x), [](auto a) { return a ^ 0x8000; });
    else return detail::wrap4(operand_base_type_t<Vec>(npuk::each(x.lanes(), [](auto a) { return -a; })));
}
template <Elem E>
NPUK_INLINE operand_base_type_t<E> neg(const E &a) {
    using T = operand_base_type_t<E>;
    return T(-detail::elem_value(a));
}
template <Accum Acc>
NPUK_INLINE Acc neg(const Acc &acc) {
    return npuk::each(acc.lanes(), [](auto a) { return -a; });
}

// Sums of accumulators, with vectors and elements brought to the accumulator first.
namespace detail {
template <bool Subtract, class Acc>
NPUK_INLINE Acc accumulator_sum(const Acc &a, const Acc &b) {
    if constexpr (Subtract) return npuk::each(a.lanes(), b.lanes(), subtraction{});
    else return npuk::each(a.lanes(), b.lanes(), addition{});
}
template <class Acc, class V>
NPUK_INLINE Acc to_accumulator(const V &v) {
    if constexpr (is_operated_v<V>) {
        if (v.negative) return neg(v.value());
        return v.value();
    } else if constexpr (Accum<V>) return v;
    else if constexpr (Vector<V>) return Acc(operand_base_type_t<V>(value(v)));
    else if constexpr (is_floating_point_v<operand_base_type_t<V>>)
        return typename Acc::lanes_type(Acc::lanes_type::splat(float(elem_value(v))));
    else return typename Acc::lanes_type(Acc::lanes_type::splat(static_cast<typename Acc::lane_type>(int64_t(elem_value(v)))));
}
template <class Acc, class E>
inline constexpr bool same_class_v = is_floating_point_v<operand_base_type_t<E>> == operand_base_type_t<Acc>::is_floating_point();
}  // namespace detail

#define NPUK_ACCUMULATOR_SUM(name, subtract)                                                                    \
    template <AccumOrOp Acc1, AccumOrOp Acc2>                                                                   \
        requires(std::is_same_v<operand_base_type_t<Acc1>, operand_base_type_t<Acc2>>)                          \
    NPUK_INLINE operand_base_type_t<Acc1> name(const Acc1 &a, const Acc2 &b) {                                  \
        using A = operand_base_type_t<Acc1>;                                                                    \
        return detail::accumulator_sum<subtract>(detail::to_accumulator<A>(a), detail::to_accumulator<A>(b));   \
    }                                                                                                           \
    template <AccumOrOp Acc, Vector Vec>                                                                        \
        requires(Acc::size() == Vec::size())                                                                    \
    NPUK_INLINE operand_base_type_t<Acc> name(const Acc &a, const Vec &v) {                                     \
        using A = operand_base_type_t<Acc>;                                                                     \
        return detail::accumulator_sum<subtract>(detail::to_accumulator<A>(a), detail::to_accumulator<A>(v));   \
    }                                                                                                           \
    template <AccumOrOp Acc, Elem E>                                                                            \
    NPUK_INLINE operand_base_type_t<Acc> name(const Acc &a, E e) {                                              \
        using A = operand_base_type_t<Acc>;                                                                     \
        static_assert(detail::same_class_v<Acc, E>, "element and accumulator are of different classes");        \
        return detail::accumulator_sum<subtract>(detail::to_accumulator<A>(a), detail::to_accumulator<A>(e));   \
    }
NPUK_ACCUMULATOR_SUM(add, false)
NPUK_ACCUMULATOR_SUM(sub, true)
#undef NPUK_ACCUMULATOR_SUM

}  // namespace aie
