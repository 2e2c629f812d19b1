"""An existing install that a user names: found, probed, identified, or refused with the reason."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from npukbuild.errors import NpukbuildError, ToolchainMissingError
from npukbuild.toolchain import find_toolchain
from npukbuild.toolchain.known_hashes import KnownHashes
from tests.standins.layout import make_install, make_xclbinutil
from tests.toolchain.aiecc_rig import tools

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("machine_without_xrt")


def test_an_environment_a_site_packages_or_a_prefix_can_be_named(tmp_path: Path) -> None:
    root = make_install(tmp_path / "env")
    old = make_install(tmp_path / "old", "python")  # its environment has bin/aiecc.py too
    for place, folder in ((root, tmp_path / "env"), (old, tmp_path / "old")):
        for given in (place, place.parent, folder):
            found = find_toolchain(given)
            assert found is not None
            assert (found.mlir_aie, found.origin) == (place.resolve(), "--mlir-aie")
    (old / "include" / "aie_api" / "aie.hpp").unlink()
    with pytest.raises(ToolchainMissingError, match="no aie_api headers") as caught:
        find_toolchain(tmp_path / "old")
    assert caught.value.where == str(old)


@pytest.mark.parametrize("bundled", [False, True])
def test_the_chosen_packer_is_found_and_nothing_else_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundled: bool
) -> None:
    packer = make_xclbinutil(tmp_path / "xrt" / "xclbinutil")
    make_xclbinutil(tmp_path / "xrt" / "bootgen")  # of another release
    monkeypatch.setenv("NPUKBUILD_XCLBINUTIL", str(packer))
    toolchain = tools(tmp_path, "cpp", xclbinutil="good" if bundled else None)
    bootgen = make_xclbinutil(toolchain.mlir_aie / "bin" / "bootgen")
    path = toolchain.environment(tmp_path)["PATH"]
    assert shutil.which("xclbinutil", path=path) == str(packer)
    if not bundled:
        assert shutil.which("bootgen", path=path) == str(bootgen)
    assert toolchain.as_dict()["xclbinutil"] == hashlib.sha256(packer.read_bytes()).hexdigest()


def test_variables_are_recorded_as_the_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_install(tmp_path / "env", peano=False)
    peano = make_install(tmp_path / "other").parent / "llvm-aie"
    monkeypatch.setenv("NPUKBUILD_MLIR_AIE", str(root))
    monkeypatch.setenv("NPUKBUILD_PEANO", str(peano))
    found = find_toolchain()
    assert found is not None
    assert found.origin == "NPUKBUILD_MLIR_AIE"
    assert found.peano == peano.resolve()
    assert found.as_dict()["peano"] == "21.0.0.2026080301+c9c5ecb7"


def test_a_wrong_peano_is_refused_before_aiecc_can_ignore_it(tmp_path: Path) -> None:
    root = make_install(tmp_path / "env", peano=False)
    with pytest.raises(ToolchainMissingError, match="no Peano beside"):
        find_toolchain(root)
    with pytest.raises(ToolchainMissingError, match="no Peano at the place that --peano names"):
        find_toolchain(root, tmp_path)
    incomplete = make_install(tmp_path / "half").parent / "llvm-aie"
    (incomplete / "bin" / "llc").unlink()
    with pytest.raises(ToolchainMissingError) as caught:
        find_toolchain(root, incomplete)
    assert "bin/llc" in (caught.value.why or "")


def test_known_bad_peano_builds_are_refused(tmp_path: Path) -> None:
    from tests.standins.layout import make_peano

    root = make_install(tmp_path / "env", peano=False)
    make_peano(root.parent / "llvm-aie", version="22.0.0.2026081201+046b11f9")
    with pytest.raises(NpukbuildError) as caught:
        find_toolchain(root)
    assert "wrong results on NPU2" in (caught.value.why or "")


def test_a_peano_without_metadata_is_asked_for_its_commit(tmp_path: Path) -> None:
    from tests.standins.layout import make_peano

    root = make_install(tmp_path / "env", peano=False)
    make_peano(tmp_path / "loose" / "peano", commit="fdf257dea0", version=None)
    with pytest.raises(NpukbuildError) as caught:
        find_toolchain(root, tmp_path / "loose" / "peano")
    assert "int -> float -> int" in (caught.value.why or "")


def test_identity_follows_content_not_place(tmp_path: Path) -> None:
    first = tools(tmp_path / "one", "declarative")
    second = tools(tmp_path / "two", "declarative")
    # The stand-in aiecc holds its own path, so its bytes differ: make them the same.
    for found in (first, second):
        found.aiecc.write_bytes(b"#!/bin/sh\necho 'aiecc (mlir-aie declarative driver) 7e00b57'\n")
        found.aiecc.chmod(0o755)
    xclbinutil = make_xclbinutil(tmp_path / "xclbinutil")
    assert xclbinutil.is_file()
    from npukbuild.toolchain.identity import identity_of

    identity_of.cache_clear()
    same = find_toolchain(first.mlir_aie), find_toolchain(second.mlir_aie)
    assert same[0] is not None
    assert same[1] is not None
    assert same[0].identity == same[1].identity
    identity_of.cache_clear()
    header = second.include / "aie_api" / "aie.hpp"
    stamp = header.stat().st_mtime_ns
    header.write_text("#pragma  nce\n")  # the same size and date
    os.utime(header, ns=(stamp, stamp))
    changed = find_toolchain(second.mlir_aie)
    assert changed is not None
    assert changed.identity != same[0].identity


def test_hashes_of_tools_are_kept_and_follow_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPUKBUILD_HOME", str(tmp_path / "home"))
    tool = tmp_path / "tool"
    tool.write_bytes(b"one")
    real = time.time
    monkeypatch.setattr("npukbuild.toolchain.known_hashes.time.time", lambda: real() + 60)
    read: list[Path] = []

    def hashed(path: Path) -> str:
        read.append(path)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr("npukbuild.toolchain.known_hashes.hash_file", hashed)
    for _ in range(3):
        known = KnownHashes()
        assert known.of(tool) == hashlib.sha256(b"one").hexdigest()
        known.save()
    assert len(read) == 1
    status = tool.stat()
    tool.write_bytes(b"two")
    os.utime(tool, ns=(status.st_atime_ns, status.st_mtime_ns))  # the same size and date: the ctime tells
    assert KnownHashes().of(tool) == hashlib.sha256(b"two").hexdigest()
    (kept,) = (tmp_path / "home").glob("known-hashes.json")
    kept.write_text('["rubbish"')
    assert KnownHashes().of(tool) == hashlib.sha256(b"two").hexdigest()
    assert KnownHashes().of(tmp_path / "absent") is None


def test_an_aiecc_that_says_nothing_known_is_refused(tmp_path: Path) -> None:
    root = make_install(tmp_path / "env")
    (root / "bin" / "aiecc").write_text("#!/bin/sh\necho Segmentation fault\nexit 139\n")
    for info in root.parent.glob("mlir_aie-*.dist-info"):
        info.rmdir()
    with pytest.raises(ToolchainMissingError) as caught:
        find_toolchain(root)
    assert "Segmentation fault" in (caught.value.why or "")


def test_nothing_installed_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPUKBUILD_HOME", str(tmp_path / "home"))
    assert find_toolchain() is None
