"""Runtime sequences that load other configurations: numbers, what stays, times, refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from npukbuild.cli import cli
from npukbuild.cli.report import run_guarded
from npukbuild.errors import DesignError, SimulationFault
from npukbuild.simulator import Simulator
from npukbuild.xclbin.insts_encode import encode_design
from tests.simulator.designs import BOTH, load

if TYPE_CHECKING:
    from pathlib import Path

ADD = """
  aie.device(npu2) @NAME {
    %s = aie.tile(0, 0)
    %c = aie.tile(0, 2)
    aie.objectfifo @in(%s, {%c}, 1 : i32) : !aie.objectfifo<memref<4xi32>>
    aie.objectfifo @out(%c, {%s}, 1 : i32) : !aie.objectfifo<memref<4xi32>>
    EXTRA
    aie.core(%c) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c4 = arith.constant 4 : index
      %many = arith.constant 0xFFFFFE : index
      %k = arith.constant AMOUNT : i32
      scf.for %n = %c0 to %many step %c1 {
        %i = aie.objectfifo.acquire @in(Consume, 1) : memref<4xi32>
        %o = aie.objectfifo.acquire @out(Produce, 1) : memref<4xi32>
        scf.for %j = %c0 to %c4 step %c1 {
          %v = memref.load %i[%j] : memref<4xi32>
          %w = arith.addi %v, %k : i32
          memref.store %w, %o[%j] : memref<4xi32>
        }
        aie.objectfifo.release @in(Consume, 1)
        aie.objectfifo.release @out(Produce, 1)
      }
      aie.end
    }
    aie.runtime_sequence @go(%a: memref<4xi32>) {
      BEFORE
      %x = aiex.dma_configure_task_for @in { aie.dma_bd(%a : memref<4xi32>, 0, 4) aie.end }
      %y = aiex.dma_configure_task_for @out { aie.dma_bd(%a : memref<4xi32>, 0, 4) aie.end }
        {issue_token = true}
      aiex.dma_start_task(%x)
      aiex.dma_start_task(%y)
      aiex.dma_await_task(%y)
    }
  }
"""


def adds(name: str, amount: int, *, before: str = "", extra: str = "") -> str:
    text = ADD.replace("NAME", name).replace("AMOUNT", str(amount))
    return text.replace("BEFORE", before).replace("EXTRA", extra)


def part(name: str, start: int) -> str:
    """A piece of 4 elements of the host buffer."""
    kind = f"memref<4xi32, strided<[1], offset: {start}>>"
    return (
        f"%{name}_s = memref.subview %arg[{start}] [4] [1] : memref<16xi32> to {kind}\n"
        f"%{name} = memref.reinterpret_cast %{name}_s to offset: [0], sizes: [4], strides: [1] : {kind} to "
        "memref<4xi32>\n"
    )


def main(body: str, *devices: str) -> str:
    head = f"aie.device(npu2) @main {{\naie.runtime_sequence @all(%arg: memref<16xi32>) {{\n{body}\n}}\n}}"
    return f"module {{\n{head}\n{''.join(devices)}}}\n"


RUN = "aiex.run @go(%{}) : (memref<4xi32>)\n"
BOTH_ADDS = main(
    f"aiex.configure @two {{\n{part('p', 0)}{part('q', 12)}{RUN.format('p')}{RUN.format('q')}}}\n"
    f"aiex.configure @three {{\n{part('r', 4)}{part('t', 12)}{RUN.format('r')}{RUN.format('t')}}}",
    adds("two", 2),
    adds("three", 3),
)


@BOTH
def test_one_configuration_after_another_on_parts_of_the_same_buffer(timed: bool) -> None:
    simulator = Simulator(load(BOTH_ADDS), timed=timed)
    expected = np.arange(16, dtype=np.int32)
    data = expected.copy()
    for _ in range(2):
        result = simulator.run([data])
        expected[0:4] += 2
        expected[4:8] += 3
        expected[12:16] += 5
        assert (data == expected).all()
        assert result.warnings == ()


def test_the_time_of_loading_is_counted_and_told() -> None:
    design = load(BOTH_ADDS)
    result = Simulator(design, trace=True).run([np.zeros(16, np.int32)])
    alone = Simulator(load(f"module {{{adds('two', 2)}}}")).run([np.zeros(4, np.int32)])
    assert result.array_us == pytest.approx(2 * 3500 + 4 * alone.array_us, rel=0.01)
    assert result.bottleneck.startswith("loading configurations: 100%")
    loads = [one for one in result.intervals if one.name.startswith("load configuration")]
    assert [(one.track, one.name) for one in loads] == [
        ("host", "load configuration two"),
        ("host", "load configuration three"),
    ]
    starts = [one.start for one in result.intervals if one.track == "host"]
    assert starts == sorted(starts)
    assert result.counts["tasks"] == 8


def test_a_design_may_load_itself_and_begins_anew() -> None:
    text = f"module {{{adds('two', 2, before='aiex.npu.load_pdi {device_ref = @two}')}}}"
    simulator = Simulator(load(text))
    data = np.arange(4, dtype=np.int32)
    simulator.run([data])
    simulator.run([data])
    assert (data == np.arange(4) + 4).all()


KEEPS = """
  aie.device(npu2) @NAME {
    %s = aie.tile(0, 0)
    %m = aie.tile(0, 1)
    %b = aie.buffer(%m) {address = ADDRESS : i32, sym_name = "b"} : memref<4xi32>VALUE
    %d = aie.memtile_dma(%m) {
      %0 = aie.dma_start(MM2S, 0, ^bd, ^end)
    ^bd:
      aie.dma_bd(%b : memref<4xi32>, 0, 4)
      aie.next_bd ^bd
    ^end:
      aie.end
    }
    aie.flow(%m, DMA : 0, %s, DMA : 0)
    aie.runtime_sequence @go(%a: memref<4xi32>) {
      %t = aiex.dma_configure_task(%s, S2MM, 0) { aie.dma_bd(%a : memref<4xi32>, 0, 4) aie.end }
        {issue_token = true}
      aiex.dma_start_task(%t)
      aiex.dma_await_task(%t)
    }
  }
"""


def kept(address: int) -> str:
    first = (
        KEEPS.replace("NAME", "first").replace("ADDRESS", "64").replace("VALUE", " = dense<[11,22,33,44]>")
    )
    second = KEEPS.replace("NAME", "second").replace("ADDRESS", str(address)).replace("VALUE", "")
    return main(
        f"aiex.configure @first {{\n{part('p', 0)}{RUN.format('p')}}}\n"
        f"aiex.configure @second {{\n{part('q', 4)}{RUN.format('q')}}}",
        first,
        second,
    )


def test_data_memory_keeps_what_it_held() -> None:
    data = np.zeros(16, np.int32)
    Simulator(load(kept(64))).run([data])
    assert data[:8].tolist() == [11, 22, 33, 44, 11, 22, 33, 44]


def test_memory_that_no_configuration_wrote_is_found() -> None:
    with pytest.raises(SimulationFault, match="never written"):
        Simulator(load(kept(72))).run([np.zeros(16, np.int32)])


def test_kernels_are_loaded_anew_with_their_statics(compile_cc: Any) -> None:
    kernels = compile_cc(
        'extern "C" void count(int *x) { static int calls = 0; calls++; for (int i = 0; i < 4; i++) '
        "x[i] += calls; }"
    )
    device = (
        adds("two", 0, extra="func.func private @count(memref<4xi32>)")
        .replace("%w = arith.addi %v, %k : i32\n          memref.store %w", "memref.store %v")
        .replace(
            "aie.objectfifo.release @in(",
            "func.call @count(%o) : (memref<4xi32>) -> ()\n        aie.objectfifo.release @in(",
        )
    )
    twice = main(
        f"aiex.configure @two {{\n{part('p', 0)}{part('q', 4)}{RUN.format('p')}{RUN.format('q')}}}\n"
        f"aiex.configure @two {{\n{part('r', 8)}{RUN.format('r')}}}",
        device,
    )
    data = np.zeros(16, np.int32)
    Simulator(load(twice), kernels, differential=False).run([data])
    assert data[::4].tolist() == [1, 2, 1, 0]


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        (main("aiex.configure @no { }", adds("two", 2)), 4, "aiex.configure of no: no device has that name"),
        (
            main(f"aiex.configure @two {{\n{part('p', 0)}{RUN.format('p')}}}", adds("two", 2)).replace(
                "run @go", "run @no"
            ),
            7,
            "device two has no runtime sequence no",
        ),
        (
            main("aiex.configure @two {\naiex.run @go(%arg) : (memref<16xi32>)\n}", adds("two", 2)),
            5,
            "the arguments of runtime sequence go do not fit",
        ),
        (main("aiex.run @go(%arg) : (memref<16xi32>)"), 4, "aiex.run outside of aiex.configure"),
        (main("aiex.configure @two {\naiex.configure @two { }\n}", adds("two", 2)), 5, "inside of another"),
        (main("aiex.npu.load_pdi {id = 1 : i32}"), 4, "aiex.npu.load_pdi without device_ref"),
        (
            main("aiex.configure @two { }\naiex.npu.preempt { }\naiex.npu.dma_wait {symbol = @out}",
                 adds("two", 2)),
            6,
            "aiex.npu.dma_wait behind aiex.configure, outside of it",
        ),
        (
            main(f"aiex.configure @two {{\n{part('p', 0)}{RUN.format('p')}}}",
                 adds("two", 2, before="aiex.npu.load_pdi {device_ref = @two}")),
            38,
            "aiex.npu.load_pdi in a sequence that aiex.run executes",
        ),
        (
            main(f"aiex.configure @two {{\n{part('p', 0)}{RUN.format('p')}}}",
                 adds("two", 2, before="aiex.npu.dma_wait {symbol = @out}")),
            38,
            "wait for channel S2MM 0 of (0,0) never ends",
        ),
    ],
    ids=["device", "sequence", "arguments", "no configure", "nested", "no name", "behind", "load", "rules"],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(text: str, line: int, told: str) -> None:
    with pytest.raises(DesignError) as caught:
        load(text)
    assert told in caught.value.what
    assert f"design.mlir:{line}:" in str(caught.value.where)


def test_the_page_shows_every_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "both.mlir").write_text(BOTH_ADDS)
    page = tmp_path / "page.html"
    words = ["simulate", str(tmp_path / "both.mlir"), "--out", f"arg={tmp_path / 'o.npy'}"]
    assert run_guarded(cli, [*words, "--timeline", str(page)]) == 0, capsys.readouterr().err
    assert (np.load(tmp_path / "o.npy") == [2] * 4 + [3] * 4 + [0] * 4 + [5] * 4).all()
    text = page.read_text()
    assert text.count("<h3>Configuration two</h3>") == 3
    assert text.count("<h3>Configuration three</h3>") == 3
    assert "load configuration three" in text


def test_no_instruction_stream_is_made_of_it() -> None:
    from npukbuild.errors import ContainerError

    with pytest.raises(ContainerError, match="loads configuration two"):
        encode_design(load(BOTH_ADDS))
