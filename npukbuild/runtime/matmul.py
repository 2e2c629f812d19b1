"""A matmul of any size out of the releases that there are."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from npukbuild.errors import InputError, NpukbuildError, ReleaseMissingError
from npukbuild.kernels.matmul_numerics import NUMPY_DTYPES
from npukbuild.publish.keys import known_keys
from npukbuild.publish.registry import open_registry
from npukbuild.publish.release import verify_release
from npukbuild.runtime.convert import input_dtype, to_input
from npukbuild.runtime.loaded import LoadedKernel
from npukbuild.runtime.select import DEFAULT_REGISTRY, releases_of
from npukbuild.runtime.tiling import Kernel, Piece, Tiling, tile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from npukbuild.publish.release import Release

log = logging.getLogger("npukbuild.runtime")


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
    float32 operands are rounded to bf16 and give a float32 result; bf16 operands give bf16.

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
        self._loaded: dict[str, LoadedKernel] = {}
        self._local = threading.local()

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

    def __call__(self, a: NDArray[Any], b: NDArray[Any], *, out_dtype: str | None = None) -> NDArray[Any]:
        """Return A[M, K] x B[K, N]; views and any strides are fine.

        Raises:
            InputError: Not two 2-d arrays of one dtype with equal K.
            ReleaseMissingError: No release can serve it; the nearest are listed.
        """
        a, b = np.asarray(a), np.asarray(b)
        dtype = _check(a, b)
        try:
            return self._compute(a, b, dtype, out_dtype)
        except NpukbuildError as error:
            if self._fallback != "numpy" or isinstance(error, InputError):
                raise
            log.warning("matmul %s x %s computed with numpy: %s", a.shape, b.shape, error.what)
            self._local.last = LastCall(0, "numpy", 0.0, ())
            return _with_numpy(a, b)

    def plan(self, m: int, k: int, n: int, dtype: str = "bf16", out_dtype: str | None = None) -> Tiling:
        """Return how a problem would be served, without running it."""
        kernels = [kernel for kernel, out in self._kernels(dtype) if out_dtype in (None, out)]
        tiling = tile(kernels, m, k, n)
        if tiling is None:
            raise self._missing(m, k, n, dtype)
        return tiling

    def _compute(self, a: NDArray[Any], b: NDArray[Any], dtype: str, out_dtype: str | None) -> NDArray[Any]:
        tiling = self.plan(a.shape[0], a.shape[1], b.shape[1], dtype, out_dtype)
        left, right = to_input(a, dtype, "A"), to_input(b, dtype, "B")
        total = np.int32 if dtype != "bf16" else np.float32
        result: NDArray[Any] | None = None
        calls = 0
        for piece in tiling.pieces:
            kernel = self._load(piece.kernel.key)
            for rows, columns, part in _run_piece(piece, kernel, left, right, total):
                if result is None:
                    result = np.empty((a.shape[0], b.shape[1]), dtype=part.dtype)
                result[rows, columns] = part
            calls += piece.calls
        assert result is not None
        names = tuple(dict.fromkeys(piece.kernel.key for piece in tiling.pieces))
        self._local.last = LastCall(calls, self._load(names[0]).device, tiling.us, names)
        wide = dtype == "bf16" and (a.dtype == NUMPY_DTYPES["bf16"]) and out_dtype != "f32"
        return result.astype(NUMPY_DTYPES["bf16"]) if wide else result

    def _kernels(self, dtype: str) -> Iterator[tuple[Kernel, str]]:
        with self._lock:
            if self._releases is None:
                found = releases_of(open_registry(self._registry), "matmul", self._target, self._channel)
                self._releases = {str(release.id): release for release in found}
        for key, release in self._releases.items():
            plan = release.json("plan.json")
            problem = plan["problem"]
            if problem["dtype"] != dtype or problem["b_layout"] != "row":
                continue
            out = str(problem["out_dtype"])
            splits = out in ("bf16", "f32", "i32")
            us = float(plan["prediction"]["total_us"])
            sizes = (int(problem["m"]), int(problem["k"]), int(problem["n"]))
            yield Kernel(*sizes, us, key, splits), out

    def _load(self, key: str) -> LoadedKernel:
        with self._lock:
            if key not in self._loaded:
                assert self._releases is not None
                release = self._releases[key]
                verify_release(release, known_keys())
                self._loaded[key] = LoadedKernel(release, device=self._device)
            return self._loaded[key]

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


def _run_piece(
    piece: Piece, kernel: LoadedKernel, a: NDArray[Any], b: NDArray[Any], total: Any
) -> Iterator[tuple[slice, slice, NDArray[Any]]]:
    """Yield (rows, columns, values) of each block, partial sums of K added in ``total``."""
    size = piece.kernel
    depth = a.shape[1]
    for row in range(piece.row, piece.row + piece.rows, size.m):
        rows = slice(row, min(row + size.m, piece.row + piece.rows))
        for column in range(piece.column, piece.column + piece.columns, size.n):
            columns = slice(column, min(column + size.n, piece.column + piece.columns))
            window = (rows.stop - rows.start, columns.stop - columns.start)
            steps = range(0, depth, size.k)
            parts = (
                kernel.run_window((a[rows, s : s + size.k], b[s : s + size.k, columns]), window)
                for s in steps
            )
            if len(steps) == 1 and piece.kernel.splits_k is False:
                yield rows, columns, next(parts)
                continue
            added = np.zeros(window, dtype=total)
            for part in parts:
                added += part.astype(total)
            yield rows, columns, added


def _with_numpy(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    if a.dtype.kind in "iu":
        return a.astype(np.int32) @ b.astype(np.int32)
    product: NDArray[Any] = a.astype(np.float32) @ b.astype(np.float32)
    return product.astype(a.dtype) if a.dtype == NUMPY_DTYPES["bf16"] else product
