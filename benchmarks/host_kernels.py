"""How fast kernels run on this machine: ``python -m benchmarks.host_kernels``.

Products of 64x64x64 blocks through the host's ``aie::mmul``, as ratios to numpy's float32 matmul of
512x512x512 on one thread; the cost of one call; and the time to find a compiler and compile a kernel.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import ml_dtypes
import numpy as np

from npukbuild.simulator.hostcc import compile_kernels, find_compiler
from npukbuild.simulator.kernel_library import KernelLibrary

if TYPE_CHECKING:
    from collections.abc import Callable

_KERNELS = """#include <aie_api/aie.hpp>
template <class T, class Out, class Tag, unsigned r, unsigned s, unsigned t, unsigned TN>
static void block(const T *a, const T *b, Out *c) {
  using M = aie::mmul<r, s, t, T, T, Tag>;
  constexpr unsigned rows = 64 / r, depth = 64 / s, columns = 64 / t;
  for (unsigned z = 0; z < rows; z += 4)
    for (unsigned j = 0; j < columns; j += TN) {
      M sums[4][TN];
      for (unsigned i = 0; i < depth; i++)
        for (unsigned y = 0; y < 4; y++)
          for (unsigned x = 0; x < TN; x++)
            sums[y][x].mac(aie::load_v<M::size_A>(a + ((z + y) * depth + i) * M::size_A),
                           aie::load_v<M::size_B>(b + (i * columns + j + x) * M::size_B));
      for (unsigned y = 0; y < 4; y++)
        for (unsigned x = 0; x < TN; x++)
          aie::store_v(c + ((z + y) * columns + j + x) * M::size_C, sums[y][x].template to_vector<Out>());
    }
}
#define KERNEL(name, T, Out, ...) \\
  extern "C" void name(T *a, T *b, Out *c) { block<T, Out, __VA_ARGS__>(a, b, c); }
KERNEL(bf16, bfloat16, bfloat16, accfloat, 4, 8, 4, 4)
KERNEL(int8_, int8, int8, acc32, 4, 8, 8, 2)
KERNEL(int16_, int16, int32, acc64, 4, 4, 4, 2)
extern "C" void nothing(int *, int *, int *) {}
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: a value in its unit, and the ratio to numpy's rate where there is one."""

    name: str
    value: float
    unit: str
    slower_than_numpy: float | None = None


def run() -> list[Row]:
    """Measure compile time, call overhead and block products."""
    start = time.perf_counter()
    compiler = find_compiler()
    found = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "k.cc").write_text(_KERNELS)
        compile_kernels([folder / "k.cc"], arch="aie2", output=folder / "k.so", compiler=compiler)
        compiled = time.perf_counter()
        library = KernelLibrary(folder / "k.so")
    rows = [Row("find a compiler", found - start, "s"), Row("compile four kernels", compiled - found, "s")]
    baseline = _numpy_rate()
    rows.append(Row("numpy float32 512x512x512", baseline / 1e9, "GFLOP/s"))
    kinds = (
        ("bf16", ml_dtypes.bfloat16, ml_dtypes.bfloat16),
        ("int8_", np.int8, np.int8),
        ("int16_", np.int16, np.int32),
    )
    for kernel, dtype, out in kinds:
        a, b, c = np.ones(4096, dtype), np.ones(4096, dtype), np.zeros(4096, out)
        call = library.bind(kernel, ["ptr"] * 3)
        pointers = [array.ctypes.data for array in (a, b, c)]
        rate = 2 * 64**3 / _best(partial(call, *pointers), 200)
        rows.append(Row(f"{kernel.rstrip('_')} 64x64x64", rate / 1e9, "GOP/s", baseline / rate))
    empty = library.bind("nothing", ["ptr"] * 3)
    rows.append(Row("one call", _best(lambda: empty(1, 2, 3), 2000) * 1e6, "us"))
    return rows


def _numpy_rate() -> float:
    a = np.random.default_rng(0).normal(size=(512, 512)).astype(np.float32)
    return 2 * 512**3 / _best(lambda: a @ a, 5)


def _best(action: Callable[[], object], times: int) -> float:
    """Seconds of one action: the best of five rounds."""
    rounds = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(times):
            action()
        rounds.append((time.perf_counter() - start) / times)
    return min(rounds)


if __name__ == "__main__":
    for row in run():
        ratio = f"  {row.slower_than_numpy:5.2f}x slower than numpy" if row.slower_than_numpy else ""
        print(f"{row.name:28} {row.value:10.3f} {row.unit}{ratio}")
