"""Every fault on the way of a wheel: cut, wrong, slow, gone, offline."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from npukbuild.errors import InstallError
from npukbuild.toolchain.download import Patience, download
from tests.toolchain.install_rig import PINNED_PLATFORM, QUICK, leftovers, prepare, put

if TYPE_CHECKING:
    from pathlib import Path

    from tests.standins.faulty_server import FaultyServer

pytestmark = PINNED_PLATFORM


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
