"""Installing the pinned set: real uv, small wheels, a loopback server with faults, and kills."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from click.testing import CliRunner

from npukbuild.cli import cli
from npukbuild.errors import DiskFullError, InstallError, LockFileError, NpukbuildError
from npukbuild.toolchain import find_toolchain
from npukbuild.toolchain import lock as lock_module
from npukbuild.toolchain.download import Patience, download
from npukbuild.toolchain.install import install
from npukbuild.toolchain.installed import status
from npukbuild.toolchain.lock import LockFile, read_lock
from npukbuild.toolchain.marker import MARKER_NAME
from npukbuild.toolchain.platforms import HostPlatform, check_platform, host_platform
from tests.standins.faulty_server import FaultyServer
from tests.standins.wheels import PYTHON, Wheel, make_wheels, write_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

QUICK = Patience(attempts=3, stall_seconds=10.0, pause_seconds=0.01)

pytestmark = pytest.mark.skipif(
    host_platform().name != "linux-x86_64", reason="the pinned wheels are for Linux on x86-64"
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("NPUKBUILD_HOME", str(folder))
    monkeypatch.delenv("NPUKBUILD_MLIR_AIE", raising=False)
    monkeypatch.delenv("NPUKBUILD_PEANO", raising=False)
    monkeypatch.delenv("NPUKBUILD_TOOLCHAIN_SET", raising=False)
    return folder


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    running = FaultyServer(tmp_path / "upstream")
    monkeypatch.setenv("UV_DEFAULT_INDEX", running.index)
    yield running
    running.close()


def prepare(
    tmp_path: Path, server: FaultyServer | None = None, **options: Any
) -> tuple[LockFile, list[Wheel]]:
    wheels = make_wheels(
        tmp_path / "upstream", padding=options.pop("padding", 0), **options.pop("content", {})
    )
    base = server.base if server else "http://127.0.0.1:9/files"
    path = write_lock(tmp_path / "test.lock", wheels, base=base, **options)
    return read_lock(path), wheels


def put(lock: LockFile, **options: Any) -> Any:
    return install(lock.choose("t"), lock, python=Path(sys.executable), patience=QUICK, **options)


def leftovers(home: Path) -> list[str]:
    folder = home / "toolchains"
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock")) if folder.is_dir() else []


# ---- the good way --------------------------------------------------------------------------------


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


# ---- faults on the way ---------------------------------------------------------------------------


def test_cut_connections_are_resumed(home: Path, tmp_path: Path, server: FaultyServer) -> None:
    lock, wheels = prepare(tmp_path, server, padding=1 << 20)
    name = wheels[0].path.name
    server.faults[name] = [("cut", 300_000), ("cut", 300_000)]
    put(lock)
    ranges = [header for path, header in server.requests if path.endswith(name)]
    assert ranges == [None, "bytes=300000-", "bytes=600000-"]


def test_a_download_is_continued_by_a_later_command(home: Path, tmp_path: Path, server: FaultyServer) -> None:
    lock, wheels = prepare(tmp_path, server, padding=1 << 20)
    name = wheels[0].path.name
    server.faults[name] = [("cut", 500_000)] + [("status", 503)] * 3
    with pytest.raises(InstallError, match="does not get on") as caught:
        put(lock)
    assert "500000 bytes are kept" in (caught.value.why or "")
    assert leftovers(home) == []
    put(lock)
    assert server.requests[-1][1] is None or any(
        header == "bytes=500000-" for path, header in server.requests if path.endswith(name)
    )


def test_wrong_bytes_are_never_used(home: Path, tmp_path: Path, server: FaultyServer) -> None:
    lock, wheels = prepare(tmp_path, server)
    server.faults[wheels[1].path.name] = [("wrong",)]
    with pytest.raises(InstallError, match="has the wrong hash") as caught:
        put(lock)
    assert wheels[1].sha256 in (caught.value.why or "")
    assert leftovers(home) == []
    assert not list((home / "wheelhouse").glob("llvm_aie*"))
    put(lock)  # the next try gets the right bytes


def test_a_part_of_another_file_is_fetched_anew(home: Path, tmp_path: Path, server: FaultyServer) -> None:
    lock, wheels = prepare(tmp_path, server, padding=1 << 16)
    folder = home / "wheelhouse"
    folder.mkdir(parents=True)
    (folder / f"{wheels[0].path.name}.part").write_bytes(b"other bytes entirely")
    put(lock)
    assert (folder / wheels[0].path.name).read_bytes() == wheels[0].path.read_bytes()


def test_a_server_that_ignores_ranges(tmp_path: Path, server: FaultyServer) -> None:
    _, wheels = prepare(tmp_path, server, padding=1 << 20)
    wheel = wheels[0]
    server.faults[wheel.path.name] = [("cut", 100_000), ("whole",)]
    target = tmp_path / wheel.path.name
    download(f"{server.base}/{wheel.path.name}", target, sha256=wheel.sha256, patience=QUICK)
    assert target.read_bytes() == wheel.path.read_bytes()


def test_a_stalled_connection_is_cut_and_resumed(tmp_path: Path, server: FaultyServer) -> None:
    _, wheels = prepare(tmp_path, server, padding=1 << 20)
    wheel = wheels[0]
    server.faults[wheel.path.name] = [("stall", 5)]
    target = tmp_path / wheel.path.name
    patience = Patience(attempts=3, stall_seconds=1.0, pause_seconds=0.01)
    download(f"{server.base}/{wheel.path.name}", target, sha256=wheel.sha256, patience=patience)
    assert target.is_file()
    assert len(server.requests) >= 2


def test_a_slow_server_is_waited_for_and_reported(tmp_path: Path, server: FaultyServer) -> None:
    _, wheels = prepare(tmp_path, server, padding=1 << 20)
    wheel = wheels[0]
    server.faults[wheel.path.name] = [("slow", 0.02)]
    seen: list[int] = []
    download(
        f"{server.base}/{wheel.path.name}",
        tmp_path / wheel.path.name,
        sha256=wheel.sha256,
        patience=QUICK,
        progress=lambda done, total: seen.append(done),
    )
    assert seen == sorted(seen)
    assert seen[-1] == wheel.size


@pytest.mark.parametrize("code", [404, 410])
def test_a_file_deleted_upstream_is_said_to_be(
    home: Path, tmp_path: Path, server: FaultyServer, code: int
) -> None:
    lock, wheels = prepare(tmp_path, server)
    server.faults[wheels[1].path.name] = [("status", code)]
    with pytest.raises(InstallError, match="is no longer there") as caught:
        put(lock)
    assert "nightly files are deleted upstream" in (caught.value.why or "")
    assert "--wheelhouse DIR" in (caught.value.hint or "")


def test_a_refusal_is_said_with_its_status(home: Path, tmp_path: Path, server: FaultyServer) -> None:
    lock, wheels = prepare(tmp_path, server)
    server.faults[wheels[0].path.name] = [("status", 403)]
    with pytest.raises(InstallError, match="cannot be downloaded") as caught:
        put(lock)
    assert "403" in (caught.value.why or "")


def test_an_unreachable_network_has_its_own_message(home: Path, tmp_path: Path) -> None:
    lock, _ = prepare(tmp_path)
    with pytest.raises(InstallError, match="the network cannot be reached") as caught:
        put(lock)
    assert "toolchain mirror" in (caught.value.hint or "")


def test_an_unreachable_index_has_its_own_message(
    home: Path, tmp_path: Path, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, _ = prepare(tmp_path, server)
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(InstallError, match="package index does not give"):
        put(lock)


def test_credentials_in_an_address_are_not_shown(tmp_path: Path) -> None:
    with pytest.raises(InstallError) as caught:
        download(
            "http://user:secret@127.0.0.1:9/x.whl?token=abc",
            tmp_path / "x.whl",
            sha256="0" * 64,
            patience=QUICK,
        )
    assert "secret" not in str(caught.value)
    assert "token" not in str(caught.value)


def test_offline_names_every_missing_wheel(home: Path, tmp_path: Path) -> None:
    lock, wheels = prepare(tmp_path)
    (tmp_path / "some").mkdir()
    shutil.copy(wheels[0].path, tmp_path / "some")
    with pytest.raises(InstallError, match="--offline forbids") as caught:
        put(lock, wheelhouse=tmp_path / "some", offline=True)
    assert sorted(caught.value.details) == sorted(w.path.name for w in wheels[1:])


def test_a_wrong_wheel_in_the_wheelhouse_is_refused(home: Path, tmp_path: Path) -> None:
    lock, wheels = prepare(tmp_path)
    wheels[0].path.write_bytes(b"not it")
    with pytest.raises(InstallError, match="in the wheelhouse has the wrong hash"):
        put(lock, wheelhouse=tmp_path / "upstream", offline=True)


def test_a_damaged_wheel_in_our_own_wheelhouse_is_replaced(home: Path, tmp_path: Path) -> None:
    lock, wheels = prepare(tmp_path)
    (home / "wheelhouse").mkdir(parents=True)
    (home / "wheelhouse" / wheels[0].path.name).write_bytes(b"damaged")
    assert put(lock, wheelhouse=tmp_path / "upstream", offline=True).fresh


# ---- the machine ---------------------------------------------------------------------------------


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


# ---- kills ---------------------------------------------------------------------------------------


def _start(tmp_path: Path, lock: LockFile, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from npukbuild.cli import main; main()"]
    command += ["toolchain", "install", "--lock", str(lock.path)]
    return subprocess.Popen(
        [*command, "--python", sys.executable, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come so far"
        time.sleep(0.005)


def test_a_killed_download_is_continued(home: Path, tmp_path: Path, server: FaultyServer) -> None:
    import threading

    lock, wheels = prepare(tmp_path, server, padding=1 << 20)
    name = wheels[0].path.name
    event = threading.Event()
    server.faults[name] = [("once", event)]
    child = _start(tmp_path, lock)
    part = home / "wheelhouse" / f"{name}.part"
    _wait_for(lambda: part.exists() and part.stat().st_size > 200_000)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    event.set()
    assert find_toolchain(lock=lock) is None
    kept = part.stat().st_size
    assert put(lock).fresh
    assert any(header == f"bytes={kept}-" for path, header in server.requests if path.endswith(name))


@pytest.mark.parametrize(
    "delay", [0.0, 0.15, *(pytest.param(d, marks=pytest.mark.slow) for d in (0.05, 0.1, 0.25, 0.4, 0.8))]
)
def test_a_killed_install_leaves_nothing_that_looks_installed(
    home: Path, tmp_path: Path, delay: float
) -> None:
    lock, _ = prepare(tmp_path, padding=16 << 20)
    child = _start(tmp_path, lock, "--offline", "--wheelhouse", str(tmp_path / "upstream"))
    _wait_for(lambda: any((home / "toolchains").glob(".new-*/env")) or child.poll() is not None)
    time.sleep(delay)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    finished = [p for p in leftovers(home) if not p.startswith(".new-")]
    if finished:  # it was quicker than the kill: then it must be whole
        assert status(lock, thorough=True)[0].state == "installed"
        return
    assert find_toolchain(lock=lock) is None
    assert put(lock, offline=True, wheelhouse=tmp_path / "upstream").fresh
    assert [p for p in leftovers(home) if p.startswith(".new-")] == []
    assert status(lock, thorough=True)[0].state == "installed"


def test_a_folder_without_its_marker_is_not_installed(home: Path, tmp_path: Path) -> None:
    lock, _ = prepare(tmp_path)
    done = put(lock, wheelhouse=tmp_path / "upstream", offline=True)
    marker = done.folder / MARKER_NAME
    text = marker.read_text()
    for bad in (
        "",
        "{",
        "{}",
        text.replace(done.marker.identity, "0" * 64),
        text.replace('"schema": 1', '"schema": 9'),
    ):
        marker.write_text(bad)
        assert find_toolchain(lock=lock) is None
    assert put(lock, offline=True).fresh


def test_a_marked_but_damaged_environment_is_said_to_be(home: Path, tmp_path: Path) -> None:
    lock, _ = prepare(tmp_path)
    done = put(lock, wheelhouse=tmp_path / "upstream", offline=True)
    next(done.folder.rglob("llc")).unlink()
    with pytest.raises(NpukbuildError, match="damaged"):
        find_toolchain(lock=lock)


def test_two_installs_at_once_make_one_environment(home: Path, tmp_path: Path) -> None:
    lock, _ = prepare(tmp_path, padding=4 << 20)
    arguments = ("--offline", "--wheelhouse", str(tmp_path / "upstream"))
    children = [_start(tmp_path, lock, *arguments) for _ in range(2)]
    assert [child.wait(60) for child in children] == [0, 0]
    assert len(leftovers(home)) == 1
    assert status(lock, thorough=True)[0].state == "installed"


# ---- the lock file -------------------------------------------------------------------------------


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
