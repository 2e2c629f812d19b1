// Element and accumulator traits, and the concepts the API's functions are constrained with.
#pragma once

#include "lanes.hpp"

enum class aie_dm_resource { none = 0, a = 1, b = 2, c = 3, d = 4, stack = 5 };
template <class T> struct aie_dm_resource_remove { using type = T; };
template <class T> using aie_dm_resource_remove_t = typename aie_dm_resource_remove<T>::type;

namespace aie {

enum class saturation_mode : unsigned {
    none = 0,
    truncate [[deprecated("Use saturate instead")]] = 1,
    saturate = 1,
    symmetric = 3,
};

enum class rounding_mode : unsigned {
    floor = rnd_floor,
    ceil = rnd_ceil,
    symmetric_floor = rnd_sym_floor,
    symmetric_ceil = rnd_sym_ceil,
    negative_inf = rnd_neg_inf,
    positive_inf = rnd_pos_inf,
    symmetric_zero = rnd_sym_zero,
    symmetric_inf = rnd_sym_inf,
    conv_even = rnd_conv_even,
    conv_odd = rnd_conv_odd,
};

namespace arch {
enum ArchVersion { AIE = 10, AIE_ML = 20, XDNA_2 = 21 };
enum ArchGeneration { Gen1 = 1, Gen2 = 2 };
inline constexpr ArchVersion version = static_cast<ArchVersion>(__AIE_ARCH__);
inline constexpr ArchGeneration generation = Gen2;
// Architectures, or generations; not both at once.
template <class First, class... Types>
    requires(std::is_same_v<First, Types> && ...)
constexpr bool is(First first, Types... types) {
    constexpr int own = std::is_same_v<First, ArchGeneration> ? 2 : __AIE_ARCH__;
    return static_cast<int>(first) == own || ((static_cast<int>(types) == own) || ...);
}
}  // namespace arch

namespace detail {

template <class T, class... Ts>
inline constexpr bool is_one_of_v = (std::is_same_v<T, Ts> || ...);

template <class T>
inline constexpr bool is_valid_element_type_v =
    is_one_of_v<T, int4, uint4, int8, uint8, int16, uint16, int32, uint32, bfloat16, float>;
template <class T> inline constexpr bool is_floating_point_v = is_one_of_v<T, bfloat16, float>;
template <class T> inline constexpr bool is_integral_v = is_valid_element_type_v<T> && !is_floating_point_v<T>;
template <class T>
inline constexpr bool is_signed_v = is_one_of_v<T, int4, int8, int16, int32, bfloat16, float>;
template <class T> inline constexpr bool is_complex_v = false;

template <class T> inline constexpr unsigned type_bits_v = sizeof(T) * 8;
template <> inline constexpr unsigned type_bits_v<int4> = 4;
template <> inline constexpr unsigned type_bits_v<uint4> = 4;

template <class T> struct wider_integer { using type = T; };  // none: no conversion applies
template <> struct wider_integer<int4> { using type = int8; };
template <> struct wider_integer<uint4> { using type = uint8; };
template <> struct wider_integer<int8> { using type = int16; };
template <> struct wider_integer<uint8> { using type = uint16; };
template <> struct wider_integer<int16> { using type = int32; };
template <> struct wider_integer<uint16> { using type = uint32; };
template <class T> struct narrower_integer { using type = T; };
template <> struct narrower_integer<int8> { using type = int4; };
template <> struct narrower_integer<uint8> { using type = uint4; };
template <> struct narrower_integer<int16> { using type = int8; };
template <> struct narrower_integer<uint16> { using type = uint8; };
template <> struct narrower_integer<int32> { using type = int16; };
template <> struct narrower_integer<uint32> { using type = uint16; };

// Registers have 128 to 1024 bits; larger powers of two are made of several.
template <class T, unsigned N>
inline constexpr bool is_valid_vector_size_v = (N & (N - 1)) == 0 && N * type_bits_v<T> >= 128;

template <class Tag> inline constexpr bool is_integer_tag_v = is_one_of_v<Tag, acc16, acc24, acc32, acc40, acc48, acc56, acc64>;
template <class Tag> inline constexpr bool is_valid_accum_type_v = is_integer_tag_v<Tag> || std::is_same_v<Tag, accfloat>;
// Tags round up to the lane sizes that exist: 32 and 64 bits.
template <class Tag> inline constexpr unsigned accum_bits_v = is_one_of_v<Tag, acc16, acc24, acc32, accfloat> ? 32 : 64;
template <class Tag>
using accum_lane_t = std::conditional_t<std::is_same_v<Tag, accfloat>, float, std::conditional_t<accum_bits_v<Tag> == 32, int32_t, int64_t>>;

// Which accumulator a product of two element types goes to unless told otherwise.
template <class A, class B>
constexpr unsigned default_accum_bits() {
    if (is_floating_point_v<A>) return 32;
    const unsigned larger = type_bits_v<A> > type_bits_v<B> ? type_bits_v<A> : type_bits_v<B>;
    const unsigned smaller = type_bits_v<A> > type_bits_v<B> ? type_bits_v<B> : type_bits_v<A>;
    if (larger <= 16) return 32;
    return smaller <= 16 ? 48 : 64;
}
template <class A, class B>
using default_accum_tag_t = std::conditional_t<
    is_floating_point_v<A>, accfloat,
    std::conditional_t<default_accum_bits<A, B>() == 32, acc32, std::conditional_t<default_accum_bits<A, B>() == 48, acc48, acc64>>>;
template <class Tag, class A, class B>
using accum_tag_or_default_t = std::conditional_t<std::is_same_v<Tag, accauto>, default_accum_tag_t<A, B>, Tag>;

}  // namespace detail

template <class T>
concept ElemBaseType = detail::is_valid_element_type_v<T>;
template <class T>
concept DecoratedElemBaseType = detail::is_valid_element_type_v<std::remove_const_t<T>>;
#if __AIE_ARCH__ == 21
// Elements of block vectors: only pointers to them and block_vector make use of these names.
}  // namespace aie
struct bfp16ebs8 {};
struct bfp16ebs16 {};
namespace aie {
namespace detail {
template <class T> inline constexpr unsigned block_elems_v = 0;
template <> inline constexpr unsigned block_elems_v<bfp16ebs8> = 8;
template <> inline constexpr unsigned block_elems_v<bfp16ebs16> = 16;
}  // namespace detail
#else
namespace detail {
template <class T> inline constexpr unsigned block_elems_v = 0;
}  // namespace detail
#endif
template <class T>
concept BlockType = detail::block_elems_v<T> != 0;
template <class T>
concept ElemBaseOrBlockType = ElemBaseType<T> || BlockType<T>;
template <class T>
concept AccumElemBaseType = detail::is_valid_accum_type_v<T> || std::is_same_v<T, accauto>;

namespace detail {
template <class T>
constexpr unsigned native_vector_length() {
    if constexpr (is_valid_element_type_v<T>) return 512 / type_bits_v<T>;
    else return 16;
}
}  // namespace detail
template <class T> inline constexpr unsigned native_vector_length_v = detail::native_vector_length<T>();

template <ElemBaseType T, unsigned Elems = native_vector_length_v<T>> class vector;
template <AccumElemBaseType Tag, unsigned Elems> class accum;
template <BlockType T, unsigned Elems> class block_vector;
template <unsigned Elems> class mask;
template <ElemBaseType T, unsigned N> class vector_elem_ref;
template <ElemBaseType T, unsigned N> class vector_elem_const_ref;
template <class T, unsigned Elems = native_vector_length_v<T>, aie_dm_resource Resource = aie_dm_resource::none> class vector_ref;
template <class V, bool BySign = false> struct operated;

namespace detail {
template <class T> inline constexpr bool is_vector_v = false;
template <class T, unsigned N> inline constexpr bool is_vector_v<vector<T, N>> = true;
template <class T> inline constexpr bool is_vector_ref_v = false;
template <class T, unsigned N, aie_dm_resource R> inline constexpr bool is_vector_ref_v<vector_ref<T, N, R>> = true;
template <class T> inline constexpr bool is_block_vector_v = false;
template <class T, unsigned N> inline constexpr bool is_block_vector_v<block_vector<T, N>> = true;
template <class T> inline constexpr bool is_accum_v = false;
template <class Tag, unsigned N> inline constexpr bool is_accum_v<accum<Tag, N>> = !std::is_same_v<Tag, accauto>;  // a placeholder has no lanes
template <class T> inline constexpr bool is_mask_v = false;
template <unsigned N> inline constexpr bool is_mask_v<mask<N>> = true;
template <class T> inline constexpr bool is_elem_ref_v = false;
template <class T, unsigned N> inline constexpr bool is_elem_ref_v<vector_elem_ref<T, N>> = true;
template <class T, unsigned N> inline constexpr bool is_elem_ref_v<vector_elem_const_ref<T, N>> = true;
template <class T> inline constexpr bool is_operated_v = false;
template <class V, bool S> inline constexpr bool is_operated_v<operated<V, S>> = true;
template <class T> inline constexpr bool is_sign_operated_v = false;
template <class V> inline constexpr bool is_sign_operated_v<operated<V, true>> = true;

// The plain type behind an element reference, a vector reference or a modified operand.
template <class T> struct base { using type = T; };
template <class T, unsigned N> struct base<vector_elem_ref<T, N>> { using type = T; };
template <class T, unsigned N> struct base<vector_elem_const_ref<T, N>> { using type = T; };
template <class T, unsigned N, aie_dm_resource R> struct base<vector_ref<T, N, R>> { using type = vector<std::remove_const_t<T>, N>; };
template <class V, bool S> struct base<operated<V, S>> { using type = V; };
}  // namespace detail

template <class T> using operand_base_type_t = typename detail::base<std::remove_cvref_t<T>>::type;

template <class T>
concept Vector = detail::is_vector_v<T> || detail::is_vector_ref_v<T>;
template <class T>
concept RealVector = Vector<T>;
template <class T>
concept BlockVector = detail::is_block_vector_v<T>;
template <class T>
concept Accum = detail::is_accum_v<T>;
template <class T>
concept Mask = detail::is_mask_v<T>;
template <class T>
concept Elem = detail::is_valid_element_type_v<T> || detail::is_elem_ref_v<T>;
template <class T>
concept RealElem = Elem<T>;
template <class T>
concept VectorOrOp = Vector<T> || (detail::is_operated_v<T> && Vector<operand_base_type_t<T>>);
template <class T>
concept AccumOrOp = Accum<T> || (detail::is_operated_v<T> && Accum<operand_base_type_t<T>>);
template <class T>
concept ElemOrOp = Elem<T> || (detail::is_operated_v<T> && Elem<operand_base_type_t<T>>);
template <class T>
concept ArithmeticType = Elem<T> || Vector<T> || Accum<T>;

template <class To, class From>
concept PackableFrom = detail::is_integral_v<To> && detail::is_integral_v<From> && (detail::type_bits_v<To> < detail::type_bits_v<From>);
template <class To, class From>
concept UnpackableFrom = detail::is_integral_v<To> && detail::is_integral_v<From> && (detail::type_bits_v<To> > detail::type_bits_v<From>);

template <class A, class B>
inline constexpr bool is_valid_elem_op_v = std::is_same_v<operand_base_type_t<A>, operand_base_type_t<B>>;

namespace detail {
template <class V1, class V2>
inline constexpr bool is_same_vector_v = std::is_same_v<operand_base_type_t<V1>, operand_base_type_t<V2>>;

// Element types whose product an AIE-ML core forms.
template <class A, class B>
constexpr bool is_valid_mul_pair() {
    if (is_one_of_v<B, int4, uint4>) return is_one_of_v<A, int4, uint4, int8, uint8>;
    if (is_one_of_v<B, int8, uint8>) return is_one_of_v<A, int4, uint4, int8, uint8, int16, uint16>;
    if (is_one_of_v<B, int16, uint16>) return is_one_of_v<A, int8, uint8, int16, uint16, int32, uint32>;
    if (is_one_of_v<B, int32, uint32>) return is_one_of_v<A, int16, uint16, int32, uint32>;
    return std::is_same_v<A, B> && is_floating_point_v<A>;
}
template <class T> struct elem_of { using type = operand_base_type_t<T>; };
template <VectorOrOp T> struct elem_of<T> { using type = typename operand_base_type_t<T>::value_type; };
template <class T> using elem_of_t = typename elem_of<T>::type;
template <class A, class B>
inline constexpr bool is_valid_mul_op_v = is_valid_mul_pair<elem_of_t<A>, elem_of_t<B>>();
}  // namespace detail

inline constexpr unsigned vector_decl_align = arch::is(arch::AIE_ML) ? 32 : 64;
template <DecoratedElemBaseType T, unsigned Elems>
inline constexpr unsigned vector_ldst_align_v =
    Elems * detail::type_bits_v<std::remove_const_t<T>> / 8 < vector_decl_align ? Elems * detail::type_bits_v<std::remove_const_t<T>> / 8 : vector_decl_align;

}  // namespace aie
