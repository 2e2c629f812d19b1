// Element-wise products, and sums of products into accumulators.
#pragma once

#include "arithmetic.hpp"
#include "mmul.hpp"

namespace aie {

namespace detail {

// float x float has no multiplier: the API splits each factor into three bfloat16 and sums some of the nine
// products. The default keeps all nine.
#if defined(AIE2_FP32_EMULATION_ACCURACY_FAST)
inline constexpr unsigned float_products = 6;
#elif defined(AIE2_FP32_EMULATION_ACCURACY_LOW)
inline constexpr unsigned float_products = 3;
#else
inline constexpr unsigned float_products = 9;
#endif

// acc + sign * a * b for one register of floats. Parts of a factor hold 8 bits each, so that products of
// parts are exact; they are added from the smallest to the largest.
template <class R>
NPUK_INLINE R emulated_mac(R acc, R a, R b) {
    if constexpr (float_products == 9) return acc + a * b;  // nine exact products: as good as one rounding
    else {
        auto part = [](R x) {
            using I = npuk::register_t<uint32_t, sizeof(R) / 4>;
            const I bits = (I)x + 0x7fff + (((I)x >> 16) & 1);
            return (R)(bits & 0xffff0000);
        };
        const R a0 = part(a), a1 = part(a - a0), a2 = part(a - a0 - a1);
        const R b0 = part(b), b1 = part(b - b0), b2 = part(b - b0 - b1);
        R low = float_products == 6 ? a2 * b0 + a1 * b1 + a0 * b2 : R{};
        return acc + (low + (a1 * b0 + a0 * b1) + a0 * b0);
    }
}

enum class product { plus, minus };

template <product P, class Acc, unsigned N, class T1, class T2>
NPUK_INLINE Acc multiply_into(const Acc &acc, const vector<T1, N> &a, bool a_sign, const vector<T2, N> &b, bool b_sign) {
    using L = typename Acc::lane_type;
    if constexpr (std::is_same_v<T1, float>) {
        return npuk::each(acc.lanes(), npuk::each(a.lanes(), b.lanes(), [](auto x, auto y) { return emulated_mac(decltype(x){}, x, y); }),
                          [](auto c, auto p) { return P == product::plus ? c + p : c - p; });
    } else {
        // Exact in the accumulator's lane type; bfloat16 products fit in a float.
        const auto x = operand_lanes<L, T1, N>(a, a_sign);
        const auto y = operand_lanes<L, T2, N>(b, b_sign);
        const auto p = npuk::each(x, y, [](auto u, auto v) { return u * v; });
        return npuk::each(acc.lanes(), p, [](auto c, auto q) { return P == product::plus ? c + q : c - q; });
    }
}

template <class Tag, class A, class B>
using product_accum_tag_t = accum_tag_or_default_t<Tag, elem_of_t<A>, elem_of_t<B>>;

// A vector of N elements from a vector or an element operand.
template <unsigned N, class V>
NPUK_INLINE decltype(auto) spread(const V &v) {
    if constexpr (VectorOrOp<V>) return value(v);
    else {
        using T = elem_of_t<V>;
        return npuk::lanes<npuk::lane_t<T>, N>::splat(npuk::to_lane<T>(elem_value(value(v))));
    }
}

template <class A, class B>
constexpr unsigned product_size() {
    if constexpr (VectorOrOp<A>) return A::size();
    else return B::size();
}

// Which products an accumulator takes. Products of 8-bit numbers go to 32 bits only, and so do those of an 8-bit
// vector and a 16-bit element. AIE2 keeps the low 32 bits of up to 32 products of 32- with 16-bit integers if
// asked to, AIE2P does not.
template <class Tag, unsigned N, class A, class B>
constexpr bool is_product_accum() {
    constexpr unsigned a = type_bits_v<elem_of_t<A>>, b = type_bits_v<elem_of_t<B>>;
    if (is_floating_point_v<elem_of_t<A>>) return std::is_same_v<Tag, accfloat>;
    if (!is_integer_tag_v<Tag>) return false;
    if (accum_bits_v<Tag> == 32) return (a <= 16 && b <= 16) || (npuk::arch == 20 && N <= 32 && a != b);
    if (a == 8 && b == 16) return !VectorOrOp<A> || VectorOrOp<B>;
    return a > 8 || b > 8;
}

template <product P, class Acc, class A, class B>
NPUK_INLINE Acc weighted_into(const Acc &acc, const A &a, const B &b) {
    constexpr unsigned N = Acc::size();
    const vector<elem_of_t<A>, N> x = spread<N>(a);
    const vector<elem_of_t<B>, N> y = spread<N>(b);
    if (negative_of(a) != negative_of(b))
        return multiply_into<P == product::plus ? product::minus : product::plus>(acc, x, sign_of(a), y, sign_of(b));
    return multiply_into<P>(acc, x, sign_of(a), y, sign_of(b));
}
template <product P, class Acc, class A, class B>
NPUK_INLINE Acc product_into(const Acc &acc, const A &a, const B &b) {
    static_assert(is_product_accum<typename Acc::value_type, Acc::size(), A, B>(), "these factors have no product in this accumulator: integers sum in acc32 or acc64, bfloat16 and float in accfloat");
    return weighted_into<P>(acc, a, b);
}

// A 4-bit factor is the second one of an 8-bit factor.
template <class A, class B>
concept Factors = (VectorOrOp<A> || VectorOrOp<B>) && (VectorOrOp<A> || ElemOrOp<A>) && (VectorOrOp<B> || ElemOrOp<B>) &&
                  is_valid_mul_op_v<A, B> && type_bits_v<elem_of_t<A>> != 4 && [] {
                      if constexpr (VectorOrOp<A> && VectorOrOp<B>) return A::size() == B::size();
                      else return true;
                  }();

template <class Acc, class A, class B>
concept AccumulatesFactors = AccumOrOp<Acc> && Factors<A, B> && (product_size<A, B>() == Acc::size());

template <class Acc>
NPUK_INLINE operand_base_type_t<Acc> accumulator_value(const Acc &acc) {
    return to_accumulator<operand_base_type_t<Acc>>(acc);
}
}  // namespace detail

template <AccumElemBaseType AccumTag, class A, class B>
    requires(detail::Factors<A, B> && !std::is_same_v<AccumTag, accauto>)
NPUK_INLINE auto mul(const A &a, const B &b) {
    using Acc = accum<AccumTag, detail::product_size<A, B>()>;
    return detail::product_into<detail::product::plus>(Acc(Acc::lanes_type::zero()), a, b);
}
template <class A, class B>
    requires detail::Factors<A, B>
NPUK_INLINE auto mul(const A &a, const B &b) {
    return mul<detail::product_accum_tag_t<accauto, A, B>>(a, b);
}
// The real API cannot take op_sign of the first vector here, of the second it can.
template <AccumElemBaseType AccumTag, class A, class B>
    requires(detail::Factors<A, B> && !std::is_same_v<AccumTag, accauto> && !(detail::is_sign_operated_v<A> && VectorOrOp<A> && VectorOrOp<B>))
NPUK_INLINE auto negmul(const A &a, const B &b) {
    using Acc = accum<AccumTag, detail::product_size<A, B>()>;
    return detail::product_into<detail::product::minus>(Acc(Acc::lanes_type::zero()), a, b);
}
template <class A, class B>
    requires(detail::Factors<A, B> && !(detail::is_sign_operated_v<A> && VectorOrOp<A> && VectorOrOp<B>))
NPUK_INLINE auto negmul(const A &a, const B &b) {
    return negmul<detail::product_accum_tag_t<accauto, A, B>>(a, b);
}
template <class Acc, class A, class B>
    requires detail::AccumulatesFactors<Acc, A, B>
NPUK_INLINE operand_base_type_t<Acc> mac(const Acc &acc, const A &a, const B &b) {
    return detail::product_into<detail::product::plus>(detail::accumulator_value(acc), a, b);
}
template <Accum Acc, class A, class B>
    requires detail::AccumulatesFactors<Acc, A, B>
NPUK_INLINE Acc msc(const Acc &acc, const A &a, const B &b) {
    return detail::product_into<detail::product::minus>(acc, a, b);
}

template <AccumElemBaseType AccumTag, Vector Vec>
NPUK_INLINE auto mul_square(const Vec &v) {
    return mul<AccumTag>(v, v);
}
template <Vector Vec>
NPUK_INLINE auto mul_square(const Vec &v) {
    return mul(v, v);
}
template <AccumOrOp Acc, Vector Vec>
    requires(Vec::size() == Acc::size())
NPUK_INLINE auto mac_square(const Acc &acc, const Vec &v) {
    return mac(acc, v, v);
}
template <Accum Acc, Vector Vec>
    requires(Vec::size() == Acc::size())
NPUK_INLINE auto msc_square(const Acc &acc, const Vec &v) {
    return msc(acc, v, v);
}

// Scalar products of the floating point types.
template <class T1, class T2>
    requires(detail::is_floating_point_v<T1> && detail::is_floating_point_v<T2>)
NPUK_INLINE auto mul(T1 a, T2 b) {
    using R = std::conditional_t<std::is_same_v<T1, T2>, T1, float>;
    return R(float(a) * float(b));
}
template <class TR, class T1, class T2>
    requires(detail::is_floating_point_v<T1> && detail::is_floating_point_v<T2> && std::is_same_v<decltype(mul(T1(), T2())), TR>)
NPUK_INLINE TR mac(TR c, T1 a, T2 b) {
    return TR(float(c) + float(a) * float(b));
}
template <class TR, class T1, class T2>
    requires(detail::is_floating_point_v<T1> && detail::is_floating_point_v<T2> && std::is_same_v<decltype(mul(T1(), T2())), TR>)
NPUK_INLINE TR msc(TR c, T1 a, T2 b) {
    return TR(float(c) - float(a) * float(b));
}

// A product as a function; it gives the mmul, from which the sum is taken, and takes a sum or an mmul to add to.
template <unsigned M, unsigned K, unsigned N, AccumElemBaseType AccumTag = accauto, VectorOrOp VecA, VectorOrOp VecB>
    requires(VecA::size() == M * K && VecB::size() == K * N && detail::is_valid_mul_op_v<VecA, VecB>)
NPUK_INLINE auto mmul_fn(const VecA &a, const VecB &b) {
    // The tag reaches the product only by its default: the real function drops it on the way.
    using Tag = detail::default_accum_tag_t<detail::elem_of_t<VecA>, detail::elem_of_t<VecB>>;
    mmul<M, K, N, detail::elem_of_t<VecA>, detail::elem_of_t<VecB>, Tag> product;
    product.mul(a, b);
    return product;
}
template <unsigned M, unsigned K, unsigned N, AccumOrOp Acc, VectorOrOp VecA, VectorOrOp VecB>
    requires(Acc::size() == M * N && VecA::size() == M * K && VecB::size() == K * N && detail::is_valid_mul_op_v<VecA, VecB>)
NPUK_INLINE auto mmac_fn(const Acc &c, const VecA &a, const VecB &b) {
    mmul<M, K, N, detail::elem_of_t<VecA>, detail::elem_of_t<VecB>, typename operand_base_type_t<Acc>::value_type> product(detail::accumulator_value(c));
    product.mac(a, b);
    return product;
}
template <unsigned M, unsigned K, unsigned N, ElemBaseType A, ElemBaseType B, AccumElemBaseType Tag, VectorOrOp VecA, VectorOrOp VecB>
NPUK_INLINE auto mmac_fn(mmul<M, K, N, A, B, Tag> &c, const VecA &a, const VecB &b) {
    c.mac(a, b);
    return c;
}

namespace detail {
// Which weighted sums exist: unsigned integers of 32 bits and floats have none.
template <class Tag, class C, class D>
constexpr bool is_weighted_sum() {
    if (is_floating_point_v<C>) return std::is_same_v<C, bfloat16> && std::is_same_v<Tag, accfloat>;
    if (!is_integer_tag_v<Tag> || is_one_of_v<uint32, C, D>) return false;
    constexpr unsigned c = type_bits_v<C>, d = type_bits_v<D>;
    if (accum_bits_v<Tag> == 32) return c <= 16 && d <= 16 && c + d > 8;
    return c >= 16 && d >= 16;
}
}  // namespace detail

// Weighted sum of vectors: coeff[start] * data + coeff[start + 1] * next + ...
template <unsigned Lanes, AccumOrOp Acc, Vector VecCoeff, Vector VecData, Vector... Next>
    requires((detail::is_same_vector_v<VecData, Next> && ...) && Acc::size() == Lanes && detail::is_valid_mul_op_v<VecCoeff, VecData>)
NPUK_INLINE operand_base_type_t<Acc> accumulate(const Acc &acc, const VecCoeff &coeff, unsigned coeff_start, const VecData &data, const Next &...next) {
    using Sum = operand_base_type_t<Acc>;
    static_assert(detail::is_weighted_sum<typename Sum::value_type, typename VecCoeff::value_type, typename VecData::value_type>(),
                  "these vectors have no weighted sum in this accumulator");
    auto weight = [&](unsigned i) { return detail::value(coeff).get(i % VecCoeff::size()); };
    auto sum = detail::weighted_into<detail::product::plus>(detail::accumulator_value(acc), weight(coeff_start), data);
    unsigned i = coeff_start;
    ((sum = detail::weighted_into<detail::product::plus>(sum, weight(++i), next)), ...);
    return sum;
}
template <unsigned Lanes, AccumElemBaseType AccumTag = accauto, Vector VecCoeff, Vector VecData, Vector... Next>
    requires((detail::is_same_vector_v<VecData, Next> && ...))
NPUK_INLINE auto accumulate(const VecCoeff &coeff, unsigned coeff_start, const VecData &data, const Next &...next) {
    using Tag = detail::product_accum_tag_t<AccumTag, VecCoeff, VecData>;
    return accumulate<Lanes>(zeros<Tag, Lanes>(), coeff, coeff_start, data, next...);
}

template <unsigned Lanes, AccumOrOp Acc, Vector VecCoeff, Vector VecData, size_t N>
    requires(N >= 1)
NPUK_INLINE operand_base_type_t<Acc> accumulate(const Acc &acc, const VecCoeff &coeff, unsigned coeff_start, const std::array<VecData, N> &data) {
    return [&]<size_t... I>(std::index_sequence<I...>) { return accumulate<Lanes>(acc, coeff, coeff_start, data[I]...); }(std::make_index_sequence<N>{});
}

}  // namespace aie
