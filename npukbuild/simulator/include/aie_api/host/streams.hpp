// Buffer streams: vectors out of and into memory, one after another.
#pragma once

#include "circular.hpp"

namespace aie {

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
