"""The scheduler with real commands: failures, memory, order, locks, forced builds."""

from __future__ import annotations

import itertools
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from npukbuild.engine.action import Action, OutputOf, TextInput
from npukbuild.engine.costs import Costs, memory_budget
from npukbuild.engine.graph import Graph, Node
from npukbuild.engine.locks import try_lock
from npukbuild.engine.outcome import Silent
from npukbuild.errors import BusyError, CheckFailedError, RequestError, ToolError
from tests.engine.rig import ENVIRONMENT, World, shell, text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from npukbuild.engine.outcome import Outcome


def raise_check_failed(parameters: Mapping[str, Any]) -> None:
    raise CheckFailedError("wrong numbers", why=parameters["why"], details=["a", "b"])


def raise_internal(_parameters: Mapping[str, Any]) -> None:
    raise ZeroDivisionError("oops")


def write_parameters(parameters: Mapping[str, Any]) -> None:
    from pathlib import Path

    Path("out").write_text(str(parameters))


def call(name: str, function: str, **about: Any) -> Node:
    action = Action(kind="call", call=f"{__name__}:{function}", outputs=("out",), **about)
    return Node(name, action, "group")


class Recorder(Silent):
    def __init__(self) -> None:
        self.order: list[str] = []
        self.events: list[str] = []
        self.running = self.most = 0

    def started(self, node: Node, expected_seconds: float) -> None:
        self.order.append(node.name)
        self.events.append(f"+{node.name}")
        self.running += 1
        self.most = max(self.most, self.running)

    def ended(self, node: Node, outcome: Outcome) -> None:
        self.events.append(f"-{node.name}")
        self.running -= outcome.status in ("built", "failed")


def test_a_chain_hands_content_on(world: World) -> None:
    chain = [
        shell("a", "printf one > out"),
        shell("b", "cat in > out; printf two >> out", inputs={"in": OutputOf("a", "out")}),
        shell("c", "cat x/in t > out", inputs={"x/in": OutputOf("b", "out"), "t": TextInput(b"three")}),
    ]
    assert text(world.run(*chain)["c"]) == "onetwothree"
    assert {outcome.status for outcome in world.run(*chain).values()} == {"hit"}


def test_the_same_output_cuts_the_rebuild_short(world: World) -> None:
    def chain(comment: str) -> list[Node]:
        return [
            shell("a", f"printf same > out # {comment}"),
            shell("b", "cat in > out", inputs={"in": OutputOf("a", "out")}),
        ]

    world.run(*chain("one"))
    outcomes = world.run(*chain("two"))
    assert (outcomes["a"].status, outcomes["b"].status) == ("built", "hit")


def test_an_executable_stays_one(world: World) -> None:
    nodes = [
        shell("a", "printf '#!/bin/sh\\necho ran' > out; chmod +x out"),
        shell("b", "./in > out", inputs={"in": OutputOf("a", "out")}),
    ]
    assert text(world.run(*nodes)["b"]) == "ran\n"
    assert text(world.run(*nodes)["b"]) == "ran\n"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo broken >&2; exit 3", "exit code 3"),
        ("true", "out was not written"),
        (": > out", "out is empty"),
        ("ln -s /etc/hostname out", "out was not written"),
        ("kill -9 $$", "signal 9"),
    ],
)
def test_an_exit_code_is_no_evidence(world: World, script: str, said: str) -> None:
    outcome = world.run(shell("a", script))["a"]
    assert outcome.status == "failed"
    assert isinstance(outcome.error, ToolError)
    assert said in str(outcome.error.why)
    assert outcome.folder is not None
    assert outcome.folder.is_dir(), "evidence is kept"
    assert world.run(shell("a", script))["a"].status == "failed", "failures are not kept as results"


def test_a_hang_is_killed_with_all_its_children(world: World) -> None:
    began = time.monotonic()
    outcome = world.run(shell("a", "sleep 61 & sleep 62; echo > out", timeout=0.5))["a"]
    assert outcome.status == "failed"
    assert "within 0.5 s" in str(outcome.error and outcome.error.why)
    assert time.monotonic() - began < 20


def test_errors_of_steps_arrive_whole(world: World) -> None:
    outcome = world.run(call("a", "raise_check_failed", parameters={"why": "because"}))["a"]
    assert isinstance(outcome.error, CheckFailedError)
    assert (outcome.error.what, outcome.error.why, outcome.error.details) == (
        "wrong numbers",
        "because",
        ("a", "b"),
    )
    defect = world.run(call("a", "raise_internal"))["a"].error
    assert isinstance(defect, ToolError)
    assert "ZeroDivisionError: oops" in str(defect.why)


def test_tokens_are_replaced_in_parameters_and_commands(world: World) -> None:
    outcome = world.run(call("a", "write_parameters", parameters={"where": ["{one}/x"]}))["a"]
    assert str(world.folder / "one" / "x") in text(outcome)
    assert "{one}/x" in str(outcome.base)


def test_failures_stop_the_rest_unless_kept_going(world: World) -> None:
    nodes = [
        shell("bad", "exit 1"),
        shell("after", "cat in > out", inputs={"in": OutputOf("bad", "out")}),
        *(shell(f"good{index}", f"sleep 0.02; echo {index} > out") for index in range(8)),
    ]
    stopped = world.run(*nodes, jobs=1)
    assert stopped["bad"].status == "failed"
    assert stopped["after"].status == "skipped"
    assert "skipped" in {stopped[f"good{index}"].status for index in range(8)}
    going = world.run(*nodes, jobs=1, keep_going=True)
    assert going["after"].status == "skipped"
    assert {going[f"good{index}"].status for index in range(8)} <= {"built", "hit"}


def test_force_builds_again(world: World) -> None:
    assert world.run(shell("a", "echo > out"))["a"].status == "built"
    assert world.run(shell("a", "echo > out"))["a"].status == "hit"
    assert world.run(shell("a", "echo > out"), force=True)["a"].status == "built"


def test_equal_actions_of_one_graph_run_once(world: World, tmp_path: Path) -> None:
    nodes = [shell(f"n{index}", f"echo x >> {tmp_path}/log; echo > out") for index in range(5)]
    outcomes = world.run(*nodes, jobs=4)
    assert sorted(outcome.status for outcome in outcomes.values()) == ["built", *["hit"] * 4]
    assert (tmp_path / "log").read_text() == "x\n"


def test_what_is_not_cached_runs_every_time(world: World) -> None:
    node = shell("measure", "date +%N > out", cached=False)
    assert [world.run(node)["measure"].status for _ in range(2)] == ["built", "built"]


def test_memory_is_never_over_committed(world: World) -> None:
    program = "x = bytearray(60 << 20); import time; time.sleep(0.15); open('out', 'w').write('ok')"
    costs = Costs()

    def nodes(salt: str) -> list[Node]:
        return [
            Node(
                f"n{index}",
                Action(
                    kind="big",
                    label=f"n{index}",
                    outputs=("out",),
                    command=(sys.executable, "-S", "-c", program),
                    environment={**ENVIRONMENT, "SALT": f"{salt} {index}"},
                ),
            )
            for index in range(4)
        ]

    alone = Recorder()
    world.run(*nodes("1"), jobs=4, costs=costs, budget=1 << 30, reporter=alone)
    assert alone.events[1] == alone.events[0].replace("+", "-"), (
        "an action of unknown cost runs alone at first"
    )
    assert 60 << 20 <= costs.memory("big", "n0") < 200 << 20, "peaks are learned"
    for budget, most in ((120 << 20, 1), (250 << 20, 2), (1 << 30, 4)):
        seen = Recorder()
        world.run(*nodes(str(budget)), jobs=4, costs=costs, budget=budget, reporter=seen)
        assert seen.most <= most
    assert seen.most > 1


def test_the_longest_chain_goes_first(world: World) -> None:
    costs = Costs()
    for name, seconds in {"short": 1.0, "long1": 5.0, "long2": 9.0, "middle": 8.0}.items():
        costs.learn("sh", name, 1 << 20, seconds)
    nodes = [
        shell("short", "echo s > out"),
        shell("middle", "echo m > out"),
        shell("long1", "echo l > out"),
        shell("long2", "cat in > out", inputs={"in": OutputOf("long1", "out")}),
    ]
    seen = Recorder()
    world.run(*nodes, jobs=1, costs=costs, reporter=seen)
    assert seen.order == ["long1", "long2", "middle", "short"]


def test_costs_are_kept_between_runs(tmp_path: Path) -> None:
    costs = Costs(tmp_path / "costs")
    costs.learn("k", "a", 100 << 20, 2.0)
    costs.save()
    again = Costs(tmp_path / "costs")
    assert again.memory("k", "a") == int((100 << 20) * 1.25)
    assert again.memory("k", "never seen") == again.memory("k", "a")
    again.learn("k", "a", 1 << 20, 2.0)
    assert again.memory("k", "a") > 100 << 20, "one small run does not make a large action small"
    (tmp_path / "costs").write_text("{damaged")
    assert Costs(tmp_path / "costs").seconds("k", "a") == 1.0
    assert memory_budget() > 0


def test_slots_are_taken_one_at_a_time(world: World) -> None:
    script = "date +%s%N > out; sleep 0.05; date +%s%N >> out"
    nodes = [shell(f"n{index}", f"{script} # {index}", resources={"NPU": 1}) for index in range(3)]
    outcomes = world.run(*nodes, jobs=3)
    spans = sorted([int(word) for word in text(outcome).split()] for outcome in outcomes.values())
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


def test_a_lock_that_stays_taken_is_an_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from npukbuild.engine.key import key_of

    monkeypatch.setenv("NPUKBUILD_LOCK_TIMEOUT", "0.3")
    node = shell("a", "echo > out")
    held = try_lock(world.store().lock_path(key_of(node.action.base({}))))
    assert held is not None
    outcomes = world.run(node, shell("b", "echo b > out"), keep_going=True)
    assert isinstance(outcomes["a"].error, BusyError)
    assert outcomes["b"].status == "built", "others go on meanwhile"
    held.release()
    assert world.run(node)["a"].status == "built"


def test_a_source_that_changes_meanwhile_is_not_kept(world: World) -> None:
    """A header changes after it was read: the result must not get the new header's key."""
    from npukbuild.engine.action import FileInput

    header = world.folder / "two" / "value.h"
    script = f"cat {header} > out; echo 'x: {header}' > deps; sleep 0.1; echo changed > {header}"
    node = shell("a", script, depfile="deps", inputs={"m": FileInput(world.folder / "src/main.c")})
    outcome = world.run(node)["a"]
    assert (outcome.status, outcome.steady, outcome.key) == ("built", False, "")
    assert world.run(node)["a"].status == "built"


def test_a_missing_input_is_named(world: World) -> None:
    from npukbuild.engine.action import FileInput

    node = shell("a", "cat in > out", inputs={"in": FileInput(world.folder / "nowhere")})
    error = world.run(node)["a"].error
    assert error is not None
    assert "nowhere" in str(error)


def test_graphs_and_actions_refuse_nonsense() -> None:
    graph = Graph()
    graph.add(shell("a", "echo > out"))
    for bad in (
        shell("a", "echo > out"),
        shell("b", "cat in > out", inputs={"in": OutputOf("nobody", "out")}),
        shell("b", "cat in > out", inputs={"in": OutputOf("a", "other")}),
    ):
        with pytest.raises(ValueError, match="node"):
            graph.add(bad)
    for wrong in (
        {"outputs": ()}, {"outputs": ("/abs",)}, {"outputs": ("../up",)}, {"outputs": ("a", "a")},
        {"outputs": ("o",), "call": "m:f", "command": ("c",)}, {"outputs": ("o",), "command": ()},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="action"):
            Action(kind="k", **{"command": ("c",), **wrong})  # type: ignore[arg-type]


def test_unknown_families_are_refused() -> None:
    from npukbuild.engine.kernel_graph import KernelRequest

    with pytest.raises(RequestError, match="conv"):
        KernelRequest.of({"family": "conv", "target": "npu1"})
