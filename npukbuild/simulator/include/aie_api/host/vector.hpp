// Vector registers.
#pragma once

#include "mask.hpp"

#include <tuple>

namespace aie {

// An element of a vector in place: reads and assigns as the element does.
template <ElemBaseType T, unsigned N>
class vector_elem_const_ref {
public:
    using vector_type = vector<T, N>;
    using parent_type = vector_type;
    using value_type = T;

    constexpr vector_elem_const_ref(const vector_type &v, unsigned idx) : parent(v), offset(idx) {}
    constexpr vector_elem_const_ref(const vector_elem_ref<T, N> &ref) : parent(ref.parent), offset(ref.offset) {}
    T get() const { return parent.get(offset); }
    operator T() const { return get(); }
    operator float() const
        requires(std::is_same_v<T, bfloat16>)
    {
        return float(get());
    }

    const vector_type &parent;
    unsigned offset;
};

template <ElemBaseType T, unsigned N>
class vector_elem_ref {
public:
    using vector_type = vector<T, N>;
    using parent_type = vector_type;
    using value_type = T;

    constexpr vector_elem_ref(vector_type &v, unsigned idx) : parent(v), offset(idx) {}
    vector_elem_ref(const vector_elem_ref &) = default;
    T get() const { return parent.get(offset); }
    operator T() const { return get(); }
    operator float() const
        requires(std::is_same_v<T, bfloat16>)
    {
        return float(get());
    }
    vector_elem_ref &operator=(const T &v) {
        parent.set(v, offset);
        return *this;
    }
    vector_elem_ref &operator=(const vector_elem_ref &v) { return *this = v.get(); }
    vector_elem_ref &operator=(const vector_elem_const_ref<T, N> &v) { return *this = v.get(); }

    vector_type &parent;
    unsigned offset;
};

namespace detail {
template <class E>
NPUK_INLINE operand_base_type_t<E> elem_value(const E &e) {
    if constexpr (is_elem_ref_v<E>) return e.get();
    else return e;
}
}  // namespace detail

template <ElemBaseType T, unsigned Elems>
class vector {
    static_assert(detail::is_valid_vector_size_v<T, Elems>, "a vector has 128, 256, 512 or 1024 bits: 16 to 128 elements of 8 bits, 8 to 64 of 16, 4 to 32 of 32 (more bits are several registers)");

public:
    using value_type = T;
    using lane_type = npuk::lane_t<T>;
    using lanes_type = npuk::lanes<lane_type, Elems>;

    static constexpr unsigned type_bits() { return detail::type_bits_v<T>; }
    static constexpr unsigned size() { return Elems; }
    static constexpr unsigned bits() { return Elems * type_bits(); }
    static constexpr unsigned bytes() { return bits() / 8; }
    static constexpr bool is_signed() { return detail::is_signed_v<T>; }
    static constexpr bool is_complex() { return false; }
    static constexpr bool is_real() { return true; }
    static constexpr bool is_integral() { return detail::is_integral_v<T>; }
    static constexpr bool is_floating_point() { return detail::is_floating_point_v<T>; }

    vector() = default;
    NPUK_INLINE vector(const lanes_type &lanes) : lanes_(lanes) {}

    template <class... Values>
    explicit vector(value_type v, Values &&...values) : lanes_(lanes_type::zero()) {
        static_assert(sizeof...(values) < Elems);
        unsigned i = 0;
        lanes_.set(i++, npuk::to_lane<T>(v));
        (lanes_.set(i++, npuk::to_lane<T>(static_cast<T>(values))), ...);
    }

    // The same bits as other integers, as a cast between register types gives them.
    template <ElemBaseType T2, unsigned Elems2>
        requires(Elems2 * detail::type_bits_v<T2> == Elems * detail::type_bits_v<T> && !std::is_same_v<T, T2> &&
                 detail::is_integral_v<T> && detail::is_integral_v<T2>)
    NPUK_INLINE explicit vector(const vector<T2, Elems2> &v) : vector(v.template cast_to<T>()) {}

    // Intrinsics take and give the same type here.
    using native_type = vector;
    NPUK_INLINE const vector &to_native() const
        requires(Elems * detail::type_bits_v<T> <= 1024)
    {
        return *this;
    }

    // The bits of memory as this register holds them: 4-bit elements share bytes.
    static NPUK_INLINE vector from_memory(const void *p) {
        if constexpr (type_bits() == 4) {
            const auto *in = static_cast<const uint8_t *>(p);
            lane_type out[Elems];
            for (unsigned i = 0; i < Elems; ++i)
                out[i] = npuk::to_lane<T>(T(static_cast<int>(in[i / 2] >> (i % 2 * 4))));
            return lanes_type::load(out);
        } else
            return lanes_type::load(p);
    }
    NPUK_INLINE void to_memory(void *p) const {
        if constexpr (type_bits() == 4) {
            lane_type in[Elems];
            lanes_.store(in);
            auto *out = static_cast<uint8_t *>(p);
            for (unsigned i = 0; i < Elems / 2; ++i)
                out[i] = static_cast<uint8_t>((in[2 * i] & 15) | (in[2 * i + 1] & 15) << 4);
        } else
            lanes_.store(p);
    }

    NPUK_INLINE const lanes_type &lanes() const { return lanes_; }

    template <ElemBaseType DstT>
    NPUK_INLINE auto cast_to() const {
        constexpr unsigned out = Elems * type_bits() / detail::type_bits_v<DstT>;
        alignas(64) unsigned char bytes[bits() / 8];
        to_memory(bytes);
        return vector<DstT, out>::from_memory(bytes);
    }

    NPUK_INLINE T get(unsigned idx) const { return npuk::from_lane<T>(lanes_.get(idx)); }
    NPUK_INLINE void set(T v, unsigned idx) { lanes_.set(idx, npuk::to_lane<T>(v)); }
    NPUK_INLINE vector_elem_const_ref<T, Elems> operator[](unsigned idx) const { return {*this, idx}; }
    NPUK_INLINE vector_elem_ref<T, Elems> operator[](unsigned idx) { return {*this, idx}; }
    NPUK_INLINE vector_elem_const_ref<T, Elems> elem_const_ref(unsigned idx) const { return {*this, idx}; }
    NPUK_INLINE vector_elem_const_ref<T, Elems> elem_ref(unsigned idx) const { return {*this, idx}; }
    NPUK_INLINE vector_elem_ref<T, Elems> elem_ref(unsigned idx) { return {*this, idx}; }

    // New element at index 0, all others one up.
    NPUK_INLINE vector &push(T v) {
        lanes_ = npuk::rearrange<Elems>(lanes_, [](unsigned i) { return i == 0 ? 0 : i - 1; });
        set(v, 0);
        return *this;
    }

    template <unsigned ElemsOut>
    NPUK_INLINE vector<T, ElemsOut> grow(unsigned idx = 0) const {
        static_assert(ElemsOut >= Elems && ElemsOut % Elems == 0);
        vector<T, ElemsOut> out(npuk::lanes<lane_type, ElemsOut>::zero());
        out.insert(idx, *this);
        return out;
    }
    template <unsigned ElemsOut>
    NPUK_INLINE vector<T, ElemsOut> grow_replicate() const {
        static_assert(ElemsOut >= Elems);
        return npuk::rearrange<ElemsOut>(lanes_, [](unsigned i) { return i % Elems; });
    }
    template <unsigned ElemsIn>
    NPUK_INLINE vector &insert(unsigned idx, const vector<T, ElemsIn> &v) {
        static_assert(ElemsIn <= Elems);
        lane_type all[Elems];
        lanes_.store(all);
        v.lanes().store(all + (idx % (Elems / ElemsIn)) * ElemsIn);
        lanes_ = lanes_type::load(all);
        return *this;
    }
    template <unsigned ElemsOut>
    NPUK_INLINE vector<T, ElemsOut> extract(unsigned idx) const {
        static_assert(ElemsOut <= Elems);
        lane_type all[Elems];
        lanes_.store(all);
        return vector<T, ElemsOut>(npuk::lanes<lane_type, ElemsOut>::load(all + (idx % (Elems / ElemsOut)) * ElemsOut));
    }
    template <unsigned ElemsOut>
    NPUK_INLINE vector<T, ElemsOut> grow_extract(unsigned idx) const {
        if constexpr (ElemsOut > Elems) return grow<ElemsOut>();
        else return extract<ElemsOut>(idx);
    }
    template <unsigned ElemsOut>
    auto split() const {
        static_assert(ElemsOut < Elems && Elems % ElemsOut == 0, "a vector splits into smaller ones of equal size");
        return [&]<unsigned... I>(std::integer_sequence<unsigned, I...>) {
            return std::make_tuple(extract<ElemsOut>(I)...);
        }(std::make_integer_sequence<unsigned, Elems / ElemsOut>{});
    }
    template <class... Sub>
    vector &upd_all(const Sub &...subvectors) {
        static_assert((Sub::size() + ...) == Elems);
        unsigned i = 0;
        (insert(i++, subvectors), ...);
        return *this;
    }

    template <UnpackableFrom<T> T2 = typename detail::wider_integer<T>::type>
    NPUK_INLINE vector<T2, Elems> unpack() const {
        return npuk::convert<npuk::lane_t<T2>>(lanes_);
    }
    template <UnpackableFrom<T> T2 = typename detail::wider_integer<T>::type>
    NPUK_INLINE vector<T2, Elems> unpack_sign(bool v_sign) const {
        using S = std::make_signed_t<lane_type>;
        using U = std::make_unsigned_t<lane_type>;
        if (v_sign) return npuk::convert<npuk::lane_t<T2>>(npuk::bitcast<S>(lanes_));
        return npuk::convert<npuk::lane_t<T2>>(npuk::bitcast<U>(lanes_));
    }
    // Packing saturates or wraps as the saturation register says.
    template <PackableFrom<T> T2 = typename detail::narrower_integer<T>::type>
    NPUK_INLINE vector<T2, Elems> pack() const {
        return pack_sign<T2>(detail::is_signed_v<T2>);
    }
    template <PackableFrom<T> T2 = typename detail::narrower_integer<T>::type>
    NPUK_INLINE vector<T2, Elems> pack_sign(bool v_sign) const {
        constexpr unsigned bits = detail::type_bits_v<T2>;
        lane_type in[Elems];
        npuk::lane_t<T2> out[Elems];
        lanes_.store(in);
        const unsigned mode = npuk::control.saturation;
        const npuk::limits range =
            v_sign ? npuk::saturation_limits<bits, true>(mode) : npuk::saturation_limits<bits, false>(mode);
        for (unsigned i = 0; i < Elems; ++i) {
            int64_t value = in[i];
            if (mode != 0) value = value < range.low ? range.low : value > range.high ? range.high : value;
            out[i] = bits == 4 ? npuk::to_lane<T2>(T2(static_cast<int>(value))) : static_cast<npuk::lane_t<T2>>(value);
        }
        return npuk::lanes<npuk::lane_t<T2>, Elems>::load(out);
    }

    template <aie_dm_resource = aie_dm_resource::none, class T2>
        requires(std::is_same_v<T2, T>)
    void load(const T2 *ptr) { *this = from_memory(ptr); }
    template <aie_dm_resource = aie_dm_resource::none, class T2>
        requires(std::is_same_v<T2, T>)
    void store(T2 *ptr) const { to_memory(ptr); }
    template <aie_dm_resource = aie_dm_resource::none, class T2>
        requires(std::is_same_v<T2, T>)
    void load_unaligned(const T2 *ptr, unsigned) {
        static_assert(bits() <= 1024, "unaligned loads take at most 1024 bits");
        *this = from_memory(ptr);
    }
    template <aie_dm_resource = aie_dm_resource::none, class T2>
        requires(std::is_same_v<T2, T>)
    void store_unaligned(T2 *ptr, unsigned) const {
        static_assert(bits() <= 1024, "unaligned stores take at most 1024 bits");
        to_memory(ptr);
    }

private:
    lanes_type lanes_;
};

// A vector in memory, as an iterator's `*` gives it. The real one is a reference to the register type in place;
// here it is the value found there plus the place: what is done to the result of `*` itself reaches memory, a
// variable made of it (`auto v = *it++`) is a vector of its own.
template <class T, unsigned Elems, aie_dm_resource Resource>
class vector_ref : public vector<std::remove_const_t<T>, Elems> {
public:
    using vector_type = vector<std::remove_const_t<T>, Elems>;
    using value_type = std::remove_const_t<T>;

    NPUK_INLINE explicit vector_ref(T *ptr) : vector_type(vector_type::from_memory(ptr)), ptr_(ptr) {}
    vector_ref(const vector_ref &) = default;
    NPUK_INLINE vector_type value() const { return *this; }

    NPUK_INLINE vector_ref &operator=(const vector_type &v) & {
        vector_type::operator=(v);
        return *this;
    }
    NPUK_INLINE vector_ref &operator=(const vector_ref &v) & { return *this = v.value(); }
    NPUK_INLINE const vector_ref &operator=(const vector_type &v) const &&
        requires(!std::is_const_v<T>)
    {
        v.to_memory(ptr_);
        return *this;
    }
    NPUK_INLINE const vector_ref &operator=(const vector_ref &v) const &&
        requires(!std::is_const_v<T>)
    {
        v.to_memory(ptr_);
        return *this;
    }

    NPUK_INLINE auto operator[](unsigned idx) const & { return vector_type::operator[](idx); }
    NPUK_INLINE auto operator[](unsigned idx) & { return vector_type::operator[](idx); }
    NPUK_INLINE T &operator[](unsigned idx) && {
        static_assert(detail::type_bits_v<value_type> >= 8, "4-bit elements in memory have no address: make a variable of the vector first");
        return ptr_[idx];
    }
    NPUK_INLINE void set(value_type v, unsigned idx) & { vector_type::set(v, idx); }
    NPUK_INLINE void set(value_type v, unsigned idx) && {
        vector_type::set(v, idx);
        this->to_memory(ptr_);
    }
    template <class... A>
    NPUK_INLINE vector_type &insert(A &&...a) & {
        return vector_type::insert(a...);
    }
    template <class... A>
    NPUK_INLINE vector_type &insert(A &&...a) && {
        vector_type::insert(a...).to_memory(ptr_);
        return *this;
    }
    NPUK_INLINE vector_type &push(value_type v) & { return vector_type::push(v); }
    NPUK_INLINE vector_type &push(value_type v) && {
        vector_type::push(v).to_memory(ptr_);
        return *this;
    }

private:
    T *ptr_;
};

namespace detail {
// The plain value of any vector, accumulator or element operand.
template <class V>
NPUK_INLINE decltype(auto) value(const V &v) {
    if constexpr (is_vector_ref_v<V>) return v.value();
    else if constexpr (is_elem_ref_v<V>) return v.get();
    else return (v);
}
}  // namespace detail

}  // namespace aie
