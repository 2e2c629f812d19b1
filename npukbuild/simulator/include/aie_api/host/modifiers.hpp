// Operand modifiers (op_sign, op_zero, op_max, ...). The real API defers them into the instruction; the
// value is the same when they are applied at once.
#pragma once

#include "accum.hpp"

namespace aie {

// A modified operand: its value, whether a product reads it as signed, whether a sum subtracts it; and in its
// type, whether op_sign made it.
template <class V, bool BySign>
struct operated {
    V held;
    bool sign;
    bool negative = false;

    using value_type = typename detail::elem_of<V>::type;
    static constexpr unsigned size() { return V::size(); }
    NPUK_INLINE const V &value() const { return held; }
    NPUK_INLINE const V &parent1() const { return held; }
    NPUK_INLINE const V &operator()() const { return held; }
};
template <Accum V>
struct operated<V, false> {
    V held;
    bool negative = false;

    using value_type = typename V::value_type;
    static constexpr unsigned size() { return V::size(); }
    NPUK_INLINE const V &value() const { return held; }
    NPUK_INLINE const V &parent1() const { return held; }
    NPUK_INLINE const V &operator()() const { return held; }
};

namespace detail {
template <class V, bool S>
NPUK_INLINE decltype(auto) value(const operated<V, S> &v) {
    return (v.held);
}
template <class V>
NPUK_INLINE constexpr bool sign_of(const V &v) {
    if constexpr (is_operated_v<V>) return v.sign;
    else return is_signed_v<elem_of_t<V>>;
}
template <class V>
NPUK_INLINE constexpr bool negative_of(const V &v) {
    if constexpr (is_operated_v<V>) return v.negative;
    else return false;
}
}  // namespace detail

}  // namespace aie
