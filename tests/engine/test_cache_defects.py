"""Twenty defects that other build systems' caches shipped with: each has a test that fails with it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from npukbuild.engine import evict, stamp
from npukbuild.engine.action import Action, TextInput, Tool, full_key
from npukbuild.engine.digest import FileDigests, digest_bytes
from npukbuild.engine.identity import Identities
from npukbuild.engine.kernel_graph import KernelGraph, KernelRequest
from npukbuild.engine.key import encode, key_of
from npukbuild.engine.locks import hold
from npukbuild.engine.store import MAX_SETS
from npukbuild.engine.wire import DamagedError, OutputRecord, Result, pack, unpack
from npukbuild.errors import BusyError
from tests.engine.rig import World, compilation, shell, text

CHECK = "npukbuild.smoke.kernel_check:check_on_simulator"


def keys_of_kernel(tmp_path: Path, **changes: Any) -> dict[str, str]:
    """Base keys of a kernel's actions, as far as they are known before anything runs."""
    digests = FileDigests()
    family = KernelGraph(Identities(digests), digests, CHECK)
    request = {"family": "matmul", "m": 64, "k": 64, "n": 512, "dtype": "bf16", "target": "npu1", **changes}
    keys = {}
    for node in family.nodes(KernelRequest.of(request)):
        known = dict.fromkeys(node.action.inputs, "0" * 64)
        keys[node.action.kind] = key_of(node.action.base(known))
    return keys


def test_01_no_absolute_path_in_a_key(world: World, tmp_path: Path) -> None:
    first = world.run(compilation(world))["cc"]
    elsewhere = World(tmp_path / "another" / "place", world.cache)
    elsewhere.folder.parent.mkdir()
    world.folder.rename(elsewhere.folder)
    second = elsewhere.run(compilation(elsewhere))["cc"]
    assert (first.status, second.status) == ("built", "hit")
    assert first.key == second.key


def test_01_no_path_user_host_or_time_in_a_kernels_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = keys_of_kernel(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "USER", "LOGNAME", "HOSTNAME", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(time, "time", lambda: 12345.0)
    assert keys_of_kernel(tmp_path) == here


def test_02_a_tool_is_its_content_not_its_time_stamp(tmp_path: Path) -> None:
    program = tmp_path / "cc"
    program.write_text("#!/bin/sh\necho tool 1.0\n")
    program.chmod(0o755)
    os.utime(program, ns=(10**18, 10**18))

    def identity() -> str:
        return Identities(FileDigests()).program("cc", str(program)).identity

    first = identity()
    os.utime(program)
    assert identity() == first
    program.write_text("#!/bin/sh\necho tool 1.1\n")
    os.utime(program, ns=(10**18, 10**18))
    assert identity() != first


def test_03_the_compiler_is_in_the_key(world: World) -> None:
    assert world.run(compilation(world))["cc"].status == "built"
    other = compilation(world, tools=(Tool("cc", "1" * 64, "1.0"),))
    assert world.run(other)["cc"].status == "built"
    assert world.run(compilation(world))["cc"].status == "hit"


def test_04_headers_are_in_the_key(world: World) -> None:
    first = world.run(compilation(world))["cc"]
    world.write("two/value.h", "#define VALUE 2\n")
    second = world.run(compilation(world))["cc"]
    assert second.status == "built"
    assert first.outputs["main.o"].record != second.outputs["main.o"].record
    world.write("two/value.h", "#define VALUE 1\n")
    again = world.run(compilation(world))["cc"]
    assert (again.status, again.outputs["main.o"].record) == ("hit", first.outputs["main.o"].record)


def test_05_the_order_of_include_folders_counts(world: World) -> None:
    world.write("one/value.h", "#define VALUE 7\n")
    first = world.run(compilation(world, order=("one", "two")))["cc"]
    second = world.run(compilation(world, order=("two", "one")))["cc"]
    assert second.status == "built"
    assert first.outputs["main.o"].record != second.outputs["main.o"].record


def test_06_a_key_does_not_depend_on_what_was_built_before(world: World) -> None:
    a, b = shell("a", "echo a > out"), shell("b", "echo b > out")
    alone = world.run(b, force=True)["b"].key
    after = world.run(a, b, jobs=1, force=True)["b"].key
    before = world.run(b, a, jobs=1, force=True)["b"].key
    assert alone == after == before


NOT_IN_KEY = {"label", "timeout", "resources", "cached"}
"""Fields of an action that cannot change its result."""


def test_07_everything_an_action_says_is_in_its_key() -> None:
    plain = Action(
        kind="k", inputs={"i": TextInput(b"1")}, outputs=("o",), command=("c",), environment={"A": "1"},
        tools=(Tool("t", "1"),), parameters={"p": 1}, search=("{s}",), depfile="d",
    )  # fmt: skip
    changes: dict[str, Any] = {
        "kind": {"kind": "l"},
        "inputs": {"inputs": {"j": TextInput(b"1")}},
        "outputs": {"outputs": ("o", "p")},
        "may_be_empty": {"may_be_empty": ("o",)},
        "command": {"command": ("c", "-x")},
        "call": {"command": (), "call": "m:f"},
        "environment": {"environment": {"A": "2"}},
        "tools": {"tools": (Tool("t", "2"),)},
        "parameters": {"parameters": {"p": 2}},
        "search": {"search": ()},
        "depfile": {"depfile": ""},
        "version": {"version": 2},
    }
    fields = {one.name for one in dataclasses.fields(Action)}
    assert fields == set(changes) | NOT_IN_KEY, (
        "a new field must be put into the key, or be shown not to matter"
    )

    def key(action: Action) -> str:
        return key_of(action.base(dict.fromkeys(action.inputs, "0")))

    keys = {name: key(dataclasses.replace(plain, **change)) for name, change in changes.items()}
    assert key(plain) not in keys.values()
    assert len(set(keys.values())) == len(keys)


def test_07_a_command_sees_only_the_declared_environment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_FLAG", "1")
    outcome = world.run(shell("env", "env > out"))["env"]
    assert "SECRET_FLAG" not in text(outcome)


def test_07_every_option_of_a_request_is_in_the_key(tmp_path: Path) -> None:
    from npukbuild.engine.families import MATMUL

    base = keys_of_kernel(tmp_path)
    other = {
        "m": 65,
        "k": 65,
        "n": 513,
        "dtype": "i8",
        "out_dtype": "f32",
        "b_layout": "col",
        "shift": 0,
        "cols": 1,
        "block": [64, 64, 64],
    }
    assert set(other) == {one.name for one in MATMUL.fields}
    for name, value in other.items():
        changes = {"dtype": "i8", "shift": 3, "out_dtype": "i8"} if name == "shift" else {name: value}
        assert keys_of_kernel(tmp_path, **changes)["render"] != base["render"], name


def test_08_keys_are_the_same_in_every_process() -> None:
    script = (
        "from npukbuild.engine.key import key_of\n"
        "print(key_of({'b': [1, 2.5, None, True, b'x'], 'a': {'z': 'ü', 'y': ()}}))"
    )
    keys = {
        subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, "PYTHONHASHSEED": seed}, check=True,
            capture_output=True, text=True,
        ).stdout
        for seed in ("0", "1", "4711")
    }  # fmt: skip
    assert len(keys) == 1


@pytest.mark.parametrize("value", [{1, 2}, object(), Path("x"), {1: 2}, [frozenset()]])
def test_08_values_with_an_address_or_a_random_order_are_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        encode(value)


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


def test_13_a_plan_belongs_to_its_problems_size(tmp_path: Path) -> None:
    renders = {keys_of_kernel(tmp_path, m=m)["render"] for m in (64, 65, 128)}
    checks = {keys_of_kernel(tmp_path, m=m)["simulate"] for m in (64, 65, 128)}
    assert (len(renders), len(checks)) == (3, 3)


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


def test_15_architectures_do_not_share_keys_or_folders(tmp_path: Path) -> None:
    npu1, npu2 = keys_of_kernel(tmp_path), keys_of_kernel(tmp_path, target="npu2")
    assert not {npu1[kind] for kind in npu1} & {npu2[kind] for kind in npu2}
    request = {"family": "matmul", "m": 64, "k": 64, "n": 64}
    groups = {KernelRequest.of({**request, "target": target}).group for target in ("npu1", "npu2")}
    assert len(groups) == 2


def test_16_another_dtype_or_device_is_another_key(tmp_path: Path) -> None:
    variants = [{}, {"dtype": "i8"}, {"out_dtype": "f32"}, {"target": "npu2"}, {"target": "npu1_1col"}]
    keys = [keys_of_kernel(tmp_path, **variant) for variant in variants]
    for kind in ("render", "simulate"):
        assert len({key[kind] for key in keys}) == len(variants)


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


def test_20_npukbuilds_own_code_and_packages_are_in_the_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from npukbuild.engine import identity

    copy = tmp_path / "npukbuild"
    shutil.copytree(identity.PACKAGE / "targets", copy / "targets")
    monkeypatch.setattr(identity, "PACKAGE", copy)

    def tool(**about: Any) -> Tool:
        return Identities(FileDigests()).code("npukbuild", ("targets",), **about)

    first = tool()
    assert tool().identity == first.identity
    data = copy / "targets" / "npu1.toml"
    data.write_text(data.read_text() + "\n# changed\n")
    assert tool().identity != first.identity
    monkeypatch.setattr(identity, "installed", lambda name: ("1.0", None))
    old = tool(packages=("xdsl",))
    monkeypatch.setattr(identity, "installed", lambda name: ("2.0", None))
    assert tool(packages=("xdsl",)).identity != old.identity


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
    names = [name for name in globals() if name.startswith("test_") and name[5:7].isdigit()]
    assert {int(name[5:7]) for name in names} == set(range(1, 21))
