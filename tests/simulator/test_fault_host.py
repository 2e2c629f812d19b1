"""What the host's side does wrong is found: waits, descriptors, queues, lengths, arguments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from npukbuild.errors import NpukbuildError
from npukbuild.ir.design import Dim, Push, Wait
from npukbuild.simulator import Simulator
from tests.simulator.designs import SEQUENCE, call, change_sequence, load, one_core
from tests.simulator.faulty import NothingKernels, broken, fault_of, line_of


def test_input_that_no_core_takes_is_a_fault() -> None:
    fault = fault_of(broken("X9e_never_acquired"), NothingKernels())
    assert "never takes all that the host sends to x" in fault.what
    assert "4096 of 16384 bytes" in (fault.why or "")


def test_a_call_that_does_not_wait_for_its_output() -> None:
    text = one_core()
    design = change_sequence(
        load(text), lambda operations: [op for op in operations if not isinstance(op, Wait)]
    )
    fault = fault_of(design)
    assert fault.what == "the call returns before Y is written"
    assert fault.where is not None
    assert fault.where.startswith(f"design.mlir:{line_of(text, 'memcpy_nd(%Y')}")


def test_a_host_buffer_that_is_overrun() -> None:
    def longer(operations: Any) -> Any:
        return [
            replace(op, descriptors=(replace(op.descriptors[0], offset=64),)) if isinstance(op, Push) else op
            for op in operations
        ]

    fault = fault_of(change_sequence(load(one_core()), longer))
    assert "outside host argument X" in fault.what
    assert "elements 64..319" in (fault.why or "")


def test_a_host_that_takes_a_part_of_an_object() -> None:
    def shorter(operations: Any) -> Any:
        return [
            replace(op, descriptors=(replace(op.descriptors[0], length=224),))
            if isinstance(op, Push) and op.target.direction == "S2MM"
            else op
            for op in operations
        ]

    fault = fault_of(change_sequence(load(one_core()), shorter))
    assert fault.what == "the host took a part of an object of y"
    assert "element 32 of 64" in (fault.why or "")


TWO_IN = """
      aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,128][0,0,0,1]) {id = 0 : i64, metadata = @x} : memref<256xi32>
      aiex.npu.dma_memcpy_nd(%X[0,0,0,128][1,1,1,128][0,0,0,1])
        {id = 3 : i64, metadata = @x} : memref<256xi32>
"""


def test_a_descriptor_used_again_while_live() -> None:
    def same(operations: Any) -> Any:
        return [
            replace(op, descriptors=tuple(replace(bd, id=0) for bd in op.descriptors))
            if isinstance(op, Push) and op.descriptors[0].id == 3
            else op
            for op in operations
        ]

    text = one_core(sequence=TWO_IN + "".join(SEQUENCE.splitlines(keepends=True)[2:]))
    assert (call(text) == np.arange(256)).all()
    fault = fault_of(change_sequence(load(text), same))
    assert fault.what == "descriptor 0 of (0,0) is used again while it is in use"
    assert f"design.mlir:{line_of(text, 'id = 0')}" in (fault.why or "")


def test_a_descriptor_id_that_does_not_exist() -> None:
    assert "descriptor id 16 on (0,0) does not exist" in fault_of(broken("X3_shim_bd_id_16")).what


def test_a_queue_over_its_depth() -> None:
    fault = fault_of(broken("X3c_six_pushes_on_one_channel"), NothingKernels())
    assert fault.what == "5 tasks are queued on (0,0) MM2S 0 (x)"
    assert fault.where is not None
    assert fault.where.startswith("design.mlir:28")


def test_more_than_five_host_arguments() -> None:
    assert "6 host arguments" in fault_of(broken("X10_six_host_buffers"), NothingKernels()).what


@pytest.mark.parametrize("timed", [False, True])
def test_output_that_the_host_leaves_in_the_array_is_told_in_each_call(timed: bool) -> None:
    text = one_core(sequence=SEQUENCE.replace("%Y[0,0,0,0][1,1,1,256]", "%Y[0,0,0,0][1,1,1,192]"))
    simulator = Simulator(load(text), timed=timed)
    for then in (0, 1):
        (warning,) = simulator.run([np.ones(256, np.int32), np.zeros(256, np.int32)]).warnings
        assert f"fifo y: the call found {then} full objects on (0,2) and left {then + 1}" in warning
    sound = Simulator(load(one_core()), timed=timed)
    for _ in range(2):
        assert sound.run([np.ones(256, np.int32), np.zeros(256, np.int32)]).warnings == ()


def test_a_descriptor_that_moves_nothing() -> None:
    def empty(operations: Any) -> Any:
        return [
            replace(op, descriptors=(replace(op.descriptors[0], length=0),)) if isinstance(op, Push) else op
            for op in operations
        ]

    fault = fault_of(change_sequence(load(one_core()), empty))
    assert fault.what == "a descriptor on X moves nothing"
    assert "its length is 0 elements" in (fault.why or "")


def test_a_transfer_that_does_not_move_whole_words() -> None:
    def odd(operations: Any) -> Any:
        return [
            replace(op, descriptors=(replace(op.descriptors[0], length=7167),))
            if isinstance(op, Push)
            else op
            for op in operations
        ]

    fault = fault_of(change_sequence(broken("X9_short_input"), odd), NothingKernels())
    assert fault.what == "a descriptor on X does not move whole words"
    assert "length 7167 is 14334 bytes" in (fault.why or "")


RTP = """%rtp = aie.buffer(%core) {sym_name = "rtp", address = 32768 : i32} : memref<4xi32>
    %go = aie.lock(%core, 15) {init = 0 : i32, sym_name = "go"}"""
WRITE = "aiex.npu.write32 {{address = {} : ui32, column = 0 : i32, row = 2 : i32, value = 1 : ui32}}"
MASKED = WRITE.replace("write32", "maskwrite32").replace("value =", "mask = 1 : ui32, value =")


@pytest.mark.parametrize(
    ("write", "said", "why"),
    [
        ("aiex.npu.rtp_write(@rtp, 4, 1)", "rtp_write reaches outside buffer rtp", "word 4 of 4"),
        (
            WRITE.format(0x1F0E0),
            "lock 14 of (0,2) is written, and the design has no such lock",
            "ids 0, 1, 2, 3, 15",
        ),
        (
            MASKED.format(0x9000),
            "data memory 0x09000 of (0,2) is written, and no buffer lies there",
            "rtp 0x08000..0x0800F",
        ),
    ],
)
def test_a_write_of_the_host_beside_what_is_there(write: str, said: str, why: str) -> None:
    text = one_core(extra=RTP, sequence=f"{write}\n{SEQUENCE}")
    with pytest.raises(NpukbuildError) as caught:
        call(text)
    fault = caught.value
    assert fault.what == said
    assert why in (fault.why or "")
    assert (fault.where or "").startswith(f"design.mlir:{line_of(text, write)}")
    assert fault.hint


@pytest.mark.parametrize(("stride", "reach"), [(128, "256..383"), (-64, "-128..-1")])
def test_a_repeated_transfer_that_overruns_in_a_later_start(stride: int, reach: str) -> None:
    def repeated(operations: Any) -> Any:
        return [
            replace(
                op, descriptors=(replace(op.descriptors[0], length=128),), repeat=2, iteration=Dim(3, stride)
            )
            if isinstance(op, Push) and op.target.direction == "MM2S"
            else op
            for op in operations
        ]

    fault = fault_of(change_sequence(load(one_core()), repeated))
    assert fault.what == "a descriptor reaches outside host argument X"
    assert f"it touches elements {reach} and X has 256" in (fault.why or "")
