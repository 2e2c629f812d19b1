// Loads, stores and iterators.
#pragma once

#include "modifiers.hpp"

#include <iterator>

namespace aie {

namespace detail {
// With NPUK_CHECK_ALIGNMENT a misaligned access, which hardware silently truncates, is reported.
template <class T, unsigned Elems>
NPUK_INLINE void check_alignment([[maybe_unused]] const T *ptr) {
#ifdef NPUK_CHECK_ALIGNMENT
    if (reinterpret_cast<uintptr_t>(ptr) % vector_ldst_align_v<T, Elems>) [[unlikely]]
        npuk::report_fault(npuk::fault_misaligned, ptr);
#endif
}
}  // namespace detail

template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, DecoratedElemBaseType T>
NPUK_INLINE vector<T, Elems> load_v(const T *ptr) {
    detail::check_alignment<T, Elems>(ptr);
    return vector<T, Elems>::from_memory(ptr);
}
template <aie_dm_resource Resource = aie_dm_resource::none, DecoratedElemBaseType T>
NPUK_INLINE vector<T, native_vector_length_v<T>> load_v(const T *ptr) {
    return load_v<native_vector_length_v<T>>(ptr);
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, DecoratedElemBaseType T>
NPUK_INLINE vector<T, Elems> load_unaligned_v(const T *ptr, [[maybe_unused]] unsigned aligned_elems = 1) {
    static_assert(vector<T, Elems>::bits() <= 1024, "unaligned loads take at most 1024 bits");
    return vector<T, Elems>::from_memory(ptr);
}
template <aie_dm_resource Resource = aie_dm_resource::none, DecoratedElemBaseType T>
NPUK_INLINE vector<T, native_vector_length_v<T>> load_unaligned_v(const T *ptr, [[maybe_unused]] unsigned aligned_elems = 1) {
    return vector<T, native_vector_length_v<T>>::from_memory(ptr);
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, DecoratedElemBaseType T>
NPUK_INLINE vector<T, Elems> load_floor_bytes_v(const T *ptr, size_t bytes) {
    return vector<T, Elems>::from_memory(reinterpret_cast<const T *>(reinterpret_cast<uintptr_t>(ptr) & ~(bytes - 1)));
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, DecoratedElemBaseType T>
NPUK_INLINE vector<T, Elems> load_floor_v(const T *ptr, unsigned n = Elems) {
    return load_floor_bytes_v<Elems>(ptr, n * sizeof(T));
}

template <aie_dm_resource Resource = aie_dm_resource::none, DecoratedElemBaseType T1, ElemBaseType T2, unsigned Elems>
    requires(std::is_same_v<T1, T2>)
NPUK_INLINE T1 *store_v(T1 *ptr, const vector<T2, Elems> &v) {
    detail::check_alignment<T1, Elems>(ptr);
    v.to_memory(ptr);
    return ptr;
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, DecoratedElemBaseType T1, ElemBaseType T2>
    requires(std::is_same_v<T1, T2>)
NPUK_INLINE T1 *store_unaligned_v(T1 *ptr, const vector<T2, Elems> &v, [[maybe_unused]] unsigned aligned_elems = 1) {
    v.to_memory(ptr);
    return ptr;
}
template <aie_dm_resource Resource = aie_dm_resource::none, DecoratedElemBaseType T1, ElemBaseType T2, unsigned Elems>
    requires(std::is_same_v<T1, T2>)
NPUK_INLINE T1 *store_floor_bytes_v(T1 *ptr, const vector<T2, Elems> &v, size_t bytes) {
    auto *at = reinterpret_cast<T1 *>(reinterpret_cast<uintptr_t>(ptr) & ~(bytes - 1));
    v.to_memory(at);
    return at;
}
template <aie_dm_resource Resource = aie_dm_resource::none, DecoratedElemBaseType T1, ElemBaseType T2, unsigned Elems>
    requires(std::is_same_v<T1, T2>)
NPUK_INLINE T1 *store_floor_v(T1 *ptr, const vector<T2, Elems> &v, unsigned n = Elems) {
    return store_floor_bytes_v(ptr, v, n * sizeof(T2));
}

template <AccumElemBaseType DstTag, AccumElemBaseType Tag, unsigned Elems>
NPUK_INLINE auto accum_cast(const accum<Tag, Elems> &acc) {
    return acc.template cast_to<DstTag>();
}

template <ElemBaseType T, unsigned Elems = native_vector_length_v<T>>
NPUK_INLINE vector<T, Elems> zeros() {
    return vector<T, Elems>(vector<T, Elems>::lanes_type::zero());
}
template <AccumElemBaseType Tag, unsigned Elems = native_vector_length_v<Tag>>
    requires(!std::is_same_v<Tag, acc16> && !std::is_same_v<Tag, acc24> && !std::is_same_v<Tag, accauto>)
NPUK_INLINE accum<Tag, Elems> zeros() {
    return accum<Tag, Elems>(accum<Tag, Elems>::lanes_type::zero());
}
template <Elem E, unsigned Elems = native_vector_length_v<operand_base_type_t<E>>>
NPUK_INLINE vector<operand_base_type_t<E>, Elems> broadcast(E a) {
    using T = operand_base_type_t<E>;
    return vector<T, Elems>(vector<T, Elems>::lanes_type::splat(npuk::to_lane<T>(detail::elem_value(a))));
}

NPUK_INLINE void set_saturation(saturation_mode m) { npuk::control.saturation = static_cast<unsigned>(m); }
NPUK_INLINE saturation_mode get_saturation() { return static_cast<saturation_mode>(npuk::control.saturation); }
NPUK_INLINE saturation_mode swap_saturation(saturation_mode m) {
    const auto old = get_saturation();
    set_saturation(m);
    return old;
}
NPUK_INLINE void set_rounding(rounding_mode m) { npuk::control.rounding = static_cast<unsigned>(m); }
NPUK_INLINE rounding_mode get_rounding() { return static_cast<rounding_mode>(npuk::control.rounding); }
NPUK_INLINE rounding_mode swap_rounding(rounding_mode m) {
    const auto old = get_rounding();
    set_rounding(m);
    return old;
}

// The core a kernel runs on, as far as its registers go.
class tile {
    tile() = default;

public:
    static NPUK_INLINE tile current() { return {}; }
    NPUK_INLINE void set_saturation(saturation_mode m) { aie::set_saturation(m); }
    NPUK_INLINE saturation_mode get_saturation() const { return aie::get_saturation(); }
    NPUK_INLINE void set_rounding(rounding_mode m) { aie::set_rounding(m); }
    NPUK_INLINE rounding_mode get_rounding() const { return aie::get_rounding(); }
    template <class T = void>
    auto id() const {
        static_assert(!std::is_void_v<T>, "simulated kernels cannot ask for their tile");
    }
    template <class T = void>
    auto global_id() const {
        static_assert(!std::is_void_v<T>, "simulated kernels cannot ask for their tile");
    }
    template <class T = void>
    uint64_t cycles() const {
        static_assert(!std::is_void_v<T>, "simulated kernels cannot count cycles: the time of a call comes from the target's model");
        return 0;
    }
};

}  // namespace aie
