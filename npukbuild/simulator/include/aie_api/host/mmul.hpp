// Matrix products of the shapes that the hardware and the API have, and of no others.
//
// The product of two bfloat16 values is exact in float, so a fused and an unfused multiply-add give the
// same sum, and the order of additions is fixed (k ascending): results do not depend on the host.
#pragma once

#include "block_floating.hpp"
#include "modifiers.hpp"

namespace npuk {

// a * b + c, fused where the host has it.
template <class R>
NPUK_INLINE R fused(R a, R b, R c) {
#if defined(__clang__)
#pragma clang fp contract(fast)
    return a * b + c;
#else
#if defined(__AVX512F__)
    if constexpr (sizeof(R) == 64) return __builtin_ia32_vfmaddps512_mask(a, b, c, -1, 4);
#endif
#if defined(__FMA__)
    if constexpr (sizeof(R) == 32) return __builtin_ia32_vfmaddps256(a, b, c);
    if constexpr (sizeof(R) == 16) return __builtin_ia32_vfmaddps(a, b, c);
#endif
    return a * b + c;
#endif
}

// `so_far` with the lanes whose source lies in register R of the source taken from there.
template <unsigned R, unsigned W, class V, unsigned... From, unsigned... I>
NPUK_INLINE V take(V so_far, V part, std::integer_sequence<unsigned, From...>, std::integer_sequence<unsigned, I...>) {
    return __builtin_shufflevector(so_far, part, (From / W == R ? W + From % W : I)...);
}

// One register whose lane l is source lane At::index(l).
template <class At, class L, unsigned N, unsigned W, unsigned... I>
NPUK_INLINE register_t<L, W> gather(const lanes<L, N> &source, std::integer_sequence<unsigned, I...>) {
    constexpr unsigned w = lanes<L, N>::width;
    constexpr unsigned low = [] {
        unsigned x = ~0u;
        ((x = At::index(I) / w < x ? At::index(I) / w : x), ...);
        return x;
    }();
    constexpr unsigned high = [] {
        unsigned x = 0;
        ((x = At::index(I) / w > x ? At::index(I) / w : x), ...);
        return x;
    }();
    if constexpr (w == W && ((At::index(I) == low * w + I) && ...)) return source.r[low];
    else if constexpr (w != W) {
        register_t<L, W> out;
        ((out[I] = source.get(At::index(I))), ...);
        return out;
    } else if constexpr (high == low)
        return __builtin_shufflevector(source.r[low], source.r[low], (At::index(I) - low * w)...);
    else {
        register_t<L, W> out = __builtin_shufflevector(
            source.r[low], source.r[low + 1], (At::index(I) < (low + 2) * w ? At::index(I) - low * w : 0)...);
        [&]<unsigned... R>(std::integer_sequence<unsigned, R...>) __attribute__((always_inline)) {
            ((out = take<low + 2 + R, W>(out, source.r[low + 2 + R], std::integer_sequence<unsigned, At::index(I)...>{},
                                         std::make_integer_sequence<unsigned, W>{})),
             ...);
        }(std::make_integer_sequence<unsigned, high - low - 1>{});
        return out;
    }
}

// Lane l of register V of a row-major M x N result needs A[row][k] and B[k][column].
template <unsigned K, unsigned N, unsigned W, unsigned V, unsigned k>
struct at_a {
    static constexpr unsigned index(unsigned l) { return (V * W + l) / N * K + k; }
};
template <unsigned N, unsigned W, unsigned V, unsigned k>
struct at_b {
    static constexpr unsigned index(unsigned l) { return k * N + (V * W + l) % N; }
};

// c += a x b with all three in the same lane type.
template <unsigned M, unsigned K, unsigned N, class L>
NPUK_INLINE void multiply_add(lanes<L, M * N> &c, const lanes<L, M * K> &a, const lanes<L, K * N> &b) {
    using C = lanes<L, M * N>;
    constexpr unsigned W = C::width;
    constexpr auto all = std::make_integer_sequence<unsigned, W>{};
    auto step = [&]<unsigned k, unsigned V>(std::integral_constant<unsigned, k>, std::integral_constant<unsigned, V>) __attribute__((always_inline)) {
        const auto x = gather<at_a<K, N, W, V, k>, L, M * K, W>(a, all);
        const auto y = gather<at_b<N, W, V, k>, L, K * N, W>(b, all);
        if constexpr (std::is_same_v<L, float>) c.r[V] = fused(x, y, c.r[V]);
        else c.r[V] += x * y;
    };
    auto row = [&]<unsigned k, unsigned... V>(std::integral_constant<unsigned, k> at, std::integer_sequence<unsigned, V...>) __attribute__((always_inline)) {
        (step(at, std::integral_constant<unsigned, V>{}), ...);
    };
    [&]<unsigned... k>(std::integer_sequence<unsigned, k...>) __attribute__((always_inline)) {
        (row(std::integral_constant<unsigned, k>{}, std::make_integer_sequence<unsigned, C::count>{}), ...);
    }(std::make_integer_sequence<unsigned, K>{});
}

template <unsigned R, unsigned C, class L>
NPUK_INLINE lanes<L, R * C> transposed(const lanes<L, R * C> &a) {
    return rearrange<R * C>(a, [](unsigned i) { return i % R * C + i / R; });
}

#if __AIE_ARCH__ == 21 && defined(AIE_API_EMULATE_BFLOAT16_MMUL_WITH_BFP16)
inline constexpr bool block_floating_mmul = true;
#else
inline constexpr bool block_floating_mmul = false;
#endif

}  // namespace npuk

namespace aie {

namespace detail {

// Accumulator bits of a legal dense product, 0 if there is none. `bits` is what the tag asks for.
struct mmul_shape {
    unsigned m, k, n;
    constexpr bool operator==(const mmul_shape &) const = default;
};
template <class... Shapes>
constexpr bool any_shape(mmul_shape s, Shapes... shapes) {
    return ((s == shapes) || ...);
}

template <unsigned A, unsigned B>
constexpr unsigned integer_mmul_bits(mmul_shape s, unsigned bits) {
#if __AIE_ARCH__ == 20
    if constexpr (A == 8 && B == 4)
        return bits == 32 && any_shape(s, mmul_shape{4, 16, 8}, mmul_shape{8, 16, 8}, mmul_shape{4, 32, 8}) ? 32 : 0;
    if constexpr (A == 8 && B == 8)
        return bits == 32 && any_shape(s, mmul_shape{4, 8, 4}, mmul_shape{4, 16, 4}, mmul_shape{4, 8, 8}, mmul_shape{8, 8, 8},
                                       mmul_shape{8, 8, 4}, mmul_shape{2, 8, 8}, mmul_shape{1, 16, 8}, mmul_shape{2, 16, 8},
                                       mmul_shape{4, 16, 8}) ? 32 : 0;
    if constexpr (A == 8 && B == 16)
        return bits == 32 && any_shape(s, mmul_shape{4, 4, 8}, mmul_shape{4, 4, 4}) ? 64 : 0;
    if constexpr (A == 16 && B == 8) {
        if (bits != 32) return 0;
        if (any_shape(s, mmul_shape{4, 8, 4}, mmul_shape{2, 8, 8})) return 64;
        return any_shape(s, mmul_shape{4, 4, 8}, mmul_shape{8, 4, 4}, mmul_shape{8, 4, 8}, mmul_shape{4, 4, 4}) ? 32 : 0;
    }
    if constexpr (A == 16 && B == 16) {
        if (any_shape(s, mmul_shape{4, 4, 4}, mmul_shape{2, 4, 8}, mmul_shape{4, 4, 8})) return 64;
        return bits == 32 && any_shape(s, mmul_shape{4, 2, 8}, mmul_shape{8, 2, 8}, mmul_shape{8, 1, 8}) ? 32 : 0;
    }
    if constexpr (A == 16 && B == 32)
        return bits == 64 && any_shape(s, mmul_shape{4, 4, 4}, mmul_shape{2, 4, 8}) ? 64 : 0;
    if constexpr (A == 32 && B == 16)
        return bits == 64 && any_shape(s, mmul_shape{4, 2, 4}, mmul_shape{4, 4, 4}, mmul_shape{2, 4, 8}, mmul_shape{4, 4, 8},
                                       mmul_shape{4, 1, 8}) ? 64 : 0;
    if constexpr (A == 32 && B == 32)
        return bits == 64 && any_shape(s, mmul_shape{4, 2, 4}, mmul_shape{4, 4, 4}, mmul_shape{8, 2, 4}, mmul_shape{4, 1, 8}) ? 64 : 0;
#else
    if constexpr (A == 8 && B == 4) return bits == 32 && any_shape(s, mmul_shape{4, 16, 16}) ? 32 : 0;
    if constexpr (A == 8 && B == 8)
        return bits == 32 && any_shape(s, mmul_shape{2, 8, 8}, mmul_shape{4, 8, 8}, mmul_shape{8, 8, 8}) ? 32 : 0;
    if constexpr (A == 8 && B == 16) {
        if (bits != 32) return 0;
        return any_shape(s, mmul_shape{8, 2, 8}) ? 32 : any_shape(s, mmul_shape{4, 4, 8}) ? 64 : 0;
    }
    if constexpr (A == 16 && B == 8) {
        if (any_shape(s, mmul_shape{4, 8, 8})) return 64;
        return bits == 32 && any_shape(s, mmul_shape{4, 4, 8}, mmul_shape{8, 4, 8}) ? 32 : 0;
    }
    if constexpr (A == 16 && B == 16) {
        if (any_shape(s, mmul_shape{2, 4, 8}, mmul_shape{4, 4, 8})) return 64;
        return bits == 32 && any_shape(s, mmul_shape{4, 2, 8}, mmul_shape{8, 2, 8}, mmul_shape{8, 1, 8}) ? 32 : 0;
    }
    if constexpr (A == 16 && B == 32) return bits == 64 && any_shape(s, mmul_shape{4, 4, 8}) ? 64 : 0;
    if constexpr (A == 32 && B == 16)
        return bits == 64 && any_shape(s, mmul_shape{4, 2, 8}, mmul_shape{2, 4, 8}, mmul_shape{4, 4, 8}, mmul_shape{4, 1, 8}) ? 64 : 0;
    if constexpr (A == 32 && B == 32)
        return bits == 64 && any_shape(s, mmul_shape{4, 2, 8}, mmul_shape{4, 4, 8}, mmul_shape{4, 4, 4}, mmul_shape{8, 2, 8},
                                       mmul_shape{4, 1, 8}) ? 64 : 0;
#endif
    return 0;
}

template <class A, class B, class Tag>
constexpr unsigned mmul_accum_bits(mmul_shape s) {
    constexpr unsigned bits = accum_bits_v<accum_tag_or_default_t<Tag, A, B>>;
    if constexpr (is_floating_point_v<A> || is_floating_point_v<B>) {
        if (bits != 32 || !std::is_same_v<A, B>) return 0;
        if constexpr (std::is_same_v<A, float>)
            return any_shape(s, mmul_shape{4, 8, 4}, mmul_shape{4, 1, 4}, mmul_shape{4, 1, 8}) ? 32 : 0;
        return any_shape(s, mmul_shape{4, 8, 4}, mmul_shape{8, 8, 4}, mmul_shape{4, 8, 8}, mmul_shape{8, 8, 8}, mmul_shape{8, 1, 8}) ? 32 : 0;
    } else
        return integer_mmul_bits<type_bits_v<A>, type_bits_v<B>>(s, bits);
}

// The lane type that a product's terms are formed and summed in: exact in every case. Sums of a few
// products of 16- with 8-bit numbers stay below 2^31.
template <class A, class B, unsigned Bits>
struct mmul_lane {
    static constexpr unsigned larger = type_bits_v<A> > type_bits_v<B> ? type_bits_v<A> : type_bits_v<B>;
    using type = std::conditional_t<is_floating_point_v<A>, float,
                                    std::conditional_t<larger <= 16 || Bits == 32, int32_t, int64_t>>;
};

template <class L, ElemBaseType T, unsigned N>
NPUK_INLINE npuk::lanes<L, N> operand_lanes(const vector<T, N> &v, bool sign) {
    if constexpr (std::is_same_v<T, bfloat16>) return npuk::widen_bf16(v.lanes());
    else if constexpr (is_integral_v<T>) {
        using lane = npuk::lane_t<T>;
        if (sign == is_signed_v<T>) return npuk::convert<L>(v.lanes());
        if (sign) return npuk::convert<L>(npuk::bitcast<std::make_signed_t<lane>>(v.lanes()));
        return npuk::convert<L>(npuk::bitcast<std::make_unsigned_t<lane>>(v.lanes()));
    } else
        return v.lanes();
}

}  // namespace detail

template <unsigned M_Elems, unsigned K_Elems, unsigned N_Elems, ElemBaseOrBlockType TypeA, ElemBaseOrBlockType TypeB = TypeA, AccumElemBaseType AccumTag = accauto>
struct mmul {
private:
    static constexpr unsigned accum_bits = detail::mmul_accum_bits<TypeA, TypeB, AccumTag>({M_Elems, K_Elems, N_Elems});
    // Each kind of factors has a message of its own, for it names the shapes there are.
    template <bool Floats, unsigned A, unsigned B>
    static constexpr bool exists = accum_bits != 0 || !ElemBaseType<TypeA> || !ElemBaseType<TypeB> || detail::is_floating_point_v<TypeA> != Floats || detail::is_floating_point_v<TypeB> != Floats ||
                                   detail::type_bits_v<TypeA> != A || detail::type_bits_v<TypeB> != B;
#if __AIE_ARCH__ == 20
    static_assert(exists<true, 16, 16>, "no such shape: bfloat16 x bfloat16 is 4x8x4, 8x8x4, 4x8x8, 8x8x8 or 8x1x8, summed in accfloat");
    static_assert(exists<true, 32, 32>, "no such shape: float x float is 4x8x4, 4x1x4 or 4x1x8, summed in accfloat");
    static_assert(exists<false, 8, 4>, "no such shape: 8-bit x 4-bit is 4x16x8, 8x16x8 or 4x32x8, summed in acc32");
    static_assert(exists<false, 8, 8>, "no such shape: 8-bit x 8-bit is 4x8x8, 8x8x8, 2x8x8, 4x8x4, 8x8x4, 4x16x4, 1x16x8, 2x16x8 or 4x16x8, summed in acc32");
    static_assert(exists<false, 8, 16>, "no such shape: 8-bit x 16-bit is 4x4x8 or 4x4x4, summed in acc32");
    static_assert(exists<false, 16, 8>, "no such shape: 16-bit x 8-bit is 4x4x8, 8x4x4, 8x4x8, 4x4x4, 4x8x4 or 2x8x8, summed in acc32");
    static_assert(exists<false, 16, 16>, "no such shape: 16-bit x 16-bit is 4x4x4, 2x4x8 or 4x4x8, summed in acc64, or 4x2x8, 8x2x8 or 8x1x8, in acc32");
    static_assert(exists<false, 16, 32>, "no such shape: 16-bit x 32-bit is 4x4x4 or 2x4x8, summed in acc64");
    static_assert(exists<false, 32, 16>, "no such shape: 32-bit x 16-bit is 4x2x4, 4x4x4, 2x4x8, 4x4x8 or 4x1x8, summed in acc64");
    static_assert(exists<false, 32, 32>, "no such shape: 32-bit x 32-bit is 4x2x4, 4x4x4, 8x2x4 or 4x1x8, summed in acc64");
#else
    static_assert(exists<true, 16, 16>, "no such shape: bfloat16 x bfloat16 is 4x8x4, 8x8x4, 4x8x8, 8x8x8 or 8x1x8, summed in accfloat");
    static_assert(exists<true, 32, 32>, "no such shape: float x float is 4x8x4, 4x1x4 or 4x1x8, summed in accfloat");
    static_assert(exists<false, 8, 4>, "no such shape: 8-bit x 4-bit is 4x16x16, summed in acc32");
    static_assert(exists<false, 8, 8>, "no such shape: 8-bit x 8-bit is 8x8x8, 4x8x8 or 2x8x8, summed in acc32");
    static_assert(exists<false, 8, 16>, "no such shape: 8-bit x 16-bit is 8x2x8 or 4x4x8, summed in acc32");
    static_assert(exists<false, 16, 8>, "no such shape: 16-bit x 8-bit is 4x4x8, 8x4x8 or 4x8x8, summed in acc32");
    static_assert(exists<false, 16, 16>, "no such shape: 16-bit x 16-bit is 2x4x8 or 4x4x8, summed in acc64, or 4x2x8, 8x2x8 or 8x1x8, in acc32");
    static_assert(exists<false, 16, 32>, "no such shape: 16-bit x 32-bit is 4x4x8, summed in acc64");
    static_assert(exists<false, 32, 16>, "no such shape: 32-bit x 16-bit is 4x2x8, 2x4x8, 4x4x8 or 4x1x8, summed in acc64");
    static_assert(exists<false, 32, 32>, "no such shape: 32-bit x 32-bit is 4x2x8, 4x4x8, 4x4x4, 8x2x8 or 4x1x8, summed in acc64");
#endif
    static_assert(accum_bits != 0, "aie::mmul has no such shape for these types and accumulator on this architecture");
    using accum_tag = std::conditional_t<detail::is_floating_point_v<TypeA>, accfloat, std::conditional_t<accum_bits == 64, acc64, acc32>>;

public:
    static constexpr unsigned M = M_Elems;
    static constexpr unsigned K = K_Elems;
    static constexpr unsigned N = N_Elems;
    static constexpr unsigned size_A = M * K;
    static constexpr unsigned size_B = K * N;
    static constexpr unsigned size_C = M * N;
    static constexpr unsigned size() { return size_C; }

    using accum_type = accum<accum_tag, size_C>;

    NPUK_INLINE mmul() : c_(lanes_type::zero()) {}
    NPUK_INLINE mmul(const accum_type &acc) : c_(acc.lanes()) {}
    template <ElemBaseType T>
    NPUK_INLINE mmul(const vector<T, size_C> &v, int shift = 0) : c_(accum_type(v, shift).lanes()) {}
    NPUK_INLINE mmul(const operated<accum_type> &op) : c_(op.value().lanes()) {
        if (op.negative) c_ = npuk::each(c_, [](auto a) { return -a; });
    }
    NPUK_INLINE mmul &operator=(const accum_type &acc) {
        c_ = acc.lanes();
        return *this;
    }

    NPUK_INLINE accum_type to_accum() const { return c_; }
    NPUK_INLINE operator accum_type() const { return c_; }
    template <ElemBaseType T>
    NPUK_INLINE vector<T, size_C> to_vector(int shift = 0) const {
        return to_accum().template to_vector<T>(shift);
    }
    template <ElemBaseType T>
    NPUK_INLINE vector<T, size_C> to_vector_sign(bool v_sign, int shift = 0) const {
        return to_accum().template to_vector_sign<T>(v_sign, shift);
    }

    template <VectorOrOp VecA, VectorOrOp VecB>
        requires(VecA::size() == size_A && VecB::size() == size_B && std::is_same_v<typename VecA::value_type, TypeA> &&
                 std::is_same_v<typename VecB::value_type, TypeB>)
    NPUK_INLINE void mul(const VecA &a, const VecB &b) {
        c_ = lanes_type::zero();
        mac(a, b);
    }

    template <VectorOrOp VecA, VectorOrOp VecB>
        requires(VecA::size() == size_A && VecB::size() == size_B && std::is_same_v<typename VecA::value_type, TypeA> &&
                 std::is_same_v<typename VecB::value_type, TypeB>)
    NPUK_INLINE void mac(const VecA &a, const VecB &b) {
        using L = typename detail::mmul_lane<TypeA, TypeB, accum_bits>::type;
        auto x = detail::operand_lanes<L, TypeA, size_A>(detail::value(a), detail::sign_of(a));
        auto y = detail::operand_lanes<L, TypeB, size_B>(detail::value(b), detail::sign_of(b));
        if constexpr (npuk::block_floating_mmul && std::is_same_v<TypeA, bfloat16> && K == 8 && N == 8) {
            x = npuk::through_blocks(x);
            y = npuk::transposed<N, K>(npuk::through_blocks(npuk::transposed<K, N>(y)));
        }
        if constexpr (std::is_same_v<L, lane_type>) npuk::multiply_add<M, K, N>(c_, x, y);
        else if constexpr (detail::type_bits_v<TypeA> == 16 && detail::type_bits_v<TypeB> == 16) {
            // The sum of a few 16-bit products may need 34 bits, those of a's two bytes do not.
            auto low = npuk::lanes<L, size_C>::zero();
            auto high = npuk::lanes<L, size_C>::zero();
            npuk::multiply_add<M, K, N>(low, npuk::each(x, [](auto p) { return p & 255; }), y);
            npuk::multiply_add<M, K, N>(high, npuk::each(x, [](auto p) { return p >> 8; }), y);
            add(low);
            add(npuk::each(npuk::convert<lane_type>(high), [](auto p) { return p << 8; }));
        } else {
            auto sum = npuk::lanes<L, size_C>::zero();
            npuk::multiply_add<M, K, N>(sum, x, y);
            add(sum);
        }
    }

private:
    using lanes_type = typename accum_type::lanes_type;
    using lane_type = typename accum_type::lane_type;

    template <class L>
    NPUK_INLINE void add(const npuk::lanes<L, size_C> &sum) {
        c_ = npuk::each(c_, npuk::convert<lane_type>(sum), [](auto p, auto q) { return p + q; });
    }

    lanes_type c_;
};

}  // namespace aie
