"""Times of the event simulation: rates, bottlenecks, trace and page."""

from __future__ import annotations

import itertools
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from npukbuild.ir import load_design
from npukbuild.ir.design import Array, Function
from npukbuild.kernels.matmul import MatmulProblem
from npukbuild.planner import plan_matmul
from npukbuild.render import render
from npukbuild.simulator.recording import Interval
from npukbuild.simulator.timeline.page import timeline_html
from npukbuild.simulator.timeline.tracks import colours_of
from npukbuild.simulator.timing import DdrServer, FunctionCost, block_sizes
from npukbuild.simulator.trace import GROUPS, chrome_trace, trace_json, tracks_of
from npukbuild.targets import load_target
from npukbuild.targets.timing import convert_cycles, kernel_cycles
from tests.simulator.designs import SEQUENCE, load, one_core
from tests.simulator.time_only import silent, time_only

GOLDEN = Path(__file__).parent.parent / "golden"


def test_a_long_transfer_does_not_hold_up_a_short_one_beside_it() -> None:
    memory = DdrServer(rate=10.0)
    assert memory.serve(100_000, 0.0, 20_000.0) == pytest.approx(20_000)  # half of the bandwidth for long
    assert memory.serve(5_000, 1_000.0, 1_000.0) == pytest.approx(2_000)  # the other half is free
    assert memory.serve(50_000, 3_000.0, 5_000.0) == pytest.approx(13_000, abs=600)  # twice what is left
    assert memory.bytes == 155_000


def test_a_second_call_takes_as_long_as_the_first() -> None:
    problem = MatmulProblem(m=576, k=640, n=35, dtype="bf16", out_dtype="f32", b_layout="col")
    design = load_design(render(plan_matmul(problem, load_target("npu2_5col"))).design)
    simulator, args = silent(design)
    first, second = simulator.run(args), simulator.run(args)
    assert second.cycles == pytest.approx(first.cycles, rel=0.02)


def test_the_clock_is_a_parameter() -> None:
    design = load_design((GOLDEN / "G1_matmul_64x64x512_bf16.mlir").read_text())
    slow, fast = time_only(design, clock_ghz=1.0), time_only(design, clock_ghz=1.8)
    assert fast.array_us < slow.array_us
    assert fast.array_us > slow.array_us / 1.8 * 0.99  # DDR does not get faster with the array
    assert slow.launch_us == fast.launch_us == 170.0


def test_a_stream_moves_four_bytes_per_cycle() -> None:
    design = load(
        one_core().replace("256", "65536").replace("[0,0,0,0][1,1,1,65536]", "[0,0,0,0][1,1,1,65536]")
    )
    result = time_only(design)
    assert result.cycles > 65536
    name = next(name for name in result.streams if name.startswith("(0,0) MM2S 0"))
    assert result.streams[name] * result.cycles == pytest.approx(65536, rel=0.35)


def test_the_bottleneck_is_named() -> None:
    sequence = SEQUENCE.replace("256", "16384")
    text = one_core(sequence=sequence).replace("memref<256xi32>", "memref<16384xi32>")
    computing = time_only(load(text), launch="none")
    assert computing.bottleneck.startswith("compute: core (0,2) busy 9")
    moving = time_only(load(text.replace("memref.store %v", "memref.store %v", 1)), launch="device")
    assert moving.launch_us == 170.0
    small = time_only(load(one_core("")), launch="device")
    assert small.bottleneck.startswith("launch: 170 us")


def test_first_output_comes_before_the_end() -> None:
    design = load_design((GOLDEN / "G1_matmul_64x64x512_bf16.mlir").read_text())
    result = time_only(design)
    assert result.first_output_us is not None
    assert 5 < result.first_output_us < result.array_us / 2


def test_core_function_costs() -> None:
    target = load_target("npu1")
    design = load_design((GOLDEN / "G2_matmul_128x512x512_bf16.mlir").read_text())
    cost = FunctionCost(target)
    product = design.functions["mm_bf16_f32_32x64x64"]
    blocks = [kind for kind in product.arguments if not isinstance(kind, str)]
    assert block_sizes(blocks) == (32, 64, 64)
    assert cost(product, ()) == kernel_cycles("bf16", "f32", 32, 64, 64, target)
    assert cost(design.functions["zero_f32_32x64"], ()) < cost(product, ()) / 2
    for element, name in (("f32", "convert_f32_bf16"), ("i32", "requantise_i32_i8")):
        block = Array(element, (32, 64))
        converting = Function(name, (block, Array(name.rsplit("_", 1)[1], (32, 64))))
        assert cost(converting, ()) == convert_cycles(element, "other", 32, 64, target)
    own = time_only(design, cost=lambda function, arguments: 5.0)
    assert max(own.cores.values()) < max(time_only(design).cores.values())


def test_the_trace_has_a_track_per_core_channel_task_and_the_host(tmp_path: Path) -> None:
    design = load_design((GOLDEN / "G2_matmul_128x512x512_bf16.mlir").read_text())
    result = time_only(design, trace=True)
    trace = json.loads(json.dumps(chrome_trace(result)))
    events = trace["traceEvents"]
    names = {event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert {
        "host",
        "core (0,2)",
        "core (0,5)",
        "(0,0) MM2S 0",
        "(0,1) S2MM 5",
        "tasks of (0,0) S2MM 0",
    } <= names
    assert [e["args"]["name"] for e in events if e["name"] == "process_name"] == list(GROUPS)
    spans = [event for event in events if event["ph"] == "X"]
    calls = [event for event in spans if event["name"] == "mm_bf16_f32_32x64x64"]
    assert len(calls) == 4 * 8 * 8
    assert all(event["dur"] >= 0 and event["ts"] >= -0.01 for event in spans)
    by_track: dict[int, list[Any]] = {}
    for event in calls:
        by_track.setdefault(event["tid"], []).append(event)
    for track in by_track.values():
        track.sort(key=lambda event: event["ts"])
        for one, two in itertools.pairwise(track):
            assert one["ts"] + one["dur"] <= two["ts"] + 0.001


@pytest.mark.parametrize("device", ["npu1", "npu2"])
@pytest.mark.parametrize("kind", ["i8", "ui8", "i16", "ui16", "i32", "ui32", "i64", "f32", "bf16", "f16"])
def test_functions_on_every_type_have_a_cost(device: str, kind: str) -> None:
    cost = FunctionCost(load_target(device))
    block = Array(kind, (8, 8))
    for name, count in (("matmul_scalar", 3), ("zero_it", 1), ("convert_it", 2), ("other", 2)):
        assert 0 < cost(Function(name, (block,) * count), ()) < 10_000


def test_a_product_without_a_matrix_unit_costs_its_multiplications() -> None:
    cost = FunctionCost(load_target("npu1"))
    small, large = (
        cost(Function("matmul_i32", (Array("i32", (n, 8)), Array("i32", (8, n)), Array("i32", (n, n)))), ())
        for n in (8, 16)
    )
    assert large - small == pytest.approx(16 * 8 * 16 - 8 * 8 * 8)


TRACED = ("G2_matmul_128x512x512_bf16", "G7_chain_ln_softmax_gelu_1024_bf16", "G8_attention_head_64x64_bf16")


@pytest.mark.parametrize("name", TRACED)
def test_slices_of_a_track_never_overlap_in_part(name: str) -> None:
    """A viewer nests slices; it drops one that ends after the slice around it."""
    design = load_design((GOLDEN / f"{name}.mlir").read_text())
    tracks: dict[int, list[tuple[int, int]]] = {}
    for event in chrome_trace(time_only(design, trace=True, clock_ghz=1.3))["traceEvents"]:
        if event["ph"] == "X":
            start, length = event["ts"] * 1000, event["dur"] * 1000
            assert start == pytest.approx(round(start), abs=1e-6)  # whole nanoseconds
            tracks.setdefault(event["tid"], []).append((round(start), round(start) + round(length)))
    for slices in tracks.values():
        around: list[int] = []
        for start, end in sorted(slices, key=lambda item: (item[0], -item[1])):
            while around and around[-1] <= start:
                around.pop()
            assert not around or end <= around[-1], name
            around.append(end)


@pytest.mark.parametrize("name", TRACED)
def test_every_track_of_the_trace_has_one_name_and_a_place(name: str) -> None:
    design = load_design((GOLDEN / f"{name}.mlir").read_text())
    events = chrome_trace(time_only(design, trace=True))["traceEvents"]
    used = {(event["pid"], event["tid"]) for event in events if event["ph"] == "X"}
    assert not {tid for _, tid in used} & {pid for pid, _ in used}
    for what, value in (("thread_name", "name"), ("thread_sort_index", "sort_index")):
        given = [(e["pid"], e["tid"], e["args"][value]) for e in events if e["name"] == what]
        assert {(pid, tid) for pid, tid, _ in given} == used
        assert len({text for _, _, text in given}) == len(given) == len(used)
    for what in ("process_name", "process_sort_index"):
        assert {e["pid"] for e in events if e["name"] == what} == {pid for pid, _ in used}


def test_tracks_are_in_the_order_of_their_numbers() -> None:
    names = ["tasks of (1,0) S2MM 0", "core (10,2)", "(2,1) S2MM 10", "core (2,5)", "(2,1) S2MM 9", "host"]
    tracks = tracks_of(Interval(name, "", 0.0, 1.0) for name in names)
    assert tracks == ["host", "core (2,5)", "core (10,2)", "(2,1) S2MM 9", "(2,1) S2MM 10", names[0]]


def test_the_ddr_counter_adds_up_to_the_bytes_that_moved() -> None:
    design = load_design((GOLDEN / "G2_matmul_128x512x512_bf16.mlir").read_text())
    result = time_only(design, trace=True)
    steps = [event for event in chrome_trace(result)["traceEvents"] if event["ph"] == "C"]
    total = sum(
        one["args"]["bytes per us"] * (two["ts"] - one["ts"]) for one, two in itertools.pairwise(steps)
    )
    assert total == pytest.approx(result.ddr_bytes, rel=0.01)
    assert result.ddr_bytes > 100_000


def test_a_trace_that_stops_early_says_so() -> None:
    design = load_design((GOLDEN / "G2_matmul_128x512x512_bf16.mlir").read_text())
    simulator, args = silent(design, trace=True)
    simulator._recorder.limit = 500
    for result in (simulator.run(args), simulator.run(args)):
        assert len(result.intervals) == 500
        assert result.left_out > 1000
        assert any("the first 500 of" in warning for warning in result.warnings)
        trace = chrome_trace(result)
        assert trace["otherData"]["intervals_left_out"] == result.left_out
        (mark,) = [event for event in trace["traceEvents"] if event["ph"] == "i"]
        assert f"{result.left_out:,} intervals left out" in mark["name"]
        assert "the first 500 of" in timeline_html(design, result)
    assert "left out" not in trace_json(time_only(design, trace=True))


class Page(HTMLParser):
    """Collects the tags and text of a page, and checks that they nest."""

    VOID = ("meta", "br", "path", "rect")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_is_complete_and_needs_nothing_from_elsewhere() -> None:
    design = load_design((GOLDEN / "G7_chain_ln_softmax_gelu_1024_bf16.mlir").read_text())
    html = timeline_html(design, time_only(design, trace=True), title="a <chain>")
    page = Page()
    page.feed(html)
    assert page.open == []
    said = " ".join(page.words)
    for word in (
        "a <chain>",
        "core (0,3)",
        "layernorm_bf16",
        "Timeline",
        "What limits it",
        "simulated",
        "Account",
    ):
        assert word in said
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "img", "iframe")
        assert "href" not in attributes
        assert "src" not in attributes
    assert "prefers-color-scheme:dark" in html
    assert "http" not in html
    assert "shared memory of neighbours" in said
    colours = colours_of(time_only(design, trace=True))
    assert len({colours[name] for name in design.functions}) == len(design.functions) > 2
    titles = sum(tag == "title" for tag, _ in page.tags)
    assert titles > 20
