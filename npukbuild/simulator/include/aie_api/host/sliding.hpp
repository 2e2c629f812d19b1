// Sliding multiplications: lane l sums coeff[start + p] * data[start + l + p] over the points p.
#pragma once

#include "lookup.hpp"

namespace aie {

namespace detail {

// What a core can slide, and the API makes of it: factors in registers of 512 and 1024 bits; steps of 1, data
// steps of 2 in both directions, coefficient steps of 2.
struct sliding_steps {
    int coeff, x, y;
};
constexpr bool are_sliding_steps(sliding_steps s) {
    if (s.x == 2 && s.y == 2) return s.coeff == 1 || s.coeff == 2;
    return s.x == 1 && s.y == 1 && (s.coeff == 1 || s.coeff == 2);
}

// Sums of 64 bits take points by fours, on AIE2P any number of them where a factor has 32 bits; AIE2 has data
// steps of 16 for 16-bit factors; AIE2P's float sums fit a register of data.
template <class C, class D, class Tag>
constexpr bool is_sliding_mul(unsigned lanes, unsigned points, sliding_steps steps) {
    using T = accum_tag_or_default_t<Tag, C, D>;
    if (!is_valid_mul_op_v<C, D> || is_floating_point_v<C> != std::is_same_v<T, accfloat> || points == 0) return false;
    constexpr unsigned c = type_bits_v<C>, d = type_bits_v<D>, bits = accum_bits_v<T>;
    if (npuk::arch == 20 && c == 16 && d == 16 && bits == 64 && steps.coeff == 1 && steps.x == 16 && steps.y == 1) return points % 2 == 0;
    if (!are_sliding_steps(steps)) return false;
    if (is_floating_point_v<C>) return npuk::arch == 20 || lanes * c <= 1024;
    if (bits == 32) return (c == 8 && d == 8) || (c == 16 && d == 16);
    return c >= 16 && d >= 16 && (points % 4 == 0 || (npuk::arch == 21 && c + d > 32));
}
template <class C, class D, class Tag>
constexpr bool is_sliding_mul_ch(unsigned channels, sliding_steps steps) {
    using T = accum_tag_or_default_t<Tag, C, D>;
    if (!is_integral_v<C> || !is_integral_v<D> || !is_integer_tag_v<T> || !are_sliding_steps(steps)) return false;
    constexpr unsigned c = type_bits_v<C>, d = type_bits_v<D>, bits = accum_bits_v<T>;
    if (c == 8 && d == 8 && bits == 32) return channels == 4 || channels == 8;
    return npuk::arch == 21 && c == 16 && d == 16 && bits == 64 && channels == 8;
}

template <class C, class D, class VecCoeff, class VecData>
concept SlidingFactors = VectorOrOp<VecCoeff> && VectorOrOp<VecData> && std::is_same_v<elem_of_t<VecCoeff>, C> && std::is_same_v<elem_of_t<VecData>, D> &&
                         operand_base_type_t<VecCoeff>::bits() <= 512 && operand_base_type_t<VecData>::bits() <= 1024;

// acc plus the products of the points; `at` gives coefficient and sample of a lane and a point. Indices wrap at
// the ends of the registers.
template <unsigned Points, class Acc, class VecCoeff, class VecData, class At>
NPUK_INLINE Acc slide(const Acc &acc, const VecCoeff &coeff, const VecData &data, At at) {
    using L = typename Acc::lane_type;
    const auto c = operand_lanes<L, elem_of_t<VecCoeff>, VecCoeff::size()>(value(coeff), sign_of(coeff));
    const auto d = operand_lanes<L, elem_of_t<VecData>, VecData::size()>(value(data), sign_of(data));
    L coefficients[VecCoeff::size()], samples[VecData::size()], out[Acc::size()];
    c.store(coefficients);
    d.store(samples);
    acc.lanes().store(out);
    for (unsigned l = 0; l < Acc::size(); ++l)
        for (unsigned p = 0; p < Points; ++p) {
            const auto [ci, di] = at(l, p);
            out[l] += coefficients[ci % VecCoeff::size()] * samples[di % VecData::size()];
        }
    return typename Acc::lanes_type(Acc::lanes_type::load(out));
}

}  // namespace detail

// Steps say how far the coefficient moves per point, and the data per point (X) and per lane (Y).
template <unsigned Lanes, unsigned Points, int CoeffStep, int DataStepX, int DataStepY, ElemBaseType CoeffType, ElemBaseType DataType,
          AccumElemBaseType AccumTag = detail::default_accum_tag_t<CoeffType, DataType>>
struct sliding_mul_ops {
    static_assert(detail::is_sliding_mul<CoeffType, DataType, AccumTag>(Lanes, Points, {CoeffStep, DataStepX, DataStepY}),
                  "aie::sliding_mul has no such types, accumulator, steps or number of points on this architecture");

    using coeff_type = CoeffType;
    using data_type = DataType;
    using accum_type = accum<detail::accum_tag_or_default_t<AccumTag, CoeffType, DataType>, Lanes>;
    static constexpr unsigned lanes = Lanes;
    static constexpr unsigned points = Points;

    template <class VecCoeff, class VecData>
        requires detail::SlidingFactors<CoeffType, DataType, VecCoeff, VecData>
    static accum_type mul(const VecCoeff &coeff, unsigned coeff_start, const VecData &data, unsigned data_start) {
        return sum(accum_type(accum_type::lanes_type::zero()), coeff, coeff_start, data, data_start);
    }
    template <AccumOrOp Acc, class VecCoeff, class VecData>
        requires(detail::SlidingFactors<CoeffType, DataType, VecCoeff, VecData> && Acc::size() == Lanes)
    static accum_type mac(const Acc &acc, const VecCoeff &coeff, unsigned coeff_start, const VecData &data, unsigned data_start) {
        static_assert(std::is_same_v<typename operand_base_type_t<Acc>::value_type, AccumTag>, "the sum's accumulator is of another tag");
        return sum(accum_type(detail::accumulator_value(acc)), coeff, coeff_start, data, data_start);
    }

private:
    template <class VecCoeff, class VecData>
    static accum_type sum(const accum_type &acc, const VecCoeff &coeff, unsigned coeff_start, const VecData &data, unsigned data_start) {
        return detail::slide<Points>(acc, coeff, data, [=](unsigned l, unsigned p) {
            return std::pair(coeff_start + p * static_cast<unsigned>(CoeffStep),
                             data_start + l * static_cast<unsigned>(DataStepY) + p * static_cast<unsigned>(DataStepX));
        });
    }
};

template <unsigned Lanes, unsigned Points, int CoeffStep, int DataStepX, ElemBaseType C, ElemBaseType D, AccumElemBaseType Tag = detail::default_accum_tag_t<C, D>>
using sliding_mul_x_ops = sliding_mul_ops<Lanes, Points, CoeffStep, DataStepX, 1, C, D, Tag>;
template <unsigned Lanes, unsigned Points, int CoeffStep, int DataStepY, ElemBaseType C, ElemBaseType D, AccumElemBaseType Tag = detail::default_accum_tag_t<C, D>>
using sliding_mul_y_ops = sliding_mul_ops<Lanes, Points, CoeffStep, 1, DataStepY, C, D, Tag>;
template <unsigned Lanes, unsigned Points, int CoeffStep, int DataStepXY, ElemBaseType C, ElemBaseType D, AccumElemBaseType Tag = detail::default_accum_tag_t<C, D>>
using sliding_mul_xy_ops = sliding_mul_ops<Lanes, Points, CoeffStep, DataStepXY, DataStepXY, C, D, Tag>;

template <unsigned Lanes, unsigned Points, int CoeffStep = 1, int DataStepX = 1, int DataStepY = DataStepX, AccumElemBaseType AccumTag = accauto, VectorOrOp VecCoeff, VectorOrOp VecData>
    requires(detail::is_valid_mul_op_v<VecCoeff, VecData>)
NPUK_INLINE auto sliding_mul(const VecCoeff &coeff, unsigned coeff_start, const VecData &data, unsigned data_start) {
    return sliding_mul_ops<Lanes, Points, CoeffStep, DataStepX, DataStepY, detail::elem_of_t<VecCoeff>, detail::elem_of_t<VecData>, AccumTag>::mul(coeff, coeff_start, data, data_start);
}
template <unsigned Lanes, unsigned Points, int CoeffStep = 1, int DataStepX = 1, int DataStepY = DataStepX, AccumOrOp Acc, VectorOrOp VecCoeff, VectorOrOp VecData>
    requires(detail::is_valid_mul_op_v<VecCoeff, VecData> && Acc::size() == Lanes)
NPUK_INLINE auto sliding_mac(const Acc &acc, const VecCoeff &coeff, unsigned coeff_start, const VecData &data, unsigned data_start) {
    using Tag = typename operand_base_type_t<Acc>::value_type;
    return sliding_mul_ops<Lanes, Points, CoeffStep, DataStepX, DataStepY, detail::elem_of_t<VecCoeff>, detail::elem_of_t<VecData>, Tag>::mac(acc, coeff, coeff_start, data, data_start);
}

// The same for interleaved channels, each with coefficients of its own: lane l belongs to channel l % Channels.
// Starts and steps count samples of all channels.
template <unsigned Outputs, unsigned Channels, unsigned Points, int CoeffStep, int DataStepX, int DataStepY, ElemBaseType CoeffType, ElemBaseType DataType,
          AccumElemBaseType AccumTag = detail::default_accum_tag_t<CoeffType, DataType>>
struct sliding_mul_ch_ops {
    static_assert(detail::is_sliding_mul_ch<CoeffType, DataType, AccumTag>(Channels, {CoeffStep, DataStepX, DataStepY}),
                  "aie::sliding_mul_ch has no such types, accumulator, steps or number of channels on this architecture");

    using coeff_type = CoeffType;
    using data_type = DataType;
    using accum_type = accum<detail::accum_tag_or_default_t<AccumTag, CoeffType, DataType>, Outputs * Channels>;
    static constexpr unsigned lanes = Outputs * Channels;
    static constexpr unsigned points = Points;

    template <class VecCoeff, class VecData>
        requires detail::SlidingFactors<CoeffType, DataType, VecCoeff, VecData>
    static accum_type mul(const VecCoeff &coeff, unsigned coeff_start, const VecData &data, unsigned data_start) {
        return sum(accum_type(accum_type::lanes_type::zero()), coeff, coeff_start, data, data_start);
    }
    template <AccumOrOp Acc, class VecCoeff, class VecData>
        requires(detail::SlidingFactors<CoeffType, DataType, VecCoeff, VecData> && Acc::size() == lanes)
    static accum_type mac(const Acc &acc, const VecCoeff &coeff, unsigned coeff_start, const VecData &data, unsigned data_start) {
        static_assert(std::is_same_v<typename operand_base_type_t<Acc>::value_type, AccumTag>, "the sum's accumulator is of another tag");
        return sum(accum_type(detail::accumulator_value(acc)), coeff, coeff_start, data, data_start);
    }

private:
    template <class VecCoeff, class VecData>
    static accum_type sum(const accum_type &acc, const VecCoeff &coeff, unsigned coeff_start, const VecData &data, unsigned data_start) {
        return detail::slide<Points>(acc, coeff, data, [=](unsigned l, unsigned p) {
            const unsigned output = l / Channels, channel = l % Channels;
            return std::pair((coeff_start + p * static_cast<unsigned>(CoeffStep)) * Channels + channel,
                             (data_start + (output + p) * static_cast<unsigned>(DataStepX)) * Channels + channel);
        });
    }
};

template <unsigned Outputs, unsigned Channels, unsigned Points, int CoeffStep, int DataStepX, ElemBaseType C, ElemBaseType D, AccumElemBaseType Tag = detail::default_accum_tag_t<C, D>>
using sliding_mul_ch_x_ops = sliding_mul_ch_ops<Outputs, Channels, Points, CoeffStep, DataStepX, 1, C, D, Tag>;
template <unsigned Outputs, unsigned Channels, unsigned Points, int CoeffStep, int DataStepY, ElemBaseType C, ElemBaseType D, AccumElemBaseType Tag = detail::default_accum_tag_t<C, D>>
using sliding_mul_ch_y_ops = sliding_mul_ch_ops<Outputs, Channels, Points, CoeffStep, 1, DataStepY, C, D, Tag>;
template <unsigned Outputs, unsigned Channels, unsigned Points, int CoeffStep, int DataStep, ElemBaseType C, ElemBaseType D, AccumElemBaseType Tag = detail::default_accum_tag_t<C, D>>
using sliding_mul_ch_xy_ops = sliding_mul_ch_ops<Outputs, Channels, Points, CoeffStep, DataStep, DataStep, C, D, Tag>;

template <unsigned Outputs, unsigned Channels, unsigned Points, int CoeffStep = 1, int DataStepX = 1, int DataStepY = DataStepX, AccumElemBaseType AccumTag = accauto, VectorOrOp VecCoeff,
          VectorOrOp VecData>
    requires(detail::is_valid_mul_op_v<VecCoeff, VecData>)
NPUK_INLINE auto sliding_mul_ch(const VecCoeff &coeff, unsigned coeff_start, const VecData &data, unsigned data_start) {
    return sliding_mul_ch_ops<Outputs, Channels, Points, CoeffStep, DataStepX, DataStepY, detail::elem_of_t<VecCoeff>, detail::elem_of_t<VecData>, AccumTag>::mul(coeff, coeff_start, data,
                                                                                                                                                                   data_start);
}
template <unsigned Outputs, unsigned Channels, unsigned Points, int CoeffStep = 1, int DataStepX = 1, int DataStepY = DataStepX, AccumOrOp Acc, VectorOrOp VecCoeff, VectorOrOp VecData>
    requires(detail::is_valid_mul_op_v<VecCoeff, VecData> && Acc::size() == Outputs * Channels)
NPUK_INLINE auto sliding_mac_ch(const Acc &acc, const VecCoeff &coeff, unsigned coeff_start, const VecData &data, unsigned data_start) {
    using Tag = typename operand_base_type_t<Acc>::value_type;
    return sliding_mul_ch_ops<Outputs, Channels, Points, CoeffStep, DataStepX, DataStepY, detail::elem_of_t<VecCoeff>, detail::elem_of_t<VecData>, Tag>::mac(acc, coeff, coeff_start, data, data_start);
}

}  // namespace aie
