"""The doctor's checks of the build: uv, the environment, Peano, xclbinutil, aiecc, by really using them."""

from __future__ import annotations

import re
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from npukbuild.errors import NpukbuildError, ToolchainMissingError
from npukbuild.toolchain.build import build_xclbin
from npukbuild.toolchain.checks import Check, failed, passed, warned
from npukbuild.toolchain.discovery import Toolchain, find_toolchain
from npukbuild.toolchain.installed import status
from npukbuild.toolchain.locate import find_xclbinutil
from npukbuild.toolchain.objects import AIE_MACHINE, read_object
from npukbuild.toolchain.peano import compile_kernel
from npukbuild.toolchain.process import Step, check_outputs, run_step
from npukbuild.toolchain.uv import find_uv

if TYPE_CHECKING:
    from npukbuild.toolchain.aiecc import CoreLimits
    from npukbuild.toolchain.lock import LockFile
    from npukbuild.toolchain.machine import Machine

PROBE = Path(__file__).with_name("probe")
PROBE_SYMBOL = "npukbuild_probe"
_INSTALL = "npukbuild toolchain install"
_XRT_TOOLS = "install XRT's tools (xclbinutil), or set NPUKBUILD_XCLBINUTIL to one that works"


class ToolChecks:
    """Checks that share one toolchain; each returns its outcome."""

    def __init__(
        self,
        machine: Machine,
        lock: LockFile,
        limits: CoreLimits,
        mlir_aie: Path | None = None,
        peano: Path | None = None,
    ) -> None:
        self._machine = machine
        self._lock = lock
        self._limits = limits
        self._named = (mlir_aie, peano)
        self._toolchain: Toolchain | None = None
        self.link_fault: str | None = None
        """Why the doctor's own link failed; aiecc's link is the one that counts."""

    def uv(self) -> Check:
        """Run uv for its version."""
        program = find_uv()
        with tempfile.TemporaryDirectory(prefix="npuk-") as work:
            answer = self._machine.run([program, "--version"], Path(work))
        if answer.returncode != 0 or not answer.first_line.startswith("uv "):
            return failed(
                "uv",
                f"{program} does not run: {answer.last_line}",
                "python -m pip install --force-reinstall uv",
            )
        return passed("uv", answer.first_line.split(" (")[0])

    def environment(self) -> Check:
        """Find the toolchain as a build does."""
        try:
            self._toolchain = find_toolchain(*self._named, lock=self._lock)
        except NpukbuildError as error:
            return failed("toolchain", f"{error.what}: {error.why or error.where}", error.hint or _INSTALL)
        if self._toolchain is None:
            chosen = self._lock.choose(None)
            return warned(
                "toolchain", f"set {chosen.name} is not installed: no XCLBIN can be built", _INSTALL
            )
        found = self._toolchain
        says = f"{found.origin}: mlir_aie {found.mlir_aie_version}, Peano {found.peano_version}"
        backports = sorted(found.mlir_aie.parent.glob("dataclasses-*.dist-info"))
        if backports:
            return warned(
                "toolchain",
                f"{says}, and the dataclasses backport beside it",
                f"uninstall dataclasses there ({backports[0].parent}): it shadows the standard library",
            )
        if found.origin.startswith("set ") and self._damaged(found.origin.removeprefix("set ")):
            name = found.origin.removeprefix("set ")
            return failed(
                "toolchain",
                f"{says}: files have changed since the install",
                f"npukbuild toolchain remove {name}, then {_INSTALL} --set {name}",
            )
        return passed("toolchain", says)

    def _damaged(self, name: str) -> bool:
        return any(s.state == "damaged" for s in status(self._lock, thorough=True) if s.chosen.name == name)

    def peano(self) -> Check:
        """Compile the small kernel and link a small core, as a build does."""
        if self._toolchain is None:
            return warned("Peano", "not checked: there is no toolchain", _INSTALL)
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="npuk-") as folder:
            work = Path(folder)
            try:
                for source, symbols in (("kernel.cc", [PROBE_SYMBOL]), ("core.cc", ["core_0_2"])):
                    compile_kernel(
                        PROBE / source,
                        toolchain=self._toolchain,
                        arch="aie2",
                        work=work / source[0],
                        symbols=symbols,
                        output=source.replace(".cc", ".o"),
                        complete=source == "kernel.cc",
                        timeout=120.0,
                    )
            except NpukbuildError as error:
                return failed(
                    "Peano", f"{error.what}: {error.why}", error.hint or "npukbuild toolchain install"
                )
            self.link_fault = self._link(work, self._toolchain)
        seconds = time.monotonic() - started
        if self.link_fault:
            return failed(
                "Peano", f"compiles, and cannot link a core: {self.link_fault}", "reinstall llvm-aie"
            )
        return passed("Peano", f"compiled and linked a small core in {seconds:.1f} s")

    def _link(self, work: Path, toolchain: Toolchain) -> str | None:
        """Link the core as aiecc does; return what went wrong."""
        (work / "l").mkdir()
        step = Step(
            name="link",
            argv=(
                str(toolchain.peano / "bin" / "clang++"),
                "-O2",
                "--target=aie2-none-unknown-elf",
                f"-fuse-ld={toolchain.peano / 'bin' / 'ld.lld'}",
                str(work / "c" / "core.o"),
                str(work / "k" / "kernel.o"),
                "-Wl,--gc-sections",
                "-Wl,--orphan-handling=error",
                f"-Wl,-T,{PROBE / 'core.ld'}",
                "-o",
                "core.elf",
            ),
            cwd=work / "l",
            environment=toolchain.environment(work / "l"),
            timeout=60.0,
            outputs=("core.elf",),
        )
        started = time.time()
        outcome = run_step(step)
        faults = check_outputs(step, started)
        if outcome.returncode != 0 or faults:
            said = outcome.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            return (said[0] if said else "; ".join(faults) or outcome.ended)[:200]
        facts = read_object(work / "l" / "core.elf")
        return None if facts.machine == AIE_MACHINE else f"the core's ELF machine is {facts.machine}"

    def xclbinutil(self) -> Check:
        """Run xclbinutil and read its words: Debian's is a wrapper of a missing file and exits 0."""
        root = self._toolchain.mlir_aie if self._toolchain else Path("/nowhere")
        program = find_xclbinutil(root, machine=self._machine.root)
        if program is None:
            return warned("xclbinutil", "not found: aiecc cannot write XCLBINs without it", _XRT_TOOLS)
        with tempfile.TemporaryDirectory(prefix="npuk-") as work:
            answer = self._machine.run([program, "--version"], Path(work))
        version = re.search(r"\d+\.\d+(?:\.\d+)?", answer.output)
        broken = re.search(r"(?i)not found|no such file|could not find|error", answer.output)
        if answer.returncode is None or broken or version is None:
            said = answer.last_line or "it says nothing"
            code = f" and ends with code {answer.returncode}" if answer.returncode is not None else ""
            return failed("xclbinutil", f"{program} does not work: {said}{code}", _XRT_TOOLS)
        return passed("xclbinutil", f"{program}, version {version[0]}")

    def aiecc(self) -> Check:
        """Build the small design, from its source to a checked XCLBIN."""
        if self._toolchain is None:
            return warned("aiecc", "not checked: there is no toolchain", _INSTALL)
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="npuk-") as folder:
            try:
                built = build_xclbin(
                    PROBE / "design.mlir",
                    [PROBE / "kernel.cc"],
                    "probe",
                    toolchain=self._toolchain,
                    work=Path(folder),
                    arch="aie2",
                    symbols=[PROBE_SYMBOL],
                    limits=self._limits,
                )
            except ToolchainMissingError as error:
                return failed("aiecc", error.what, error.hint or _INSTALL)
            except NpukbuildError as error:
                return failed("aiecc", f"{error.what}: {error.why}", error.hint or _INSTALL)
            size = built.xclbin.stat().st_size
        return passed("aiecc", f"built a small design ({size} bytes) in {time.monotonic() - started:.1f} s")
