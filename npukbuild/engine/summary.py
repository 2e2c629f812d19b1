"""The closing table of a build of many kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from npukbuild.engine.progress import duration, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from npukbuild.engine.pipeline import BuildReport, KernelResult

LISTED_KERNELS = 30
"""More kernels than this are summed up by target and family; what failed is always listed."""

_HEAD = ("kernels", "built", "hit", "failed", "time", "size")


def closing_table(report: BuildReport, wall_seconds: float) -> list[str]:
    """Return the lines of the closing table: what was built, hit or failed, its time and size."""
    results = report.results
    lines = _rows(results) if len(results) <= LISTED_KERNELS else _sums(results)
    for result in results:
        if result.status == "failed" and result.error is not None:
            lines.append(f"failed  {result.kernel.group}: {result.error.what}")
            lines.extend(f"        {text}" for text in (result.error.why, result.error.where) if text)
    skipped = sum(result.status == "skipped" for result in results)
    if skipped:
        lines.append(
            f"skipped {skipped} kernels after the first failure; --keep-going builds them all the same"
        )
    lines.append(total_line(results, wall_seconds))
    return lines


def total_line(results: Sequence[KernelResult], wall_seconds: float) -> str:
    """Return the totals in one line."""
    built, hit, failed = (_count(results, status) for status in ("built", "hit", "failed"))
    noun = "kernel" if len(results) == 1 else "kernels"
    total = sum(result.bytes for result in results)
    counts = f"{built} built, {hit} hit, {failed} failed"
    return f"{len(results)} {noun}: {counts} in {duration(wall_seconds)}, {size(total)}"


def unchanged_line(results: Sequence[KernelResult]) -> str:
    """Return what to say next time when nothing changed."""
    noun = "kernel is" if len(results) == 1 else "kernels are"
    return f"{len(results)} {noun} up to date, {size(sum(result.bytes for result in results))}"


def as_data(report: BuildReport, wall_seconds: float) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    results = report.results
    return {
        "kernels": [
            {
                "name": result.kernel.name,
                "target": result.kernel.target,
                "status": result.status,
                "artifact": str(result.folder) if result.status in ("built", "hit") else None,
                "seconds": round(result.seconds, 3),
                "bytes": result.bytes,
                "because": result.because,
                "error": result.error.as_dict() if result.error is not None else None,
            }
            for result in results
        ],
        "built": _count(results, "built"),
        "hit": _count(results, "hit"),
        "failed": _count(results, "failed"),
        "skipped": _count(results, "skipped"),
        "seconds": round(wall_seconds, 3),
    }


def _count(results: Sequence[KernelResult], status: str) -> int:
    return sum(result.status == status for result in results)


def _rows(results: Sequence[KernelResult]) -> list[str]:
    width = max((len(result.kernel.group) for result in results), default=0)
    return [
        f"{result.status:<8}{result.kernel.group:<{width}}"
        f"  {duration(result.seconds):>8}  {size(result.bytes):>7}"
        for result in results
        if result.status in ("built", "hit")
    ]


def _sums(results: Sequence[KernelResult]) -> list[str]:
    groups: dict[str, list[KernelResult]] = {}
    for result in results:
        groups.setdefault(f"{result.kernel.target} {result.kernel.request['family']}", []).append(result)
    width = max(len(name) for name in groups)
    lines = [f"{'':<{width}}" + "".join(f"{name:>10}" for name in _HEAD)]
    for name, members in groups.items():
        cells = [
            str(len(members)),
            *(str(_count(members, status)) for status in ("built", "hit", "failed")),
            duration(sum(member.seconds for member in members)),
            size(sum(member.bytes for member in members)),
        ]
        lines.append(f"{name:<{width}}" + "".join(f"{cell:>10}" for cell in cells))
    return lines
