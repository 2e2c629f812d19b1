// Forced into every kernel; in one translation unit of a library also the entry points the simulator calls.
#pragma once

#include "bfloat16.hpp"

#ifdef NPUK_SUPPORT

#define NPUK_EXPORT extern "C" __attribute__((visibility("default"), used))

namespace npuk {

// Denormals are zero in the vector unit's float path, in operands and in results: for the time of a call
// the host's float unit does the same.
struct flush_denormals {
#if defined(__x86_64__)
    unsigned saved = __builtin_ia32_stmxcsr();
    flush_denormals() { __builtin_ia32_ldmxcsr(saved | 0x8040); }
    ~flush_denormals() { __builtin_ia32_ldmxcsr(saved); }
#elif defined(__aarch64__)
    uint64_t saved;
    flush_denormals() {
        asm volatile("mrs %0, fpcr" : "=r"(saved));
        asm volatile("msr fpcr, %0" ::"r"(saved | (1u << 24)));
    }
    ~flush_denormals() { asm volatile("msr fpcr, %0" ::"r"(saved)); }
#endif
};

// The core whose registers a call uses and changes.
struct as_core {
    control_state *state;
    flush_denormals flush;
    explicit as_core(control_state *s) : state(s) {
        if (state) control = *state;
    }
    ~as_core() {
        if (state) *state = control;
    }
};

}  // namespace npuk

// Call a kernel with up to six integers or pointers. Callers may pass fewer: integer arguments that a
// function does not have are ignored by the calling conventions in use.
NPUK_EXPORT uint64_t npuk_call(void *function, npuk::control_state *state, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
                               uint64_t a4, uint64_t a5) {
    npuk::as_core core(state);
    return reinterpret_cast<uint64_t (*)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t)>(function)(a0, a1, a2, a3, a4, a5);
}

// The same with up to 16 integers and 8 floats: each kind has registers of its own, further integers go
// to the stack in order. The float result, if any, is stored through `result`.
NPUK_EXPORT uint64_t npuk_call_wide(void *function, npuk::control_state *state, const uint64_t *i, const float *f, float *result) {
    npuk::as_core core(state);
    using u = uint64_t;
    using F = float;
#define NPUK_PARAMETERS u, u, u, u, u, u, F, F, F, F, F, F, F, F, u, u, u, u, u, u, u, u, u, u
#define NPUK_ARGUMENTS                                                                                            \
    i[0], i[1], i[2], i[3], i[4], i[5], f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], i[6], i[7], i[8], i[9], i[10], \
        i[11], i[12], i[13], i[14], i[15]
    if (!result) return reinterpret_cast<u (*)(NPUK_PARAMETERS)>(function)(NPUK_ARGUMENTS);
    *result = reinterpret_cast<F (*)(NPUK_PARAMETERS)>(function)(NPUK_ARGUMENTS);
    return 0;
}

#include "work.hpp"

NPUK_EXPORT uint32_t npuk_arch() { return __AIE_ARCH__; }
NPUK_EXPORT uint32_t npuk_state_bytes() { return sizeof(npuk::control_state); }

#endif
