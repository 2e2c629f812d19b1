"""Artifacts to publish, keys to sign with, and real registries on the loopback."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from npukbuild.kernels.matmul import MatmulProblem
from npukbuild.smoke.artifact import ArtifactFolder, open_artifact
from npukbuild.smoke.verdict import hash_subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from npukbuild.publish.keys import SigningKey

BUILT_FILES = ("design.mlir", "kernel.cc", "kernel.xclbin", "insts.bin", "plan.json", "verdict.json")
GOLDEN = Path(__file__).parents[1] / "golden"


def write_artifact(
    folder: Path, *, m: int = 64, device: str = "simulator", status: str = "passed", xclbin: bool = False
) -> ArtifactFolder:
    """Write a folder as the build leaves it, from golden files."""
    problem = MatmulProblem(m, 64, 512)
    folder.mkdir(parents=True)
    shutil.copy(GOLDEN / "G1_matmul_64x64x512_bf16.mlir", folder / "design.mlir")
    (folder / "kernel.cc").write_text(f"// kernel for {m}\n")
    if xclbin:
        shutil.copy(GOLDEN / "G1_matmul_64x64x512_bf16.standin.xclbin", folder / "kernel.xclbin")
        shutil.copy(GOLDEN / "G1_matmul_64x64x512_bf16.insts.bin", folder / "insts.bin")
    (folder / "plan.json").write_text(json.dumps({"problem": problem.as_dict()}))
    verdict: dict[str, Any] = {
        "status": status, "device": device, "target": "npu1", "max_error": 0.01, "bound": 0.02,
        "inputs": [], "subject": hash_subject(folder),
    }  # fmt: skip
    (folder / "verdict.json").write_text(json.dumps(verdict))
    manifest = {
        "name": problem.name,
        "target": "npu1",
        "abi": problem.abi(m, 64, 512).as_dict(),
        "request": {"family": "matmul", **problem.as_dict(), "target": "npu1", "cols": None, "block": None},
        "files": hash_subject(folder, BUILT_FILES),
        "producer": {"npukbuild": "0.1.0", "toolchain": None},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return open_artifact(folder)


@pytest.fixture
def make_artifact(tmp_path: Path) -> Callable[..., ArtifactFolder]:
    count = iter(range(1000))

    def make(**options: Any) -> ArtifactFolder:
        return write_artifact(tmp_path / "build" / "npu1" / f"kernel{next(count)}", **options)

    return make


@pytest.fixture
def keys_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "keys"
    monkeypatch.setenv("NPUKBUILD_KEYS_DIR", str(folder))
    return folder


@pytest.fixture
def key(keys_dir: Path) -> SigningKey:
    from npukbuild.publish.keys import create_key

    return create_key("release")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def oci_location(tmp_path: Path) -> Iterator[str]:
    """A real docker-registry on the loopback."""
    binary = shutil.which("docker-registry")
    if binary is None:
        pytest.skip("docker-registry is not installed")
    port = free_port()
    config = tmp_path / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {tmp_path}/oci}}\n"
        f"  delete: {{enabled: true}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
    )
    with (tmp_path / "registry.log").open("wb") as log:
        process = subprocess.Popen([binary, "serve", str(config)], stdout=log, stderr=log)
        try:
            for _ in range(100):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=1).close()
                    break
                except (urllib.error.URLError, ConnectionError):
                    time.sleep(0.05)
            yield f"oci://127.0.0.1:{port}/kernels"
        finally:
            process.kill()
            process.wait()


MANIFEST = """
[defaults]
family = "matmul"
target = "npu1"

[[kernel]]
shapes = [[32, 32, 64], [16, 32, 32]]
"""


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small kernels built once, with their manifest and the cache that they came through."""
    from npukbuild.cli.report import CHECK
    from npukbuild.engine.manifest import read_manifest
    from npukbuild.engine.pipeline import Options, build_kernels

    folder = tmp_path_factory.mktemp("workshop")
    (folder / "kernels.toml").write_text(MANIFEST)
    options = Options(folder / "build", cache_dir=folder / "cache", remote="", jobs=2)
    report = build_kernels(read_manifest(folder / "kernels.toml").kernels, options, CHECK)
    assert not report.failed
    return folder


@pytest.fixture
def world(workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in as a user does: a manifest, its kernels built, no key, an empty registry."""
    shutil.copytree(workshop / "build", tmp_path / "build")
    shutil.copy(workshop / "kernels.toml", tmp_path / "kernels.toml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NPUKBUILD_KEYS_DIR", str(tmp_path / "keys"))
    monkeypatch.setenv("NPUKBUILD_CACHE_DIR", str(workshop / "cache"))
    monkeypatch.setenv("NPUKBUILD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NPUKBUILD_NPU_LOCK", str(tmp_path / "npu.lock"))
    for name in ("NPUKBUILD_MLIR_AIE", "NPUKBUILD_PEANO", "NPUKBUILD_TOOLCHAIN_SET"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def run_cli(*arguments: str) -> Said:
    """Run a command as the console script does, errors and exit codes included."""
    import contextlib
    import io

    from npukbuild.cli.group import cli
    from npukbuild.cli.report import run_guarded

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_guarded(cli, list(arguments))
    return Said(code, out.getvalue(), err.getvalue())


@pytest.fixture
def npukbuild_cli(world: Path) -> Callable[..., Said]:
    return run_cli
