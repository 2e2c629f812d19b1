"""Changing the toolchain set, and finding the one that broke something, with stand-in wheels."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from npukbuild.errors import InstallError, RequestError
from npukbuild.publish.bisect import bisect, ordered_sets
from npukbuild.publish.night import KernelNight
from npukbuild.publish.trial import Trial, compare_trials, faults
from npukbuild.toolchain.lock import read_lock
from npukbuild.toolchain.lock_write import write_default
from npukbuild.toolchain.platforms import host_platform
from tests.standins.layout import GOLDEN, HERE
from tests.standins.wheels import PYTHON, Wheel, make_wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCRIPT = f"#!{sys.executable} -I\nimport sys\nsys.path.insert(0, {str(HERE.parent.parent)!r})\n"
AIECC = (
    SCRIPT + "from pathlib import Path\nfrom tests.standins.aiecc_driver import main\n"
    "sys.exit(main(sys.argv[1:], 'declarative', Path(__file__).resolve().parent.parent))\n"
)
CLANG = SCRIPT + "from tests.standins.peano_clang import main\nsys.exit(main(sys.argv[1:], 'c9c5ecb7'))\n"
CONTAINER = GOLDEN / "G1_matmul_64x64x512_bf16.standin.xclbin"
PACKER = SCRIPT + (
    "from tests.standins.package import pack\n"
    "if '--version' in sys.argv: print('XRT Build Version: 2.21.75'); sys.exit(0)\n"
    f"pack({str(CONTAINER)!r}, sys.argv[sys.argv.index('--output') + 1])\n"
)
ARCHIVER = SCRIPT + (
    "from pathlib import Path\nmembers = b''.join(Path(p).read_bytes() for p in sys.argv[3:])\n"
    "Path(sys.argv[2]).write_bytes(b'!<arch>\\n' + members)\n"
)


def make_set(folder: Path, version: str, behaviour: dict[str, Any]) -> list[Wheel]:
    """Make the wheels of one stand-in set, whose aiecc behaves as it is told."""
    mlir: dict[str, str | bytes] = {
        "mlir_aie/bin/aiecc": AIECC, "mlir_aie/bin/xclbinutil": PACKER,
        "mlir_aie/include/aie_api/aie.hpp": "#pragma once\n", "mlir_aie/standin.json": json.dumps(behaviour),
        "aie.pth": "mlir_aie/python\n",
    }  # fmt: skip
    peano: dict[str, str | bytes] = {"llvm-aie/bin/clang++": CLANG, "llvm-aie/bin/llvm-ar": ARCHIVER}
    peano.update(
        {f"llvm-aie/bin/{tool}": "#!/bin/sh\nexit 0\n" for tool in ("opt", "llc", "ld.lld", "clang")}
    )
    return [
        make_wheel(folder, "mlir_aie", version, mlir),
        make_wheel(folder, "llvm_aie", f"21.0.0.{version.replace('.', '')}+c9c5ecb7", peano),
    ]


def write_sets(path: Path, sets: dict[str, list[Wheel]]) -> None:
    lines = ["# A comment that must stay.", "schema = 1", f'default = "{next(iter(sets))}"  # the pin']
    for name, wheels in sets.items():
        lines += [
            f'[sets."{name}"]',
            f'python = "{PYTHON}"',
            'generation = "declarative"',
            'summary = "test"',
        ]
        lines += [f'[sets."{name}".platforms.linux-x86_64]', 'glibc = "2.17"', "installed_bytes = 1000"]
        for wheel in wheels:
            lines += [f'[[sets."{name}".packages]]', f'name = "{wheel.name}"', f'version = "{wheel.version}"',
                      f'filename = "{wheel.path.name}"', f'sha256 = "{wheel.sha256}"']  # fmt: skip
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def sets(world: Path) -> list[str]:
    """A lock file with a good set, one that differs in nothing that matters, and one that cannot build."""
    if host_platform().name != "linux-x86_64":
        pytest.skip("the pinned wheels are for Linux on x86-64")
    broken = {"exit": 1, "stderr": "error: unable to legalize instruction: G_FADD"}
    wanted: dict[str, dict[str, Any]] = {"1.4.0": {}, "1.4.1": {"noise": 0}, "1.4.2": broken}
    write_sets(world / "my.lock", {n: make_set(world / "wheels", n, b) for n, b in wanted.items()})
    return ["--lock", "my.lock", "--offline", "--wheelhouse", "wheels", "--python", sys.executable,
            "--device", "simulator", "--filter", "*16x32x32", "--iterations", "2"]  # fmt: skip


def test_a_bump_writes_the_lock_only_when_nothing_broke(
    sets: list[str], world: Path, npukbuild_cli: Callable[..., Any]
) -> None:
    before = (world / "my.lock").read_text()
    said = npukbuild_cli("toolchain", "bump", "--to", "1.4.2", *sets, "--json")
    assert said.code == 21, said.err
    assert "unable to legalize" in said.err or "aiecc" in said.err
    assert said.json()["lock"] is None
    assert (world / "my.lock").read_text() == before
    said = npukbuild_cli("toolchain", "bump", "--to", "1.4.1", *sets)
    assert said.code == 0, said.err
    assert "1 kernels with 1.4.1 against 1.4.0" in said.out
    assert "not run on an NPU" in said.out
    assert (world / "my.lock").read_text() == before.replace('default = "1.4.0"', 'default = "1.4.1"')
    again = npukbuild_cli("toolchain", "bump", "--to", "1.4.1", *sets)
    assert again.code == 0
    assert "already" in again.err


def test_a_bisection_finds_the_set_that_broke_it(
    sets: list[str], world: Path, npukbuild_cli: Callable[..., Any]
) -> None:
    said = npukbuild_cli("toolchain", "bisect", *sets, "--json")
    assert said.code == 1, said.err
    found = said.json()
    assert (found["good"], found["bad"]) == ("1.4.1", "1.4.2")
    assert "npu1/matmul_bf16_16x32x32" in found["faults"][0]


def test_variables_that_shadow_the_sets_are_refused(
    sets: list[str], world: Path, npukbuild_cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NPUKBUILD_MLIR_AIE", "/opt/mlir_aie")
    said = npukbuild_cli("toolchain", "bump", "--to", "1.4.1", *sets)
    assert said.code == 2
    assert "NPUKBUILD_MLIR_AIE" in said.err


def test_only_the_default_changes_in_a_lock(world: Path) -> None:
    write_sets(world / "a.lock", {name: make_set(world / "w", name, {}) for name in ("1.4.0", "1.4.1")})
    before = (world / "a.lock").read_text()
    place = write_default(read_lock(world / "a.lock"), "1.4.1")
    assert place == world / "a.lock"
    assert place.read_text() == before.replace('default = "1.4.0"', 'default = "1.4.1"')
    assert not list(world.glob(".a.lock-*"))


def test_an_installed_package_is_left_alone(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from npukbuild.toolchain import lock_write
    from npukbuild.toolchain.lock import default_lock_path

    package = world / "site-packages" / "npukbuild" / "toolchain"
    package.mkdir(parents=True)
    write_sets(package / "toolchain.lock", {n: make_set(world / "w", n, {}) for n in ("1.4.0", "1.4.1")})
    before = (package / "toolchain.lock").read_text()
    monkeypatch.setattr(lock_write, "__file__", str(package / "lock_write.py"))
    place = write_default(read_lock(package / "toolchain.lock"), "1.4.1")
    assert (package / "toolchain.lock").read_text() == before
    assert place == world / "home" / "toolchain.lock" == default_lock_path()
    assert read_lock().default == "1.4.1"


# ---- the search and the comparison ---------------------------------------------------------------

TIMES = {"kind": "measured", "calls": 10, "min_us": 99.0, "median_us": 100.0, "p95_us": 101.0,
         "max_us": 102.0, "spread_us": 0.5}  # fmt: skip
GOOD = KernelNight("npu1/a", "passed", device="npu", timing=TIMES, numbers={"t": "00"},
                   subject={"kernel.xclbin": "1"})  # fmt: skip


def trial(name: str, row: KernelNight) -> Trial:
    return Trial(name, {row.kernel: row})


def test_what_changed_between_two_sets() -> None:
    slow = replace(GOOD, timing={**TIMES, "median_us": 120.0}, subject={"kernel.xclbin": "2"})
    other = replace(GOOD, numbers={"t": "01"})
    broken = replace(GOOD, status="failed", error={"what": "aiecc failed"})

    def change(row: KernelNight) -> Any:
        (found,) = compare_trials(trial("old", GOOD), trial("new", row))
        return found

    assert not change(GOOD).notable
    assert change(slow).slower
    assert change(slow).bytes_changed
    assert change(other).numbers == ("t",)
    assert change(broken).broke == "aiecc failed"
    (mended,) = compare_trials(trial("old", broken), trial("new", GOOD))
    assert mended.mended
    (still,) = compare_trials(trial("old", broken), trial("new", broken))
    assert not still.broke
    assert faults([change(slow)], by="fail") == []
    assert faults([change(slow)], by="slower") == ["npu1/a: +20.0%"]
    assert faults([change(other)], by="numbers") == ["npu1/a: other numbers for t"]
    assert faults([change(broken)], by="fail") == ["npu1/a: aiecc failed"]


@pytest.mark.parametrize("first_bad", range(1, 10))
@pytest.mark.parametrize("broken_set", [None, 3, 8])
def test_the_search_finds_every_place_in_few_trials(first_bad: int, broken_set: int | None) -> None:
    names = [f"s{i}" for i in range(9)]
    tried: list[str] = []

    def attempt(name: str) -> Trial:
        tried.append(name)
        number = int(name[1:])
        if number == broken_set:
            raise InstallError("it is gone")
        bad = replace(GOOD, status="failed", error={"what": "no"})
        return trial(name, bad if number >= first_bad else GOOD)

    found = bisect(names, attempt, by="fail")
    usable = [n for n in range(9) if n != broken_set]
    bad = next((n for n in usable if n >= first_bad), None)
    assert found.bad == (None if bad is None else f"s{bad}")
    assert found.good == f"s{max(n for n in usable if n < first_bad)}"
    assert len(tried) <= 7
    assert len(tried) == len(set(tried))


def test_a_bisection_without_a_beginning_is_refused() -> None:
    def attempt(name: str) -> Trial:
        return trial(name, replace(GOOD, status="failed"))

    with pytest.raises(RequestError, match="no kernel passes with the oldest"):
        bisect(["a", "b"], attempt, by="fail")


def test_sets_are_searched_by_version(world: Path) -> None:
    names = ("1.4.10", "1.3.4", "1.4.2")
    write_sets(world / "a.lock", {name: make_set(world / "w", name, {}) for name in names})
    lock = read_lock(world / "a.lock")
    assert ordered_sets(lock, ()) == ["1.3.4", "1.4.2", "1.4.10"]
    assert ordered_sets(lock, ("1.4.2", "1.3.4")) == ["1.4.2", "1.3.4"]
    with pytest.raises(RequestError):
        ordered_sets(lock, ("1.4.2",))
