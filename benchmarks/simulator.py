"""The simulator against numpy and its own limits: ``python -m benchmarks.simulator``.

Functional throughput is the whole simulated call of a 512 x 512 x 512 bf16 matmul on 16 cores (blocks moved,
layouts changed, kernels run), the best of several taken in turn with numpy's float32 product on the same
machine.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_ROUNDS = 15


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: ``value`` in ``unit`` should be at most ``bound`` (at least, if ``least``)."""

    name: str
    value: float
    unit: str
    bound: float
    least: bool = False
    baseline: str = ""

    @property
    def good(self) -> bool:
        """Whether the bound holds."""
        return self.value >= self.bound if self.least else self.value <= self.bound

    def line(self) -> str:
        """Return the row as text."""
        relation = ">=" if self.least else "<="
        missed = "" if self.good else "  (missed)"
        figure = f"{self.name:<52}{self.value:>12,.2f} {self.unit:<12}"
        return f"{figure} {relation} {self.bound:,g} {self.baseline}{missed}"


def run() -> list[Row]:
    """Measure everything."""
    with tempfile.TemporaryDirectory() as folder:
        return [*throughput(Path(folder)), *handovers(), *large(Path(folder)), start_up()]


def throughput(folder: Path) -> list[Row]:
    """Functional and timed 512^3 bf16 on 16 cores against numpy's float32 product."""
    call, reference = matmul(folder, 512, 512, 512, timed=False)
    cubes, _ = matmul(folder, 512, 512, 512, timed=False, block=(64, 64, 64))
    timed, _ = matmul(folder, 512, 512, 512, timed=True)
    ours, theirs, slow, even = [], [], [], []
    for _ in range(_ROUNDS):
        ours.append(_seconds(call))
        theirs.append(_seconds(reference))
        slow.append(_seconds(timed))
        even.append(_seconds(cubes))
    base = min(theirs)
    note = f"numpy float32 {base * 1e3:.2f} ms"
    return [
        Row("the same in blocks of 64x64x64", min(even) / base, "x numpy", 10, baseline=note),
        Row("512x512x512 bf16 on 16 cores, functional", min(ours) / base, "x numpy", 10, baseline=note),
        Row("512x512x512 bf16 on 16 cores, timed", min(slow) / base, "x numpy", 30, baseline=note),
    ]


def matmul(
    folder: Path, m: int, k: int, n: int, *, timed: bool, block: tuple[int, int, int] | None = None
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return one simulated call of our own matmul on the whole npu1, and numpy's float32 product."""
    import ml_dtypes
    import numpy as np

    from npukbuild.ir import load_design
    from npukbuild.kernels.matmul import MatmulProblem
    from npukbuild.planner import plan_matmul
    from npukbuild.render import render
    from npukbuild.simulator import Simulator
    from npukbuild.simulator.hostcc import compile_kernels
    from npukbuild.simulator.kernel_library import KernelLibrary
    from npukbuild.targets import load_target

    plan = plan_matmul(
        MatmulProblem(m=m, k=k, n=n, dtype="bf16", out_dtype="bf16"), load_target("npu1"), block=block
    )
    sources = render(plan)
    kernel = folder / "kernel.cc"
    kernel.write_text(sources.kernel)
    library = KernelLibrary(compile_kernels([kernel], arch="aie2", output=folder / "kernel.so"))
    simulator = Simulator(load_design(sources.design), library, timed=timed)
    rng = np.random.default_rng(0)
    args = [rng.standard_normal(argument.shape).astype(ml_dtypes.bfloat16) for argument in plan.abi.arguments]
    a, b = (array.astype(np.float32) for array in args[:2])
    simulator.run(args)
    return lambda: simulator.run(args), lambda: a @ b


PASS_THROUGH = """module { aie.device(npu1_1col) {
  %shim = aie.tile(0, 0)
  %mem = aie.tile(0, 1)
  %core = aie.tile(0, 2)
  aie.objectfifo @x(%shim, {%mem}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
  aie.objectfifo @x2(%mem, {%core}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
  aie.objectfifo.link [@x] -> [@x2] ([] [])
  aie.objectfifo @y(%core, {%shim}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
  func.func private @copy(memref<64xi32>, memref<64xi32>)
  %c = aie.core(%core) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %forever = arith.constant 2147483640 : index
    scf.for %it = %c0 to %forever step %c1 {
      %sx = aie.objectfifo.acquire @x2(Consume, 1) : !aie.objectfifosubview<memref<64xi32>>
      %x = aie.objectfifo.subview.access %sx[0] : !aie.objectfifosubview<memref<64xi32>> -> memref<64xi32>
      %sy = aie.objectfifo.acquire @y(Produce, 1) : !aie.objectfifosubview<memref<64xi32>>
      %y = aie.objectfifo.subview.access %sy[0] : !aie.objectfifosubview<memref<64xi32>> -> memref<64xi32>
      func.call @copy(%x, %y) : (memref<64xi32>, memref<64xi32>) -> ()
      aie.objectfifo.release @x2(Consume, 1)
      aie.objectfifo.release @y(Produce, 1)
    }
    aie.end
  }
  aie.runtime_sequence @sequence(%X: memref<640000xi32>, %Y: memref<640000xi32>) {
    aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,640000][0,0,0,1])
      {id = 0 : i64, metadata = @x} : memref<640000xi32>
    aiex.npu.dma_memcpy_nd(%Y[0,0,0,0][1,1,1,640000][0,0,0,1])
      {id = 1 : i64, metadata = @y} : memref<640000xi32>
    aiex.npu.dma_wait {symbol = @y}
  }
} }
"""


class _Copy:
    """A core function in Python: only the simulator's own work is measured."""

    symbols = ("copy",)

    def new_core_state(self) -> Any:
        """Return no registers."""
        return None

    def bind(self, name: str, argtypes: Any, *, state: Any = None, returns: Any = None) -> Callable[..., Any]:
        """Return a function that copies 256 bytes."""
        from ctypes import memmove

        del name, argtypes, state, returns
        return lambda x, y: memmove(y, x, 256)


def handovers() -> list[Row]:
    """Objects per second that pass from a producer to a consumer, small objects through three fifos."""
    import numpy as np

    from npukbuild.ir import load_design
    from npukbuild.simulator import Simulator

    rows = []
    for timed in (False, True):
        simulator = Simulator(load_design(PASS_THROUGH), _Copy(), timed=timed)
        args = [np.arange(640000, dtype=np.int32), np.zeros(640000, np.int32)]
        simulator.run(args)
        rates = []
        for _ in range(3):
            start = time.perf_counter()
            result = simulator.run(args)
            rates.append(result.counts["handovers"] / (time.perf_counter() - start))
        name = f"fifo hand-overs, {'timed' if timed else 'functional'}"
        rows.append(Row(name, statistics.median(rates), "per second", 50_000, least=True))
    return rows


def large(folder: Path) -> list[Row]:
    """The long problem on the whole array, timed."""
    call, _ = matmul(folder, 3001, 512, 512, timed=True)
    return [Row("3001x512x512 bf16 on 16 cores, timed", _seconds(call), "s", 30)]


def start_up() -> Row:
    """Import of the simulator in a new process."""
    command = [sys.executable, "-c", "from npukbuild.simulator import Simulator"]
    return Row(
        "import of the simulator",
        statistics.median(_seconds(lambda: subprocess.run(command, check=True)) for _ in range(5)),
        "s",
        1,
    )


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    """Print the rows."""
    for row in run():
        sys.stdout.write(row.line() + "\n")


if __name__ == "__main__":
    main()
