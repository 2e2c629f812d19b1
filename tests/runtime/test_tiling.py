"""How a problem is cut into calls of the releases there are."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from npukbuild.runtime.tiling import Kernel, tile

SMALL = Kernel(64, 64, 64, 200.0, "64x64x64")
WIDE = Kernel(64, 64, 512, 250.0, "64x64x512")
TALL = Kernel(128, 64, 512, 300.0, "128x64x512")
WHOLE = Kernel(3001, 512, 512, 1200.0, "3001x512x512")
PROBLEM = (3001, 512, 512)


def test_the_encoder_projection() -> None:
    """Calls with each release alone, and with all of them."""
    counts = {kernel.key: tile([kernel], *PROBLEM) for kernel in (SMALL, WIDE, TALL, WHOLE)}
    assert {key: tiling.calls for key, tiling in counts.items() if tiling} == {
        "64x64x64": 3008,  # 47 strips of rows, 8 of columns, 8 steps of K
        "64x64x512": 376,
        "128x64x512": 192,  # 24 strips of rows: 3001 / 128 is 23.4, and half a strip takes a whole call
        "3001x512x512": 1,
    }
    best = tile([SMALL, WIDE, TALL, WHOLE], *PROBLEM)
    assert best is not None
    assert best.calls == 1


def test_a_thin_rest_goes_to_the_release_that_is_fastest_for_it() -> None:
    tiling = tile([WIDE, TALL], *PROBLEM)
    assert tiling is not None
    assert tiling.calls == 192
    assert [(piece.kernel.key, piece.rows) for piece in tiling.pieces] == [
        ("128x64x512", 2944), ("64x64x512", 57),
    ]  # fmt: skip


def test_kernels_that_cannot_split_k_are_not_used_for_longer_sums() -> None:
    narrow = Kernel(64, 64, 64, 100.0, "i8", splits_k=False)
    assert tile([narrow], 64, 65, 64) is None
    assert tile([narrow], 65, 64, 64) is not None


sizes = st.integers(1, 300)
kernels = st.lists(
    st.builds(
        Kernel, sizes, sizes, sizes, st.floats(1, 1000), st.uuids().map(str), st.booleans()
    ),
    min_size=1, max_size=5,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(kernels, sizes, sizes, sizes)
def test_every_element_is_covered_once_in_no_more_calls_than_any_release_alone(
    found: list[Kernel], m: int, k: int, n: int
) -> None:
    tiling = tile(found, m, k, n)
    alone = [tile([kernel], m, k, n) for kernel in found]
    usable = [single for single in alone if single is not None]
    if tiling is None:
        assert not usable
        return
    covered = np.zeros((m, n), dtype=int)
    for piece in tiling.pieces:
        covered[piece.row : piece.row + piece.rows, piece.column : piece.column + piece.columns] += 1
        assert piece.kernel.splits_k or piece.kernel.k >= k
    assert (covered == 1).all()
    assert (tiling.calls, tiling.us) <= min((single.calls, single.us) for single in usable)
