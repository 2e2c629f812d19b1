// Iterators over vectors and elements in memory, and buffer streams.
#pragma once

#include "elementary.hpp"

namespace aie {

inline constexpr size_t dynamic_extent = static_cast<size_t>(-1);

namespace detail {

// Steps through memory Elems at a time. Reading through an iterator over const gives vectors, through any
// other a vector_ref that can be assigned to.
template <class T, unsigned Elems, class Derived>
class vector_iterator_base {
public:
    using iterator_category = std::random_access_iterator_tag;
    using value_type = vector<std::remove_const_t<T>, Elems>;
    using difference_type = std::ptrdiff_t;
    using reference = std::conditional_t<std::is_const_v<T>, const value_type, vector_ref<T, Elems>>;
    NPUK_INLINE constexpr explicit vector_iterator_base(T *ptr) : ptr_(ptr) {}

    NPUK_INLINE reference operator*() const { return at(ptr_); }
    // For reading members: a change through it would be lost, so it does not compile.
    struct pointer {
        const value_type held;
        NPUK_INLINE const value_type *operator->() const { return &held; }
    };
    NPUK_INLINE pointer operator->() const { return {value_type::from_memory(ptr_)}; }
    NPUK_INLINE reference operator[](difference_type n) const { return at(ptr_ + n * step); }
    NPUK_INLINE Derived &operator++() { return *this += 1; }
    NPUK_INLINE Derived &operator--() { return *this -= 1; }
    NPUK_INLINE Derived operator++(int) {
        const Derived old = self();
        *this += 1;
        return old;
    }
    NPUK_INLINE Derived operator--(int) {
        const Derived old = self();
        *this -= 1;
        return old;
    }
    NPUK_INLINE Derived &operator+=(difference_type n) {
        ptr_ += n * step;
        return self();
    }
    NPUK_INLINE Derived &operator-=(difference_type n) { return *this += -n; }
    NPUK_INLINE Derived operator+(difference_type n) const { return Derived(ptr_ + n * step); }
    NPUK_INLINE Derived operator-(difference_type n) const { return Derived(ptr_ - n * step); }
    NPUK_INLINE difference_type operator-(const Derived &other) const { return (ptr_ - other.ptr_) / step; }
    NPUK_INLINE bool operator==(const Derived &other) const { return ptr_ == other.ptr_; }
    NPUK_INLINE bool operator!=(const Derived &other) const { return ptr_ != other.ptr_; }
    NPUK_INLINE bool operator<(const Derived &other) const { return ptr_ < other.ptr_; }
    NPUK_INLINE bool operator>(const Derived &other) const { return ptr_ > other.ptr_; }
    NPUK_INLINE bool operator<=(const Derived &other) const { return ptr_ <= other.ptr_; }
    NPUK_INLINE bool operator>=(const Derived &other) const { return ptr_ >= other.ptr_; }

private:
    // 4-bit elements lie two to a byte.
    static constexpr difference_type step = Elems * type_bits_v<std::remove_const_t<T>> / (8 * sizeof(T));

    static NPUK_INLINE reference at(T *ptr) {
        if constexpr (std::is_const_v<T>) return value_type::from_memory(ptr);
        else return reference(ptr);
    }
    NPUK_INLINE Derived &self() { return static_cast<Derived &>(*this); }

    T *ptr_;
};

// An index that wraps at the end of a buffer.
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
}  // namespace detail

template <class T, unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none>
struct vector_iterator : detail::vector_iterator_base<T, Elems, vector_iterator<T, Elems, Resource>> {
    using detail::vector_iterator_base<T, Elems, vector_iterator>::vector_iterator_base;
};
template <class T, unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none>
using const_vector_iterator = vector_iterator<const std::remove_const_t<T>, Elems, Resource>;
template <class T, unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none>
struct restrict_vector_iterator : detail::vector_iterator_base<T, Elems, restrict_vector_iterator<T, Elems, Resource>> {
    using detail::vector_iterator_base<T, Elems, restrict_vector_iterator>::vector_iterator_base;
};
template <class T, unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none>
using const_restrict_vector_iterator = restrict_vector_iterator<const std::remove_const_t<T>, Elems, Resource>;
template <class T, unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none>
struct unaligned_vector_iterator : detail::vector_iterator_base<T, Elems, unaligned_vector_iterator<T, Elems, Resource>> {
    static_assert(vector<std::remove_const_t<T>, Elems>::bits() <= 1024, "unaligned iterators move at most 1024 bits");
    using detail::vector_iterator_base<T, Elems, unaligned_vector_iterator>::vector_iterator_base;
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

// Elements of a ring, one at a time or Elems at a time.
template <class T, size_t Size = dynamic_extent, aie_dm_resource Resource = aie_dm_resource::none>
class circular_iterator {
public:
    using value_type = std::remove_const_t<T>;
    constexpr explicit circular_iterator(T *base, size_t n = Size) : base_(base), extent_(n), at_(0) {}
    T &operator*() const { return base_[at_]; }
    T *operator->() const { return base_ + at_; }
    circular_iterator &operator++() { return *this += 1; }
    circular_iterator operator++(int) {
        const auto old = *this;
        *this += 1;
        return old;
    }
    circular_iterator &operator--() { return *this += -1; }
    circular_iterator &operator+=(std::ptrdiff_t n) {
        const auto size = static_cast<std::ptrdiff_t>(extent_.size());
        at_ = static_cast<size_t>(((static_cast<std::ptrdiff_t>(at_) + n) % size + size) % size);
        return *this;
    }
    circular_iterator operator+(std::ptrdiff_t n) const {
        auto out = *this;
        return out += n;
    }
    bool operator==(const circular_iterator &other) const { return base_ + at_ == other.base_ + other.at_; }

private:
    T *base_;
    detail::extent<Size> extent_;
    size_t at_;
};

template <class T, unsigned Elems, size_t Size = dynamic_extent, aie_dm_resource Resource = aie_dm_resource::none>
class vector_circular_iterator {
public:
    using value_type = vector<std::remove_const_t<T>, Elems>;
    constexpr explicit vector_circular_iterator(T *base, size_t n = Size) : base_(base), extent_(n), at_(0) {}
    auto operator*() const { return *vector_iterator<T, Elems>(base_ + at_); }
    vector_circular_iterator &operator++() { return *this += 1; }
    vector_circular_iterator operator++(int) {
        const auto old = *this;
        *this += 1;
        return old;
    }
    vector_circular_iterator &operator--() { return *this += -1; }
    vector_circular_iterator &operator+=(std::ptrdiff_t n) {
        const auto size = static_cast<std::ptrdiff_t>(extent_.size());
        at_ = static_cast<size_t>(((static_cast<std::ptrdiff_t>(at_) + n * Elems) % size + size) % size);
        return *this;
    }
    bool operator==(const vector_circular_iterator &other) const { return base_ + at_ == other.base_ + other.at_; }

private:
    T *base_;
    detail::extent<Size> extent_;
    size_t at_;
};

template <aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr auto begin_circular(T *base, size_t n) {
    return circular_iterator<T>(base, n);
}
template <size_t Elems, aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr auto begin_circular(T *base) {
    return circular_iterator<T, Elems>(base);
}
template <aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr auto cbegin_circular(const T *base, size_t n) {
    return circular_iterator<const T>(base, n);
}
template <size_t Elems, aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr auto cbegin_circular(const T *base) {
    return circular_iterator<const T, Elems>(base);
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr auto begin_vector_circular(T *base, size_t n) {
    return vector_circular_iterator<T, Elems>(base, n);
}
template <unsigned Elems, size_t ArrayElems, aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr auto begin_vector_circular(T *base) {
    return vector_circular_iterator<T, Elems, ArrayElems>(base);
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr auto cbegin_vector_circular(const T *base, size_t n) {
    return vector_circular_iterator<const T, Elems>(base, n);
}
template <unsigned Elems, size_t ArrayElems, aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr auto cbegin_vector_circular(const T *base) {
    return vector_circular_iterator<const T, Elems, ArrayElems>(base);
}

// The same of whole arrays, and the iterators that jump: they need not move by less than the buffer's length.
template <aie_dm_resource Resource = aie_dm_resource::none, class T, size_t Elems>
constexpr auto begin_circular(T (&base)[Elems]) {
    return begin_circular<Elems, Resource>(static_cast<T *>(base));
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, class T, size_t ArrayElems>
constexpr auto begin_vector_circular(T (&base)[ArrayElems]) {
    return begin_vector_circular<Elems, ArrayElems, Resource>(static_cast<T *>(base));
}
template <aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr auto begin_random_circular(T *base, size_t n) {
    return begin_circular<Resource>(base, n);
}
template <size_t Elems, aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr auto begin_random_circular(T *base) {
    return begin_circular<Elems, Resource>(base);
}
template <aie_dm_resource Resource = aie_dm_resource::none, class T, size_t Elems>
constexpr auto begin_random_circular(T (&base)[Elems]) {
    return begin_circular<Elems, Resource>(static_cast<T *>(base));
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr auto begin_vector_random_circular(T *base, size_t n) {
    return begin_vector_circular<Elems, Resource>(base, n);
}
template <unsigned Elems, size_t ArrayElems, aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr auto begin_vector_random_circular(T *base) {
    return begin_vector_circular<Elems, ArrayElems, Resource>(base);
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, class T, size_t ArrayElems>
constexpr auto begin_vector_random_circular(T (&base)[ArrayElems]) {
    return begin_vector_circular<Elems, ArrayElems, Resource>(static_cast<T *>(base));
}
template <aie_dm_resource Resource = aie_dm_resource::none, class T, size_t Elems>
constexpr auto cbegin_circular(const T (&base)[Elems]) {
    return cbegin_circular<Elems, Resource>(static_cast<const T *>(base));
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, class T, size_t ArrayElems>
constexpr auto cbegin_vector_circular(const T (&base)[ArrayElems]) {
    return cbegin_vector_circular<Elems, ArrayElems, Resource>(static_cast<const T *>(base));
}
template <aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr auto cbegin_random_circular(const T *base, size_t n) {
    return cbegin_circular<Resource>(base, n);
}
template <size_t Elems, aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr auto cbegin_random_circular(const T *base) {
    return cbegin_circular<Elems, Resource>(base);
}
template <aie_dm_resource Resource = aie_dm_resource::none, class T, size_t Elems>
constexpr auto cbegin_random_circular(const T (&base)[Elems]) {
    return cbegin_circular<Elems, Resource>(static_cast<const T *>(base));
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr auto cbegin_vector_random_circular(const T *base, size_t n) {
    return cbegin_vector_circular<Elems, Resource>(base, n);
}
template <unsigned Elems, size_t ArrayElems, aie_dm_resource Resource = aie_dm_resource::none, class T>
constexpr auto cbegin_vector_random_circular(const T *base) {
    return cbegin_vector_circular<Elems, ArrayElems, Resource>(base);
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, class T, size_t ArrayElems>
constexpr auto cbegin_vector_random_circular(const T (&base)[ArrayElems]) {
    return cbegin_vector_circular<Elems, ArrayElems, Resource>(static_cast<const T *>(base));
}

// Streams of vectors out of and into memory.
template <DecoratedElemBaseType T, unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none>
class vector_input_buffer_stream {
public:
    using elem_type = std::remove_const_t<T>;
    using vector_type = vector<elem_type, Elems>;
    using value_type = vector_type;
    constexpr explicit vector_input_buffer_stream(const T *ptr) : at_(ptr) {}
    value_type pop() { return *at_++; }
    vector_input_buffer_stream &operator>>(value_type &v) {
        v = pop();
        return *this;
    }

private:
    const_vector_iterator<T, Elems> at_;
};
template <DecoratedElemBaseType T, unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none>
class vector_output_buffer_stream {
public:
    using elem_type = T;
    using vector_type = vector<T, Elems>;
    using value_type = vector_type;
    constexpr explicit vector_output_buffer_stream(T *ptr) : at_(ptr) {}
    void push(const value_type &v) { *at_++ = v; }
    vector_output_buffer_stream &operator<<(const value_type &v) {
        push(v);
        return *this;
    }

private:
    vector_iterator<T, Elems> at_;
};
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, DecoratedElemBaseType T>
auto make_vector_input_buffer_stream(const T *ptr) {
    return vector_input_buffer_stream<T, Elems, Resource>(ptr);
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, DecoratedElemBaseType T>
auto make_vector_output_buffer_stream(T *ptr) {
    return vector_output_buffer_stream<T, Elems, Resource>(ptr);
}

// The same at addresses of any alignment, element-wise. AIE2 moves at most 1024 bits at once.
template <DecoratedElemBaseType T, unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none>
class unaligned_vector_input_buffer_stream : public vector_input_buffer_stream<T, Elems, Resource> {
    static_assert(npuk::arch != 20 || vector<std::remove_const_t<T>, Elems>::bits() <= 1024, "unaligned streams move at most 1024 bits");

public:
    using vector_input_buffer_stream<T, Elems, Resource>::vector_input_buffer_stream;
};
template <DecoratedElemBaseType T, unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none>
class unaligned_vector_output_buffer_stream : public vector_output_buffer_stream<T, Elems, Resource> {
    static_assert(npuk::arch != 20 || vector<T, Elems>::bits() <= 1024, "unaligned streams move at most 1024 bits");

public:
    using vector_output_buffer_stream<T, Elems, Resource>::vector_output_buffer_stream;
};
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, DecoratedElemBaseType T>
auto make_unaligned_vector_input_buffer_stream(const T *ptr) {
    return unaligned_vector_input_buffer_stream<T, Elems, Resource>(ptr);
}
template <unsigned Elems, aie_dm_resource Resource = aie_dm_resource::none, DecoratedElemBaseType T>
auto make_unaligned_vector_output_buffer_stream(T *ptr) {
    return unaligned_vector_output_buffer_stream<T, Elems, Resource>(ptr);
}

}  // namespace aie
