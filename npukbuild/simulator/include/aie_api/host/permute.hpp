// Rearrangements of elements, and reductions.
#pragma once

#include "products.hpp"

namespace aie {

namespace detail {
// Out element i is element from(i) of the concatenation of a and b.
template <class V, class F>
NPUK_INLINE V pick(const V &a, const V &b, F from) {
    constexpr unsigned N = V::size();
    typename V::lane_type in[2 * N], out[N];
    a.lanes().store(in);
    b.lanes().store(in + N);
    for (unsigned i = 0; i < N; ++i) out[i] = in[from(i)];
    return typename V::lanes_type(V::lanes_type::load(out));
}
template <class V, class F>
NPUK_INLINE V pick(const V &a, F from) {
    return npuk::rearrange<V::size()>(a.lanes(), from);
}
}  // namespace detail

template <Accum Acc, Accum... More>
    requires((std::is_same_v<Acc, More> && ...))
NPUK_INLINE auto concat(const Acc &first, const More &...more) {
    accum<typename Acc::value_type, Acc::size() * (1 + sizeof...(More))> out;
    unsigned i = 0;
    out.insert(i++, first);
    (out.insert(i++, more), ...);
    return out;
}
template <Vector Vec, Vector... More>
    requires((detail::is_same_vector_v<Vec, More> && ...))
NPUK_INLINE auto concat(const Vec &first, const More &...more) {
    vector<typename Vec::value_type, Vec::size() * (1 + sizeof...(More))> out;
    unsigned i = 0;
    out.insert(i++, detail::value(first));
    (out.insert(i++, detail::value(more)), ...);
    return out;
}
template <class T>
    requires(requires { typename std::tuple_size<std::decay_t<T>>::type; } && !Vector<T> && !Accum<T>)
NPUK_INLINE auto concat(const T &parts) {
    return std::apply([](const auto &...each) { return concat(each...); }, parts);
}

template <ElemBaseType DstT, Vector Vec>
NPUK_INLINE auto vector_cast(const Vec &v) {
    return detail::value(v).template cast_to<DstT>();
}
template <AccumElemBaseType DstTag, Vector Vec>
NPUK_INLINE auto vector_cast(const Vec &v) {
    using V = operand_base_type_t<Vec>;
    constexpr unsigned N = V::bits() / detail::accum_bits_v<DstTag>;
    alignas(64) unsigned char bytes[V::bits() / 8];
    detail::value(v).to_memory(bytes);
    return accum<DstTag, N>(accum<DstTag, N>::lanes_type::load(bytes));
}
template <ElemBaseType DstT, Accum Acc>
NPUK_INLINE auto vector_cast(const Acc &acc) {
    constexpr unsigned N = Acc::bits() / detail::type_bits_v<DstT>;
    alignas(64) unsigned char bytes[Acc::bits() / 8];
    acc.lanes().store(bytes);
    return vector<DstT, N>::from_memory(bytes);
}

template <VectorOrOp Vec>
    requires(detail::is_integral_v<detail::elem_of_t<Vec>>)
NPUK_INLINE auto unpack(const Vec &v) {
    if constexpr (detail::is_operated_v<Vec>) return v.value().unpack_sign(v.sign);
    else return detail::value(v).unpack();
}
template <VectorOrOp Vec>
    requires(detail::is_integral_v<detail::elem_of_t<Vec>>)
NPUK_INLINE auto pack(const Vec &v) {
    if constexpr (detail::is_operated_v<Vec>) return v.value().pack_sign(v.sign);
    else return detail::value(v).pack();
}

template <ElemBaseType TR, AccumOrOp Acc>
NPUK_INLINE vector<TR, Acc::size()> to_vector(const Acc &acc, int shift = 0) {
    return detail::accumulator_value(acc).template to_vector<TR>(shift);
}
template <AccumElemBaseType AccumTag, VectorOrOp Vec>
NPUK_INLINE accum<AccumTag, Vec::size()> from_vector(const Vec &v, int shift = 0) {
    accum<AccumTag, Vec::size()> out;
    out.from_vector_sign(detail::value(v), detail::sign_of(v), shift);
    return out;
}

template <Vector Vec>
NPUK_INLINE operand_base_type_t<Vec> reverse(const Vec &v) {
    return detail::pick(operand_base_type_t<Vec>(detail::value(v)), [](unsigned i) { return Vec::size() - 1 - i; });
}
// Up moves element i to i + n.
template <Vector Vec>
NPUK_INLINE operand_base_type_t<Vec> shuffle_up_fill(const Vec &v, const Vec &fill, unsigned n) {
    using V = operand_base_type_t<Vec>;
    return detail::pick(V(detail::value(fill)), V(detail::value(v)), [=](unsigned i) { return V::size() + i - n; });
}
template <Vector Vec>
NPUK_INLINE operand_base_type_t<Vec> shuffle_down_fill(const Vec &v, const Vec &fill, unsigned n) {
    using V = operand_base_type_t<Vec>;
    return detail::pick(V(detail::value(v)), V(detail::value(fill)), [=](unsigned i) { return i + n; });
}
// What moves in is undefined; here it is zero.
template <Vector Vec>
NPUK_INLINE operand_base_type_t<Vec> shuffle_up(const Vec &v, unsigned n) {
    using V = operand_base_type_t<Vec>;
    return shuffle_up_fill(V(detail::value(v)), V(V::lanes_type::zero()), n);
}
template <Vector Vec>
NPUK_INLINE operand_base_type_t<Vec> shuffle_down(const Vec &v, unsigned n) {
    using V = operand_base_type_t<Vec>;
    return shuffle_down_fill(V(detail::value(v)), V(V::lanes_type::zero()), n);
}
template <Vector Vec>
NPUK_INLINE operand_base_type_t<Vec> shuffle_up_rotate(const Vec &v, unsigned n) {
    return shuffle_up_fill(v, v, n);
}
template <Vector Vec>
NPUK_INLINE operand_base_type_t<Vec> shuffle_down_rotate(const Vec &v, unsigned n) {
    return shuffle_down_fill(v, v, n);
}
template <Vector Vec>
NPUK_INLINE operand_base_type_t<Vec> shuffle_up_replicate(const Vec &v, unsigned n) {
    return detail::pick(operand_base_type_t<Vec>(detail::value(v)), [=](unsigned i) { return i < n ? 0 : i - n; });
}
template <Vector Vec>
NPUK_INLINE operand_base_type_t<Vec> shuffle_down_replicate(const Vec &v, unsigned n) {
    return detail::pick(operand_base_type_t<Vec>(detail::value(v)), [=](unsigned i) { return i + n < Vec::size() ? i + n : Vec::size() - 1; });
}

// The Row x Col matrix in row-major order becomes its transpose.
template <Vector Vec>
    requires(operand_base_type_t<Vec>::bits() <= 1024 || operand_base_type_t<Vec>::type_bits() == 4)
NPUK_INLINE operand_base_type_t<Vec> transpose(const Vec &v, unsigned Row, unsigned Col) {
    return detail::pick(operand_base_type_t<Vec>(detail::value(v)), [=](unsigned i) { return i % Row * Col + i / Row; });
}

namespace detail {
template <ElemBaseType T, unsigned Elems>
struct transpose {
    using vector_type = vector<T, Elems>;
    static NPUK_INLINE vector_type run(const vector_type &v, unsigned rows, unsigned columns) {
        return aie::transpose(v, rows, columns);
    }
};
}  // namespace detail

// Chunks of v and w taken in turn, and the inverse.
template <Vector Vec1, Vector Vec2>
    requires(detail::is_same_vector_v<Vec1, Vec2>)
NPUK_INLINE std::pair<operand_base_type_t<Vec1>, operand_base_type_t<Vec1>> interleave_zip(const Vec1 &v, const Vec2 &w, unsigned chunk_size) {
    using V = operand_base_type_t<Vec1>;
    constexpr unsigned N = V::size();
    auto from = [=](unsigned i) { return i / chunk_size % 2 * N + i / (2 * chunk_size) * chunk_size + i % chunk_size; };
    const V &a = detail::value(v), &b = detail::value(w);
    if (chunk_size >= N) return {a, b};
    return {detail::pick(a, b, from), detail::pick(a, b, [=](unsigned i) { return from(i + N); })};
}
template <Vector Vec1, Vector Vec2>
    requires(detail::is_same_vector_v<Vec1, Vec2>)
NPUK_INLINE std::pair<operand_base_type_t<Vec1>, operand_base_type_t<Vec1>> interleave_unzip(const Vec1 &v, const Vec2 &w, unsigned chunk_size) {
    using V = operand_base_type_t<Vec1>;
    constexpr unsigned N = V::size();
    const V &a = detail::value(v), &b = detail::value(w);
    if (chunk_size >= N) return {a, b};
    auto from = [=](unsigned i) { return i / chunk_size * 2 * chunk_size + i % chunk_size; };
    return {detail::pick(a, b, from), detail::pick(a, b, [=](unsigned i) { return from(i) + chunk_size; })};
}

// A chunk size for vectors of one type, as an object that can be made once and used often.
template <ElemBaseType T, unsigned Elems>
class interleave_zip_mode {
public:
    explicit constexpr interleave_zip_mode(unsigned chunk_size) : chunk_size(chunk_size) {}
    unsigned chunk_size;
};
template <ElemBaseType T, unsigned Elems>
class interleave_unzip_mode {
public:
    explicit constexpr interleave_unzip_mode(unsigned chunk_size) : chunk_size(chunk_size) {}
    unsigned chunk_size;
};
template <Vector Vec1, Vector Vec2, ElemBaseType T, unsigned Elems>
    requires(detail::is_same_vector_v<Vec1, Vec2> && std::is_same_v<T, typename Vec1::value_type> && Elems == Vec1::size())
NPUK_INLINE auto interleave_zip(const Vec1 &v, const Vec2 &w, const interleave_zip_mode<T, Elems> &mode) {
    return interleave_zip(v, w, mode.chunk_size);
}
template <Vector Vec1, Vector Vec2, ElemBaseType T, unsigned Elems>
    requires(detail::is_same_vector_v<Vec1, Vec2> && std::is_same_v<T, typename Vec1::value_type> && Elems == Vec1::size())
NPUK_INLINE auto interleave_unzip(const Vec1 &v, const Vec2 &w, const interleave_unzip_mode<T, Elems> &mode) {
    return interleave_unzip(v, w, mode.chunk_size);
}

// First-generation rearrangements of 16 elements that the API keeps for every architecture. Selections count
// through v and w; sizes other than those below leave the result undefined, here zero.
namespace detail {
template <class V>
NPUK_INLINE std::pair<V, V> selected(const V &v, const V &w, const std::array<unsigned, 2 * V::size()> &from) {
    constexpr unsigned N = V::size();
    return {pick(v, w, [&](unsigned i) { return from[i]; }), pick(v, w, [&](unsigned i) { return from[N + i]; })};
}
template <class V>
NPUK_INLINE std::pair<V, V> undefined_pair() {
    const V zero(V::lanes_type::zero());
    return {zero, zero};
}
template <class Vec1, class Vec2>
concept SixteenElements = Vector<Vec1> && Vector<Vec2> && is_same_vector_v<Vec1, Vec2> && Vec1::size() == 16;
}  // namespace detail

// Chunks of v as they are and chunks of w reversed take turns, each half with the other half's partner of w;
// chunks of 8 keep their own partner.
template <class Vec1, class Vec2>
    requires detail::SixteenElements<Vec1, Vec2>
NPUK_INLINE std::pair<operand_base_type_t<Vec1>, operand_base_type_t<Vec1>> interleave_butterfly(const Vec1 &v, const Vec2 &w, unsigned chunk_size) {
    using V = operand_base_type_t<Vec1>;
    if (chunk_size == 16) return {detail::value(v), reverse(V(detail::value(w)))};
    if (chunk_size > 8 || (chunk_size & (chunk_size - 1)) != 0 || chunk_size == 0) return detail::undefined_pair<V>();
    std::array<unsigned, 32> from{};
    for (unsigned i = 0; i < 32; ++i) {
        const unsigned half = i / 16, turn = i % 16 / chunk_size, at = i % chunk_size;
        const unsigned own = turn / 2 * 2 + half, partner = chunk_size == 8 ? half : turn / 2 * 2 + 1 - half;
        from[i] = turn % 2 == 0 ? own * chunk_size + at : 16 + partner * chunk_size + chunk_size - 1 - at;
    }
    return detail::selected(V(detail::value(v)), V(detail::value(w)), from);
}
template <class Vec1, class Vec2>
    requires detail::SixteenElements<Vec1, Vec2>
NPUK_INLINE auto interleave_butterfly_half(const Vec1 &v, const Vec2 &w, unsigned chunk_size) {
    return interleave_butterfly(v, w, chunk_size);
}
// Elements of v and w in pairs: first the low halves of every chunk upwards, then the high halves downwards
// with w's element before v's.
template <class Vec1, class Vec2>
    requires detail::SixteenElements<Vec1, Vec2>
NPUK_INLINE std::pair<operand_base_type_t<Vec1>, operand_base_type_t<Vec1>> interleave_crossover(const Vec1 &v, const Vec2 &w, unsigned chunk_size) {
    using V = operand_base_type_t<Vec1>;
    if (chunk_size == 1) return {detail::value(v), detail::value(w)};
    if (chunk_size > 16 || (chunk_size & (chunk_size - 1)) != 0 || chunk_size == 0) return detail::undefined_pair<V>();
    std::array<unsigned, 32> from{};
    for (unsigned i = 0; i < 16; ++i) {
        const unsigned chunk = i / chunk_size * chunk_size, at = i % chunk_size / 2;
        from[i] = chunk + at + (i % 2 == 0 ? 0 : 16);
        from[16 + i] = chunk + chunk_size - 1 - at + (i % 2 == 0 ? 16 : 0);
    }
    return detail::selected(V(detail::value(v)), V(detail::value(w)), from);
}
template <unsigned... Select, class Vec1, class Vec2>
    requires(detail::SixteenElements<Vec1, Vec2> && sizeof...(Select) == 32)
NPUK_INLINE auto interleave_custom_static(const Vec1 &v, const Vec2 &w) {
    using V = operand_base_type_t<Vec1>;
    static_assert(((Select < 32) && ...), "two vectors of 16 elements have elements 0 to 31");
    return detail::selected(V(detail::value(v)), V(detail::value(w)), {Select...});
}

template <Vector Vec>
NPUK_INLINE auto filter_even(const Vec &v, unsigned chunk_size = 1) {
    return vector<typename Vec::value_type, Vec::size() / 2>(
        npuk::rearrange<Vec::size() / 2>(detail::value(v).lanes(), [=](unsigned i) { return i / chunk_size * 2 * chunk_size + i % chunk_size; }));
}
template <Vector Vec>
NPUK_INLINE auto filter_odd(const Vec &v, unsigned chunk_size = 1) {
    return vector<typename Vec::value_type, Vec::size() / 2>(npuk::rearrange<Vec::size() / 2>(
        detail::value(v).lanes(), [=](unsigned i) { return (i / chunk_size * 2 + 1) * chunk_size + i % chunk_size; }));
}
template <ElemBaseType T, unsigned Elems>
class filter_mode {
public:
    static constexpr filter_mode even(unsigned chunk_size) { return {chunk_size, false}; }
    static constexpr filter_mode odd(unsigned chunk_size) { return {chunk_size, true}; }
    constexpr unsigned chunk() const { return chunk_size_; }
    constexpr bool is_odd() const { return odd_; }

private:
    constexpr filter_mode(unsigned chunk_size, bool odd) : chunk_size_(chunk_size), odd_(odd) {}
    unsigned chunk_size_;
    bool odd_;
};
template <Vector Vec, ElemBaseType T, unsigned Elems>
    requires(std::is_same_v<typename Vec::value_type, T> && Vec::size() == Elems)
NPUK_INLINE vector<T, Elems / 2> filter(const Vec &v, filter_mode<T, Elems> mode) {
    return mode.is_odd() ? filter_odd(v, mode.chunk()) : filter_even(v, mode.chunk());
}

// Reductions go by halves: element i with element i + half, as the hardware's shuffles do. The order is
// part of the result for floating point. Sums of bfloat16 stay in the accumulator until the end.
namespace detail {
template <class L, unsigned N, class F>
NPUK_INLINE L reduce(const npuk::lanes<L, N> &v, F f) {
    L x[N];
    v.store(x);
    for (unsigned half = N / 2; half > 0; half /= 2)
        for (unsigned i = 0; i < half; ++i) x[i] = f(x[i], x[i + half]);
    return x[0];
}
}  // namespace detail

template <Vector Vec>
NPUK_INLINE typename Vec::value_type reduce_add(const Vec &v) {
    using T = typename Vec::value_type;
    if constexpr (detail::is_floating_point_v<T>)
        return T(detail::reduce(detail::as_float(operand_base_type_t<Vec>(detail::value(v))), [](float a, float b) { return a + b; }));
    else {
        using L = npuk::lane_t<T>;
        return npuk::from_lane<T>(npuk::to_lane<T>(T(detail::reduce(detail::value(v).lanes(), [](L a, L b) { return static_cast<L>(a + b); }))));
    }
}
template <RealVector Vec>
NPUK_INLINE typename Vec::value_type reduce_max(const Vec &v) {
    using T = typename Vec::value_type;
    using L = npuk::lane_t<T>;
    return npuk::from_lane<T>(detail::reduce(detail::value(v).lanes(), [](L a, L b) {
        return npuk::from_lane<T>(a) < npuk::from_lane<T>(b) ? b : a;
    }));
}
template <RealVector Vec>
NPUK_INLINE typename Vec::value_type reduce_min(const Vec &v) {
    using T = typename Vec::value_type;
    using L = npuk::lane_t<T>;
    return npuk::from_lane<T>(detail::reduce(detail::value(v).lanes(), [](L a, L b) {
        return npuk::from_lane<T>(b) < npuk::from_lane<T>(a) ? b : a;
    }));
}
template <Vector Vec>
NPUK_INLINE typename Vec::value_type reduce_mul(const Vec &v) {
    using T = typename Vec::value_type;
    if constexpr (detail::is_floating_point_v<T>) {
        // Each level's products are rounded to the element type.
        using L = npuk::lane_t<T>;
        return npuk::from_lane<T>(detail::reduce(detail::value(v).lanes(), [](L a, L b) {
            return npuk::to_lane<T>(T(float(npuk::from_lane<T>(a)) * float(npuk::from_lane<T>(b))));
        }));
    } else {
        using L = npuk::lane_t<T>;
        return T(detail::reduce(detail::value(v).lanes(), [](L a, L b) { return static_cast<L>(a * b); }));
    }
}
// Element i is the sum of vector i; the rest is zero.
template <Vector Vec, Vector... Others>
NPUK_INLINE operand_base_type_t<Vec> reduce_add_v(const Vec &v, const Others &...others) {
    static_assert((detail::is_same_vector_v<Vec, Others> && ...));
    static_assert(sizeof...(Others) < 4, "only 4 vectors can be reduced at once");
    using V = operand_base_type_t<Vec>;
    V out(V::lanes_type::zero());
    unsigned i = 0;
    out.set(reduce_add(v), i++);
    (out.set(reduce_add(others), i++), ...);
    return out;
}

}  // namespace aie
