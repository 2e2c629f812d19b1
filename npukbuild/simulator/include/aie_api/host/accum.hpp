// Accumulator registers.
#pragma once

#include "vector.hpp"

namespace aie {

namespace detail {
enum class AccumClass { Int, CInt, FP, CFP };

template <class Tag, unsigned N>
constexpr bool is_valid_accum_size() {
    const unsigned bits = N * accum_bits_v<Tag>;
    const unsigned least = std::is_same_v<Tag, accfloat> ? 128 : 256;
    return (N & (N - 1)) == 0 && bits >= least;
}

template <class Tag1, class Tag2>
inline constexpr bool same_representation_v =
    std::is_same_v<accum_lane_t<Tag1>, accum_lane_t<Tag2>>;
}  // namespace detail

template <AccumElemBaseType Tag, unsigned Elems>
class accum {
    static_assert(detail::is_valid_accum_size<Tag, Elems>(), "no accumulator register has this many lanes");

public:
    using value_type = Tag;
    using lane_type = detail::accum_lane_t<Tag>;
    using lanes_type = npuk::lanes<lane_type, Elems>;

    static constexpr bool is_floating_point() { return std::is_same_v<Tag, accfloat>; }
    static constexpr detail::AccumClass value_class() { return is_floating_point() ? detail::AccumClass::FP : detail::AccumClass::Int; }
    static constexpr unsigned accum_bits() { return detail::accum_bits_v<Tag>; }
    static constexpr unsigned value_bits() { return accum_bits(); }
    static constexpr unsigned memory_bits() { return accum_bits(); }
    static constexpr unsigned size() { return Elems; }
    static constexpr unsigned bits() { return Elems * accum_bits(); }
    static constexpr bool is_complex() { return false; }
    static constexpr bool is_real() { return true; }

    accum() = default;
    accum(const accum &) = default;
    accum &operator=(const accum &) = default;
    NPUK_INLINE accum(const lanes_type &lanes) : lanes_(lanes) {}
    template <AccumElemBaseType Tag2>
        requires(detail::same_representation_v<Tag, Tag2>)
    NPUK_INLINE accum(const accum<Tag2, Elems> &acc) : lanes_(acc.lanes()) {}
    template <ElemBaseType T>
    NPUK_INLINE explicit accum(const vector<T, Elems> &v, int shift = 0) {
        from_vector(v, shift);
    }
    // AIE2's API declares this but does not define what it needs.
    template <ElemBaseType T>
        requires(npuk::arch == 21)
    NPUK_INLINE accum &operator=(const vector<T, Elems> &v) {
        from_vector(v);
        return *this;
    }
    template <BlockType T>
    NPUK_INLINE explicit accum(const block_vector<T, Elems> &v, int shift = 0) {
        from_vector(v, shift);
    }

    NPUK_INLINE const lanes_type &lanes() const { return lanes_; }

    // Intrinsics take and give the same type here. An accumulator register has 1024 bits, on AIE2P 2048.
    using native_type = accum;
    NPUK_INLINE const accum &to_native() const
        requires(Elems * detail::accum_bits_v<Tag> <= (npuk::arch == 20 ? 1024 : 2048))
    {
        return *this;
    }

    template <class T>
        requires(is_floating_point() && detail::is_floating_point_v<T> && Elems <= 32)
    NPUK_INLINE operator vector<T, Elems>() const {
        return to_vector<T>();
    }

    // Shift right, round and saturate as the control registers say; a float accumulator ignores the shift.
    // 32-bit integer lanes take and give floating-point vectors by their bits: one register holds either.
    template <ElemBaseType T>
    NPUK_INLINE vector<T, Elems> to_vector(int shift = 0) const {
        return to_vector_sign<T>(detail::is_signed_v<T>, shift);
    }
    NPUK_INLINE vector<float, Elems> to_vector() const
        requires(is_floating_point())
    {
        return to_vector<float>();
    }
    template <ElemBaseType T>
    NPUK_INLINE vector<T, Elems> to_vector_sign(bool v_sign, int shift = 0) const {
        static_assert(detail::is_floating_point_v<T> || !is_floating_point(), "a float accumulator gives float or bfloat16");
        static_assert(!detail::is_floating_point_v<T> || accum_bits() == 32, "64-bit accumulators give integers");
        if constexpr (std::is_same_v<T, float>) return npuk::bitcast<float>(lanes_);
        else if constexpr (std::is_same_v<T, bfloat16>) return npuk::narrow_bf16(npuk::bitcast<float>(lanes_), npuk::control.rounding);
        else {
            constexpr unsigned bits = detail::type_bits_v<T>;
            using lane = npuk::lane_t<T>;
            npuk::lanes<lane, Elems> out = v_sign ? npuk::shift_round_saturate<lane, true, bits>(lanes_, shift)
                                                  : npuk::shift_round_saturate<lane, false, bits>(lanes_, shift);
            if constexpr (bits == 4) {
                lane all[Elems];
                out.store(all);
                for (auto &x : all) x = npuk::to_lane<T>(T(static_cast<int>(x)));
                out = npuk::lanes<lane, Elems>::load(all);
            }
            return out;
        }
    }

    template <ElemBaseType T>
    NPUK_INLINE void from_vector(const vector<T, Elems> &v, int shift = 0) {
        from_vector_sign(v, detail::is_signed_v<T>, shift);
    }
    template <ElemBaseType T>
    NPUK_INLINE void from_vector_sign(const vector<T, Elems> &v, bool v_sign, int shift = 0) {
        static_assert(detail::is_floating_point_v<T> || !is_floating_point(), "a float accumulator takes float or bfloat16");
        static_assert(!detail::is_floating_point_v<T> || accum_bits() == 32, "64-bit accumulators take integers");
        if constexpr (std::is_same_v<T, float>) lanes_ = npuk::bitcast<lane_type>(v.lanes());
        else if constexpr (std::is_same_v<T, bfloat16>) lanes_ = npuk::bitcast<lane_type>(npuk::widen_bf16(v.lanes()));
        else {
            using lane = npuk::lane_t<T>;
            if (v_sign) lanes_ = npuk::convert<lane_type>(npuk::bitcast<std::make_signed_t<lane>>(v.lanes()));
            else lanes_ = npuk::convert<lane_type>(npuk::bitcast<std::make_unsigned_t<lane>>(v.lanes()));
            if (shift > 0) lanes_ = npuk::each(lanes_, [=](auto a) { return a << shift; });
            else if (shift < 0) lanes_ = npuk::each(lanes_, [=](auto a) { return a >> -shift; });
        }
    }

    // Values of blocks, times two to the power of shift, and blocks of what the accumulator holds.
    template <BlockType T>
    NPUK_INLINE void from_vector(const block_vector<T, Elems> &v, int shift = 0) {
        static_assert(is_floating_point() && detail::block_elems_v<T> == 8, "only a float accumulator takes blocks, and those of 8");
        const float scale = __builtin_bit_cast(float, static_cast<uint32_t>(127 + shift) << 23);
        lanes_ = npuk::each(v.values(), [=](auto a) { return a * scale; });
    }
    template <BlockType T>
    NPUK_INLINE block_vector<T, Elems> to_vector(int = 0) const {
        static_assert(is_floating_point(), "only a float accumulator gives blocks");
        return block_vector<T, Elems>(lanes_);
    }
    template <BlockType T>
    NPUK_INLINE block_vector<T, Elems> to_vector_sign(bool, int = 0) const {
        return to_vector<T>();
    }

    template <class DstTag>
    NPUK_INLINE auto cast_to() const {
        constexpr unsigned out = bits() / detail::accum_bits_v<DstTag>;
        lane_type all[Elems];
        lanes_.store(all);
        return accum<DstTag, out>(npuk::lanes<detail::accum_lane_t<DstTag>, out>::load(all));
    }
    template <unsigned ElemsOut>
    NPUK_INLINE accum<Tag, ElemsOut> grow() const {
        static_assert(ElemsOut >= Elems);
        accum<Tag, ElemsOut> out(npuk::lanes<lane_type, ElemsOut>::zero());
        out.insert(0, *this);
        return out;
    }
    template <unsigned ElemsOut>
    NPUK_INLINE accum<Tag, ElemsOut> grow_replicate() const {
        static_assert(ElemsOut >= Elems);
        return npuk::rearrange<ElemsOut>(lanes_, [](unsigned i) { return i % Elems; });
    }
    template <unsigned ElemsOut>
    NPUK_INLINE accum<Tag, ElemsOut> extract(unsigned idx) const {
        static_assert(ElemsOut <= Elems);
        lane_type all[Elems];
        lanes_.store(all);
        return accum<Tag, ElemsOut>(npuk::lanes<lane_type, ElemsOut>::load(all + (idx % (Elems / ElemsOut)) * ElemsOut));
    }
    template <unsigned ElemsOut>
    NPUK_INLINE accum<Tag, ElemsOut> grow_extract(unsigned idx) const {
        if constexpr (ElemsOut > Elems) return grow<ElemsOut>();
        else return extract<ElemsOut>(idx);
    }
    template <unsigned ElemsIn, AccumElemBaseType Tag2>
        requires(detail::same_representation_v<Tag, Tag2>)
    NPUK_INLINE accum &insert(unsigned idx, const accum<Tag2, ElemsIn> &acc) {
        static_assert(ElemsIn <= Elems);
        lane_type all[Elems];
        lanes_.store(all);
        acc.lanes().store(all + (idx % (Elems / ElemsIn)) * ElemsIn);
        lanes_ = lanes_type::load(all);
        return *this;
    }
    template <unsigned ElemsOut>
    auto split() const {
        return [&]<unsigned... I>(std::integer_sequence<unsigned, I...>) {
            return std::make_tuple(extract<ElemsOut>(I)...);
        }(std::make_integer_sequence<unsigned, Elems / ElemsOut>{});
    }
    template <class... Sub>
    void upd_all(const Sub &...subaccums) {
        static_assert((Sub::size() + ...) == Elems);
        unsigned i = 0;
        (insert(i++, subaccums), ...);
    }

private:
    lanes_type lanes_;
};

}  // namespace aie
