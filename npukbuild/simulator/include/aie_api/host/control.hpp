// The control registers of one core: they outlive a call and are shared by all kernels on that core.
#pragma once

#include "config.hpp"

// Encodings of crRnd and crSat, from the AIE API's rounding_mode and saturation_mode.
inline constexpr unsigned rnd_floor = 0;
inline constexpr unsigned rnd_ceil = 1;
inline constexpr unsigned rnd_sym_floor = 2;
inline constexpr unsigned rnd_sym_ceil = 3;
inline constexpr unsigned rnd_neg_inf = 8;
inline constexpr unsigned rnd_pos_inf = 9;
inline constexpr unsigned rnd_sym_zero = 10;
inline constexpr unsigned rnd_sym_inf = 11;
inline constexpr unsigned rnd_conv_even = 12;
inline constexpr unsigned rnd_conv_odd = 13;

namespace npuk {

// Layout shared with npukbuild/simulator/kernel_library.py.
struct control_state {
    uint32_t rounding;    // crRnd: after reset 0 = floor
    uint32_t saturation;  // crSat: after reset 0 = wrap
    uint32_t faults;      // bits set by a call that did what hardware leaves undefined
    uint32_t reserved;
    uint64_t fault_address;
    // Cascade: set by the simulator for cores that use it. Each moves 64 bytes and may wait.
    void (*cascade_put)(void *context, const void *data);
    void (*cascade_get)(void *context, void *data);
    void *cascade_context;
};

enum fault_bit : uint32_t { fault_misaligned = 1, fault_no_cascade = 2 };

// One per thread: npuk_call copies a core's state in and out around a call.
// Hidden: each kernel library has its own.
__attribute__((visibility("hidden"))) inline thread_local constinit control_state control{};

NPUK_COLD inline void report_fault(fault_bit bit, const void *address) {
    control.faults |= bit;
    control.fault_address = reinterpret_cast<uintptr_t>(address);
}

}  // namespace npuk

NPUK_INLINE void set_rnd(unsigned mode) { npuk::control.rounding = mode; }
NPUK_INLINE unsigned get_rnd() { return npuk::control.rounding; }
NPUK_INLINE void set_sat() { npuk::control.saturation = 1; }
NPUK_INLINE void set_symsat() { npuk::control.saturation = 3; }
NPUK_INLINE void clr_sat() { npuk::control.saturation = 0; }
NPUK_INLINE void set_satmode(unsigned mode) { npuk::control.saturation = mode; }
NPUK_INLINE unsigned get_sat() { return npuk::control.saturation; }
NPUK_INLINE unsigned get_satmode() { return npuk::control.saturation; }
