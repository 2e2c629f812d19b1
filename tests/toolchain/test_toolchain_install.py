"""Install of the pinned environment: the good way, and machines and sets that it refuses."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from click.testing import CliRunner

from npukbuild.cli import cli
from npukbuild.errors import DiskFullError, InstallError, NpukbuildError
from npukbuild.toolchain import find_toolchain
from npukbuild.toolchain import lock as lock_module
from npukbuild.toolchain.download import download
from npukbuild.toolchain.install import install
from npukbuild.toolchain.installed import status
from npukbuild.toolchain.lock import read_lock
from npukbuild.toolchain.platforms import HostPlatform, check_platform
from tests.standins.wheels import PYTHON
from tests.toolchain.install_rig import PINNED_PLATFORM, QUICK, leftovers, prepare, put

if TYPE_CHECKING:
    from tests.standins.faulty_server import FaultyServer

pytestmark = PINNED_PLATFORM


def test_an_install_from_a_local_wheelhouse_makes_a_usable_toolchain(home: Path, tmp_path: Path) -> None:
    lock, _ = prepare(tmp_path)
    done = put(lock, wheelhouse=tmp_path / "upstream", offline=True)
    assert done.fresh
    assert leftovers(home) == [done.folder.name]
    found = find_toolchain(lock=lock)
    assert found is not None
    assert (found.origin, found.generation, found.mlir_aie_version) == ("set t", "declarative", "1.4.2")
    assert found.identity == lock.choose("t").identity("linux-x86_64")
    assert not put(lock, offline=True).fresh
    python = done.folder / "bin" / "python"
    listed = subprocess.run(
        [python, "-c", "import smallneed; print(smallneed.value)"], capture_output=True, text=True
    )
    assert listed.stdout == "1\n"


def test_an_install_by_network_fills_the_wheelhouse(home: Path, tmp_path: Path, server: FaultyServer) -> None:
    lock, wheels = prepare(tmp_path, server)
    put(lock)
    assert {p.name for p in (home / "wheelhouse").glob("*.whl")} == {w.path.name for w in wheels}
    before = len(server.requests)
    CliRunner().invoke(cli, ["toolchain", "remove", "t"], catch_exceptions=False)
    assert find_toolchain(lock=lock) is None
    put(lock, offline=True)  # upstream may have deleted everything meanwhile
    assert len(server.requests) == before


@pytest.mark.parametrize("name", ["mlir_aie", "llvm_aie"])
def test_the_perishable_wheels_are_saved_first(
    home: Path, tmp_path: Path, server: FaultyServer, name: str
) -> None:
    lock, _wheels = prepare(tmp_path, server)
    text = lock.path.read_text().replace(f'name = "{name}"', f'name = "{name}"\nperishable = true')
    lock.path.write_text(text)
    put(read_lock(lock.path))
    files = [path for path, _ in server.requests if path.startswith("/files/") and path.endswith(".whl")]
    assert name in files[0]


def test_mirror_then_install_without_network(home: Path, tmp_path: Path, server: FaultyServer) -> None:
    lock, wheels = prepare(tmp_path, server)
    runner = CliRunner()
    result = runner.invoke(
        cli, ["toolchain", "mirror", str(tmp_path / "m"), "--lock", str(lock.path), "--json"]
    )
    assert sorted(json.loads(result.stdout)["downloaded"]) == sorted(w.path.name for w in wheels)
    server.close()
    arguments = [
        "toolchain",
        "install",
        "--lock",
        str(lock.path),
        "--offline",
        "--wheelhouse",
        str(tmp_path / "m"),
    ]
    result = runner.invoke(cli, [*arguments, "--python", sys.executable, "--json"], catch_exceptions=False)
    assert json.loads(result.stdout)["new"] is True


def test_status_list_and_remove(home: Path, tmp_path: Path) -> None:
    lock, _ = prepare(tmp_path)
    runner = CliRunner()
    arguments = ["--lock", str(lock.path)]
    assert "t: missing" in runner.invoke(cli, ["toolchain", "status", *arguments]).stdout
    done = put(lock, wheelhouse=tmp_path / "upstream", offline=True)
    assert "t: installed" in runner.invoke(cli, ["toolchain", "status", *arguments]).stdout
    assert "t (default): installed" in runner.invoke(cli, ["toolchain", "list", *arguments]).stdout
    header = next(done.folder.rglob("aie.hpp"))
    header.chmod(0o644)
    header.write_text("#pragma twice\n")
    assert status(lock)[0].state == "installed"
    assert status(lock, thorough=True)[0].state == "damaged"
    assert "removed" in runner.invoke(cli, ["toolchain", "remove", "t"]).stdout
    assert leftovers(home) == []
    again = runner.invoke(cli, ["toolchain", "remove", "t"])
    assert isinstance(again.exception, NpukbuildError)


def test_a_changed_lock_is_another_environment(home: Path, tmp_path: Path) -> None:
    lock, _ = prepare(tmp_path)
    first = put(lock, wheelhouse=tmp_path / "upstream", offline=True)
    shutil.rmtree(tmp_path / "upstream")
    changed, _ = prepare(tmp_path, padding=4096)
    assert find_toolchain(lock=changed) is None
    second = put(changed, wheelhouse=tmp_path / "upstream", offline=True)
    assert first.folder != second.folder
    assert find_toolchain(lock=lock) is not None


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (HostPlatform(name="linux-x86_64", glibc=(2, 31)), "glibc is too old: 2.31"),
        (HostPlatform(name="linux-x86_64", glibc=None), "C library is not glibc"),
        (HostPlatform(name="linux-aarch64", glibc=(2, 39)), "no wheels for linux-aarch64"),
        (HostPlatform(name="macos-aarch64", glibc=None), "no wheels for macos-aarch64"),
    ],
)
def test_machines_that_cannot(host: HostPlatform, words: str) -> None:
    lock = read_lock(Path(lock_module.__file__).with_name("toolchain.lock"))
    with pytest.raises(InstallError, match=words.replace("(", r"\(")):
        check_platform(lock.choose("1.4.2"), lock, host)


def test_no_python_of_the_version(home: Path, tmp_path: Path) -> None:
    lock, _ = prepare(tmp_path, python="3.99")
    with pytest.raises(InstallError, match=r"there is no Python 3\.99 on this machine") as caught:
        install(lock.choose("t"), lock, wheelhouse=tmp_path / "upstream", offline=True)
    assert "--python PATH" in (caught.value.hint or "")


def test_a_python_of_another_version(home: Path, tmp_path: Path) -> None:
    lock, _ = prepare(tmp_path, python="3.99")
    with pytest.raises(InstallError, match=r"this is not Python 3\.99") as caught:
        put(lock, wheelhouse=tmp_path / "upstream", offline=True)
    assert f"it says {PYTHON}" in (caught.value.why or "")


def test_no_space_is_said_before_anything_is_fetched(
    home: Path, tmp_path: Path, server: FaultyServer
) -> None:
    lock, _ = prepare(tmp_path, server, installed_bytes=10**18)
    with pytest.raises(DiskFullError, match="not enough space") as caught:
        put(lock)
    assert "1,000,000,000,000 MB" in (caught.value.why or "")
    assert server.requests == []
    assert leftovers(home) == []


def test_a_disk_that_fills_up_during_a_download(
    tmp_path: Path, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, wheels = prepare(tmp_path, server, padding=1 << 20)
    real_open = Path.open

    def full_open(self: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        file = real_open(self, mode, *rest, **more)
        if self.suffix != ".part" or "r" in mode:
            return file

        class Full:
            def __enter__(self) -> Self:
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

            def write(self, block: bytes) -> int:
                if file.tell() > 400_000:
                    raise OSError(errno.ENOSPC, "No space left on device")
                return int(file.write(block))

        return Full()

    monkeypatch.setattr(Path, "open", full_open)
    with pytest.raises(DiskFullError, match="no space left for the download"):
        download(
            f"{server.base}/{wheels[0].path.name}",
            tmp_path / "x.whl",
            sha256=wheels[0].sha256,
            patience=QUICK,
        )
    assert not (tmp_path / "x.whl").exists()


def test_wheels_whose_tools_do_not_run_are_not_installed(home: Path, tmp_path: Path) -> None:
    lock, _ = prepare(
        tmp_path, content={"aiecc": '#!/bin/sh\necho "version GLIBC_2.38 not found" >&2\n'}, generation="cpp"
    )
    with pytest.raises(InstallError):
        put(lock, wheelhouse=tmp_path / "upstream", offline=True)
    assert leftovers(home) == []


def test_another_generation_than_pinned_is_refused(home: Path, tmp_path: Path) -> None:
    lock, _ = prepare(tmp_path, generation="python")
    with pytest.raises(InstallError, match="not what the lock file says"):
        put(lock, wheelhouse=tmp_path / "upstream", offline=True)


def test_a_pinned_bad_peano_is_refused(home: Path, tmp_path: Path) -> None:
    bad = '[[bad_peano]]\ncommit = "c9c5ecb7"\nreason = "adds wrongly"\nsource = "a test"\n'
    lock, _ = prepare(tmp_path, extra=bad)
    with pytest.raises(InstallError, match="known to be bad") as caught:
        put(lock, wheelhouse=tmp_path / "upstream", offline=True)
    assert "adds wrongly" in (caught.value.why or "")
