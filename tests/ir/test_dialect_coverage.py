"""Attributes of the dialect that change behaviour and are not modelled are refused by name."""

from __future__ import annotations

import pytest

from npukbuild.errors import DesignError
from npukbuild.ir import load_design

LOCK_USE = """aie.device(npu1_1col) {
  %t = aie.tile(0, 2)
  %l = aie.lock(%t, 0) {init = 1 : i32}
  %c = aie.core(%t) {
    aie.use_lock(SPELLING
    aie.end
  }
}
"""


@pytest.mark.parametrize(
    ("spelling", "named"),
    [
        ("%l, AcquireGreaterEqual, 1) {acq_en = false}", "acq_en"),
        ("%l, AcquireGreaterEqual, 1, NonBlocking)", "NonBlocking"),
    ],
)
def test_lock_use_that_does_not_wait_is_refused_with_its_line(spelling: str, named: str) -> None:
    with pytest.raises(DesignError) as caught:
        load_design(LOCK_USE.replace("SPELLING", spelling))
    assert named in str(caught.value)
    assert ":5" in str(caught.value.where)


@pytest.mark.parametrize(
    "spelling", ["%l, AcquireGreaterEqual, 1)", "%l, AcquireGreaterEqual, 1, Blocking) {acq_en = true}"]
)
def test_lock_use_that_waits_is_read(spelling: str) -> None:
    load_design(LOCK_USE.replace("SPELLING", spelling))
