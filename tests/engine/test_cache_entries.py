"""Twenty defects that other build systems' caches shipped with: those of entries, of locks and of stamps.

Those of keys stand in ``test_cache_keys``; each defect has a test that fails with it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from npukbuild.engine import evict, stamp
from npukbuild.engine.action import full_key
from npukbuild.engine.digest import FileDigests, digest_bytes
from npukbuild.engine.locks import hold
from npukbuild.engine.store import MAX_SETS
from npukbuild.engine.wire import DamagedError, OutputRecord, Result, pack, unpack
from npukbuild.errors import BusyError
from tests.engine import test_cache_keys as keys
from tests.engine.rig import World, compilation, shell, text


def test_09_an_entry_appears_whole_or_not_at_all(world: World) -> None:
    store, data = world.store(), os.urandom(1 << 22)
    place = store.content_path(digest_bytes(data))
    sizes: set[int] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            with contextlib.suppress(FileNotFoundError):
                sizes.add(place.stat().st_size)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(20):
        place.unlink(missing_ok=True)
        store.put_bytes(data)
        time.sleep(0.005)
    done.set()
    watcher.join()
    assert sizes == {len(data)}


def test_09_nothing_is_written_in_its_final_place(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []
    plain = Path.write_bytes

    def note(path: Path, data: bytes) -> int:
        written.append(path)
        return plain(path, data)

    monkeypatch.setattr(Path, "write_bytes", note)
    store = world.store()
    record = store.put_bytes(b"content")
    store.put_result("ab" * 32, Result({"o": record}))
    store.put_set("cd" * 32, ["x"])
    assert written
    assert all(path.parent.name == "tmp" for path in written), written


def test_10_a_lock_times_out_with_a_message_and_without_spinning(tmp_path: Path) -> None:
    script = (
        "import sys,time\nfrom pathlib import Path\nfrom npukbuild.engine.locks import try_lock\n"
        "held = try_lock(Path(sys.argv[1]))\nprint('held', flush=True)\ntime.sleep(60)"
    )  # fmt: skip
    other = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "lock")], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        other.stdout.readline()
        used = time.process_time()
        with pytest.raises(BusyError) as caught, hold(tmp_path / "lock", "the kernel", timeout=1.0):
            pass
        assert time.process_time() - used < 0.5
        assert f"process {other.pid}" in caught.value.what
        assert "1 s" in (caught.value.why or "")
        other.kill()
        other.wait()
        with hold(tmp_path / "lock", "the kernel", timeout=5.0):
            pass  # SIGKILL of the holder set it free
    finally:
        other.kill()
        other.wait()
        assert other.stdout is not None
        other.stdout.close()


@pytest.mark.parametrize("kind", ["ac", "cas", "sets"])
@pytest.mark.parametrize("damage", ["cut", "empty", "changed"])
def test_11_an_entry_cut_by_a_kill_is_never_trusted(world: World, kind: str, damage: str) -> None:
    right = world.run(compilation(world))["cc"].outputs["main.o"].record
    for path in (world.cache / "v1" / kind).glob("*/*"):
        data = path.read_bytes()
        path.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "changed": b"X" + data[1:]}[damage])
    again = world.run(compilation(world))["cc"]
    assert (again.status, again.outputs["main.o"].record) == ("built", right)
    assert again.outputs["main.o"].path.read_bytes()


def test_12_removing_one_entry_leaves_the_others(world: World) -> None:
    nodes = [shell(f"n{index}", f"echo {index} > out") for index in range(5)]
    outcomes = world.run(*nodes)
    outcomes["n2"].outputs["out"].path.write_text("damaged")
    statuses = {name: outcome.status for name, outcome in world.run(*nodes).items()}
    assert statuses == {"n0": "hit", "n1": "hit", "n2": "built", "n3": "hit", "n4": "hit"}


def test_14_a_corrupt_entry_is_rebuilt_once_and_reported_once(world: World) -> None:
    world.run(shell("a", "echo right > out"))["a"].outputs["out"].path.write_text("wrong")
    assert world.run(shell("a", "echo right > out"))["a"].status == "built"
    assert len([line for line in world.said if "damaged" in line]) == 1
    again = world.run(shell("a", "echo right > out"))["a"]
    assert (again.status, text(again)) == ("hit", "right\n")
    assert len([line for line in world.said if "damaged" in line]) == 1


def test_15_a_result_for_another_key_is_not_taken(world: World) -> None:
    """As when a copy, or a server, puts one architecture's result where another's belongs."""
    store = world.store()
    result = Result({"o": store.put_bytes(b"for npu2")})
    store.put_result("22" * 32, result)
    place = store.result_path("11" * 32)
    place.parent.mkdir(exist_ok=True)
    shutil.copy(store.result_path("22" * 32), place)
    assert store.get_result("11" * 32) is None
    with pytest.raises(DamagedError):
        unpack(pack(result, "22" * 32), "11" * 32)


def test_17_the_cache_stays_below_its_cap(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    store = world.store()
    for index in range(50):
        store.put_bytes(os.urandom(10_000))
        os.utime(next(iter((store.root / "cas").glob("*/*"))), (index, index))
    monkeypatch.setenv("NPUKBUILD_CACHE_SIZE", "200K")
    evict.collect_when_full(store)
    assert 0 < evict.usage(store).bytes <= 200 * 1024


def test_17_sets_of_headers_do_not_pile_up(world: World) -> None:
    store = world.store()
    for index in range(3 * MAX_SETS):
        store.put_set("ab" * 32, [f"h{index}"])
    assert len(store.get_sets("ab" * 32)) == MAX_SETS
    assert store.get_sets("ab" * 32)[0] == (f"h{3 * MAX_SETS - 1}",)


def test_18_same_size_and_time_is_not_the_same_content(world: World) -> None:
    header = world.folder / "two/value.h"
    old = header.stat()
    os.utime(header, ns=(10**18, 10**18))
    digests = FileDigests()
    time.sleep(2.1)  # long enough for the memo to trust what it saw
    first = digests.file(header)
    assert digests.file(header) == first
    header.write_text("#define VALUE 9\n")
    os.utime(header, ns=(10**18, 10**18))
    assert header.stat().st_size == old.st_size
    assert digests.file(header) != first


def test_18_a_stamp_sees_through_restored_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    source.write_text("aaaa")
    os.utime(source, ns=(10**18, 10**18))
    monkeypatch.chdir(tmp_path)
    arguments = ["build", "x.toml"]
    started = time.time() + 10  # the file counts as quiet
    assert stamp.record(
        arguments, b"out", b"", {str(source): digest_bytes(b"aaaa")}, set(), {}, started=started
    )
    assert stamp.replay(arguments) == (b"out", b"")
    source.write_text("bbbb")
    os.utime(source, ns=(10**18, 10**18))
    assert stamp.replay(arguments) is None


def test_19_a_header_that_begins_to_hide_another_is_noticed(world: World) -> None:
    first = world.run(compilation(world))["cc"]
    assert world.run(compilation(world))["cc"].status == "hit"
    hider = world.write("one/value.h", "#define VALUE 42\n")
    second = world.run(compilation(world))["cc"]
    assert second.status == "built"
    assert second.outputs["main.o"].record != first.outputs["main.o"].record
    hider.unlink()
    third = world.run(compilation(world))["cc"]
    assert (third.status, third.key) == ("hit", first.key)


def test_19_quoted_nested_and_conditional_headers_too(world: World) -> None:
    world.write(
        "src/main.c",
        "#include <outer.h>\n#if __has_include(<extra.h>)\n#include <extra.h>\n#endif\nint v = V;\n",
    )
    world.write("two/outer.h", '#include "inner.h"\n')
    world.write("two/inner.h", "#ifndef V\n#define V 1\n#endif\n")
    first = world.run(compilation(world))["cc"]
    assert world.run(compilation(world))["cc"].status == "hit"
    world.write("one/inner.h", "#define V 3\n")  # <outer.h> asks for its neighbour first: nothing changes
    assert world.run(compilation(world))["cc"].outputs["main.o"].record == first.outputs["main.o"].record
    world.write("two/extra.h", "#undef V\n#define V 2\n")
    second = world.run(compilation(world))["cc"]
    assert second.status == "built"
    assert second.outputs["main.o"].record != first.outputs["main.o"].record


def test_20_the_entrys_own_format_is_checked(world: World) -> None:
    store = world.store()
    key = full_key("ab" * 32, {})
    result = Result({"o": OutputRecord("0" * 64, 1)})
    data = pack(result, key)
    assert unpack(data, key) == result
    with pytest.raises(DamagedError):
        unpack(data.replace(b'"npukbuild"', b'"npukbuilt"'), key)
    store.put_result(key, result)
    assert store.get_result(key) == result


def test_the_list_is_complete() -> None:
    names = [name for name in [*globals(), *vars(keys)] if name.startswith("test_") and name[5:7].isdigit()]
    assert {int(name[5:7]) for name in names} == set(range(1, 21))
