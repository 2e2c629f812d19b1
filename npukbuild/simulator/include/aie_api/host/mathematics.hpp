// Functions that libm has, without libm: a kernel's own use of libm stays visible in its symbols.
#pragma once

#include "config.hpp"

namespace npuk {

NPUK_INLINE float square_root(float x) {
    if (!(x > 0.0f)) return x == 0.0f ? x : __builtin_nanf("");
    if (x > 3.402823466e38f) return x;
#if defined(__SSE__)
    typedef float quad __attribute__((vector_size(16)));
    return __builtin_ia32_sqrtps(quad{x, x, x, x})[0];
#else
    double y = x;
    const double bits = __builtin_bit_cast(double, (__builtin_bit_cast(uint64_t, y) >> 1) + 0x1ff8000000000000u);
    y = bits;
    for (int i = 0; i < 5; ++i) y = 0.5 * (y + double(x) / y);
    return static_cast<float>(y);
#endif
}

// 2^n for integer n, in double.
constexpr double power_of_two(int n) {
    if (n < -1022) return 0.0;
    if (n > 1023) return __builtin_inf();
    return __builtin_bit_cast(double, uint64_t(n + 1023) << 52);
}

// e^x by argument reduction and a Taylor series: relative error below 1e-14.
constexpr double exp_value(double x) {
    if (x != x) return x;
    if (x > 709.0) return __builtin_inf();
    if (x < -745.0) return 0.0;
    const double scaled = x * 1.4426950408889634;
    const int n = static_cast<int>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    const double r = x - n * 0.693147180369123816490 - n * 1.90821492927058770002e-10;
    double term = 1.0, sum = 1.0;
    for (int i = 1; i < 18; ++i) sum += term *= r / i;
    return n < -1000 ? sum * power_of_two(n + 100) * power_of_two(-100) : sum * power_of_two(n);
}
constexpr double tanh_exact(double x) {
    if (x > 20) return 1.0;
    if (x < -20) return -1.0;
    if (x > -1e-4 && x < 1e-4) return x - x * x * x / 3;
    const double e = exp_value(2 * x);
    return (e - 1) / (e + 1);
}

NPUK_INLINE float exp2_value(float x) { return static_cast<float>(exp_value(double(x) * 0.69314718055994530942)); }
NPUK_INLINE float tanh_value(float x) { return x != x ? x : static_cast<float>(tanh_exact(x)); }

}  // namespace npuk
