// Iterators over rings in memory: past the end they go on at the start.
#pragma once

#include "iterators.hpp"

namespace aie {

namespace detail {

template <size_t Size>
struct extent {
    constexpr explicit extent(size_t = Size) {}
    constexpr size_t size() const { return Size; }
};
template <>
struct extent<dynamic_extent> {
    constexpr explicit extent(size_t n) : n_(n) {}
    constexpr size_t size() const { return n_; }
    size_t n_;
};

// Vectors of Elems elements of a ring or, with Elems zero, its elements.
template <class T, unsigned Elems, size_t Size, class Derived>
class ring_stepper {
    static constexpr std::ptrdiff_t step = Elems ? Elems : 1;
    struct element {
        using value_type = T;
        using reference = T &;
        using pointer = T *;
    };

public:
    using places = std::conditional_t<Elems != 0, vector_place<T, Elems ? Elems : 512>, element>;
    using value_type = typename places::value_type;
    using reference = typename places::reference;
    using pointer = typename places::pointer;
    using iterator_category = std::forward_iterator_tag;
    using difference_type = std::ptrdiff_t;

    constexpr ring_stepper(T *base)
        requires(Size != dynamic_extent)
        : base_(base), at_(0) {}
    constexpr ring_stepper(T *base, size_t n)
        requires(Size == dynamic_extent)
        : base_(base), extent_(n), at_(0) {}

    reference operator*() { return read(at_); }
    pointer operator->() {
        if constexpr (Elems == 0) return base_ + at_;
        else return places(here(at_)).operator->();
    }
    Derived &operator++() {
        move(1);
        return static_cast<Derived &>(*this);
    }
    Derived operator++(int) {
        const Derived old = static_cast<Derived &>(*this);
        move(1);
        return old;
    }

protected:
    size_t moved(std::ptrdiff_t n) const {
        const auto size = static_cast<std::ptrdiff_t>(extent_.size());
        return static_cast<size_t>(((static_cast<std::ptrdiff_t>(at_) + n * step) % size + size) % size);
    }
    void move(std::ptrdiff_t n) { at_ = moved(n); }
    // 4-bit elements lie two to a byte.
    T *here(size_t at) const { return base_ + at * type_bits_v<std::remove_const_t<T>> / (8 * sizeof(T)); }
    reference read(size_t at) const {
        if constexpr (Elems == 0) return base_[at];
        else return *places(here(at));
    }

    T *base_;
    [[no_unique_address]] extent<Size> extent_{Size};
    size_t at_;
};

// The iterators that also jump, go back and can be compared.
template <class T, unsigned Elems, size_t Size, class Derived>
class ring_jumper : public ring_stepper<T, Elems, Size, Derived> {
public:
    using ring_stepper<T, Elems, Size, Derived>::ring_stepper;
    using iterator_category = std::random_access_iterator_tag;
    using difference_type = std::ptrdiff_t;
    Derived operator+=(difference_type n) {
        this->move(n);
        return static_cast<Derived &>(*this);
    }
    Derived operator-=(difference_type n) { return *this += -n; }
    Derived operator+(difference_type n) const {
        Derived out = static_cast<const Derived &>(*this);
        return out += n;
    }
    Derived operator-(difference_type n) const { return *this + -n; }
    ring_jumper &operator--() {
        this->move(-1);
        return *this;
    }
    ring_jumper operator--(int) {
        const ring_jumper old = *this;
        this->move(-1);
        return old;
    }
    typename ring_jumper::reference operator[](difference_type n)
        requires(Elems == 0)  // the real one of vectors does not compile
    {
        return this->read(this->moved(n));
    }
    friend bool operator==(const Derived &a, const Derived &b) { return place(a) == place(b); }

private:
    static T *place(const ring_jumper &it) { return it.here(it.at_); }
};
}  // namespace detail

template <class T, size_t Size = dynamic_extent, aie_dm_resource Resource = aie_dm_resource::none>
struct circular_iterator : detail::ring_stepper<T, 0, Size, circular_iterator<T, Size, Resource>> {
    using detail::ring_stepper<T, 0, Size, circular_iterator>::ring_stepper;
};
template <class T, size_t Size = dynamic_extent, aie_dm_resource Resource = aie_dm_resource::none>
using const_circular_iterator = circular_iterator<const T, Size, Resource>;
template <class T, size_t Size, aie_dm_resource Resource = aie_dm_resource::none>
struct random_circular_iterator : detail::ring_jumper<T, 0, Size, random_circular_iterator<T, Size, Resource>> {
    using detail::ring_jumper<T, 0, Size, random_circular_iterator>::ring_jumper;
};
template <class T, size_t Size, aie_dm_resource Resource = aie_dm_resource::none>
using const_random_circular_iterator = random_circular_iterator<const T, Size, Resource>;
template <class T, unsigned Elems, size_t Size = dynamic_extent, aie_dm_resource Resource = aie_dm_resource::none>
struct vector_circular_iterator : detail::ring_stepper<T, Elems, Size, vector_circular_iterator<T, Elems, Size, Resource>> {
    using detail::ring_stepper<T, Elems, Size, vector_circular_iterator>::ring_stepper;
};
template <class T, unsigned Elems, size_t Size = dynamic_extent, aie_dm_resource Resource = aie_dm_resource::none>
using const_vector_circular_iterator = vector_circular_iterator<const T, Elems, Size, Resource>;
template <class T, unsigned Elems, size_t Size, aie_dm_resource Resource = aie_dm_resource::none>
struct vector_random_circular_iterator : detail::ring_jumper<T, Elems, Size, vector_random_circular_iterator<T, Elems, Size, Resource>> {
    using detail::ring_jumper<T, Elems, Size, vector_random_circular_iterator>::ring_jumper;
};
template <class T, unsigned Elems, size_t Size, aie_dm_resource Resource = aie_dm_resource::none>
using const_vector_random_circular_iterator = vector_random_circular_iterator<const T, Elems, Size, Resource>;

// Each over a pointer and a length, over a pointer with the length in the type, and over an array.
template <aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr circular_iterator<T, dynamic_extent, Resource> begin_circular(T *base, size_t n) {
    return {base, n};
}
template <size_t Size, aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr circular_iterator<T, Size, Resource> begin_circular(T *base) {
    return {base};
}
template <aie_dm_resource Resource = aie_dm_resource::none, class T, size_t Size>
constexpr circular_iterator<T, Size, Resource> begin_circular(T (&base)[Size]) {
    return {base};
}
template <aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr const_circular_iterator<T, dynamic_extent, Resource> cbegin_circular(const T *base, size_t n) {
    return {base, n};
}
template <size_t Size, aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr const_circular_iterator<T, Size, Resource> cbegin_circular(const T *base) {
    return {base};
}
template <aie_dm_resource Resource = aie_dm_resource::none, class T, size_t Size>
constexpr const_circular_iterator<T, Size, Resource> cbegin_circular(const T (&base)[Size]) {
    return {base};
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr vector_circular_iterator<T, Elems, dynamic_extent, Resource> begin_vector_circular(T *base, size_t n) {
    return {base, n};
}
template <unsigned Elems, size_t Size, aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr vector_circular_iterator<T, Elems, Size, Resource> begin_vector_circular(T *base) {
    return {base};
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, class T, size_t Size>
constexpr vector_circular_iterator<T, Elems, Size, Resource> begin_vector_circular(T (&base)[Size]) {
    return {base};
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr const_vector_circular_iterator<T, Elems, dynamic_extent, Resource> cbegin_vector_circular(const T *base, size_t n) {
    return {base, n};
}
template <unsigned Elems, size_t Size, aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr const_vector_circular_iterator<T, Elems, Size, Resource> cbegin_vector_circular(const T *base) {
    return {base};
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, class T, size_t Size>
constexpr const_vector_circular_iterator<T, Elems, Size, Resource> cbegin_vector_circular(const T (&base)[Size]) {
    return {base};
}
template <aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr random_circular_iterator<T, dynamic_extent, Resource> begin_random_circular(T *base, size_t n) {
    return {base, n};
}
template <size_t Size, aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr random_circular_iterator<T, Size, Resource> begin_random_circular(T *base) {
    return {base};
}
template <aie_dm_resource Resource = aie_dm_resource::none, class T, size_t Size>
constexpr random_circular_iterator<T, Size, Resource> begin_random_circular(T (&base)[Size]) {
    return {base};
}
template <aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr const_random_circular_iterator<T, dynamic_extent, Resource> cbegin_random_circular(const T *base, size_t n) {
    return {base, n};
}
template <aie_dm_resource Resource = aie_dm_resource::none, class T, size_t Size>
constexpr const_random_circular_iterator<T, Size, Resource> cbegin_random_circular(const T (&base)[Size]) {
    return {base};
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr vector_random_circular_iterator<T, Elems, dynamic_extent, Resource> begin_vector_random_circular(T *base, size_t n) {
    return {base, n};
}
template <unsigned Elems, size_t Size, aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr vector_random_circular_iterator<T, Elems, Size, Resource> begin_vector_random_circular(T *base) {
    return {base};
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, class T, size_t Size>
constexpr vector_random_circular_iterator<T, Elems, Size, Resource> begin_vector_random_circular(T (&base)[Size]) {
    return {base};
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr const_vector_random_circular_iterator<T, Elems, dynamic_extent, Resource> cbegin_vector_random_circular(const T *base, size_t n) {
    return {base, n};
}
template <unsigned Elems, size_t Size, aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr const_vector_random_circular_iterator<T, Elems, Size, Resource> cbegin_vector_random_circular(const T *base) {
    return {base};
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, class T, size_t Size>
constexpr const_vector_random_circular_iterator<T, Elems, Size, Resource> cbegin_vector_random_circular(const T (&base)[Size]) {
    return {base};
}

}  // namespace aie
