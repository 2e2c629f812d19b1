"""To the stable channel and into an application, over the NPU runner with the stand-in of pyxrt."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest

import npukbuild
from npukbuild.simulator.hostcc import compile_kernels

if TYPE_CHECKING:
    from collections.abc import Callable

STANDIN = Path(__file__).parents[1] / "standins" / "pyxrt"


def add_standin_xclbin(artifact: Path, work: Path) -> None:
    """Put the stand-in's kind of XCLBIN into an artifact, as the build with the toolchain would its own."""
    library = work / f"{artifact.name}.so"
    compile_kernels([artifact / "kernel.cc"], arch="aie2", output=library)
    content = {"kernel": "MLIR_AIE", "num_args": 8, "design": str(artifact / "design.mlir"),
               "library": str(library), "path": sys.path}  # fmt: skip
    (artifact / "kernel.xclbin").write_text(json.dumps(content))
    (artifact / "insts.bin").write_bytes(b"\0" * 300)
    manifest = json.loads((artifact / "manifest.json").read_text())
    manifest["producer"]["toolchain"] = {
        "origin": "set t", "generation": "declarative", "mlir_aie": "1.4.2", "peano": "21",
        "identity": "ab" * 32,
    }  # fmt: skip
    for name in ("kernel.xclbin", "insts.bin"):
        manifest["files"][name] = hashlib.sha256((artifact / name).read_bytes()).hexdigest()
    (artifact / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def npu(world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an NPU: the stand-in behind pyxrt, and two artifacts that have an XCLBIN."""
    monkeypatch.setenv("NPUKBUILD_RUNNER_PYTHON", sys.executable)
    monkeypatch.setenv("NPUKBUILD_PYXRT_PATH", str(STANDIN))
    for artifact in (world / "build" / "npu1").iterdir():
        if (artifact / "manifest.json").is_file():
            add_standin_xclbin(artifact, world)
    return world


def test_from_a_check_on_the_npu_to_a_call_on_the_npu(npu: Path, npukbuild_cli: Callable[..., Any]) -> None:
    npukbuild_cli("keys", "new", "me")
    folder = "build/npu1/matmul_bf16_32x32x64"
    said = npukbuild_cli("publish", folder, "--channel", "stable")
    assert said.code == 24, "the build's verdict is the simulator's, and of other bytes"
    checked = npukbuild_cli("smoke", folder, "--device", "npu", "--iterations", "3", "--json")
    assert checked.code == 0, checked.err
    verdict = checked.json()["verdict"]
    assert (verdict["device"], verdict["ran"]) == ("npu", ["kernel.xclbin", "insts.bin"])
    assert verdict["environment"]["runner"]["python"] == sys.executable
    assert checked.json()["timing"]["kind"] == "measured"
    said = npukbuild_cli("publish", folder, "--channel", "stable", "--json")
    assert said.code == 0, said.err
    (row,) = said.json()["published"]
    assert (row["channel"], row["verified_on"]) == ("stable", "npu")
    shown = npukbuild_cli("verify", row["release"], "--json").json()
    assert {"kernel.xclbin", "insts.bin", "design.mlir", "kernel.cc"} <= set(shown["files"])
    random = np.random.default_rng(0)
    a, b = (random.integers(-4, 5, shape).astype(np.float32) for shape in ((32, 32), (32, 64)))
    with npukbuild.load("matmul", m=32, k=32, n=64, registry="build/registry", device="npu") as k:
        assert k.device == "npu"
        assert (k(a, b) == (a @ b).astype(ml_dtypes.bfloat16).astype(np.float32)).all()


def test_any_size_on_the_npu_with_two_releases_at_once(npu: Path, npukbuild_cli: Callable[..., Any]) -> None:
    npukbuild_cli("keys", "new", "me")
    for folder in sorted((npu / "build" / "npu1").glob("matmul_*")):
        assert npukbuild_cli("smoke", str(folder), "--device", "npu", "--iterations", "1").code == 0
    assert npukbuild_cli("publish", "build/npu1", "--channel", "stable").code == 0
    random = np.random.default_rng(1)
    a, b = (random.integers(-2, 3, shape).astype(np.float32) for shape in ((70, 50), (50, 90)))
    with npukbuild.Matmul("build/registry", device="npu", channel="stable") as mm:
        for left, right in [(a, b), (a[:16], b[:, :20]), (a[::-1], b[:, ::2])]:
            c = mm(left, right)
            assert (c == left @ right).all()
            assert mm.last.device == "npu"
        assert mm.last.calls == 3 * 2 * 1
    assert not list(Path("/dev/shm").glob(f"npukbuild-npu-{os.getpid()}-*"))


def test_provenance_names_the_toolchain_by_content(npu: Path, npukbuild_cli: Callable[..., Any]) -> None:
    from npukbuild.publish.dsse import signed_payload

    npukbuild_cli("keys", "new", "me")
    folder = "build/npu1/matmul_bf16_32x32x64"
    npukbuild_cli("smoke", folder, "--device", "npu", "--iterations", "0")
    npukbuild_cli("publish", folder)
    (attestation,) = npu.glob("build/registry/*/*/*/attestation.dsse.json")
    definition = signed_payload(attestation.read_bytes())["predicate"]["buildDefinition"]
    found = {entry["name"]: entry for entry in definition["resolvedDependencies"]}
    assert found["toolchain"]["digest"] == {"sha256": "ab" * 32}
    assert found["toolchain"]["annotations"]["mlir_aie"] == "1.4.2"
    source = (npu / folder / "kernel.cc").read_bytes()
    assert found["kernel.cc"]["digest"]["sha256"] == hashlib.sha256(source).hexdigest()


def test_a_crashing_runner_leaves_the_application_able_to_go_on(
    npu: Path, npukbuild_cli: Callable[..., Any]
) -> None:
    from npukbuild.errors import DeviceError

    npukbuild_cli("keys", "new", "me")
    folder = "build/npu1/matmul_bf16_32x32x64"
    npukbuild_cli("smoke", folder, "--device", "npu", "--iterations", "0")
    npukbuild_cli("publish", folder, "--channel", "stable")
    ones = np.ones((32, 32), np.float32), np.ones((32, 64), np.float32)
    with npukbuild.load("matmul", m=32, k=32, n=64, registry="build/registry", device="npu") as k:
        assert (k(*ones) == 32).all()
        os.kill(k._session._process.pid, 9)  # type: ignore[union-attr]
        with pytest.raises(DeviceError, match="died"):
            k(*ones)
        assert (k(*ones) == 32).all()
