"""The local store when things go wrong, eviction, and the codec of results."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npukbuild.engine import evict
from npukbuild.engine.depfile import parse_depfile
from npukbuild.engine.digest import FileDigests, digest_bytes
from npukbuild.engine.key import encode
from npukbuild.engine.roots import Roots
from npukbuild.engine.store import LocalStore, default_cache_dir
from npukbuild.engine.wire import DamagedError, OutputRecord, Result, pack, unpack
from npukbuild.errors import CacheError
from tests.engine.rig import World, compilation, shell, text
from tests.small_disk import small_disk


def test_a_full_cache_disk_still_gives_results(world: World, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=64k") as disk:
        world.cache = disk / "cache"
        nodes = [
            shell(f"n{index}", f"head -c 50000 /dev/zero > out; echo {index} >> out") for index in range(4)
        ]
        outcomes = world.run(*nodes)
        for index in range(4):
            assert text(outcomes[f"n{index}"]).endswith(f"{index}\n"), outcomes[f"n{index}"].error
        assert any("cannot be written" in line for line in world.said)


def test_a_read_only_cache_is_read_and_not_written(world: World, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=8m") as disk:
        world.cache = disk / "cache"
        world.run(shell("a", "echo kept > out"))
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        outcomes = world.run(shell("a", "echo kept > out"), shell("b", "echo new > out"), compilation(world))
        assert (outcomes["a"].status, outcomes["b"].status) == ("hit", "built")
        assert text(outcomes["b"]) == "new\n"
        assert any("cannot be written (Read-only file system)" in line for line in world.said)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_writes_that_fail_cost_only_the_entry(
    world: World, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    store = world.store()

    def refuse(self: Path, target: Path) -> Path:
        raise OSError(code, os.strerror(code), str(target))

    monkeypatch.setattr(Path, "replace", refuse)
    outcomes = world.run(shell("a", "echo x > out"), compilation(world), store=store)
    assert {outcome.status for outcome in outcomes.values()} == {"built"}, outcomes["a"].error
    assert text(outcomes["a"]) == "x\n"
    assert len(world.said) == 1
    assert not store.writable


def test_a_cache_folder_that_is_a_file(world: World, tmp_path: Path) -> None:
    world.cache = tmp_path / "file"
    world.cache.write_text("in the way")
    store = world.store()
    assert text(world.run(shell("a", "echo x > out"), store=store)["a"]) == "x\n"
    store.close()


def test_eviction_removes_what_was_used_longest_ago(world: World) -> None:
    store = world.store()
    records = [store.put_bytes(bytes([index]) * 1000) for index in range(10)]
    for age, record in enumerate(records):
        os.utime(store.content_path(record.digest), (1000 + age, 1000 + age))
    assert store.find(records[0]) is not None  # used now
    left = evict.collect(store, 5000)
    assert left.removed == 6
    assert left.bytes <= 4000
    assert store.find(records[0]) is not None
    assert store.find(records[1]) is None
    assert store.find(records[9]) is not None


def test_eviction_never_touches_what_a_running_build_uses(world: World) -> None:
    store = world.store()
    old = store.put_bytes(b"old" * 1000)
    os.utime(store.content_path(old.digest), (1000, 1000))
    with evict.lease(store):
        time.sleep(0.02)
        used = store.put_bytes(b"used" * 1000)
        left = evict.clear(store)
        assert left.removed == 1
        assert store.find(used) is not None
        assert store.find(old) is None
    assert evict.clear(store).removed == 1
    assert evict.usage(store).bytes == 0


def test_a_lease_ends_with_its_process(world: World) -> None:
    store = world.store()
    path = store.root / "leases" / "dead"
    path.write_text("process 1 on nowhere")
    assert evict.oldest_lease(store) == float("inf")
    assert not path.exists()


def test_verify_finds_every_damage(world: World) -> None:
    world.run(compilation(world), shell("a", "echo x > out"))
    store = world.store()
    assert evict.verify(store)["damaged"] == 0
    for kind in ("ac", "cas", "sets"):
        path = min((store.root / kind).glob("*/*"))
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert evict.verify(store)["damaged"] == 3
    assert evict.verify(store)["damaged"] == 0


def test_leftovers_of_killed_builds_are_swept(world: World) -> None:
    store = world.store()
    old = store.work_folder("x")
    (store.root / "tmp" / "part").write_text("half")
    (store.root / "locks" / "abc").write_text("")
    young = store.work_folder("y")
    for path in (old, store.root / "tmp" / "part", store.root / "locks" / "abc"):
        os.utime(path, (1000, 1000))
    evict.collect(store, 1 << 30)
    assert not old.exists()
    assert young.exists()
    assert not (store.root / "tmp" / "part").exists()
    assert not (store.root / "locks" / "abc").exists()


@pytest.mark.parametrize(
    ("said", "size"),
    [("500M", 500 << 20), ("5G", 5 << 30), ("1.5k", 1536), ("77", 77), ("2GiB", 2 << 30), ("0", 0)],
)
def test_sizes(said: str, size: int) -> None:
    assert evict.parse_size(said) == size


@pytest.mark.parametrize("said", ["", "banana", "-1", "5X", "1e999", "nan"])
def test_wrong_sizes(said: str) -> None:
    with pytest.raises(CacheError):
        evict.parse_size(said)


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NPUKBUILD_CACHE_DIR", str(tmp_path / "a"))
    assert default_cache_dir() == tmp_path / "a"
    monkeypatch.delenv("NPUKBUILD_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "npukbuild"


def test_digests_are_remembered_between_runs_only_for_large_quiet_files(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"x" * (1 << 20))
    fresh = FileDigests(tmp_path / "memory")
    assert fresh.file(large) == digest_bytes(large.read_bytes())
    fresh.save()
    assert not (tmp_path / "memory").exists(), "just written: its signature proves nothing yet"
    time.sleep(2.1)
    quiet = FileDigests(tmp_path / "memory")
    quiet.file(large)
    quiet.save()
    assert FileDigests(tmp_path / "memory")._known[str(large)][1] == digest_bytes(large.read_bytes())
    (tmp_path / "memory").write_text("damaged")
    assert not FileDigests(tmp_path / "memory")._known


records = st.builds(
    OutputRecord, st.binary(max_size=8).map(digest_bytes), st.integers(0, 1 << 50), st.booleans()
)
results = st.builds(
    Result, st.dictionaries(st.text(min_size=1), records, max_size=4),
    st.floats(0, 1e9, allow_nan=False), st.integers(0, 1 << 50),
)  # fmt: skip
KEY = "ab" * 32


@settings(max_examples=60, deadline=None)
@given(results)
def test_results_survive_the_wire(result: Result) -> None:
    assert unpack(pack(result, KEY), KEY) == result


@settings(max_examples=150, deadline=None)
@given(results, st.data())
def test_damaged_results_are_noticed(result: Result, data: st.DataObject) -> None:
    packed = bytearray(pack(result, KEY))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] ^= 1 << data.draw(st.integers(0, 7))
    with suppress(DamagedError):
        assert unpack(bytes(packed), KEY) == result, "a change without meaning, such as a blank"
    with pytest.raises(DamagedError):
        unpack(bytes(packed[:-1]), KEY)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def tagged(value: object) -> object:
    """The value with its types, so that 1, 1.0 and True are told apart."""
    if isinstance(value, dict):
        return ("d", sorted((key, tagged(item)) for key, item in value.items()))
    if isinstance(value, list):
        return ("l", [tagged(item) for item in value])
    return (type(value).__name__, repr(value))


@settings(max_examples=200, deadline=None)
@given(values, values)
def test_different_values_have_different_encodings(one: object, other: object) -> None:
    assert (encode(one) == encode(other)) == (tagged(one) == tagged(other))


@pytest.mark.parametrize(
    ("rule", "files"),
    [
        ("a.o: a.c b.h\n", ["a.c", "b.h"]),
        ("a.o: a.c \\\n  b.h \\\n  c.h\n", ["a.c", "b.h", "c.h"]),
        ("a.o: with\\ blank.c hash\\#.h dollar$$.h\n", ["with blank.c", "hash#.h", "dollar$.h"]),
        ("a.o b.o : a.c\n\nb.h:\n", []),
        ("a.o: a.c\r\nb.o: b.c a.c\n", ["a.c", "b.c"]),
        ("", []),
    ],
)
def test_depfiles(rule: str, files: list[str]) -> None:
    if "b.o :" in rule:
        files = ["a.c"]
    assert parse_depfile(rule) == files


def test_roots(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    roots = Roots({"a": tmp_path / "link", "b": tmp_path / "link" / "inner"})
    assert roots.expand("-I{a}/x") == f"-I{tmp_path}/link/x"
    assert roots.name(f"{tmp_path}/link/inner/y") == "{b}/y"
    assert roots.name(f"{tmp_path}/real/z") == "{a}/z"
    assert roots.name("/usr/include/stdio.h") == "/usr/include/stdio.h"
    with pytest.raises(KeyError):
        roots.expand("{c}")


def test_a_damaged_set_of_headers_is_dropped(world: World) -> None:
    store = LocalStore(world.cache, world.said.append)
    store.put_set(KEY, ["x"])
    store.sets_path(KEY).write_bytes(b"damaged")
    assert store.get_sets(KEY) == []
    assert world.said
