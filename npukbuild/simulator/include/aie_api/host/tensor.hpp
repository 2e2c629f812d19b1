// Tensor buffer streams: vectors of a buffer in the order of nested loops, as the address generators step.
#pragma once

#include "streams.hpp"

namespace aie {

// One loop: how often, and how far apart in vectors.
struct tensor_dim {
    unsigned num;
    int step;
    constexpr tensor_dim() = default;
    constexpr explicit tensor_dim(unsigned num, int step) : num(num), step(step) {}
};

// What the generators take: how many steps of each kind before the next, further out, is done instead of them.
struct dim_2d {
    unsigned num1;
    int inc1, inc2;
    constexpr dim_2d() = default;
    constexpr dim_2d(unsigned num1, int inc1, int inc2) : num1(num1), inc1(inc1), inc2(inc2) {}
};
struct dim_3d {
    unsigned num1;
    int inc1;
    unsigned num2;
    int inc2, inc3;
    constexpr dim_3d() = default;
    constexpr dim_3d(unsigned num1, int inc1, unsigned num2, int inc2, int inc3)
        : num1(num1), inc1(inc1), num2(num2), inc2(inc2), inc3(inc3) {}
};

namespace detail {
constexpr dim_3d as_3d(int inc) { return {0, 0, 0, 0, inc}; }
constexpr dim_3d as_3d(const dim_2d &d) { return {d.num1, d.inc1, 0, 0, d.inc2}; }
constexpr dim_3d as_3d(const dim_3d &d) { return d; }
constexpr dim_3d scaled(const dim_3d &d, int by) { return {d.num1, d.inc1 * by, d.num2, d.inc2 * by, d.inc3 * by}; }

// Steps become increments, which first undo what the inner loops went; between levels that is given back, for an
// inner stream moves on its own. The formula is the real API's, also where five loops or more make it differ
// from the steps asked for.
template <unsigned Rank>
constexpr auto increments(std::array<tensor_dim, Rank> dims, int scale) {
    int rollback = 0;
    for (unsigned i = Rank; i-- > 0;) {
        const int step = dims[i].step * scale;
        const int gone = step * static_cast<int>(dims[i].num - 1);
        dims[i] = tensor_dim(dims[i].num - 1, step - rollback);
        rollback += gone;
    }
    std::array<dim_3d, (Rank + 2) / 3> steps{};
    for (unsigned i = 0; i < Rank; i += 3) {
        const int back = i + 3 < Rank ? dims[i + 3].step * static_cast<int>(dims[i + 3].num) : 0;
        if (i + 2 < Rank) steps[i / 3] = {dims[i + 2].num, dims[i + 2].step + back, dims[i + 1].num, dims[i + 1].step + back, dims[i].step + back};
        else if (i + 1 < Rank) steps[i / 3] = as_3d(dim_2d(dims[i + 1].num, dims[i + 1].step, dims[i].step));
        else steps[i / 3] = as_3d(dims[i].step);
    }
    return steps;
}
template <class Step>
inline constexpr unsigned rank_v = std::is_same_v<std::decay_t<Step>, int> ? 1 : std::is_same_v<std::decay_t<Step>, dim_2d> ? 2 : 3;
}  // namespace detail

// The loops of a tensor, outermost first, three to a level: a level's stream gives streams of the next one, the
// last one's gives vectors. Increments are in bytes.
template <unsigned Rank, ElemBaseType T, unsigned Elems, unsigned Levels = (Rank + 2) / 3>
    requires(Rank > 0)
class tensor_descriptor {
public:
    static constexpr unsigned elems = Elems;
    using type = T;
    using vector_type = vector<T, Elems>;
    using steps_type = std::array<dim_3d, Levels>;

    constexpr tensor_descriptor() = default;
    constexpr explicit tensor_descriptor(const std::array<tensor_dim, Rank> &dims, bool byte_steps = false)
        : steps_(detail::increments<Rank>(dims, byte_steps ? 1 : vector_type::bytes())) {}
    constexpr explicit tensor_descriptor(const steps_type &steps) : steps_(steps) {}
    constexpr const steps_type &steps() const { return steps_; }

private:
    steps_type steps_;
};

namespace detail {
template <class T, unsigned Elems, class... Steps>
constexpr auto native_tensor(const std::array<dim_3d, sizeof...(Steps)> &steps) {
    return tensor_descriptor<(rank_v<Steps> + ...), T, Elems, sizeof...(Steps)>(steps);
}

template <class T, unsigned Levels, unsigned Elems, unsigned Level>
class tensor_stream {
    static constexpr bool innermost = Level + 1 == Levels;

public:
    using vector_type = vector<std::remove_const_t<T>, Elems>;
    using value_type = vector_type;
    using steps_type = std::array<dim_3d, Levels>;
    constexpr tensor_stream(T *ptr, const steps_type &steps) : ptr_(ptr), steps_(steps) {}

    auto pop() {
        if constexpr (innermost) {
            const auto out = vector_type::from_memory(place());
            step();
            return out;
        } else {
            const tensor_stream<T, Levels, Elems, Level + 1> inner(ptr_, steps_);
            step();
            return inner;
        }
    }
    tensor_stream &operator>>(vector_type &v)
        requires(innermost)
    {
        v = pop();
        return *this;
    }
    void push(const vector_type &v)
        requires(innermost && !std::is_const_v<T>)
    {
        v.to_memory(place());
        step();
    }
    tensor_stream &operator<<(const vector_type &v)
        requires(innermost && !std::is_const_v<T>)
    {
        push(v);
        return *this;
    }
    bool operator==(const tensor_stream &other) const { return ptr_ == other.ptr_; }

private:
    // Memory is reached at whole vectors, or at the widest access.
    T *place() const {
        constexpr uintptr_t align = vector_ldst_align_v<T, Elems>;
        return reinterpret_cast<T *>(reinterpret_cast<uintptr_t>(ptr_) & ~(align - 1));
    }
    void step() {
        const dim_3d &d = steps_[Level];
        int bytes = d.inc3;
        if (done1_ < d.num1) {
            ++done1_;
            bytes = d.inc1;
        } else {
            done1_ = 0;
            done2_ = done2_ < d.num2 ? (bytes = d.inc2, done2_ + 1) : 0;
        }
        ptr_ = reinterpret_cast<T *>(reinterpret_cast<uintptr_t>(ptr_) + static_cast<uintptr_t>(std::ptrdiff_t(bytes)));
    }

    T *ptr_;
    steps_type steps_;
    unsigned done1_ = 0, done2_ = 0;
};
}  // namespace detail

template <ElemBaseType T, unsigned Elems, class... Dims>
    requires(sizeof...(Dims) > 0 && (std::is_same_v<Dims, tensor_dim> && ...))
constexpr auto make_tensor_descriptor(Dims &&...dims) {
    return tensor_descriptor<sizeof...(Dims), T, Elems>(std::array<tensor_dim, sizeof...(Dims)>{dims...});
}
template <ElemBaseType T, unsigned Elems, class... Dims>
    requires(sizeof...(Dims) > 0 && (std::is_same_v<Dims, tensor_dim> && ...))
constexpr auto make_tensor_descriptor_bytes(Dims &&...dims) {
    return tensor_descriptor<sizeof...(Dims), T, Elems>(std::array<tensor_dim, sizeof...(Dims)>{dims...}, true);
}
template <ElemBaseType T, unsigned Elems, class... Steps>
    requires(sizeof...(Steps) > 0 && (detail::is_one_of_v<std::decay_t<Steps>, int, dim_2d, dim_3d> && ...))
constexpr auto make_tensor_descriptor_from_native(Steps &&...steps) {
    return detail::native_tensor<T, Elems, Steps...>({detail::scaled(detail::as_3d(steps), vector<T, Elems>::bytes())...});
}
template <ElemBaseType T, unsigned Elems, class... Steps>
    requires(sizeof...(Steps) > 0 && (detail::is_one_of_v<std::decay_t<Steps>, int, dim_2d, dim_3d> && ...))
constexpr auto make_tensor_descriptor_from_native_bytes(Steps &&...steps) {
    return detail::native_tensor<T, Elems, Steps...>({detail::as_3d(steps)...});
}

template <aie_dm_resource Resource = aie_dm_resource::none, DecoratedElemBaseType T, unsigned Rank, unsigned Elems, unsigned Levels>
constexpr auto make_tensor_buffer_stream(T *base, const tensor_descriptor<Rank, std::remove_const_t<T>, Elems, Levels> &tensor) {
    return detail::tensor_stream<T, Levels, Elems, 0>(base, tensor.steps());
}
template <aie_dm_resource Resource = aie_dm_resource::none, ElemBaseType T, unsigned Rank, unsigned Elems, unsigned Levels>
constexpr auto make_restrict_tensor_buffer_stream(T *base, const tensor_descriptor<Rank, T, Elems, Levels> &tensor) {
    return detail::tensor_stream<T, Levels, Elems, 0>(base, tensor.steps());
}

}  // namespace aie
