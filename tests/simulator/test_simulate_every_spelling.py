"""``npukbuild simulate`` runs every spelling of a design, from ``.npy`` to ``.npy``, with exact numbers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner

from npukbuild.cli import cli
from tests.simulator.designs import COPY, PASS, SEQUENCE, one_core
from tests.simulator.lowered_designs import PACKETS, lowered
from tests.simulator.test_task_forms import TASKS

if TYPE_CHECKING:
    from pathlib import Path

X = np.arange(256, dtype=np.int32) - 31
SAME = X
TRANSPOSED = X.reshape(4, 8, 8).transpose(0, 2, 1).reshape(-1)
TYPE = "!aie.objectfifo<memref<64xi32>>"
IN = f"aie.objectfifo @x(%shim, {{%core}}, 2 : i32) : {TYPE}\n"
OUT = f"aie.objectfifo @y(%core, {{%shim}}, 2 : i32) : {TYPE}\n"


def plain(text: str) -> str:
    """Copy of a core between @x2 and @y instead of @x and @y."""
    return PASS.replace("@x", text).replace("BODY", COPY)


def fifos(first: str, second: str = OUT, **more: str) -> str:
    return one_core(fifos=first + second, **more)


def through_memtile(second: str, *, first: str = "2 : i32", **more: str) -> str:
    """@x to the memtile, @x2 from there to the core."""
    return fifos(
        f"aie.objectfifo @x(%shim, {{%mem}}, {first}) : {TYPE}\n{second}\n"
        "aie.objectfifo.link [@x] -> [@x2] ([] [])\n",
        core=plain("@x2"),
        **more,
    )


def two_cores(attributes: str = "") -> str:
    """@x to the first core, @h to the second, @y back."""
    second = PASS.replace("@x", "@h").replace("BODY", COPY)
    return fifos(
        f"%two = aie.tile(0, 3)\n{IN}aie.objectfifo @h(%core, {{%two}}, 2 : i32){attributes} : {TYPE}\n",
        f"aie.objectfifo @y(%two, {{%shim}}, 2 : i32) : {TYPE}\n",
        core=PASS.replace("@y", "@h").replace("BODY", COPY),
        extra=f"%c2 = aie.core(%two) {{{second} aie.end }}",
    )


def halves() -> str:
    """Each of two cores copies one half of an object: distribute and join with offsets."""
    cores = ""
    for number in (0, 1):
        body = PASS.replace("@x", f"@x{number}").replace("@y", f"@y{number}").replace("BODY", COPY)
        body = body.replace("64xi32", "32xi32").replace("constant 64", "constant 32")
        cores += f"%program{number} = aie.core(%core{number}) {{{body} aie.end }}\n"
    half = "!aie.objectfifo<memref<32xi32>>"
    return f"""module {{ aie.device(npu1_1col) {{
    %shim = aie.tile(0, 0)
    %mem = aie.tile(0, 1)
    %core0 = aie.tile(0, 2)
    %core1 = aie.tile(0, 3)
    aie.objectfifo @x(%shim, {{%mem}}, 2 : i32) : {TYPE}
    aie.objectfifo @x0(%mem, {{%core0}}, 2 : i32) : {half}
    aie.objectfifo @x1(%mem, {{%core1}}, 2 : i32) : {half}
    aie.objectfifo.link [@x] -> [@x0, @x1] ([] [0, 32])
    aie.objectfifo @y0(%core0, {{%mem}}, 2 : i32) : {half}
    aie.objectfifo @y1(%core1, {{%mem}}, 2 : i32) : {half}
    aie.objectfifo @y(%mem, {{%shim}}, 2 : i32) : {TYPE}
    aie.objectfifo.link [@y0, @y1] -> [@y] ([0, 32] [])
    {cores}
    aie.runtime_sequence @sequence(%X: memref<256xi32>, %Y: memref<256xi32>) {{{SEQUENCE}}}
  }} }}"""


def broadcast() -> str:
    """Two cores receive the same 128 elements; each sends them to its half of the output."""
    second = PASS.replace("@y", "@z").replace("BODY", COPY)
    first, last = SEQUENCE.replace("1,1,1,256", "1,1,1,128").rstrip().rsplit("\n", 1)
    other = (
        first.splitlines()[-1]
        .replace("0,0,0,0", "0,0,0,128", 1)
        .replace("@y", "@z")
        .replace("id = 1", "id = 2")
    )
    return fifos(
        f"%two = aie.tile(0, 3)\naie.objectfifo @x(%shim, {{%core, %two}}, 2 : i32) : {TYPE}\n",
        f"{OUT}aie.objectfifo @z(%two, {{%shim}}, 2 : i32) : {TYPE}\n",
        extra=f"%c2 = aie.core(%two) {{{second} aie.end }}",
        sequence=f"{first}\n{other}\n{last}\n{last.replace('@y', '@z')}\n",
    )


def cascade() -> str:
    """The northern core sends word by word over the cascade, the southern one stores."""
    sender = (
        PASS.replace("BODY", "LOOP").split("%sy =")[0]
        + """
      scf.for %i = %c0 to %n step %c1 {
        %v = memref.load %x[%i] : memref<64xi32>
        aie.put_cascade(%v : i32)
      }
      aie.objectfifo.release @x(Consume, 1)
    }"""
    )
    head, rest = PASS.split("%sx =")
    receiver = (
        head
        + "%sy ="
        + rest.split("%sy =")[1]
        .replace(
            "BODY",
            """scf.for %i = %c0 to %n step %c1 {
        %v = aie.get_cascade() : i32
        memref.store %v, %y[%i] : memref<64xi32>
      }""",
        )
        .replace("aie.objectfifo.release @x(Consume, 1)", "")
    )
    return fifos(
        f"%north = aie.tile(0, 3)\naie.objectfifo @x(%shim, {{%north}}, 2 : i32) : {TYPE}\n"
        "aie.cascade_flow(%north, %core)\n",
        core=receiver,
        extra=f"%c2 = aie.core(%north) {{{sender} aie.end }}",
    )


def added(value: str) -> str:
    """A body that adds what ``value`` computes into %k."""
    return f"""scf.for %i = %c0 to %n step %c1 {{
        %v = memref.load %x[%i] : memref<64xi32>
        {value}
        %r = arith.addi %v, %k : i32
        memref.store %r, %y[%i] : memref<64xi32>
      }}"""


def told(write: str) -> str:
    """A core that waits for a lock of the host and adds a parameter which the host wrote."""
    return one_core(
        core="aie.use_lock(%go, AcquireGreaterEqual, 1)\n"
        + PASS.replace("BODY", added("%k = memref.load %rtp[%c1] : memref<2xi32>")),
        extra='%rtp = aie.buffer(%core) {sym_name = "rtp"} : memref<2xi32>\n'
        '%go = aie.lock(%core, 15) {init = 0 : i32, sym_name = "go"}\n',
        sequence="\n" + write + SEQUENCE,
    )


SYNC = (
    "aiex.npu.sync {channel = 0 : i32, column = 0 : i32, column_num = 1 : i32, direction = 0 : i32, "
    "row = 0 : i32, row_num = 1 : i32}"
)
DIRECT_TASK = TASKS.replace("dma_configure_task_for @x", "dma_configure_task(%shim, MM2S, 0)")
PACKET = "{packet = #aie.packet_info<pkt_type = 0, pkt_id = 3>}"
LAYOUT = "[<size = 8, stride = 1>, <size = 8, stride = 8>]"
PADS = (
    "{padDimensions = #aie<bd_pad_layout_array[<const_pad_before = 1, const_pad_after = 1>, "
    "<const_pad_before = 0, const_pad_after = 0>]>}"
)
ONLY_OUT = "".join(line + "\n" for line in SEQUENCE.splitlines() if "@x" not in line)
PADDED = np.pad(X[:192].reshape(4, 6, 8), ((0, 0), (1, 1), (0, 0))).reshape(-1)

DESIGNS: dict[str, tuple[str, Any]] = {
    "depth as a number": (one_core(), SAME),
    "depth per end": (fifos(IN.replace("2 : i32", "[2, 3]")), SAME),
    "loop to 0xFFFFFFFF": (one_core().replace("2147483640", "4294967295"), SAME),
    "npu2": (one_core(device="npu2_1col"), SAME),
    "broadcast": (broadcast(), np.tile(X[:128], 2)),
    "distribute and join with offsets": (halves(), SAME),
    "dimensionsToStream": (
        through_memtile(f"aie.objectfifo @x2(%mem dimensionsToStream {LAYOUT}, {{%core}}, 2 : i32) : {TYPE}"),
        TRANSPOSED,
    ),
    "dimensionsFromStream": (
        fifos(f"aie.objectfifo @x(%shim, {{%core dimensionsFromStream {LAYOUT}}}, 2 : i32) : {TYPE}\n"),
        TRANSPOSED,
    ),
    "repeat_count": (
        through_memtile(
            f"aie.objectfifo @x2(%mem, {{%core}}, 1 : i32) {{repeat_count = 2 : i32}} : {TYPE}",
            first="1 : i32",
            sequence=SEQUENCE.replace("%X[0,0,0,0][1,1,1,256]", "%X[0,0,0,0][1,1,1,128]"),
        ),
        np.repeat(X[:128].reshape(2, 1, 64), 2, axis=1).reshape(-1),
    ),
    "init_values": (
        fifos(
            f"aie.objectfifo @w(%mem, {{%core}}, 2 : i32) : {TYPE} = "
            "[dense<7> : memref<64xi32>, dense<9> : memref<64xi32>]\n",
            core=plain("@w"),
            sequence=ONLY_OUT.replace("1,1,1,256", "1,1,1,128"),
        ),
        np.concatenate([np.full(64, 7), np.full(64, 9), np.zeros(128)]),
    ),
    "padding in the memtile": (
        through_memtile(
            f"aie.objectfifo @x2(%mem dimensionsToStream [<size = 6, stride = 8>, <size = 8, stride = 1>], "
            f"{{%core}}, 2 : i32) {PADS} : {TYPE}",
            sequence=SEQUENCE.replace("%X[0,0,0,0][1,1,1,256]", "%X[0,0,0,0][1,1,1,192]"),
        ).replace(f"{{%mem}}, 2 : i32) : {TYPE}", "{%mem}, 2 : i32) : !aie.objectfifo<memref<48xi32>>"),
        PADDED,
    ),
    "shared memory of neighbours": (two_cores(), SAME),
    "via_DMA": (two_cores(" {via_DMA = true}"), SAME),
    "cascade": (cascade(), SAME),
    "lowered": (lowered(), TRANSPOSED),
    "lowered with an address": (lowered(address=", address = 8192 : i32"), TRANSPOSED),
    "packets": (lowered(flows=PACKETS, packet=PACKET), TRANSPOSED),
    "tasks": (one_core(sequence=TASKS), SAME),
    "tasks on a channel": (one_core(sequence=DIRECT_TASK), SAME),
    "npu.sync": (one_core(sequence=SEQUENCE.replace("aiex.npu.dma_wait {symbol = @y}", SYNC)), SAME),
    "rtp_write and set_lock": (told("aiex.npu.rtp_write(@rtp, 1, 1000)\naiex.set_lock(%go, 1)"), X + 1000),
    "write32": (
        told(
            "aiex.npu.write32 {address = 1 : ui32, buffer = @rtp, value = 1000 : ui32}\n"
            "aiex.npu.write32 {address = 0x1F0F0 : ui32, column = 0 : i32, row = 2 : i32, value = 1 : ui32}"
        ),
        X + 1000,
    ),
    "aiex.runtime_sequence": (one_core().replace("aie.runtime_sequence", "aiex.runtime_sequence"), SAME),
}


@pytest.mark.parametrize("name", DESIGNS)
def test_a_design_in_this_spelling_gives_exact_numbers(name: str, tmp_path: Path) -> None:
    text, expected = DESIGNS[name]
    (tmp_path / "design.mlir").write_text(text)
    np.save(tmp_path / "x.npy", X)
    done = CliRunner().invoke(
        cli,
        [
            *("simulate", str(tmp_path / "design.mlir"), "--json"),
            *("--in", f"X={tmp_path / 'x.npy'}", "--out", f"Y={tmp_path / 'y.npy'}"),
        ],
    )
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    got = np.load(tmp_path / "y.npy")
    assert got.dtype == np.int32
    assert got.tolist() == np.asarray(expected).astype(int).tolist()
    assert json.loads(done.stdout)["array_us"] > 0
