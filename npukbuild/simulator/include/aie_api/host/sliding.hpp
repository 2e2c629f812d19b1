// Sliding multiplications: lane l sums coeff[start + p] * data[start + l + p] over the points p.
#pragma once

#include "lookup.hpp"

namespace aie {

// Steps say how far the coefficient moves per point, and the data per point (X) and per lane (Y). Indices
// wrap at the ends of the registers.
template <unsigned Lanes, unsigned Points, int CoeffStep, int DataStepX, int DataStepY, ElemBaseType CoeffType, ElemBaseType DataType,
          AccumElemBaseType AccumTag = detail::default_accum_tag_t<CoeffType, DataType>>
    requires(detail::is_valid_mul_op_v<CoeffType, DataType>)
struct sliding_mul_ops {
    using coeff_type = CoeffType;
    using data_type = DataType;
    using accum_tag = AccumTag;
    using accum_type = accum<AccumTag, Lanes>;
    static constexpr unsigned lanes = Lanes;
    static constexpr unsigned points = Points;

    template <VectorOrOp VecCoeff, VectorOrOp VecData>
        requires(std::is_same_v<typename VecCoeff::value_type, CoeffType> && std::is_same_v<typename VecData::value_type, DataType>)
    static accum_type mul(const VecCoeff &coeff, unsigned coeff_start, const VecData &data, unsigned data_start) {
        return sum(zeros<AccumTag, Lanes>(), coeff, coeff_start, data, data_start, false);
    }
    template <VectorOrOp VecCoeff, VectorOrOp VecData>
        requires(std::is_same_v<typename VecCoeff::value_type, CoeffType> && std::is_same_v<typename VecData::value_type, DataType>)
    static accum_type negmul(const VecCoeff &coeff, unsigned coeff_start, const VecData &data, unsigned data_start) {
        return sum(zeros<AccumTag, Lanes>(), coeff, coeff_start, data, data_start, true);
    }
    template <AccumOrOp Acc, VectorOrOp VecCoeff, VectorOrOp VecData>
        requires(Acc::size() == Lanes && std::is_same_v<typename VecCoeff::value_type, CoeffType> && std::is_same_v<typename VecData::value_type, DataType>)
    static accum_type mac(const Acc &acc, const VecCoeff &coeff, unsigned coeff_start, const VecData &data, unsigned data_start) {
        return sum(detail::accumulator_value(acc), coeff, coeff_start, data, data_start, false);
    }
    template <AccumOrOp Acc, VectorOrOp VecCoeff, VectorOrOp VecData>
        requires(Acc::size() == Lanes && std::is_same_v<typename VecCoeff::value_type, CoeffType> && std::is_same_v<typename VecData::value_type, DataType>)
    static accum_type msc(const Acc &acc, const VecCoeff &coeff, unsigned coeff_start, const VecData &data, unsigned data_start) {
        return sum(detail::accumulator_value(acc), coeff, coeff_start, data, data_start, true);
    }

private:
    template <class VecCoeff, class VecData>
    static accum_type sum(const accum_type &acc, const VecCoeff &coeff, unsigned coeff_start, const VecData &data, unsigned data_start, bool minus) {
        using L = typename accum_type::lane_type;
        const auto c = detail::operand_lanes<L, CoeffType, VecCoeff::size()>(detail::value(coeff), detail::sign_of(coeff));
        const auto d = detail::operand_lanes<L, DataType, VecData::size()>(detail::value(data), detail::sign_of(data));
        L coefficients[VecCoeff::size()], samples[VecData::size()], out[Lanes];
        c.store(coefficients);
        d.store(samples);
        acc.lanes().store(out);
        for (unsigned l = 0; l < Lanes; ++l)
            for (unsigned p = 0; p < Points; ++p) {
                const unsigned ci = (coeff_start + p * static_cast<unsigned>(CoeffStep)) % VecCoeff::size();
                const unsigned di = (data_start + l * static_cast<unsigned>(DataStepY) + p * static_cast<unsigned>(DataStepX)) % VecData::size();
                const L product = coefficients[ci] * samples[di];
                out[l] = minus ? out[l] - product : out[l] + product;
            }
        return typename accum_type::lanes_type(accum_type::lanes_type::load(out));
    }
};

template <unsigned Lanes, unsigned Points, int CoeffStep, int DataStepX, ElemBaseType C, ElemBaseType D, AccumElemBaseType Tag = detail::default_accum_tag_t<C, D>>
using sliding_mul_x_ops = sliding_mul_ops<Lanes, Points, CoeffStep, DataStepX, 1, C, D, Tag>;
template <unsigned Lanes, unsigned Points, int CoeffStep, int DataStepY, ElemBaseType C, ElemBaseType D, AccumElemBaseType Tag = detail::default_accum_tag_t<C, D>>
using sliding_mul_y_ops = sliding_mul_ops<Lanes, Points, CoeffStep, 1, DataStepY, C, D, Tag>;
template <unsigned Lanes, unsigned Points, int CoeffStep, int DataStepXY, ElemBaseType C, ElemBaseType D, AccumElemBaseType Tag = detail::default_accum_tag_t<C, D>>
using sliding_mul_xy_ops = sliding_mul_ops<Lanes, Points, CoeffStep, DataStepXY, DataStepXY, C, D, Tag>;

template <unsigned Lanes, unsigned Points, int CoeffStep = 1, int DataStepX = 1, int DataStepY = DataStepX, AccumElemBaseType AccumTag = accauto, VectorOrOp VecCoeff, VectorOrOp VecData>
NPUK_INLINE auto sliding_mul(const VecCoeff &coeff, unsigned coeff_start, const VecData &data, unsigned data_start) {
    using C = typename VecCoeff::value_type;
    using D = typename VecData::value_type;
    return sliding_mul_ops<Lanes, Points, CoeffStep, DataStepX, DataStepY, C, D, detail::accum_tag_or_default_t<AccumTag, C, D>>::mul(coeff, coeff_start, data, data_start);
}
template <unsigned Lanes, unsigned Points, int CoeffStep = 1, int DataStepX = 1, int DataStepY = DataStepX, AccumOrOp Acc, VectorOrOp VecCoeff, VectorOrOp VecData>
NPUK_INLINE auto sliding_mac(const Acc &acc, const VecCoeff &coeff, unsigned coeff_start, const VecData &data, unsigned data_start) {
    using C = typename VecCoeff::value_type;
    using D = typename VecData::value_type;
    return sliding_mul_ops<Lanes, Points, CoeffStep, DataStepX, DataStepY, C, D, typename operand_base_type_t<Acc>::value_type>::mac(acc, coeff, coeff_start, data, data_start);
}

}  // namespace aie
