// Printing of registers. A core prints through its debugger; here the text goes to standard error, a call's whole
// text at once, so that cores do not mix their lines.
#pragma once

#include "block_vector.hpp"

#include <cstdio>

namespace npuk {

class printed_text {
    char held_[8192];
    size_t length_ = 0;

public:
    printed_text() = default;
    printed_text(const printed_text &) = delete;
    printed_text &operator=(const printed_text &) = delete;
    ~printed_text() { flush(); }

    void flush() {
        fwrite(held_, 1, length_, stderr);
        length_ = 0;
    }
    void add(const char *text) {
        for (; *text; ++text) {
            if (length_ == sizeof held_) flush();
            held_[length_++] = *text;
        }
    }
    template <class... A>
    void format(const char *how, A... values) {
        char one[400];  // the longest is a double in full
        snprintf(one, sizeof one, how, values...);
        add(one);
    }
};

}  // namespace npuk

namespace aie {

namespace detail {

// The bits a tag asks for, which its lanes may exceed.
template <class Tag> inline constexpr unsigned tag_bits_v = 0;
template <> inline constexpr unsigned tag_bits_v<acc16> = 16;
template <> inline constexpr unsigned tag_bits_v<acc24> = 24;
template <> inline constexpr unsigned tag_bits_v<acc32> = 32;
template <> inline constexpr unsigned tag_bits_v<acc40> = 40;
template <> inline constexpr unsigned tag_bits_v<acc48> = 48;
template <> inline constexpr unsigned tag_bits_v<acc56> = 56;
template <> inline constexpr unsigned tag_bits_v<acc64> = 64;

template <class T>
void print_value(npuk::printed_text &to, T value, int scale = 0) {
    if constexpr (is_floating_point_v<T>) to.format("%f ", double(float(value)));
    else if (scale != 0) to.format("%f ", __builtin_ldexp(double(static_cast<int64_t>(value)), scale));
    else if constexpr (is_signed_v<T>) to.format("%d ", static_cast<int>(value));
    else to.format("%u ", static_cast<unsigned>(value));
}

// Vectors in decimal, integer accumulators by their bits.
template <class C>
void print_lane(npuk::printed_text &to, const C &c, unsigned i) {
    if constexpr (Vector<C>) print_value(to, typename operand_base_type_t<C>::value_type(value(c).get(i)));
    else if constexpr (C::is_floating_point()) print_value(to, float(c.lanes().get(i)));
    else {
        constexpr unsigned bits = tag_bits_v<typename C::value_type>;
        const auto lane = static_cast<unsigned long long>(c.lanes().get(i)) & (~0ull >> (64 - bits));
        to.format("0x%0*llx ", static_cast<int>(bits / 4), lane);
    }
}
}  // namespace detail

template <class C>
    requires(Vector<C> || Accum<C>)
NPUK_COLD void print(const C &c, bool nl = false, const char *prefix = nullptr) {
    npuk::printed_text text;
    if (prefix) text.add(prefix);
    for (unsigned i = 0; i < C::size(); ++i) detail::print_lane(text, c, i);
    if (nl) text.add("\n");
}

// The numbers times two to the power of scale.
template <ElemBaseType T, unsigned Elems>
    requires(!detail::is_floating_point_v<T>)
NPUK_COLD void print_fixed(const vector<T, Elems> &v, int scale, bool nl = false, const char *prefix = nullptr) {
    npuk::printed_text text;
    if (prefix) text.add(prefix);
    for (unsigned i = 0; i < Elems; ++i) detail::print_value(text, v.get(i), scale);
    if (nl) text.add("\n");
}

// Rows of cols numbers, the second and later ones under the first.
template <class Matrix>
    requires(Vector<Matrix> || Accum<Matrix>)
NPUK_COLD void print_matrix(const Matrix &m, unsigned cols, const char *prefix = nullptr) {
    npuk::printed_text text;
    if (prefix) text.add(prefix);
    const size_t indent = prefix ? __builtin_strlen(prefix) : 0;
    const unsigned rows = cols ? Matrix::size() / cols : 0;
    for (unsigned row = 0; row < rows; ++row) {
        for (unsigned col = 0; col < cols; ++col) detail::print_lane(text, m, row * cols + col);
        text.add("\n");
        for (size_t i = 0; row + 1 < rows && i < (indent ? indent : 1); ++i) text.add(" ");
    }
}

template <unsigned N>
NPUK_COLD void print(const mask<N> &m, bool nl = false, const char *prefix = nullptr) {
    npuk::printed_text text;
    if (prefix) text.add(prefix);
    for (unsigned i = 0; i < N; ++i) text.add(m.test(i) ? "1 " : "0 ");
    if (nl) text.add("\n");
}

#if __AIE_ARCH__ == 21
template <BlockType T, unsigned Elems>
NPUK_COLD void print(const block_vector<T, Elems> &v, bool nl = false, const char *prefix = nullptr) {
    print(accum<accfloat, Elems>(v), nl, prefix);
}
#endif

}  // namespace aie
