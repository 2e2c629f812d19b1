"""Lock values that the hardware has not are found."""

from __future__ import annotations

import numpy as np
import pytest

from npukbuild.errors import NpukbuildError
from tests.simulator.designs import COPY, SEQUENCE, call, one_core
from tests.simulator.faulty import TWO_CHANNELS, NothingKernels, broken, fault_of, line_of


def test_a_lock_that_starts_too_high() -> None:
    fault = fault_of(broken("X12_lock_init_72_core"), NothingKernels())
    assert "starts with 72" in fault.what
    assert "cut to 8" in (fault.why or "")


def overflowing(value: int = 63) -> str:
    text = TWO_CHANNELS.replace("aie.next_bd ^end\n  ^second", "aie.next_bd ^first\n  ^second")
    text = text.replace("init = 0", f"init = {value}")
    text = text.replace("%1 = aie.dma_start(S2MM, 1, ^other, ^end)", "aie.end")
    return text[: text.index("  ^other")] + text[text.index("  ^end") :]


def test_a_lock_that_a_dma_overflows_names_the_channel_and_its_line() -> None:
    text = overflowing()
    fault = fault_of(text)
    assert fault.what == "lock full of (0,2) overflows"
    assert (fault.where or "").startswith(f"design.mlir:{line_of(text, 'aie.dma_bd(%b')}")
    assert "(0,2) S2MM 0 releases 1 and it is 63, which makes 64; a lock holds 0..63" in (fault.why or "")
    assert f"(design.mlir:{line_of(text, 'aie.lock')}:" in (fault.why or "")
    assert "released more often than acquired" in (fault.hint or "")


LOCK = """%l = aie.lock(%core, 14) {init = 60 : i32, sym_name = "l"}"""


def test_a_lock_that_a_core_overflows_names_the_core_and_its_line() -> None:
    text = one_core(COPY + "\n aie.use_lock(%l, Release, 2)", extra=LOCK)
    fault = fault_of(text)
    assert fault.what == "lock l of (0,2) overflows"
    assert (fault.where or "").startswith(f"design.mlir:{line_of(text, 'Release, 2')}")
    assert "core (0,2) releases 2 and it is 62, which makes 64" in (fault.why or "")
    assert (call(text.replace("Release, 2", "Release, 0"))[:64] == np.arange(64)).all()


def test_a_release_below_0_underflows() -> None:
    text = one_core(f"%m = arith.constant -61 : i32\n{COPY}\n aie.use_lock(%l, Release, %m)", extra=LOCK)
    fault = fault_of(text)
    assert fault.what == "lock l of (0,2) underflows"
    assert "core (0,2) releases -61 and it is 60, which makes -1" in (fault.why or "")


@pytest.mark.parametrize(("value", "legal"), [(63, True), (64, False), (-1, False)])
def test_the_host_sets_a_lock_to_what_it_holds(value: int, legal: bool) -> None:
    text = one_core(extra=LOCK, sequence=f"aiex.set_lock(%l, {value})\n{SEQUENCE}")
    if legal:
        assert (call(text)[:64] == np.arange(64)).all()
        return
    with pytest.raises(NpukbuildError) as caught:
        call(text)
    assert caught.value.what == f"lock l of (0,2) cannot be set to {value}"
    assert (caught.value.where or "").startswith(f"design.mlir:{line_of(text, 'set_lock')}")


NEVER_ACQUIRED = """%false = arith.constant false
      scf.if %false {
        %a = aie.objectfifo.acquire @x(Consume, 1) : !aie.objectfifosubview<memref<64xi32>>
      }
      aie.objectfifo.release @x(Consume, 1)"""


def test_a_core_that_releases_more_than_it_holds_when_it_runs() -> None:
    text = one_core(core=NEVER_ACQUIRED)
    fault = fault_of(text)
    assert fault.what == "core (0,2) releases 1 objects of x and holds 0"
    assert (fault.where or "").startswith(f"design.mlir:{line_of(text, 'objectfifo.release')}")
    assert "(Consume) it has acquired 0 that it has not released" in (fault.why or "")
    assert "release as often as you acquire" in (fault.hint or "")


def test_a_lock_that_overflows_although_somebody_waits_for_it() -> None:
    waiting = (
        "%c = aie.core(%core) {\n aie.use_lock(%l, AcquireGreaterEqual, 63)\n aie.end\n }\n  %m = aie.mem"
    )
    text = overflowing(62).replace("%m = aie.mem", waiting).replace("(%l, Release, 1)", "(%l, Release, 2)")
    fault = fault_of(text)
    assert fault.what == "lock full of (0,2) overflows"
    assert "(0,2) S2MM 0 releases 2 and it is 62, which makes 64" in (fault.why or "")
