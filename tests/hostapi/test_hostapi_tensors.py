"""Tensor buffer streams: vectors in the order of nested loops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.hostapi.tools import Check, Load

KERNEL = """
#include <aie_api/aie.hpp>
using D = aie::tensor_dim;
template <class Stream> void list(Stream stream, int n, int16 *&out) {
    for (int i = 0; i < n; i++) *out++ = stream.pop().get(0);
}
extern "C" void loops(int16 *p, int16 *out) {
    const int16 *in = p;
    auto cube = aie::make_tensor_descriptor<int16, 32>(D(2u, 1), D(3u, 4), D(2u, 2));
    list(aie::make_tensor_buffer_stream(p, cube), 12, out);
    aie::tensor_descriptor<1, int16, 32> kept;
    kept = aie::make_tensor_descriptor<int16, 32>(D(2u, 5));
    list(aie::make_tensor_buffer_stream(p, kept), 2, out);
    auto again = aie::make_tensor_descriptor<int16, 32>(D(3u, 0), D(4u, 1));
    list(aie::make_tensor_buffer_stream(in, again), 12, out);
    auto line = aie::make_tensor_descriptor_bytes<int16, 32>(D(4u, 192));
    list(aie::make_restrict_tensor_buffer_stream(p, line), 4, out);
    auto native = aie::make_tensor_descriptor_from_native<int16, 32>(aie::dim_3d(1u, 1, 1u, 1, 1));
    list(aie::make_tensor_buffer_stream(p, native), 8, out);
    auto bytes = aie::make_tensor_descriptor_from_native_bytes<int16, 32>(aie::dim_2d(2u, 64, 128));
    list(aie::make_tensor_buffer_stream(p, bytes), 6, out);
}
extern "C" void nested(int16 *p, int16 *out) {
    auto four = aie::make_tensor_descriptor<int16, 32>(D(2u, 8), D(2u, 0), D(2u, 4), D(3u, 1));
    auto outer = aie::make_tensor_buffer_stream(p, four);
    for (int i = 0; i < 8; i++) list(outer.pop(), 3, out);
}
extern "C" void turned(int16 *p, int16 *out) {
    auto from = aie::make_tensor_buffer_stream(p, aie::make_tensor_descriptor<int16, 32>(D(4u, 1), D(2u, 4)));
    auto to = aie::make_tensor_buffer_stream(out, aie::make_tensor_descriptor<int16, 32>(D(8u, 1)));
    for (int i = 0; i < 4; i++) {
        aie::vector<int16, 32> v, w;
        from >> v >> w;
        to << v;
        to.push(w);
    }
}
"""


def vectors() -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
    """16 vectors, each full of its own number, where a core's widest access can begin."""
    raw = np.zeros(16 * 32 + 64, np.int16)
    start = -raw.ctypes.data % 128 // 2
    data = raw[start : start + 512].reshape(16, 32)
    data[:] = np.arange(16)[:, None]
    return data


@pytest.mark.parametrize("arch", ["aie2", "aie2p"])
def test_up_to_three_loops_are_one_stream(load: Load, arch: str) -> None:
    out = np.zeros(44, np.int16)
    load(KERNEL, arch).call("loops", vectors(), out)
    cube = [z + 4 * y + 2 * x for z in range(2) for y in range(3) for x in range(2)]
    assert out[:12].tolist() == cube
    assert out[12:14].tolist() == [0, 5]
    out = out[2:]
    assert out[12:24].tolist() == [0, 1, 2, 3] * 3
    assert out[24:28].tolist() == [0, 3, 6, 9]
    assert out[28:36].tolist() == list(range(8))
    assert out[36:].tolist() == [0, 1, 2, 4, 5, 6]


def test_a_fourth_loop_is_a_stream_of_its_own(load: Load) -> None:
    out = np.zeros(24, np.int16)
    load(KERNEL).call("nested", vectors(), out)
    wanted = [8 * a + 4 * c + d for a in range(2) for _ in range(2) for c in range(2) for d in range(3)]
    assert out.tolist() == wanted


def test_streams_are_read_and_written_by_operators(load: Load) -> None:
    data, out = vectors(), vectors()
    load(KERNEL).call("turned", data, out)
    assert out[:8, 31].tolist() == [0, 4, 1, 5, 2, 6, 3, 7]


BAD = """
int16 *p = 0; auto s = aie::make_tensor_buffer_stream(p, aie::make_tensor_descriptor<int8, 64>(D(4u, 1)));
const int16 *p = 0; auto s = aie::make_tensor_buffer_stream(p, line); s.push(aie::zeros<int16, 32>());
int16 *p = 0; auto s = aie::make_tensor_buffer_stream(p, deep); s.push(aie::zeros<int16, 32>());
int16 *p = 0; auto s = aie::make_tensor_buffer_stream(p, deep); aie::vector<int16, 32> v = s.pop();
auto d = aie::make_tensor_descriptor<int16, 32>(4, 1);
auto d = aie::make_tensor_descriptor_from_native<int16, 32>(D(4u, 1));
""".strip().splitlines()


def test_what_does_not_compile(check: Check) -> None:
    text = "#include <aie_api/aie.hpp>\nusing D = aie::tensor_dim;\n"
    text += "auto line = aie::make_tensor_descriptor<int16, 32>(D(4u, 1));\n"
    text += "auto deep = aie::make_tensor_descriptor<int16, 32>(D(4u, 1), D(4u, 1), D(4u, 1), D(4u, 1));\n"
    text += "".join(f'#line {i + 1} "bad"\nvoid k{i}() {{ {body} }}\n' for i, body in enumerate(BAD))
    complaints = check(text)
    assert [body for i, body in enumerate(BAD) if f"bad:{i + 1}:" not in complaints] == []
