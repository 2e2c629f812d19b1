#include <aie_api/aie.hpp>
#include <lut_based_ops.h>

// name(a, b, out): out = f(a, b) on 16 elements of T.
#define BINARY(name, T, expression)                                              \
  extern "C" void name(const T *pa, const T *pb, T *out) {                       \
    const auto a = aie::load_v<16>(pa), b = aie::load_v<16>(pb);                 \
    aie::store_v(out, expression);                                               \
  }
#define ALL_TYPES(M, name, expression) \
  M(name##_int8, int8, expression)     \
  M(name##_int16, int16, expression)   \
  M(name##_int32, int32, expression)   \
  M(name##_bf16, bfloat16, expression) \
  M(name##_float, float, expression)
ALL_TYPES(BINARY, add, aie::add(a, b))
ALL_TYPES(BINARY, sub, aie::sub(a, b))
ALL_TYPES(BINARY, max, aie::max(a, b))
ALL_TYPES(BINARY, min, aie::min(a, b))
ALL_TYPES(BINARY, neg, aie::neg(a))
ALL_TYPES(BINARY, abs, aie::abs(a))
ALL_TYPES(BINARY, pick, aie::select(a, b, aie::lt(a, b)))
ALL_TYPES(BINARY, reversed, aie::reverse(a))
ALL_TYPES(BINARY, up3, aie::shuffle_up_fill(a, b, 3))
ALL_TYPES(BINARY, down3, aie::shuffle_down_fill(a, b, 3))
ALL_TYPES(BINARY, rotate, aie::shuffle_down_rotate(a, 5))
ALL_TYPES(BINARY, transposed, aie::transpose(a, 2, 8))
ALL_TYPES(BINARY, zip, aie::interleave_zip(a, b, 2).second)
ALL_TYPES(BINARY, unzip, aie::interleave_unzip(a, b, 1).second)
BINARY(band_int16, int16, aie::bit_and(a, b))
BINARY(bxor_int16, int16, aie::bit_xor(a, b))
BINARY(bnot_int16, int16, aie::bit_not(a))
BINARY(down2_int16, int16, aie::downshift(a, 2))
BINARY(logical2_int16, int16, aie::logical_downshift(a, 2))
BINARY(up2_int16, int16, aie::upshift(a, 2))

#define FLOAT_PRODUCT(name, T, expression)                                       \
  extern "C" void name(const T *pa, const T *pb, float *out) {                   \
    const auto a = aie::load_v<16>(pa), b = aie::load_v<16>(pb);                 \
    aie::accum<accfloat, 16> acc(aie::load_v<16>(out));                          \
    aie::store_v(out, (expression).template to_vector<float>());                 \
  }
FLOAT_PRODUCT(mul_bf16, bfloat16, aie::mul(a, b))
FLOAT_PRODUCT(mac_bf16, bfloat16, aie::mac(acc, a, b))
FLOAT_PRODUCT(msc_bf16, bfloat16, aie::msc(acc, a, b))
FLOAT_PRODUCT(negmul_bf16, bfloat16, aie::negmul(a, b))
FLOAT_PRODUCT(square_bf16, bfloat16, aie::mul_square(a))
FLOAT_PRODUCT(mul_float, float, aie::mul(a, b))
FLOAT_PRODUCT(mac_scalar_bf16, bfloat16, aie::mac(acc, a, (bfloat16)1.5f))
FLOAT_PRODUCT(acc_add_bf16, bfloat16, aie::add(acc, a))

extern "C" void mul_int16(const int16 *pa, const int16 *pb, int32 *out) {
  aie::store_v(out, aie::mul(aie::load_v<16>(pa), aie::load_v<16>(pb)).to_vector<int32>());
}
extern "C" void mul_int8(const int8 *pa, const int8 *pb, int32 *out) {
  aie::store_v(out, aie::mul(aie::load_v<32>(pa), aie::load_v<32>(pb)).to_vector<int32>());
}
extern "C" void mul_unsigned(const int8 *pa, const int8 *pb, int32 *out) {
  aie::store_v(out, aie::mul(aie::op_sign(aie::load_v<32>(pa), false), aie::load_v<32>(pb)).to_vector<int32>());
}

extern "C" void reductions(const bfloat16 *in, const int32 *ints, float *out) {
  const auto v = aie::load_v<16>(in);
  out[0] = (float)aie::reduce_add(v);
  out[1] = (float)aie::reduce_max(v);
  out[2] = (float)aie::reduce_min(v);
  const auto n = aie::load_v<16>(ints);
  out[3] = (float)aie::reduce_add(n);
  out[4] = (float)aie::reduce_max(n);
  out[5] = (float)aie::reduce_min(n);
  const aie::vector<int32, 16> sums = aie::reduce_add_v(n, n, aie::neg(n), n);
  out[6] = (float)(int)sums[2];
}

#define UNARY16(name, T, U, expression)                                          \
  extern "C" void name(const T *in, U *out, int n) {                             \
    aie::set_rounding(aie::rounding_mode::conv_even);                            \
    auto it = aie::cbegin_vector<16>(in);                                        \
    auto to = aie::begin_vector<16>(out);                                        \
    for (int i = 0; i < n; i += 16) {                                            \
      const aie::vector<T, 16> x = *it++;                                        \
      *to++ = aie::vector<U, 16>(expression);                                    \
    }                                                                            \
  }
UNARY16(inv_bf16, bfloat16, bfloat16, aie::inv(x))
UNARY16(inv_float, float, float, aie::inv(x))
UNARY16(invsqrt_bf16, bfloat16, bfloat16, aie::invsqrt(x))
UNARY16(invsqrt_float, float, float, aie::invsqrt(x))
UNARY16(sqrt_float, float, float, aie::sqrt(x))
UNARY16(exp_bf16, bfloat16, float, getExpBf16(x).to_vector<float>())
UNARY16(tanh_bf16, bfloat16, bfloat16, getTanhBf16(x))
UNARY16(fixed_bf16, bfloat16, int32, aie::to_fixed<int32>(x, 3))
UNARY16(fixed_float, float, int32, aie::to_fixed<int32>(x, 3))
UNARY16(floating, int32, float, aie::to_float<float>(x, 4))
#if __AIE_ARCH__ == 21
UNARY16(exp2_float, float, bfloat16, aie::exp2<bfloat16>(x))
UNARY16(tanh_float, float, bfloat16, aie::tanh<bfloat16>(x))
#endif
extern "C" void inverse(const float *in, bfloat16 *out, int n) {
  for (int i = 0; i < n; i++) out[i] = getInvBf16(in[i]);
}

// Tables with four copies in 128-bit groups, as aie::lut wants them.
extern "C" void lookup(const uint16 *keys, int16 *out) {
  alignas(aie::vector_decl_align) static const int16 ab[32] = {0, 1, 2,  3,  4,  5,  6,  7,  0, 1, 2,  3,  4,  5,  6,  7,
                                                               8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15};
  const aie::lut<4, int16, int16> table(16, ab, ab);
  aie::parallel_lookup<uint16, aie::lut<4, int16, int16>, aie::lut_oor_policy::saturate> find(table, 2);
  aie::store_v(out, find.fetch(aie::load_v<16>(keys)));
}
extern "C" void line(const bfloat16 *in, float *out) {
  // slope, offset: 2x below zero, 3x + 1 above.
  alignas(aie::vector_decl_align) static const float ab[8] = {2, 0, 3, 1, 2, 0, 3, 1};
  const aie::lut<4, float, bfloat16> table(2, ab, ab);
  aie::linear_approx<bfloat16, aie::lut<4, float, bfloat16>> f(table, 0, 1, 0);
  aie::store_v(out, f.compute(aie::load_v<16>(in)).to_vector<float>());
}
extern "C" void sliding(const int16 *coeff, const int16 *data, int32 *out) {
  using F = aie::sliding_mul_ops<8, 4, 1, 1, 1, int16, int16>;
  aie::store_v(out, F::mul(aie::load_v<16>(coeff), 1, aie::load_v<32>(data), 2).to_vector<int32>());
}
extern "C" void int4_roundtrip(const int4 *in, int8 *wide, int4 *back) {
  const auto v = aie::load_v<32>(in);
  aie::store_v(wide, aie::unpack(v));
  aie::store_v(back, aie::pack(aie::unpack(v)));
}
extern "C" void views(const bfloat16 *in, bfloat16 *out) {
  aie::vector<bfloat16, 32> v = aie::concat(aie::load_v<16>(in), aie::load_v<16>(in + 16));
  v.insert(1, v.extract<8>(3));
  v[31] = v[0];
  v.push((bfloat16)7.0f);
  aie::store_v(out, v);
  aie::store_v(out + 32, aie::filter_even(v, 2));
  aie::store_v(out + 48, aie::filter_odd(v, 1));
}
