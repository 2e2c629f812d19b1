#include <aie_api/aie.hpp>

// Everything takes n groups of 16 (int8: 32) elements.
#define CONVERT(name, Tag, Lanes, In, Out)                                                                   \
  extern "C" void name(const In *in, Out *out, int groups, int shift, int mode, int saturation) {            \
    aie::set_rounding(aie::rounding_mode(mode));                                                             \
    aie::set_saturation(aie::saturation_mode(saturation));                                                   \
    for (int i = 0; i < groups; i++) {                                                                       \
      aie::accum<Tag, Lanes> acc(aie::load_v<Lanes>(in + i * Lanes));                                        \
      aie::store_v(out + i * Lanes, acc.to_vector<Out>(shift));                                              \
    }                                                                                                        \
  }
CONVERT(acc32_int8, acc32, 32, int32, int8)
CONVERT(acc32_uint8, acc32, 32, int32, uint8)
CONVERT(acc32_int16, acc32, 16, int32, int16)
CONVERT(acc32_int32, acc32, 16, int32, int32)
CONVERT(acc64_int32, acc64, 16, int32, int32)
CONVERT(acc64_int16, acc64, 16, int32, int16)
CONVERT(accfloat_bf16, accfloat, 16, float, bfloat16)

// 64-bit accumulators from products of 32-bit factors.
extern "C" void product_int32(const int32 *a, const int32 *b, int32 *out, int shift, int mode, int saturation) {
  aie::set_rounding(aie::rounding_mode(mode));
  aie::set_saturation(aie::saturation_mode(saturation));
  aie::store_v(out, aie::mul(aie::load_v<16>(a), aie::load_v<16>(b)).to_vector<int32>(shift));
}

extern "C" void scalar_bf16(const float *in, bfloat16 *out, int n) {
  for (int i = 0; i < n; i++) out[i] = (bfloat16)in[i];
}
extern "C" void constant_bf16(bfloat16 *out) {
  out[0] = (bfloat16)1.00390625f;  // halfway above 1: to even whatever the mode
  out[1] = (bfloat16)0.7978846f;
}

extern "C" void read_modes(int *out) {
  out[0] = (int)aie::get_rounding();
  out[1] = (int)aie::get_saturation();
}
extern "C" void write_modes(int rounding, int saturation) {
  aie::set_rounding((aie::rounding_mode)rounding);
  aie::set_saturation((aie::saturation_mode)saturation);
}
extern "C" void swap_modes(int *out) {
  out[0] = (int)aie::swap_rounding(aie::rounding_mode::conv_odd);
  out[1] = (int)aie::swap_saturation(aie::saturation_mode::symmetric);
}
extern "C" void pack_int16(const int16 *in, int8 *out, int saturation) {
  aie::set_saturation(aie::saturation_mode(saturation));
  aie::store_v(out, aie::pack(aie::load_v<32>(in)));
}
extern "C" void wrap_acc32(const int32 *a, int32 *out) {
  aie::accum<acc32, 16> acc(aie::load_v<16>(a));
  aie::store_v(out, aie::add(acc, acc).to_vector<int32>());
}
