// Names of Peano's register types and the raw intrinsics that kernels use beside the API.
//
// On hardware these register types are not aie::vector but convert to and from it; here they are the same.
#pragma once

#include "operators.hpp"

using v16int8 = aie::vector<int8, 16>;
using v32int8 = aie::vector<int8, 32>;
using v64int8 = aie::vector<int8, 64>;
using v128int8 = aie::vector<int8, 128>;
using v16uint8 = aie::vector<uint8, 16>;
using v32uint8 = aie::vector<uint8, 32>;
using v64uint8 = aie::vector<uint8, 64>;
using v128uint8 = aie::vector<uint8, 128>;
using v8int16 = aie::vector<int16, 8>;
using v16int16 = aie::vector<int16, 16>;
using v32int16 = aie::vector<int16, 32>;
using v64int16 = aie::vector<int16, 64>;
using v8uint16 = aie::vector<uint16, 8>;
using v16uint16 = aie::vector<uint16, 16>;
using v32uint16 = aie::vector<uint16, 32>;
using v64uint16 = aie::vector<uint16, 64>;
using v4int32 = aie::vector<int32, 4>;
using v8int32 = aie::vector<int32, 8>;
using v16int32 = aie::vector<int32, 16>;
using v32int32 = aie::vector<int32, 32>;
using v4uint32 = aie::vector<uint32, 4>;
using v8uint32 = aie::vector<uint32, 8>;
using v16uint32 = aie::vector<uint32, 16>;
using v32uint32 = aie::vector<uint32, 32>;
using v8bfloat16 = aie::vector<bfloat16, 8>;
using v16bfloat16 = aie::vector<bfloat16, 16>;
using v32bfloat16 = aie::vector<bfloat16, 32>;
using v64bfloat16 = aie::vector<bfloat16, 64>;
using v4float = aie::vector<float, 4>;
using v8float = aie::vector<float, 8>;
using v16float = aie::vector<float, 16>;
using v32float = aie::vector<float, 32>;
using v8acc32 = aie::accum<acc32, 8>;
using v16acc32 = aie::accum<acc32, 16>;
using v32acc32 = aie::accum<acc32, 32>;
using v4acc64 = aie::accum<acc64, 4>;
using v8acc64 = aie::accum<acc64, 8>;
using v16acc64 = aie::accum<acc64, 16>;
using v8accfloat = aie::accum<accfloat, 8>;
using v16accfloat = aie::accum<accfloat, 16>;
using v32accfloat = aie::accum<accfloat, 32>;

// Undefined registers; here they are zero.
#define NPUK_UNDEF(name) \
    NPUK_INLINE name undef_##name() { return name(name::lanes_type::zero()); }
NPUK_UNDEF(v16int8)
NPUK_UNDEF(v32int8)
NPUK_UNDEF(v64int8)
NPUK_UNDEF(v128int8)
NPUK_UNDEF(v16uint8)
NPUK_UNDEF(v32uint8)
NPUK_UNDEF(v64uint8)
NPUK_UNDEF(v128uint8)
NPUK_UNDEF(v8int16)
NPUK_UNDEF(v16int16)
NPUK_UNDEF(v32int16)
NPUK_UNDEF(v64int16)
NPUK_UNDEF(v8uint16)
NPUK_UNDEF(v16uint16)
NPUK_UNDEF(v32uint16)
NPUK_UNDEF(v64uint16)
NPUK_UNDEF(v4int32)
NPUK_UNDEF(v8int32)
NPUK_UNDEF(v16int32)
NPUK_UNDEF(v32int32)
NPUK_UNDEF(v4uint32)
NPUK_UNDEF(v8uint32)
NPUK_UNDEF(v16uint32)
NPUK_UNDEF(v32uint32)
NPUK_UNDEF(v8bfloat16)
NPUK_UNDEF(v16bfloat16)
NPUK_UNDEF(v32bfloat16)
NPUK_UNDEF(v64bfloat16)
NPUK_UNDEF(v4float)
NPUK_UNDEF(v8float)
NPUK_UNDEF(v16float)
NPUK_UNDEF(v32float)
NPUK_UNDEF(v8acc32)
NPUK_UNDEF(v16acc32)
NPUK_UNDEF(v32acc32)
NPUK_UNDEF(v4acc64)
NPUK_UNDEF(v8acc64)
NPUK_UNDEF(v16acc64)
NPUK_UNDEF(v8accfloat)
NPUK_UNDEF(v16accfloat)
NPUK_UNDEF(v32accfloat)
#undef NPUK_UNDEF

// Parts of registers.
#define NPUK_PART(Part)                                                                       \
    template <class V>                                                                        \
        requires(std::is_same_v<typename V::value_type, Part::value_type> && V::size() > Part::size()) \
    NPUK_INLINE Part extract_##Part(const V &v, unsigned idx) {                               \
        return v.template extract<Part::size()>(idx);                                         \
    }
NPUK_PART(v16int8)
NPUK_PART(v32int8)
NPUK_PART(v64int8)
NPUK_PART(v16uint8)
NPUK_PART(v32uint8)
NPUK_PART(v64uint8)
NPUK_PART(v8int16)
NPUK_PART(v16int16)
NPUK_PART(v32int16)
NPUK_PART(v64int16)
NPUK_PART(v8uint16)
NPUK_PART(v16uint16)
NPUK_PART(v32uint16)
NPUK_PART(v64uint16)
NPUK_PART(v8int32)
NPUK_PART(v16int32)
NPUK_PART(v32int32)
NPUK_PART(v8uint32)
NPUK_PART(v16uint32)
NPUK_PART(v32uint32)
NPUK_PART(v8bfloat16)
NPUK_PART(v16bfloat16)
NPUK_PART(v32bfloat16)
NPUK_PART(v64bfloat16)
NPUK_PART(v8float)
NPUK_PART(v16float)
NPUK_PART(v32float)
NPUK_PART(v8acc32)
NPUK_PART(v16acc32)
NPUK_PART(v32acc32)
NPUK_PART(v8acc64)
NPUK_PART(v16acc64)
NPUK_PART(v8accfloat)
NPUK_PART(v16accfloat)
NPUK_PART(v32accfloat)
#undef NPUK_PART

// Conversions of whole registers.
NPUK_INLINE v16bfloat16 to_v16bfloat16(const v16accfloat &acc) { return acc.to_vector<bfloat16>(); }
NPUK_INLINE v16bfloat16 to_v16bfloat16(const v16float &v) { return v16accfloat(v).to_vector<bfloat16>(); }
NPUK_INLINE v32bfloat16 to_v32bfloat16(const v32accfloat &acc) { return acc.to_vector<bfloat16>(); }
NPUK_INLINE v16int32 bfloat16_to_int(const v16bfloat16 &v, int shift) { return aie::to_fixed<int32>(v, shift); }
NPUK_INLINE v16accfloat ups_to_v16accfloat(const v16bfloat16 &v) { return v16accfloat(v); }

// Elements.
template <aie::ElemBaseType T, unsigned N>
NPUK_INLINE T extract_elem(const aie::vector<T, N> &v, unsigned idx) {
    return v.get(idx % N);
}
template <aie::ElemBaseType T, unsigned N>
NPUK_INLINE T ext_elem(const aie::vector<T, N> &v, unsigned idx) {
    return v.get(idx % N);
}
template <aie::ElemBaseType T, unsigned N>
NPUK_INLINE aie::vector<T, N> upd_elem(aie::vector<T, N> v, unsigned idx, T value) {
    v.set(value, idx % N);
    return v;
}
template <aie::ElemBaseType T, unsigned N>
NPUK_INLINE aie::vector<T, N> insert(aie::vector<T, N> v, unsigned idx, T value) {
    v.set(value, idx % N);
    return v;
}
NPUK_INLINE v64int8 broadcast_to_v64int8(int8 v) { return aie::broadcast<int8, 64>(v); }
NPUK_INLINE v32int16 broadcast_to_v32int16(int16 v) { return aie::broadcast<int16, 32>(v); }
NPUK_INLINE v16int32 broadcast_to_v16int32(int32 v) { return aie::broadcast<int32, 16>(v); }
NPUK_INLINE v16float broadcast_to_v16float(float v) { return aie::broadcast<float, 16>(v); }
NPUK_INLINE v32bfloat16 broadcast_to_v32bfloat16(bfloat16 v) { return aie::broadcast<bfloat16, 32>(v); }
NPUK_INLINE v16bfloat16 broadcast_to_v16bfloat16(bfloat16 v) { return aie::broadcast<bfloat16, 16>(v); }
NPUK_INLINE v32bfloat16 broadcast_zero_bfloat16() { return aie::zeros<bfloat16, 32>(); }
NPUK_INLINE v32bfloat16 broadcast_zero_to_v32bfloat16() { return aie::zeros<bfloat16, 32>(); }

// Cascade: 512 bits to the next core and from the previous one. Each waits for the other side. Registers of
// 1024 bits go as two halves, the lower one first.
namespace npuk {
NPUK_INLINE void cascade_put(const void *data) {
    if (control.cascade_put) control.cascade_put(control.cascade_context, data);
    else report_fault(fault_no_cascade, data);
}
NPUK_INLINE void cascade_get(void *data) {
    if (control.cascade_get) control.cascade_get(control.cascade_context, data);
    else {
        __builtin_memset(data, 0, 64);
        report_fault(fault_no_cascade, data);
    }
}
template <class R>
NPUK_INLINE R cascade_read() {
    alignas(64) unsigned char data[R::bits() / 8];
    for (unsigned done = 0; done < sizeof data; done += 64) cascade_get(data + done);
    return typename R::lanes_type(R::lanes_type::load(data));
}
}  // namespace npuk

template <class V>
    requires((aie::Vector<V> || aie::Accum<V>) && (V::bits() == 512 || V::bits() == 1024))
NPUK_INLINE void put_mcd(const V &v) {
    alignas(64) unsigned char data[V::bits() / 8];
    v.lanes().store(data);
    for (unsigned done = 0; done < sizeof data; done += 64) npuk::cascade_put(data + done);
}
NPUK_INLINE v16int32 get_scd_v16int32() { return npuk::cascade_read<v16int32>(); }
NPUK_INLINE v32int16 get_scd_v32int16() { return npuk::cascade_read<v32int16>(); }
NPUK_INLINE v64int8 get_scd_v64int8() { return npuk::cascade_read<v64int8>(); }
NPUK_INLINE v16float get_scd_v16float() { return npuk::cascade_read<v16float>(); }
NPUK_INLINE v32bfloat16 get_scd_v32bfloat16() { return npuk::cascade_read<v32bfloat16>(); }
NPUK_INLINE v16acc32 get_scd_v16acc32() { return npuk::cascade_read<v16acc32>(); }
NPUK_INLINE v8acc64 get_scd_v8acc64() { return npuk::cascade_read<v8acc64>(); }
NPUK_INLINE v16accfloat get_scd_v16accfloat() { return npuk::cascade_read<v16accfloat>(); }
NPUK_INLINE v32int32 get_scd_v32int32() { return npuk::cascade_read<v32int32>(); }
NPUK_INLINE v64int16 get_scd_v64int16() { return npuk::cascade_read<v64int16>(); }
NPUK_INLINE v128int8 get_scd_v128int8() { return npuk::cascade_read<v128int8>(); }
NPUK_INLINE v32float get_scd_v32float() { return npuk::cascade_read<v32float>(); }
NPUK_INLINE v64bfloat16 get_scd_v64bfloat16() { return npuk::cascade_read<v64bfloat16>(); }
NPUK_INLINE v32acc32 get_scd_v32acc32() { return npuk::cascade_read<v32acc32>(); }
NPUK_INLINE v16acc64 get_scd_v16acc64() { return npuk::cascade_read<v16acc64>(); }
NPUK_INLINE v32accfloat get_scd_v32accfloat() { return npuk::cascade_read<v32accfloat>(); }
