// Iterators over vectors and elements that lie in memory one after another.
#pragma once

#include "elementary.hpp"

namespace aie {

inline constexpr size_t dynamic_extent = static_cast<size_t>(-1);

namespace detail {

// Where an iterator is. Reading through an iterator over const gives vectors, through any other a vector_ref
// that can be assigned to. Only an iterator that can change can be read, as in the real API.
template <class T, unsigned Elems>
class vector_place {
public:
    using iterator_category = std::random_access_iterator_tag;
    using value_type = vector<std::remove_const_t<T>, Elems>;
    using difference_type = std::ptrdiff_t;
    using reference = std::conditional_t<std::is_const_v<T>, const value_type, vector_ref<T, Elems>>;
    NPUK_INLINE constexpr vector_place(T *ptr) : ptr_(ptr) {}

    NPUK_INLINE reference operator*() { return at(ptr_); }
    // The vector found there for one expression; what that changes goes back to memory.
    class pointer {
        using member = std::conditional_t<std::is_const_v<T>, const value_type, value_type>;
        member held_;
        const value_type found_;
        T *ptr_;

    public:
        NPUK_INLINE explicit pointer(T *ptr) : held_(value_type::from_memory(ptr)), found_(held_), ptr_(ptr) {}
        pointer(const pointer &) = delete;
        pointer &operator=(const pointer &) = delete;
        NPUK_INLINE ~pointer() {
            if constexpr (!std::is_const_v<T>)
                if (__builtin_memcmp(&held_, &found_, sizeof held_) != 0) held_.to_memory(ptr_);
        }
        NPUK_INLINE member *operator->() { return &held_; }
    };
    NPUK_INLINE pointer operator->() { return pointer(ptr_); }
    NPUK_INLINE vector_place &operator--() {
        ptr_ -= step;
        return *this;
    }
    NPUK_INLINE vector_place operator--(int) {
        const vector_place old = *this;
        --*this;
        return old;
    }

protected:
    // 4-bit elements lie two to a byte.
    static constexpr difference_type step = Elems * type_bits_v<std::remove_const_t<T>> / (8 * sizeof(T));

    static NPUK_INLINE reference at(T *ptr) {
        if constexpr (std::is_const_v<T>) return value_type::from_memory(ptr);
        else return reference(ptr);
    }

    T *ptr_;
};

template <class T, unsigned Elems, class Derived>
class vector_stepper : public vector_place<T, Elems> {
public:
    using vector_place<T, Elems>::vector_place;
    NPUK_INLINE Derived &operator++() {
        this->ptr_ += this->step;
        return static_cast<Derived &>(*this);
    }
    NPUK_INLINE Derived operator++(int) {
        const Derived old = static_cast<Derived &>(*this);
        ++*this;
        return old;
    }
    friend NPUK_INLINE bool operator==(const Derived &a, const Derived &b) { return place(a) == place(b); }

private:
    static NPUK_INLINE T *place(const vector_stepper &it) { return it.ptr_; }
};

template <class T, unsigned Elems, class Derived>
class vector_jumper : public vector_stepper<T, Elems, Derived> {
public:
    using vector_stepper<T, Elems, Derived>::vector_stepper;
    using difference_type = std::ptrdiff_t;
    NPUK_INLINE auto operator[](difference_type n) { return this->at(this->ptr_ + n * this->step); }
    NPUK_INLINE Derived operator+=(difference_type n) {
        this->ptr_ += n * this->step;
        return static_cast<Derived &>(*this);
    }
    NPUK_INLINE Derived operator-=(difference_type n) { return *this += -n; }
    NPUK_INLINE Derived operator+(difference_type n) const { return Derived(this->ptr_ + n * this->step); }
    NPUK_INLINE Derived operator-(difference_type n) const { return Derived(this->ptr_ - n * this->step); }
};
}  // namespace detail

template <class T, unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none>
struct vector_iterator : detail::vector_jumper<T, Elems, vector_iterator<T, Elems, Resource>> {
    using detail::vector_jumper<T, Elems, vector_iterator>::vector_jumper;
};
template <class T, unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none>
using const_vector_iterator = vector_iterator<const std::remove_const_t<T>, Elems, Resource>;
// The real one declares `--it` but cannot give its own type for it.
template <class T, unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none>
struct restrict_vector_iterator : detail::vector_jumper<T, Elems, restrict_vector_iterator<T, Elems, Resource>> {
    using detail::vector_jumper<T, Elems, restrict_vector_iterator>::vector_jumper;
    restrict_vector_iterator &operator--() = delete;
    NPUK_INLINE restrict_vector_iterator operator--(int) {
        const restrict_vector_iterator old = *this;
        *this -= 1;
        return old;
    }
};
template <class T, unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none>
using const_restrict_vector_iterator = restrict_vector_iterator<const std::remove_const_t<T>, Elems, Resource>;
// A vector in memory at any address: it turns into a vector and takes one, and has no members of a vector's. As in
// the real API one assigned to another is copied itself, memory is not.
template <class T, unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none>
class unaligned_vector_ref {
public:
    using vector_type = vector<std::remove_const_t<T>, Elems>;
    using value_type = typename vector_type::value_type;
    static constexpr unsigned size() { return Elems; }

    NPUK_INLINE constexpr unaligned_vector_ref(T *ptr, unsigned = 1) : ptr_(ptr) {}
    NPUK_INLINE operator vector_type() const { return vector_type::from_memory(ptr_); }
    NPUK_INLINE unaligned_vector_ref &operator=(const vector_type &v)
        requires(!std::is_const_v<T>)
    {
        v.to_memory(ptr_);
        return *this;
    }

private:
    T *ptr_;
};

// Goes forward only.
template <class T, unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none>
struct unaligned_vector_iterator : detail::vector_stepper<T, Elems, unaligned_vector_iterator<T, Elems, Resource>> {
    static_assert(vector<std::remove_const_t<T>, Elems>::bits() <= 1024, "unaligned iterators move at most 1024 bits");
    using detail::vector_stepper<T, Elems, unaligned_vector_iterator>::vector_stepper;
    NPUK_INLINE unaligned_vector_ref<T, Elems, Resource> operator*() { return {this->ptr_}; }
    void operator->() = delete;
    void operator--() = delete;
    void operator--(int) = delete;
};
template <class T, unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none>
using const_unaligned_vector_iterator = unaligned_vector_iterator<const std::remove_const_t<T>, Elems, Resource>;

template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, DecoratedElemBaseType T>
NPUK_INLINE constexpr vector_iterator<T, Elems, Resource> begin_vector(T *base) {
    return vector_iterator<T, Elems, Resource>(base);
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, DecoratedElemBaseType T>
NPUK_INLINE constexpr const_vector_iterator<T, Elems, Resource> cbegin_vector(const T *base) {
    return const_vector_iterator<T, Elems, Resource>(base);
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, DecoratedElemBaseType T>
NPUK_INLINE constexpr restrict_vector_iterator<T, Elems, Resource> begin_restrict_vector(T *base) {
    return restrict_vector_iterator<T, Elems, Resource>(base);
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, DecoratedElemBaseType T>
NPUK_INLINE constexpr const_restrict_vector_iterator<T, Elems, Resource> cbegin_restrict_vector(const T *base) {
    return const_restrict_vector_iterator<T, Elems, Resource>(base);
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, DecoratedElemBaseType T>
NPUK_INLINE constexpr unaligned_vector_iterator<T, Elems, Resource> begin_unaligned_vector(T *base) {
    return unaligned_vector_iterator<T, Elems, Resource>(base);
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, DecoratedElemBaseType T>
NPUK_INLINE constexpr const_unaligned_vector_iterator<T, Elems, Resource> cbegin_unaligned_vector(const T *base) {
    return const_unaligned_vector_iterator<T, Elems, Resource>(base);
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, DecoratedElemBaseType... Types>
NPUK_INLINE constexpr auto begin_vectors(Types *...ptrs) {
    return std::make_tuple(begin_vector<Elems>(ptrs)...);
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, DecoratedElemBaseType... Types>
NPUK_INLINE constexpr auto cbegin_vectors(const Types *...ptrs) {
    return std::make_tuple(cbegin_vector<Elems>(ptrs)...);
}

// Of plain elements the iterators are pointers.
template <aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr T *begin(T *base, size_t) {
    return base;
}
template <aie_dm_resource Resource = aie_dm_resource::none, class T, unsigned Elems>
constexpr T *begin(T (&base)[Elems]) {
    return base;
}
template <aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr const T *cbegin(const T *base, size_t) {
    return base;
}
template <aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr T *end(T *base, size_t n) {
    return base + n;
}
template <aie_dm_resource Resource = aie_dm_resource::none, class T, unsigned Elems>
constexpr T *end(T (&base)[Elems]) {
    return base + Elems;
}
template <aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr const T *cend(const T *base, size_t n) {
    return base + n;
}

// Elements at distances that repeat: one offset a step, the first again after the last.
template <class T, unsigned Steps>
class pattern_iterator {
public:
    using value_type = T;
    using reference = T &;
    using pointer = T *;
    using iterator_category = std::forward_iterator_tag;
    using difference_type = std::ptrdiff_t;

    template <class... Offsets>
    constexpr pattern_iterator(T *ptr, Offsets... offsets) : ptr_(ptr), offsets_{offsets...}, next_(0) {
        static_assert(sizeof...(Offsets) == Steps, "as many offsets as steps");
    }
    constexpr T &operator*() { return *ptr_; }
    constexpr T *operator->() { return ptr_; }
    constexpr pattern_iterator &operator++() {
        ptr_ += offsets_[next_];
        next_ = next_ + 1 == Steps ? 0 : next_ + 1;
        return *this;
    }
    constexpr pattern_iterator operator++(int) {
        const pattern_iterator old = *this;
        ++*this;
        return old;
    }
    constexpr bool operator==(const pattern_iterator &other) const { return ptr_ == other.ptr_; }

private:
    T *ptr_;
    difference_type offsets_[Steps];
    unsigned next_;
};
template <class T, unsigned Steps>
using const_pattern_iterator = pattern_iterator<std::add_const_t<T>, Steps>;
template <unsigned Steps, class T, class... Offsets>
constexpr auto begin_pattern(T *base, Offsets... offsets) {
    static_assert(Steps != 0, "a pattern has at least one offset");
    return pattern_iterator<T, Steps>(base, offsets...);
}
template <unsigned Steps, class T, class... Offsets>
constexpr auto cbegin_pattern(const T *base, Offsets... offsets) {
    return const_pattern_iterator<T, Steps>(base, offsets...);
}

}  // namespace aie
