"""Every broken design: who refuses it, as what kind of error, in which line, with which words."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from npukbuild.errors import DesignError, NpukbuildError, ResourceError
from npukbuild.ir import load_design, lower, read_design, take_account

BROKEN = Path(__file__).parents[1] / "golden" / "broken"
VERDICTS = {
    row["name"]: row["verdict"]
    for row in csv.DictReader((BROKEN / "expected.tsv").read_text().splitlines(), delimiter="\t")
}

# Design: the stage that refuses it, the line it names, words of the message.
REFUSED: dict[str, tuple[str, int, str]] = {
    "B1_l1_overflow_64x512_monolithic": ("account", 9, "281856 used, 65536 exist"),
    "B1b_l1_overflow_depth1": ("account", 9, "142592 used, 65536 exist"),
    "B1c_l1_overflow_by_32_bytes": ("account", 8, "65568 used, 65536 exist"),
    "B2_three_input_streams_on_a_core": ("account", 9, "input channels (S2MM) of core (0,2)"),
    "B2b_three_output_streams_on_a_core": ("account", 10, "output channels (MM2S) of core (0,2)"),
    "B2c_three_shim_inputs_in_one_column": ("account", 10, "output channels (MM2S) of shim (0,0)"),
    "B2d_seven_memtile_outputs": ("account", 17, "output channels (MM2S) of mem (0,1)"),
    "B3_shim_bd_exhaustion_17_tasks": ("account", 105, "descriptors of shim (0,0)"),
    "B3b_core_bd_exhaustion": ("account", 8, "17 used, 16 exist"),
    "B3c_memtile_bd_exhaustion": ("account", 8, "even channels of mem (0,1)"),
    "B3d_core_lock_exhaustion": ("account", 16, "18 used, 16 exist"),
    "B3e_memtile_more_than_48_descriptors": ("account", 7, "descriptors of mem (0,1): 80 used, 48 exist"),
    "B4_shim_inner_size_1024_words": ("account", 24, "1024, at most 1023"),
    "B4b_shim_size1_1024": ("account", 24, "1024, at most 1023"),
    "B4c_shim_stride_over_1M_words": ("account", 24, "1048578, at most 1048576"),
    "B4d_shim_size3_66": ("account", 24, "66, at most 64"),
    "B4e_shim_zero_stride_dim1": ("lower", 24, "stride 1 is 0"),
    "B4f_contiguous_but_middle_stride_not_zero": ("account", 24, "2048, at most 1023"),
    "B4g_shim_repeat_100_stride0": ("account", 24, "100, at most 64"),
    "B5_inner_size_3_bf16": ("lower", 24, "3 bf16 is 6 bytes"),
    "B5b_odd_offset": ("lower", 24, "offset of 1 bf16 is 2 bytes"),
    "B5c_odd_stride": ("lower", 24, "511 bf16 is 1022 bytes"),
    "B5d_unused_stride_of_1_bf16": ("lower", 24, "use 0 where the size is 1"),
    "B5e_memtile_transpose_bf16": ("lower", 8, "innermost stride 64 of bf16"),
    "B6_undefined_fifo_metadata": ("lower", 24, "is named nosuch"),
    "B6b_wait_on_undefined_fifo": ("lower", 25, "is named nosuch"),
    "B6c_acquire_undefined_fifo": ("lower", 14, "no objectfifo is named nosuch"),
    "B6d_metadata_of_a_core_fifo": ("lower", 26, "has no end on a shim tile"),
    "B6e_undefined_kernel": ("read", 14, "nosuch"),
    "B7_pad_one_dimension_1500": ("account", 8, "1500, at most 512"),
    "B7b_pad_on_a_distribute": ("lower", 9, "dimensions give 1504 elements, it moves 1500"),
    "B8_shim_layout_change": ("lower", 7, "a layout on the shim's side"),
    "B8b_five_memtile_dimensions": ("lower", 8, "has 5 dimensions"),
    "B8c_four_core_dimensions": ("lower", 8, "has 4 dimensions"),
    "B8d_type_mismatch": ("lower", 14, "its objects are memref<1024xbf16>"),
    "B8e_release_without_acquire": ("lower", 16, "release of 2 objects of objectfifo x, 1 held"),
    "B8f_consumer_on_wrong_core": ("lower", 15, "core (0,2) is no consumer"),
    "B8h_old_device_spelling": ("lower", 3, "npu1_4col is spelled npu1"),
    "B8i_link_without_offsets": ("lower", 11, "0 offsets for 2 objectfifos"),
    "B8k_dims_longer_than_object": ("lower", 8, "element 1087 of 1024"),
    "B8l_dim_size_513": ("account", 8, "513, at most 512"),
    "B9_core_dimension_over_255": ("account", 8, "300, at most 255"),
    "B9b_pad_dimension0_80_words": ("account", 8, "80, at most 63"),
    "B9c_pad_dimension1_40": ("account", 8, "40, at most 31"),
    "X10_six_host_buffers": ("account", 23, "6 used, 5 exist"),
    "X11_dims_shorter_than_object": ("lower", 8, "dimensions give 512 elements, it moves 1024"),
    "X12_lock_init_72_core": ("account", 8, "72, at most 63"),
    "X15_mismatched_link_sizes": ("lower", 9, "2048 bytes) to x (1536 bytes)"),
    "X15b_overlapping_link_offsets": ("lower", 11, "objects of 1024 elements, the link gives it 512"),
    "X18_output_smaller_than_object": ("lower", 25, "drains 1024 bytes"),
    "X2_access_past_the_host_buffer": ("lower", 24, "reaches past the end of X"),
    "X3_shim_bd_id_16": ("account", 24, "16, at most 15"),
    "X3b_same_bd_id_alive_twice": ("lower", 25, "may still be in use"),
    "X3c_six_pushes_on_one_channel": ("account", 28, "6 used, 4 exist"),
    "X4_shim_size3_65": ("account", 24, "65, at most 64"),
    "X5_memtile_inner_size_1_bf16": ("lower", 8, "innermost run of 1 bf16 is 2 bytes"),
    "X5b_memtile_inner_size_6_i8": ("lower", 8, "innermost run of 6 i8 is 6 bytes"),
    "X5c_shim_inner_stride_2_bf16": ("lower", 24, "innermost stride 2 of bf16"),
    "X6_core_object_over_16383_words": ("account", 7, "16384, at most 16383"),
    "X6b_core_dimension_256": ("account", 8, "256, at most 255"),
    "X7_objectfifo_cannot_unpad": ("lower", 10, "3008 bytes) to y (3000 bytes)"),
    "X9b_no_wait": ("lower", 25, "without waiting for its output"),
    "X9c_wait_without_token": ("lower", 25, "never ends"),
    "X9f_acquire_more_than_array_depth": ("lower", 14, "acquire of 3 objects can never succeed"),
}

# Legal on the hardware, or a spelling that we read although today's tools do not: a warning with these words.
WARNED = {
    "B8g_old_sequence_spelling": "the spelling before November 2025",
    "X1_l1_full_to_the_last_byte": "0 bytes left behind its highest buffer",
    "X14_scalar_depth_ignored": "has 2 objects on (0,2), not 4",
    "X14b_not_adjacent_cores": "(0,2) and (0,4) share no memory",
    "X16_stack_too_small": "a stack of 64 bytes",
    "X9e_never_acquired": "core (0,2) never acquires objectfifo x (Consume)",
}

# What only running the design, the toolchain or another placement can tell.
ELSEWHERE = {
    "B6f_kernel_object_missing",  # the object file is looked for when programs are linked
    "X17_kernel_signature_not_checked",  # the definition is in the kernel's source
    "X8_unaligned_l1_buffers",  # only with packed placement, see the test below
    "X9_short_input",  # how often the core turns is known when it runs
    "X9d_missing_release",
}


def load_text(name: str) -> str:
    return (BROKEN / f"{name}.mlir").read_text()


def refusal(name: str) -> tuple[str, NpukbuildError]:
    """Return the stage that refuses a design, and its error."""
    stage = "read"
    try:
        module = read_design(load_text(name), file=f"{name}.mlir")
        stage = "lower"
        design = lower(module)
        stage = "account"
        take_account(design).check()
    except NpukbuildError as error:
        return stage, error
    pytest.fail(f"{name} was accepted")


def test_the_tables_cover_every_broken_design() -> None:
    assert set(REFUSED) | set(WARNED) | ELSEWHERE == set(VERDICTS)
    assert len(REFUSED) + len(WARNED) + len(ELSEWHERE) == len(VERDICTS)
    refused_by_tools = {name for name, verdict in VERDICTS.items() if verdict == "rejected"}
    assert refused_by_tools - set(REFUSED) == {"B8g_old_sequence_spelling"}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_broken_design_is_refused_where_it_is_broken(name: str) -> None:
    stage, line, words = REFUSED[name]
    found, error = refusal(name)
    assert (found, type(error)) == (stage, ResourceError if stage == "account" else DesignError)
    assert words in str(error)
    where = f"{name}.mlir:{line}:"
    assert error.where is not None
    assert error.where.startswith(where)


@pytest.mark.parametrize("name", sorted(WARNED))
def test_a_legal_design_is_accepted_with_a_warning(name: str) -> None:
    account = take_account(load_design(load_text(name), file=f"{name}.mlir"))
    account.check()
    assert any(WARNED[name] in warning for warning in account.warnings)


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_what_others_judge_is_accepted_here(name: str) -> None:
    take_account(load_design(load_text(name))).check()


def test_packed_placement_of_odd_objects_warns_of_alignment() -> None:
    text = load_text("X8_unaligned_l1_buffers")
    packed = take_account(load_design(text, allocation="basic-sequential"))
    assert any("not a multiple of 32" in warning for warning in packed.warnings)
    spread = take_account(load_design(text))
    assert not any("not a multiple of 32" in warning for warning in spread.warnings)
