"""Lock values that the hardware has not are found."""

from __future__ import annotations

from tests.simulator.faulty import TWO_CHANNELS, NothingKernels, broken, fault_of


def test_a_lock_that_starts_too_high() -> None:
    fault = fault_of(broken("X12_lock_init_72_core"), NothingKernels())
    assert "starts with 72" in fault.what
    assert "cut to 8" in (fault.why or "")


def test_a_lock_that_overflows() -> None:
    text = TWO_CHANNELS.replace("OFFSET", "32").replace(
        "aie.next_bd ^end\n  ^second", "aie.next_bd ^first\n  ^second"
    )
    text = text.replace("init = 0", "init = 63").replace(
        "%1 = aie.dma_start(S2MM, 1, ^other, ^end)", "aie.end"
    )
    text = text[: text.index("  ^other")] + text[text.index("  ^end") :]
    assert fault_of(text).what == "lock full overflows"
