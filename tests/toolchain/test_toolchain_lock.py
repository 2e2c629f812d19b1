"""The lock file: the shipped one is sound, and a wrong one has all its mistakes told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from npukbuild.cli import cli
from npukbuild.errors import InstallError, LockFileError
from npukbuild.toolchain.install import install
from npukbuild.toolchain.lock import read_lock
from tests.toolchain.install_rig import PINNED_PLATFORM

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = PINNED_PLATFORM


def test_the_shipped_lock_file_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NPUKBUILD_TOOLCHAIN_LOCK", raising=False)
    lock = read_lock()
    chosen = lock.choose("1.4.2")
    assert chosen.version_of("llvm_aie") == "21.0.0.2026080301+c9c5ecb7"
    hashes = {p.name: p.sha256 for p in chosen.packages}
    assert hashes["mlir_aie"] == "17844e20250261adff0e396b142924d9d87cc947461bbe12fbe0d065ae21d9cd"
    assert hashes["llvm_aie"] == "5a6c27c5517244040a4dc34e0c1fa976f2bdb6e14b29a35542236f66e89b1375"
    for name, each in lock.sets.items():
        assert each.incomplete or all(p.sha256 for p in each.packages), name
        assert all(p.source for p in each.packages), name
        for package in each.packages:
            assert package.url is None or package.url.startswith("https://github.com/Xilinx/"), package
            assert "+" not in (package.url or ""), "a plus must be %2B in an address"
    assert {bad.commit for bad in lock.bad_peano} == {"fdf257de", "046b11f9"}
    assert len({each.identity("linux-x86_64") for each in lock.sets.values()}) == len(lock.sets)


def test_an_incomplete_set_is_listed_and_refused(home: Path) -> None:
    lock = read_lock()
    result = CliRunner().invoke(cli, ["toolchain", "list"])
    assert "1.3.4-upstream: incomplete: no sha256 of llvm_aie" in result.stdout
    with pytest.raises(InstallError, match=r"set 1\.3\.4-upstream cannot be installed"):
        install(lock.choose("1.3.4-upstream"), lock)
    with pytest.raises(InstallError, match="there is no toolchain set"):
        lock.choose("9.9")


def test_all_mistakes_of_a_lock_file_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.lock"
    path.write_text(
        'schema = 2\ndefault = "x"\n[[bad_peano]]\nreason = "r"\n[sets.t]\npython = "3"\ngeneration = "new"\n'
        '[sets.t.platforms.linux-x86_64]\nglibc = "new"\n[[sets.t.packages]]\nname = "a"\nversion = "1"\n'
        'filename = "../a.whl"\nsha256 = "zz"\nsiez = 3\n[[sets.t.packages]]\nsame_as = "t2"\nnames = ["a"]\n'
    )
    with pytest.raises(LockFileError) as caught:
        read_lock(path)
    text = "\n".join(caught.value.details)
    for words in (
        "schema is 2",
        "default is 'x'",
        "needs a commit",
        "python is '3'",
        "generation is 'new'",
        "glibc is 'new'",
    ):
        assert words in text
    for words in (
        "unknown key 'siez'",
        "is not the name of a wheel",
        "not 64 hexadecimal digits",
        "names 't2'",
    ):
        assert words in text


def test_a_lock_that_refers_in_a_circle_ends(tmp_path: Path) -> None:
    path = tmp_path / "circle.lock"
    body = 'python = "3.11"\ngeneration = "cpp"\n'
    path.write_text(
        f'schema = 1\ndefault = "a"\n[sets.a]\n{body}[sets.a.platforms.x]\n'
        f'[[sets.a.packages]]\nsame_as = "b"\nnames = ["p"]\n'
        f'[sets.b]\n{body}[sets.b.platforms.x]\n[[sets.b.packages]]\nsame_as = "a"\nnames = ["p"]\n'
    )
    with pytest.raises(LockFileError):
        read_lock(path)
