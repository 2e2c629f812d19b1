"""Defects that other build systems' caches shipped with: what a key must name, and what it must not.

The numbers are those of the list that ``test_cache_entries`` completes.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from npukbuild.engine.action import Action, TextInput, Tool
from npukbuild.engine.digest import FileDigests
from npukbuild.engine.identity import Identities
from npukbuild.engine.kernel_graph import KernelGraph, KernelRequest
from npukbuild.engine.key import encode, key_of
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


def test_13_a_plan_belongs_to_its_problems_size(tmp_path: Path) -> None:
    renders = {keys_of_kernel(tmp_path, m=m)["render"] for m in (64, 65, 128)}
    checks = {keys_of_kernel(tmp_path, m=m)["simulate"] for m in (64, 65, 128)}
    assert (len(renders), len(checks)) == (3, 3)


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
