// Loops that a kernel unrolls or pipelines itself.
#pragma once

#include "config.hpp"

#include <utility>

namespace aie {

namespace detail {

// One index of an unrolled loop: known to the compiler, with the ends of its range.
template <class T, T Start, T End, T It>
struct iteration_dim {
    constexpr operator T() const { return It; }
    constexpr T min() const { return Start; }
    constexpr T max() const { return End; }
    constexpr T current() const { return It; }
};

template <class T, T Start, T End, T Step>
inline constexpr bool counts_v = (Step > T(0) && Start < End) || (Step < T(0) && End < Start);

template <class T, T Start, T End, T It, T Step, class Fn>
NPUK_INLINE void unroll_from(Fn &&fn) {
    static_assert(Step != T(0), "0 is not a step");
    if constexpr (counts_v<T, It, End, Step>) {
        constexpr iteration_dim<T, Start, End, It> it{};
        if constexpr (std::is_invocable_v<Fn, decltype(it)>) fn(it);
        else if constexpr (std::is_invocable_v<Fn, std::integral_constant<T, It>>) fn(std::integral_constant<T, It>{});
        else fn();
        constexpr T next = It + Step;
        static_assert((Step > T(0)) == (next > It), "the unrolled loop's range wraps around");
        unroll_from<T, Start, End, next, Step>(fn);
    }
}

template <class T, T StartY, T EndY, T ItY, T StepY, T StartX, T EndX, T ItX, T StepX, class Fn>
NPUK_INLINE void unroll_from_2d(Fn &&fn) {
    static_assert(StepY != T(0) && StepX != T(0), "0 is not a step");
    if constexpr (counts_v<T, ItY, EndY, StepY>) {
        constexpr iteration_dim<T, StartY, EndY, ItY> y{};
        constexpr iteration_dim<T, StartX, EndX, ItX> x{};
        using Y = std::integral_constant<T, ItY>;
        using X = std::integral_constant<T, ItX>;
        if constexpr (std::is_invocable_v<Fn, decltype(y), decltype(x)>) fn(y, x);
        else if constexpr (std::is_invocable_v<Fn, Y, X>) fn(Y{}, X{});
        else fn();
        constexpr T next = ItX + StepX;
        static_assert((StepX > T(0)) == (next > ItX), "the unrolled loop's range wraps around");
        if constexpr (counts_v<T, next, EndX, StepX>) unroll_from_2d<T, StartY, EndY, ItY, StepY, StartX, EndX, next, StepX>(fn);
        else unroll_from_2d<T, StartY, EndY, ItY + StepY, StepY, StartX, EndX, StartX, StepX>(fn);
    }
}
}  // namespace detail

// fn of every index, or of none if it takes none.
template <class T, T Start, T End, T Step = 1, class Fn>
NPUK_INLINE void unroll_for(Fn &&fn) {
    detail::unroll_from<T, Start, End, Start, Step>(fn);
}
template <unsigned Times, class Fn>
NPUK_INLINE void unroll_times(Fn &&fn) {
    unroll_for<unsigned, 0, Times, 1>(fn);
}
// The x index runs faster.
template <class T, T StartY, T EndY, T StepY, T StartX, T EndX, T StepX, class Fn>
NPUK_INLINE void unroll_for_2d(Fn &&fn) {
    if constexpr (detail::counts_v<T, StartX, EndX, StepX>)
        detail::unroll_from_2d<T, StartY, EndY, StartY, StepY, StartX, EndX, StartX, StepX>(fn);
}
template <unsigned TimesY, unsigned TimesX, class Fn>
NPUK_INLINE void unroll_times_2d(Fn &&fn) {
    unroll_for_2d<unsigned, 0, TimesY, 1, 0, TimesX, 1>(fn);
}

// Iterations to run before and after the loop that is pipelined. They change a core's schedule, not what it does.
struct LoopOptions {
    unsigned peel_front = 0;
    unsigned peel_back = 0;
    int preamble_offset = 0;
};

template <unsigned MinIters, LoopOptions Opts = LoopOptions{}, class Fn>
NPUK_INLINE void pipelined_loop(unsigned count, Fn &&fn) {
    static_assert(Opts.peel_front + Opts.peel_back + 1 < MinIters, "more iterations peeled than the loop has");
    for (unsigned i = 0; i < count; ++i) fn(i);
}

// Two loops in one: at each step both, shifted by what is peeled in front of the first and of the second.
template <unsigned MinIters, LoopOptions First = LoopOptions{}, LoopOptions Second = LoopOptions{}, class Fn1, class Fn2>
NPUK_INLINE void pipelined_loops(unsigned count, Fn1 &&fn1, Fn2 &&fn2) {
    static_assert(First.peel_front + First.peel_back == Second.peel_front + Second.peel_back, "as many iterations peeled of both");
    static_assert(First.preamble_offset == Second.preamble_offset, "one preamble for both");
    static_assert(First.peel_front + First.peel_back + 1 < MinIters, "more iterations peeled than the loop has");
    constexpr bool leads = First.peel_front > Second.peel_front;
    constexpr unsigned ahead = leads ? First.peel_front - Second.peel_front : Second.peel_front - First.peel_front;
    for (unsigned i = 0; i < count + ahead; ++i) {
        const unsigned at1 = leads ? i : i - ahead, at2 = leads ? i - ahead : i;
        if (at1 < count) fn1(at1);
        if (at2 < count) fn2(at2);
    }
}

}  // namespace aie
