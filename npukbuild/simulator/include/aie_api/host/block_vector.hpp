// Block floating-point vectors of AIE2P (bfp16ebs8, bfp16ebs16), their streams and their products.
#pragma once

#include "shuffle.hpp"

#if __AIE_ARCH__ == 21

namespace aie {

template <BlockType T, unsigned Elems>
class block_vector {
    static_assert(Elems == 64 || Elems == 128, "a block vector has 64 or 128 elements");

public:
    using value_type = T;
    using native_type = block_vector;
    using storage_type = block_vector;

    static constexpr unsigned size() { return Elems; }
    static constexpr unsigned block_size() { return detail::block_elems_v<T>; }
    static constexpr unsigned blocks() { return Elems / block_size(); }
    static constexpr unsigned mantissa_bits() { return 8; }
    static constexpr unsigned exponent_bits() { return 8; }
    static constexpr unsigned bits() { return Elems * mantissa_bits() + blocks() * exponent_bits(); }
    static constexpr unsigned bytes() { return bits() / 8; }
    static constexpr unsigned memory_bits() { return bits(); }
    static constexpr unsigned memory_bytes() { return bytes(); }

    block_vector() = default;
    explicit NPUK_INLINE block_vector(const npuk::lanes<float, Elems> &values) {
        const auto blocks_of = npuk::to_blocks<block_size()>(values);
        for (unsigned b = 0; b < blocks(); ++b) {
            unsigned char *to = bytes_ + b * (block_size() + 1);
            *to = blocks_of.exponent[b];
            __builtin_memcpy(to + 1, blocks_of.mantissa + b * block_size(), block_size());
        }
    }
    NPUK_INLINE npuk::lanes<float, Elems> values() const {
        npuk::block_floats<Elems, block_size()> blocks_of;
        for (unsigned b = 0; b < blocks(); ++b) {
            const unsigned char *from = bytes_ + b * (block_size() + 1);
            blocks_of.exponent[b] = *from;
            __builtin_memcpy(blocks_of.mantissa + b * block_size(), from + 1, block_size());
        }
        return npuk::from_blocks(blocks_of);
    }

    static NPUK_INLINE block_vector from_memory(const void *p) {
        block_vector out;
        __builtin_memcpy(out.bytes_, p, bytes());
        return out;
    }
    NPUK_INLINE void to_memory(void *p) const { __builtin_memcpy(p, bytes_, bytes()); }
    NPUK_INLINE native_type to_native() const { return *this; }

    template <unsigned ElemsOut>
    NPUK_INLINE block_vector<T, ElemsOut> grow(unsigned idx = 0) const {
        static_assert(ElemsOut >= Elems);
        unsigned char all[block_vector<T, ElemsOut>::bytes()] = {};
        __builtin_memcpy(all + idx * bytes(), bytes_, bytes());
        return block_vector<T, ElemsOut>::from_memory(all);
    }
    template <unsigned ElemsOut>
        requires(ElemsOut <= Elems)
    NPUK_INLINE block_vector<T, ElemsOut> extract(unsigned idx) const {
        return block_vector<T, ElemsOut>::from_memory(bytes_ + idx * block_vector<T, ElemsOut>::bytes());
    }
    template <unsigned ElemsIn>
        requires(ElemsIn <= Elems)
    NPUK_INLINE block_vector &insert(unsigned idx, const block_vector<T, ElemsIn> &v) {
        v.to_memory(bytes_ + idx * v.bytes());
        return *this;
    }

private:
    unsigned char bytes_[bytes()];  // as in memory: each block's exponent, then its mantissas
};

template <BlockType T, unsigned Elems>
using bfp_vector [[deprecated("Use block_vector<T, Elems> instead")]] = block_vector<T, Elems>;

template <BlockType TR, AccumOrOp Acc>
NPUK_INLINE block_vector<TR, Acc::size()> to_vector(const Acc &acc) {
    return detail::accumulator_value(acc).template to_vector<TR>();
}

namespace detail {
template <class Vec>
struct transposed_block {
    Vec held;
    using value_type = typename Vec::value_type;
    static constexpr unsigned size() { return Vec::size(); }
    NPUK_INLINE const Vec &parent1() const { return held; }
};
template <class T> inline constexpr bool is_transposed_block_v = false;
template <class Vec> inline constexpr bool is_transposed_block_v<transposed_block<Vec>> = true;

// Vectors follow each other in memory without padding; steps count in vectors or bytes, and a pop or push
// has already moved on by one vector.
template <BlockType T, unsigned N, class Byte>
class block_stream {
public:
    using elem_type = T;
    using vector_type = block_vector<T, N>;
    using value_type = vector_type;

    NPUK_INLINE void seek(int inc) { at_ += inc * static_cast<int>(vector_type::bytes()); }
    NPUK_INLINE void seek_byte(int inc) { at_ += inc; }

protected:
    explicit NPUK_INLINE block_stream(Byte *at) : at_(at) {}
    Byte *at_;
};
}  // namespace detail

template <BlockVector Vec>
NPUK_INLINE detail::transposed_block<Vec> op_transpose(const Vec &v) {
    return {v};
}

template <BlockType T, unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none>
class block_vector_input_buffer_stream : public detail::block_stream<T, Elems, const unsigned char> {
    using base = detail::block_stream<T, Elems, const unsigned char>;

public:
    using vector_type = typename base::vector_type;

    NPUK_INLINE block_vector_input_buffer_stream(const T *ptr) : base(reinterpret_cast<const unsigned char *>(ptr)) {}
    NPUK_INLINE vector_type pop() { return pop_seek(0); }
    NPUK_INLINE vector_type pop_seek(int inc) {
        const auto v = vector_type::from_memory(base::at_);
        base::seek(1 + inc);
        return v;
    }
    NPUK_INLINE vector_type pop_seek_byte(int inc) {
        const auto v = pop();
        base::seek_byte(inc);
        return v;
    }
    NPUK_INLINE block_vector_input_buffer_stream &operator>>(vector_type &v) {
        v = pop();
        return *this;
    }
};

template <BlockType T, unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none>
class block_vector_output_buffer_stream : public detail::block_stream<T, Elems, unsigned char> {
    using base = detail::block_stream<T, Elems, unsigned char>;

public:
    using vector_type = typename base::vector_type;

    NPUK_INLINE block_vector_output_buffer_stream(T *ptr) : base(reinterpret_cast<unsigned char *>(ptr)) {}
    NPUK_INLINE void push(const vector_type &v) { push_seek(v, 0); }
    NPUK_INLINE void push_seek(const vector_type &v, int inc) {
        v.to_memory(base::at_);
        base::seek(1 + inc);
    }
    NPUK_INLINE void push_seek_byte(const vector_type &v, int inc) {
        push(v);
        base::seek_byte(inc);
    }
    NPUK_INLINE block_vector_output_buffer_stream &operator<<(const vector_type &v) {
        push(v);
        return *this;
    }
};

// The same, with the promise that nothing else reaches the memory.
template <BlockType T, unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none>
class block_vector_restrict_input_buffer_stream : public block_vector_input_buffer_stream<T, Elems, Resource> {
public:
    using block_vector_input_buffer_stream<T, Elems, Resource>::block_vector_input_buffer_stream;
};
template <BlockType T, unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none>
class block_vector_restrict_output_buffer_stream : public block_vector_output_buffer_stream<T, Elems, Resource> {
public:
    using block_vector_output_buffer_stream<T, Elems, Resource>::block_vector_output_buffer_stream;
};

#define NPUK_OLD_NAME(name)                                                                                   \
    template <BlockType T, unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none>                  \
    using bfp_vector_##name [[deprecated("Use block_vector_" #name "<T, Elems, Resource> instead")]] = block_vector_##name<T, Elems, Resource>;
NPUK_OLD_NAME(input_buffer_stream)
NPUK_OLD_NAME(output_buffer_stream)
NPUK_OLD_NAME(restrict_input_buffer_stream)
NPUK_OLD_NAME(restrict_output_buffer_stream)
#undef NPUK_OLD_NAME

namespace detail {
template <class A, class B, class Tag>
constexpr bool is_block_product(mmul_shape s) {
    if (!is_one_of_v<Tag, accauto, accfloat> || !std::is_same_v<B, bfp16ebs8>) return false;
    if (std::is_same_v<A, bfp16ebs8>) return any_shape(s, mmul_shape{8, 8, 8}, mmul_shape{8, 8, 16});
    return std::is_same_v<A, bfloat16> && any_shape(s, mmul_shape{8, 8, 8});
}

// Sums of 8 products of mantissas are exact; they enter the accumulator as one float.
template <unsigned M, unsigned N>
NPUK_INLINE npuk::lanes<float, M * N> block_product(const npuk::lanes<float, M * 8> &a, const npuk::lanes<float, N * 8> &b_transposed) {
    auto sum = npuk::lanes<float, M * N>::zero();
    npuk::multiply_add<M, 8, N>(sum, a, npuk::transposed<N, 8>(b_transposed));
    return sum;
}
}  // namespace detail

// C = A x transpose(B): B holds the product's columns as rows, so that a block runs along K.
template <unsigned M_Elems, unsigned K_Elems, unsigned N_Elems, ElemBaseOrBlockType TypeA, BlockType TypeB, AccumElemBaseType AccumTag>
struct mmul<M_Elems, K_Elems, N_Elems, TypeA, TypeB, AccumTag> {
    static_assert(detail::is_block_product<TypeA, TypeB, AccumTag>({M_Elems, K_Elems, N_Elems}),
                  "aie::mmul has no such shape for these block types and accumulator");

    static constexpr unsigned M = M_Elems;
    static constexpr unsigned K = K_Elems;
    static constexpr unsigned N = N_Elems;
    static constexpr unsigned size_A = M * K;
    static constexpr unsigned size_B = K * N;
    static constexpr unsigned size_C = M * N;
    static constexpr unsigned size() { return size_C; }

    using accum_type = accum<accfloat, size_C>;

    NPUK_INLINE mmul() : c_(accum_type::lanes_type::zero()) {}
    NPUK_INLINE mmul(const accum_type &acc) : c_(acc) {}
    template <ElemBaseType T>
    NPUK_INLINE mmul(const vector<T, size_C> &v, int shift = 0) : c_(v, shift) {}
    NPUK_INLINE mmul &operator=(const accum_type &acc) {
        c_ = acc;
        return *this;
    }

    NPUK_INLINE accum_type to_accum() const { return c_; }
    NPUK_INLINE operator accum_type() const { return c_; }
    template <ElemBaseType T>
    NPUK_INLINE vector<T, size_C> to_vector(int shift = 0) const {
        return c_.template to_vector<T>(shift);
    }
    template <BlockType T>
    NPUK_INLINE block_vector<T, size_C> to_vector() const {
        return c_.template to_vector<T>();
    }

    template <class VecA, class VecB>
        requires((Vector<VecA> || BlockVector<VecA>) && detail::is_transposed_block_v<VecB> && VecA::size() == size_A &&
                 VecB::size() == size_B && std::is_same_v<typename VecA::value_type, TypeA> &&
                 std::is_same_v<typename VecB::value_type, TypeB>)
    NPUK_INLINE void mul(const VecA &a, const VecB &b) {
        c_ = accum_type(accum_type::lanes_type::zero());
        mac(a, b);
    }
    template <class VecA, class VecB>
        requires((Vector<VecA> || BlockVector<VecA>) && detail::is_transposed_block_v<VecB> && VecA::size() == size_A &&
                 VecB::size() == size_B && std::is_same_v<typename VecA::value_type, TypeA> &&
                 std::is_same_v<typename VecB::value_type, TypeB>)
    NPUK_INLINE void mac(const VecA &a, const VecB &b) {
        const auto sum = detail::block_product<M, N>(rows(a), b.parent1().values());
        c_ = accum_type(npuk::each(c_.lanes(), sum, [](auto p, auto q) { return p + q; }));
    }

private:
    template <class VecA>
    static NPUK_INLINE npuk::lanes<float, size_A> rows(const VecA &a) {
        if constexpr (BlockVector<VecA>) return a.values();
        else return npuk::through_blocks(npuk::widen_bf16(detail::value(a).lanes()));
    }

    accum_type c_;
};

}  // namespace aie

using v64bfp16ebs8 = aie::block_vector<bfp16ebs8, 64>;
using v128bfp16ebs8 = aie::block_vector<bfp16ebs8, 128>;
using v64bfp16ebs16 = aie::block_vector<bfp16ebs16, 64>;
using v128bfp16ebs16 = aie::block_vector<bfp16ebs16, 128>;
using v64accfloat = aie::accum<accfloat, 64>;

NPUK_INLINE v32bfloat16 broadcast_one_to_v32bfloat16() { return aie::broadcast<bfloat16, 32>(bfloat16(1.0f)); }
NPUK_INLINE v64accfloat mul_elem_64(const v64bfloat16 &a, const v64bfloat16 &b) { return aie::mul(a, b); }
NPUK_INLINE v64bfp16ebs8 to_v64bfp16ebs8(const v64accfloat &acc) { return acc.to_vector<bfp16ebs8>(); }
NPUK_INLINE v64bfp16ebs16 to_v64bfp16ebs16(const v64accfloat &acc) { return acc.to_vector<bfp16ebs16>(); }
NPUK_INLINE v64accfloat mul_8x8_8x8T(const v64bfp16ebs8 &a, const v64bfp16ebs8 &b) {
    return aie::detail::block_product<8, 8>(a.values(), b.values());
}
NPUK_INLINE v64accfloat mac_8x8_8x8T(const v64bfp16ebs8 &a, const v64bfp16ebs8 &b, const v64accfloat &acc) {
    const auto sum = aie::detail::block_product<8, 8>(a.values(), b.values());
    return v64accfloat(npuk::each(acc.lanes(), sum, [](auto p, auto q) { return p + q; }));
}

#endif
