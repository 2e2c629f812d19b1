"""Raw shuffles, default vector lengths and sliding products as published kernels spell them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.hostapi.tools import Check, Load

# In the order of their values (Peano's aiev2_enums.h); AIE2P has eight more.
AIE2_PAIRS = ["T8_64x2", "T16_32x2", "T32_16x2", "T64_8x2", "T128_4x2", "T256_2x2", "T128_2x4", "T64_2x8"]
AIE2_PAIRS += ["T32_2x16", "T16_2x32", "T8_2x64", "T512_1x2", "T16_16x4", "T16_4x16"]
AIE2_MODES = [f"{name}_{half}" for name in AIE2_PAIRS for half in ("lo", "hi")]
AIE2_MODES += [
    "T16_8x4",
    "T16_4x8",
    "T32_8x4_lo",
    "T32_8x4_hi",
    "T32_4x8_lo",
    "T32_4x8_hi",
    "T32_4x4",
    "T8_8x8",
]
AIE2_MODES += ["T8_16x4", "T8_4x16", "T16_1x2_flip", "T16_4x4", "T16_4x2", "T16_2x4", "T16_8x2", "T16_2x8"]
AIE2_MODES += ["T16_16x2", "T16_2x16", "T8_8x4", "T8_4x8"]
MORE_MODES = [
    "T32_8x2",
    "T32_2x8",
    "T64_4x2",
    "T64_2x4",
    "T16_8x8_lo",
    "T16_8x8_hi",
    "T32_1x16_flip",
    "T8_1x4_flip",
]
MODES = {"aie2": AIE2_MODES, "aie2p": AIE2_MODES + MORE_MODES}

KERNEL = """
#include <aie_api/aie.hpp>
extern "C" void k(int8 *in, int8 *out, int mode) {
    aie::store_v(out, shuffle(aie::load_v<64>(in), aie::load_v<64>(in + 64), mode));
}
extern "C" void one(bfloat16 *in, bfloat16 *out) { aie::store_v(out, shuffle(aie::load_v<32>(in), T16_4x8)); }
extern "C" void moved(int16 *in, int16 *out) {
    aie::store_v(out, shift(aie::load_v<32>(in), aie::load_v<32>(in + 32), 3));
    aie::store_v(out + 32, shift_bytes(aie::load_v<32>(in), aie::load_v<32>(in + 32), 2));
    aie::store_v(out + 64, broadcast_elem(aie::load_v<32>(in), 5));
}
"""


def transposed(data: NDArray[np.int8], mode: str) -> NDArray[np.int8]:
    """What a mode's name says: matrices of its shape, one after the other, each transposed (or flipped)."""
    found = re.fullmatch(r"T(\d+)_(\d+)x(\d+)_?(lo|hi|flip)?", mode)
    assert found
    size, rows, columns = int(found[1]) // 8, int(found[2]), int(found[3])
    both = found[4] in ("lo", "hi")
    matrices = (data if both else data[:64]).reshape(-1, rows, columns, size)
    matrices = matrices[:, :, ::-1] if found[4] == "flip" else matrices.transpose(0, 2, 1, 3)
    flat = matrices.ravel()
    return flat[64:] if found[4] == "hi" else flat[:64]


@pytest.mark.parametrize("arch", ["aie2", "aie2p"])
def test_a_shuffle_transposes(load: Load, check: Check, arch: str) -> None:
    library = load(KERNEL, arch)
    data = np.arange(128, dtype=np.int8)
    for value, mode in enumerate(MODES[arch]):
        out = np.zeros(64, np.int8)
        library.call("k", data, out, value)
        assert out.tolist() == transposed(data, mode).tolist(), mode
    values = "".join(f"static_assert({mode} == {value});\n" for value, mode in enumerate(MODES[arch]))
    assert check("#include <aie_api/aie.hpp>\n" + values, arch) == ""


def test_modes_that_an_architecture_lacks_do_not_compile(check: Check) -> None:
    names = [*MORE_MODES, "T8_2x32", "T8_32x2"]
    uses = "".join(f'#line {i + 1} "bad"\nunsigned v{i} = {name};\n' for i, name in enumerate(names))
    complaints = check("#include <aie_api/aie.hpp>\n" + uses)
    assert [name for i, name in enumerate(names) if f"bad:{i + 1}:" not in complaints] == []


def test_registers_shift_and_broadcast(load: Load) -> None:
    data = np.arange(64, dtype=np.int16)
    out = np.zeros(96, np.int16)
    library = load(KERNEL)
    library.call("moved", data, out)
    assert np.array_equal(out[:32], data[3:35])
    assert np.array_equal(out[32:64], data[1:33])
    assert set(out[64:]) == {5}
    pairs = np.zeros(32, np.uint16)
    library.call("one", data[:32].view(np.uint16), pairs)
    assert np.array_equal(pairs, data[:32].reshape(4, 8).T.ravel())


def test_names_of_published_kernels(check: Check) -> None:
    assert not check("""
#include <aie_api/aie.hpp>
using ops = aie::sliding_mul_xy_ops<32, 8, 1, 1, int8, uint8>;
static_assert(aie::vector<bfloat16>::size() == 32 && aie::vector<int32>::size() == 16);
static_assert(aie::vector<int8>::size() == 64);
static_assert(float(std::numeric_limits<bfloat16>::lowest()) < -3.38e38f);
static_assert(DINTLV_hi_16o32 == T16_32x2_hi && INTLV_lo_64o128 == T64_2x8_lo);
""")
