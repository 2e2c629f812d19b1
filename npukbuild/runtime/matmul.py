"""A matmul of any size out of the releases that there are."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from npukbuild.errors import InputError, NpukbuildError, ReleaseMissingError
from npukbuild.kernels.matmul_numerics import NUMPY_DTYPES
from npukbuild.publish.keys import known_keys
from npukbuild.publish.registry import open_registry
from npukbuild.publish.release import verify_release
from npukbuild.runtime.convert import input_dtype, to_bf16, to_input
from npukbuild.runtime.loaded import Job, LoadedKernel
from npukbuild.runtime.select import DEFAULT_REGISTRY, best_of, problem_of, releases_of
from npukbuild.runtime.tiling import Kernel, Piece, Tiling, tile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from npukbuild.publish.release import Release

log = logging.getLogger("npukbuild.runtime")

_MOST_OPEN = 4
"""Kernels kept on a device at once; the driver gives npu1 six contexts for the whole machine."""


@dataclass(frozen=True)
class LastCall:
    """What the last ``mm(a, b)`` of this thread did."""

    calls: int
    device: str
    predicted_us: float
    releases: tuple[str, ...]


class Matmul:
    """``mm = Matmul(registry); c = mm(a, b)`` for 2-d arrays of any size.

    It picks the release, or combination of releases, with the fewest calls and then the least predicted
    time, pads and tiles, and adds the partial sums of a split K in float32 (int32 for integers) on the host.
    float32 operands are rounded to bf16 and give a float32 result; bf16 operands give bf16. Of several
    releases of one problem it takes the stable one, then the newest. It may be called from several threads.
    On the NPU it holds the machine's NPU until :meth:`close`, or until the end of a ``with`` block.

    Args:
        registry: Folder or ``oci://`` address; every release is verified when first used.
        target: The array the releases are for.
        device: ``auto`` (NPU when there, else simulator), ``npu`` or ``simulator``.
        fallback: ``"numpy"`` computes with numpy, and logs a warning, when no release or device can serve a
            call; None raises instead.
    """

    def __init__(
        self,
        registry: str = DEFAULT_REGISTRY,
        *,
        target: str = "npu1",
        device: str = "auto",
        channel: str | None = None,
        fallback: str | None = None,
    ) -> None:
        if fallback not in (None, "numpy"):
            raise InputError(f"unknown fallback {fallback!r}", hint='fallback="numpy" or None')
        self._registry = str(registry)
        self._target, self._device, self._channel, self._fallback = target, device, channel, fallback
        self._lock = threading.Lock()
        self._releases: dict[str, Release] | None = None
        self._loaded: OrderedDict[str, LoadedKernel] = OrderedDict()
        self._local = threading.local()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the device back; the next call takes it again."""
        with self._lock:
            for kernel in self._loaded.values():
                kernel.close()

    @property
    def last(self) -> LastCall:
        """What the last call of this thread did.

        Raises:
            InputError: This thread has not called it yet.
        """
        last: LastCall | None = getattr(self._local, "last", None)
        if last is None:
            raise InputError("this Matmul has not been called in this thread")
        return last

    def __call__(
        self, a: NDArray[Any], b: NDArray[Any], *, out_dtype: str | None = None, shift: int | None = None
    ) -> NDArray[Any]:
        """Return A[M, K] x B[K, N]; views and any strides are fine.

        Args:
            a: Left operand.
            b: Right operand, of the same dtype.
            out_dtype: ``f32`` takes only releases with float32 results, ``bf16`` gives a bf16 result; for
                integers the result type of the releases to use, ``i32`` by default.
            shift: Right shift of the releases to use, for narrow integer results.

        Raises:
            InputError: Not two 2-d arrays of one dtype with equal K.
            ReleaseMissingError: No release can serve it; the nearest are listed.
        """
        a, b = np.asarray(a), np.asarray(b)
        dtype = _check(a, b)
        try:
            return self._compute(a, b, dtype, out_dtype, shift)
        except NpukbuildError as error:
            if self._fallback != "numpy" or isinstance(error, InputError):
                raise
            if out_dtype in ("i8", "i16") or shift:
                raise  # what a narrow integer release does is not what numpy does
            log.warning("matmul %s x %s computed with numpy: %s", a.shape, b.shape, error.what)
            self._local.last = LastCall(0, "numpy", 0.0, ())
            return _with_numpy(a, b)

    def plan(
        self,
        m: int,
        k: int,
        n: int,
        dtype: str = "bf16",
        *,
        out_dtype: str | None = None,
        shift: int | None = None,
    ) -> Tiling:
        """Return how a problem would be served, without running it."""
        tiling = tile(self._kernels(dtype, out_dtype, shift), m, k, n)
        if tiling is None:
            raise self._missing(m, k, n, dtype)
        return tiling

    def _compute(
        self, a: NDArray[Any], b: NDArray[Any], dtype: str, out_dtype: str | None, shift: int | None
    ) -> NDArray[Any]:
        tiling = self.plan(a.shape[0], a.shape[1], b.shape[1], dtype, out_dtype=out_dtype, shift=shift)
        left, right = to_input(a, dtype, "A"), to_input(b, dtype, "B")
        first = self._load(tiling.pieces[0].kernel.key)
        out = first.abi.arguments[-1].dtype
        total = NUMPY_DTYPES["f32" if dtype == "bf16" else out]
        result = np.zeros((a.shape[0], b.shape[1]), dtype=total)
        for piece in tiling.pieces:
            kernel = self._load(piece.kernel.key)
            kernel.run_all(_jobs(piece, kernel, left, right, result))
        names = tuple(dict.fromkeys(piece.kernel.key for piece in tiling.pieces))
        self._local.last = LastCall(tiling.calls, first.device, tiling.us, names)
        if dtype == "bf16" and (
            out_dtype == "bf16" or (out_dtype is None and a.dtype == NUMPY_DTYPES["bf16"])
        ):
            return to_bf16(result)
        return result

    def _kernels(self, dtype: str, out_dtype: str | None, shift: int | None) -> list[Kernel]:
        """Return the releases that may be combined for one result, as the tiling sees them."""
        groups: dict[tuple[str, int], list[Kernel]] = defaultdict(list)
        for key, release in self._all_releases().items():
            problem = problem_of(release)
            if problem["dtype"] != dtype:
                continue
            out = str(problem["out_dtype"])
            us = float(release.json("plan.json")["prediction"]["total_us"])
            sizes = (int(problem["m"]), int(problem["k"]), int(problem["n"]))
            groups[out, int(problem["shift"])].append(
                Kernel(*sizes, us, key, splits_k=out in ("bf16", "f32", "i32"))
            )
        if dtype == "bf16":  # both results are the same sum, rounded or not
            return [
                k
                for (out, _), kernels in groups.items()
                if out_dtype != "f32" or out == "f32"
                for k in kernels
            ]
        return _one_group(groups, out_dtype, shift)

    def _all_releases(self) -> dict[str, Release]:
        with self._lock:
            if self._releases is None:
                found = releases_of(open_registry(self._registry), "matmul", self._target, self._channel)
                by_problem: dict[str, list[Release]] = defaultdict(list)
                for release in found:
                    by_problem[str(problem_of(release))].append(release)
                best = [best_of(releases) for releases in by_problem.values()]
                self._releases = {str(release.id): release for release in best}
            return self._releases

    def _load(self, key: str) -> LoadedKernel:
        release = self._all_releases()[key]
        with self._lock:
            kernel = self._loaded.get(key)
            if kernel is None:
                verify_release(release, known_keys())
                kernel = self._loaded[key] = LoadedKernel(release, device=self._device)
            self._loaded.move_to_end(key)
            for old in list(self._loaded)[:-_MOST_OPEN]:
                self._loaded[old].close()
            return kernel

    def _missing(self, m: int, k: int, n: int, dtype: str) -> ReleaseMissingError:
        there = sorted(self._releases or {})
        return ReleaseMissingError(
            f"no release can compute {m} x {k} x {n} in {dtype} on {self._target}",
            where=self._registry,
            details=there[:5],
            hint=f"npukbuild matmul --m {m} --k {k} --n {n} --dtype {dtype} --target {self._target}, "
            "then npukbuild publish",
        )


def _check(a: NDArray[Any], b: NDArray[Any]) -> str:
    if a.ndim != 2 or b.ndim != 2:
        raise InputError(f"A and B must be matrices, not {a.ndim}-d and {b.ndim}-d arrays")
    if a.shape[1] != b.shape[0]:
        raise InputError(
            f"A is {a.shape[0]} x {a.shape[1]} and B is {b.shape[0]} x {b.shape[1]}",
            why=f"A has {a.shape[1]} columns, B has {b.shape[0]} rows",
        )
    if 0 in a.shape or 0 in b.shape:
        raise InputError("an operand is empty")
    kinds = {input_dtype(a), input_dtype(b)}
    if len(kinds) != 1:
        raise InputError(f"A is {a.dtype} and B is {b.dtype}", hint="give both in one type")
    return kinds.pop()


def _one_group(
    groups: dict[tuple[str, int], list[Kernel]], out_dtype: str | None, shift: int | None
) -> list[Kernel]:
    """Return the releases with one result type and shift: results of different ones mean different things."""
    fitting = {
        (out, by): kernels
        for (out, by), kernels in groups.items()
        if out_dtype in (None, out) and shift in (None, by)
    }
    if out_dtype is None and ("i32", 0) in fitting:
        return fitting["i32", 0]
    if len(fitting) > 1:
        raise InputError(
            "several kinds of releases could serve this and give different results",
            details=[f'out_dtype="{out}", shift={by}' for out, by in sorted(fitting)],
            hint="say which with out_dtype= and shift=",
        )
    return next(iter(fitting.values()), [])


def _jobs(
    piece: Piece, kernel: LoadedKernel, a: NDArray[Any], b: NDArray[Any], result: NDArray[Any]
) -> list[Job]:
    """Return the calls of a piece; each adds its part to ``result``, partial sums of K in order."""
    size = piece.kernel
    transposed = problem_of(kernel.release)["b_layout"] == "col"
    jobs = []
    for row in range(piece.row, piece.row + piece.rows, size.m):
        rows = slice(row, min(row + size.m, piece.row + piece.rows))
        for column in range(piece.column, piece.column + piece.columns, size.n):
            columns = slice(column, min(column + size.n, piece.column + piece.columns))
            block = result[rows, columns]
            for step in range(0, a.shape[1], size.k):
                right = b[step : step + size.k, columns]
                arrays = (a[rows, step : step + size.k], right.T if transposed else right)
                jobs.append(Job(arrays, block.shape, partial(_add, block)))
    return jobs


def _add(block: NDArray[Any], part: NDArray[Any]) -> None:
    """Add one call's result to its block; the block began as zeros."""
    block += part.astype(block.dtype)


def _with_numpy(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    if a.dtype.kind in "iu":
        return a.astype(np.int32) @ b.astype(np.int32)
    product: NDArray[Any] = a.astype(np.float32) @ b.astype(np.float32)
    return product.astype(a.dtype) if a.dtype == NUMPY_DTYPES["bf16"] else product
