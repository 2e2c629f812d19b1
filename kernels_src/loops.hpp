// Hints to Peano about loops; empty for every other compiler, whose clang would reject Peano's own pragma.
#pragma once

#define NPUKBUILD_PRAGMA(text) _Pragma(#text)

#if defined(__AIECC__)
// A promise that the loop runs at least n times: it may then be pipelined without a guard.
#define NPUKBUILD_LOOP_MIN(n) NPUKBUILD_PRAGMA(clang loop min_iteration_count(n))
#else
#define NPUKBUILD_LOOP_MIN(n)
#endif

// Loops over register tiles have constant bounds and must vanish, or the tiles would live in memory.
#if defined(__clang__)
#define NPUKBUILD_UNROLL NPUKBUILD_PRAGMA(clang loop unroll(full))
#else
#define NPUKBUILD_UNROLL NPUKBUILD_PRAGMA(GCC unroll 16)
#endif
