"""Every way in which npukbuild can fail: one class and one exit code per kind.

A message has up to four parts: *what* failed, *where* (in the template, the design, the kernel or the
request), *why* with the numbers, and a *hint* what to do. The command line prints them in that order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class NpukbuildError(Exception):
    """Base of all expected failures.

    Args:
        what: What failed, in one line, without a final full stop.
        where: The place: ``templates/matmul/design.mlir.j2:12``, ``--n``, ``kernels.toml:7``.
        why: The reason with its numbers.
        hint: What the reader can do.
        details: Further lines (all mistakes of one input, the last lines of a log).
    """

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "error"

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        why: str | None = None,
        hint: str | None = None,
        details: Sequence[str] = (),
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.hint = hint
        self.details = tuple(details)

    def as_dict(self) -> dict[str, Any]:
        """Return the error as plain data for ``--json``."""
        return {
            "error": self.kind,
            "exit_code": self.exit_code,
            "what": self.what,
            "where": self.where,
            "why": self.why,
            "hint": self.hint,
            "details": list(self.details),
        }

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f"  at {self.where}")
        if self.why:
            parts.append(f"  because {self.why}")
        parts.extend(f"  {line}" for line in self.details)
        if self.hint:
            parts.append(f"  hint: {self.hint}")
        return "\n".join(parts)


class RequestError(NpukbuildError):
    """The request itself is wrong: an unknown dtype, a size below 1, contradicting options."""

    exit_code = 2
    kind = "request"


class CannotFitError(NpukbuildError):
    """No legal plan exists for the request on its target; the arithmetic is in ``why``."""

    exit_code = 3
    kind = "cannot-fit"


class RenderError(NpukbuildError):
    """A template is missing, is wrong, or used a name nobody gave it."""

    exit_code = 4
    kind = "render"


class DesignError(NpukbuildError):
    """A design's text cannot be read, or breaks a rule of its dialect."""

    exit_code = 5
    kind = "design"


class ResourceError(NpukbuildError):
    """A design needs more than its tiles have: bytes, locks, BDs, channels, streams."""

    exit_code = 6
    kind = "resources"


class CompilerMissingError(NpukbuildError):
    """No host C++ compiler that the simulator could use was found."""

    exit_code = 7
    kind = "compiler-missing"


class CompileError(NpukbuildError):
    """A kernel does not compile."""

    exit_code = 8
    kind = "compile"


class SimulationFault(NpukbuildError):
    """The design deadlocked, read poison, overran a buffer or broke another rule while simulated."""

    exit_code = 9
    kind = "simulation-fault"


class CheckFailedError(NpukbuildError):
    """The design ran and its numbers are wrong."""

    exit_code = 10
    kind = "check-failed"


class FolderError(NpukbuildError):
    """A file or folder cannot be read or written."""

    exit_code = 11
    kind = "folder"


class DiskFullError(NpukbuildError):
    """No space is left on a device we write to."""

    exit_code = 12
    kind = "disk-full"


class BusyError(NpukbuildError):
    """Another process holds a lock for longer than we are ready to wait."""

    exit_code = 13
    kind = "busy"


class ToolchainMissingError(NpukbuildError):
    """The pinned toolchain, or a part of it, is not installed."""

    exit_code = 14
    kind = "toolchain-missing"


class InstallError(NpukbuildError):
    """The toolchain cannot be installed: network, hash, space, platform, Python."""

    exit_code = 15
    kind = "install"


class ToolError(NpukbuildError):
    """Peano, aiecc, xclbinutil or another external tool failed, hung or left bad output."""

    exit_code = 16
    kind = "tool"


class LockFileError(NpukbuildError):
    """``toolchain.lock`` or another pinned data file is wrong."""

    exit_code = 17
    kind = "lock-file"


class ContainerError(NpukbuildError):
    """An XCLBIN, PDI or instruction stream is damaged or not what it claims."""

    exit_code = 18
    kind = "container"


class CacheError(NpukbuildError):
    """The build cache cannot be used at all (a bad entry alone is rebuilt, not an error)."""

    exit_code = 19
    kind = "cache"


class ManifestError(NpukbuildError):
    """A kernels.toml is wrong; all its mistakes are in ``details``."""

    exit_code = 20
    kind = "manifest"


class BuildFailedError(NpukbuildError):
    """Some kernels of a manifest failed; each is in ``details``."""

    exit_code = 21
    kind = "build-failed"


class DeviceError(NpukbuildError):
    """The NPU, its driver or pyxrt refused or failed."""

    exit_code = 22
    kind = "device"


class DeviceHungError(NpukbuildError):
    """The NPU did not answer within the deadline and the runner was killed."""

    exit_code = 23
    kind = "device-hung"


class GateRefusedError(NpukbuildError):
    """Publishing was refused: no passing verdict for exactly these bytes."""

    exit_code = 24
    kind = "gate-refused"


class RegistryError(NpukbuildError):
    """A registry is unreachable, damaged, or already has this version with other bytes."""

    exit_code = 25
    kind = "registry"


class SignatureError(NpukbuildError):
    """A signature or a hash of a release does not match."""

    exit_code = 26
    kind = "signature"


class ReleaseMissingError(NpukbuildError):
    """No release fits what the application asked for; the nearest are in ``details``."""

    exit_code = 27
    kind = "release-missing"


class InputError(NpukbuildError):
    """A user's array has the wrong shape, dtype or file format."""

    exit_code = 28
    kind = "input"


EXIT_INTERNAL = 70
"""Exit code of a defect in npukbuild itself (sysexits' EX_SOFTWARE)."""

EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C (128 + SIGINT)."""
