// Operators on vectors, which a kernel has to ask for, and the operand modifiers' makers.
#pragma once

#include "sliding.hpp"

namespace aie {

template <Accum Acc>
NPUK_INLINE operated<Acc> op_add(const Acc &acc) { return {acc, false}; }
template <Accum Acc>
NPUK_INLINE operated<Acc> op_sub(const Acc &acc) { return {acc, true}; }
template <Accum Acc>
NPUK_INLINE operated<Acc> op_zero(const Acc &acc, bool to_zero) {
    return {to_zero ? zeros<typename Acc::value_type, Acc::size()>() : acc, false};
}
template <class T>
    requires(Vector<T> || Elem<T>)
NPUK_INLINE auto op_none(const T &e) {
    using V = operand_base_type_t<T>;
    return operated<V>{detail::value(e), detail::sign_of(e)};
}
template <class T>
    requires(Vector<T> || Elem<T>)
NPUK_INLINE auto op_abs(const T &e) {
    using V = operand_base_type_t<T>;
    return operated<V>{abs(e), detail::sign_of(e)};
}
template <Accum Acc>
NPUK_INLINE operated<Acc> op_none(const Acc &acc) { return {acc, false}; }
// For vectors and their elements, not for plain numbers, whose type says it.
template <class T>
    requires(!std::is_arithmetic_v<T> && detail::is_integral_v<detail::elem_of_t<T>> && (VectorOrOp<T> || detail::is_elem_ref_v<T> || detail::is_operated_v<T>))
NPUK_INLINE auto op_sign(const T &e, bool is_signed) {
    using V = operand_base_type_t<T>;
    return operated<V, true>{detail::value(e), is_signed};
}
template <VectorOrOp Vec1, VectorOrOp Vec2>
NPUK_INLINE auto op_min(const Vec1 &a, const Vec2 &b) {
    return operated<operand_base_type_t<Vec1>>{min(detail::value(a), detail::value(b)), detail::sign_of(a)};
}
template <VectorOrOp Vec1, VectorOrOp Vec2>
NPUK_INLINE auto op_max(const Vec1 &a, const Vec2 &b) {
    return operated<operand_base_type_t<Vec1>>{max(detail::value(a), detail::value(b)), detail::sign_of(a)};
}

namespace operators {

template <class T>
    requires(Vector<T> || Accum<T>)
NPUK_INLINE auto operator-(const T &a) { return neg(a); }
#define NPUK_OPERATOR(op, name)                                                          \
    template <ArithmeticType T1, ArithmeticType T2>                                      \
        requires(Vector<T1> || Vector<T2> || Accum<T1> || Accum<T2>)                     \
    NPUK_INLINE auto operator op(const T1 &a, const T2 &b) {                             \
        return name(a, b);                                                               \
    }
NPUK_OPERATOR(-, sub)
NPUK_OPERATOR(+, add)
NPUK_OPERATOR(<, lt)
NPUK_OPERATOR(<=, le)
NPUK_OPERATOR(>, gt)
NPUK_OPERATOR(>=, ge)
NPUK_OPERATOR(==, eq)
NPUK_OPERATOR(!=, neq)
NPUK_OPERATOR(|, bit_or)
NPUK_OPERATOR(^, bit_xor)
NPUK_OPERATOR(&, bit_and)
#undef NPUK_OPERATOR
template <Vector T>
NPUK_INLINE auto operator~(const T &a) { return bit_not(a); }
template <Vector Vec>
NPUK_INLINE auto operator<<(const Vec &a, unsigned shift) { return upshift(a, shift); }
template <Vector Vec>
NPUK_INLINE auto operator>>(const Vec &a, unsigned shift) { return downshift(a, shift); }
template <ArithmeticType T1, ArithmeticType T2>
    requires(Vector<T1> || Accum<T1>)
NPUK_INLINE T1 &operator+=(T1 &a, const T2 &b) { return a = add(a, b); }
template <ArithmeticType T1, ArithmeticType T2>
    requires(Vector<T1> || Accum<T1>)
NPUK_INLINE T1 &operator-=(T1 &a, const T2 &b) { return a = sub(a, b); }

}  // namespace operators
}  // namespace aie
