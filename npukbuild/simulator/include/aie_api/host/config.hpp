// What Peano predefines or force-includes for a kernel, spelt for a host compiler.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#ifndef __AIE_ARCH__
#error "name the architecture: -D__AIE_ARCH__=20 (AIE2) or -D__AIE_ARCH__=21 (AIE2P)"
#endif
#if __AIE_ARCH__ != 20 && __AIE_ARCH__ != 21
#error "__AIE_ARCH__ must be 20 (AIE2) or 21 (AIE2P)"
#endif

// Words that Peano's forced include turns into macros, so that no kernel can use them as identifiers.
#ifndef restrict
#define restrict __restrict
#endif
#define chess_prepare_for_pipelining
#define chess_loop_range(...)
#define chess_loop_count(...)
#define chess_unroll_loop(...)
#define chess_flatten_loop
#define chess_no_hw_loop
#define chess_require_hw_loop
#define chess_allocate_hw_loop
#define chess_modulo_scheduling_off
#define chess_peel_pipelined_loop(...)
#define chess_keep_sw_loop
#define chess_keep_first_if
#define chess_copy(X) (X)
#define chess_storage(...)
#define chess_protect_access
#define chess_separator(...)
#define chess_separator_scheduler(...)
#define chess_memory_fence()
#define chess_report(...)
#define chess_manifest(X) (__builtin_constant_p(X) && (X))
#define chess_output
#define chess_error(...)
#define chess_dont_warn_dead
#define __aie_dm_resource_a
#define __aie_dm_resource_b
#define __aie_dm_resource_c
#define __aie_dm_resource_d
#define __aie_dm_resource_stack

// Peano's own loop hints, `#pragma clang loop min_iteration_count(n)`: to any other clang they are errors.
// Clang expands macros in its loop pragmas, so they can become hints that ask for nothing.
#if defined(__clang__)
#define min_iteration_count(n) vectorize_predicate(disable)
#define max_iteration_count(n) interleave(disable)
#endif

#define NPUK_INLINE inline __attribute__((always_inline))
#define NPUK_COLD __attribute__((noinline, cold))

// Bytes of one host register; every lane type uses as many lanes as a float register has.
#if defined(__AVX512F__)
#define NPUK_REGISTER_BYTES 64
#elif defined(__AVX__)
#define NPUK_REGISTER_BYTES 32
#else
#define NPUK_REGISTER_BYTES 16
#endif

using int8 = int8_t;
using int16 = int16_t;
using int32 = int32_t;
using uint8 = uint8_t;
using uint16 = uint16_t;
using uint32 = uint32_t;

// Accumulator tags: the class and the least number of bits of an accumulator lane.
struct acc16 {};
struct acc24 {};
struct acc32 {};
struct acc40 {};
struct acc48 {};
struct acc56 {};
struct acc64 {};
struct accfloat {};
struct accauto {};

namespace npuk {

inline constexpr unsigned arch = __AIE_ARCH__;
inline constexpr unsigned register_lanes = NPUK_REGISTER_BYTES / 4;

}  // namespace npuk

// Trace markers; they cost nothing here.
NPUK_INLINE void event0() {}
NPUK_INLINE void event1() {}
