"""The catalogue of known errors: every row of the two collections, fed verbatim."""

# ruff: noqa: E501  (messages stand as the tools print them)
from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from npukbuild.cli import cli
from npukbuild.toolchain.diagnosis import catalogue, diagnose_log, diagnose_text

# (row, message, entry, a word of the cause or fix)
TABLE: list[tuple[str, str, str, str]] = [
    (
        "1",
        "AttributeError: module 'typing' has no attribute '_ClassVar'. Did you mean: 'ClassVar'?",
        "dataclasses-backport",
        "PYTHONPATH",
    ),
    (
        "2",
        "RuntimeError: Could not find 'aiecc' binary. Ensure mlir-aie is properly installed",
        "aiecc-binary-missing",
        "toolchain install",
    ),
    ("3", "ModuleNotFoundError: No module named 'aie.compiler'", "aiecc-module-removed", "1.4.0"),
    ("3b", "ModuleNotFoundError: No module named 'aie.compiler.aiecc'", "aiecc-module-removed", "bin/aiecc"),
    ("4", "Error: Could not find Peano compiler tools (opt/llc)", "peano-tools-missing", "--peano"),
    ("5", "Invalid Peano install directory: peano_not_found", "peano-not-installed", "llvm-aie"),
    ("6", "llc: error: unrecognized architecture 'aie2p' provided.", "system-clang-used", "--peano"),
    ("6b", "error: invalid target 'aie'", "system-clang-used", "--peano"),
    ("7", "Warning: xclbinutil not found in PATH, skipping xclbin generation", "xclbinutil-missing", "XRT"),
    (
        "8",
        "aiecc: ShellCommand: tool 'xclbinutil' not found in search paths or PATH",
        "xclbinutil-missing",
        "NPUKBUILD_XCLBINUTIL",
    ),
    (
        "9",
        "FileNotFoundError: [Errno 2] No such file or directory: 'xclbinutil'",
        "xclbinutil-missing",
        "XRT",
    ),
    (
        "10",
        "ERROR: No matching distribution found for llvm-aie==21.0.0.2026070801+4fb2354f",
        "wheel-not-found",
        "llvm-aie==21.0.0.2026070801+4fb2354f was removed",
    ),
    ("11", "WARNING: mlir_air 0.0.1 does not provide the extra 'aie'", "resolver-walks-back", "hashes"),
    (
        "12",
        "ImportError: cannot import name '_is_integer_like_type' from 'aie.dialects.arith'",
        "example-wheel-skew",
        "tag",
    ),
    ("13", "ModuleNotFoundError: No module named 'aie.extras.context'", "aie-extras-missing", "eudsl"),
    ("14", "ModuleNotFoundError: No module named 'aie.iron.placers'", "iron-api-skew", "pair"),
    ("14b", "ImportError: cannot import name 'TaskGroup' from 'aie.iron'", "iron-api-skew", "pair"),
    (
        "15",
        "A module that was compiled using NumPy 1.x cannot be run in NumPy 2.2.6 as it may crash.",
        "numpy-1-and-2",
        "numpy<2",
    ),
    (
        "16",
        "Failed to import PyXRT: libxrt_coreutil.so.2: cannot open, proceeding without runtime libraries",
        "pyxrt-missing",
        "doctor",
    ),
    ("16b", "ModuleNotFoundError: No module named 'pyxrt'", "pyxrt-missing", "Python"),
    ("17", "xrt-smi not found. Is XRT installed?", "xrt-smi-missing", "setup.sh"),
    ("18", "0 devices found", "no-devices", "modprobe amdxdna"),
    (
        "19",
        "mmap(addr=0x7f00, len=67108864, prot=3, flags=1, offset=4294967296) failed (err=-11): Resource temporarily unavailable",
        "memlock-heap",
        "memlock",
    ),
    (
        "20",
        "DRM_IOCTL_AMDXDNA_CREATE_BO IOCTL failed (err=-22): Invalid argument",
        "create-bo-invalid",
        "923",
    ),
    (
        "21",
        "DRM_IOCTL_AMDXDNA_CREATE_BO IOCTL failed (err=-12): Cannot allocate memory",
        "memlock-buffers",
        "memlock",
    ),
    (
        "22",
        "DRM_IOCTL_AMDXDNA_SET_STATE IOCTL failed (err=13): Permission denied",
        "set-state-permission",
        "sudo",
    ),
    ("23", "Open /dev/accel/accel0 failed (err=-13): Permission denied", "device-permission", "render"),
    (
        "24",
        "DRM_IOCTL_AMDXDNA_CREATE_HWCTX IOCTL failed (err=-2): No such file or directory",
        "contexts-exhausted",
        "contexts",
    ),
    (
        "25",
        "DRM_IOCTL_AMDXDNA_CREATE_HWCTX IOCTL failed (err=-22): Invalid argument",
        "firmware-wedged",
        "reload",
    ),
    (
        "25b",
        "amdxdna 0000:c6:00.1: aie2_send_mgmt_msg_wait: command opcode 0x2 failed, status 0x2000003",
        "firmware-wedged",
        "power cycle",
    ),
    (
        "26",
        "DRM_IOCTL_AMDXDNA_CONFIG_HWCTX IOCTL failed (err=62): Timer expired",
        "mailbox-timeout",
        "reload",
    ),
    (
        "27",
        "DRM_IOCTL_AMDXDNA_EXEC_CMD IOCTL failed (err=-5): Input/output error",
        "exec-io-error",
        "one program at a time",
    ),
    (
        "28",
        "DRM_IOCTL_AMDXDNA_GET_INFO IOCTL failed (err=95): Operation not supported",
        "driver-older-than-xrt",
        "same release",
    ),
    (
        "28b",
        "DRM_IOCTL_AMDXDNA_GET_INFO IOCTL failed (err=-22): Invalid argument",
        "driver-older-than-xrt",
        "same release",
    ),
    ("29", "RuntimeError: ERT_CMD_STATE_ABORT", "command-aborted", "firmware"),
    (
        "30",
        "amdxdna: aie2_check_protocol: Incompatible firmware protocol major 7 minor 3",
        "firmware-protocol",
        "7.3",
    ),
    (
        "31",
        "amdxdna 0000:c6:00.1: failed to request_firmware amdnpu/17f0_10/npu.sbin, ret -2",
        "firmware-missing",
        "amdnpu/17f0_10/npu.sbin",
    ),
    ("32", "amdxdna: Invalid mbox magic", "firmware-boot", "cold boot"),
    ("32b", "aie2_smu: firmware is not alive", "firmware-boot", "cold boot"),
    ("33", "amdxdna 0000:c6:00.1: aie2_init: Enable PASID failed, ret -19", "pasid-disabled", "IOMMU"),
    ("34", "kernel state: ERT_CMD_STATE_TIMEOUT", "command-timeout", "simulate"),
    ("35", "qds_device::wait() unexpected command state", "unexpected-command-state", "simulate"),
    ("36", "ert_cmd_state.ERT_CMD_STATE_ERROR", "command-error", "opcode"),
    (
        "37",
        "#3 0x00007f validate_bo_at_index(xrt::run const&, unsigned long)",
        "too-many-buffers",
        "5 buffers",
    ),
    ("38", "RuntimeError: No such kernel 'MLIR_AIE'", "no-such-kernel", "called MLIR_AIE"),
    ("39", "No valid DPU kernel found in xclbin", "no-dpu-kernel", "dpu"),
    ("39b", "PDI for kernel ID 0x901 not found", "no-dpu-kernel", "PDI"),
    ("40", "LLVM ERROR: unable to legalize instruction: %12:_(<16 x s32>) = G_FMUL %3", "isel-gap", "G_FMUL"),
    (
        "41",
        "[AIE ERROR] _XAie_LoadProgMemSection():231: Overflow of program memory",
        "program-overflow",
        "16 KB",
    ),
    (
        "42",
        "ld.lld: error: section '.data' will not fit in region 'data': overflowed by 6176 bytes",
        "data-region-overflow",
        "6176",
    ),
    (
        "43",
        "ld.lld: error: kernel.o:(.stack_sizes) is being placed in '.stack_sizes'",
        "stack-sizes-orphan",
        "pair",
    ),
    (
        "44",
        "error: 'aie.tile' op Not all requested buffers fit in the available memory",
        "l1-overflow",
        "smaller tiles",
    ),
    (
        "44b",
        "warning: Bank-aware allocation failed, trying basic sequential allocation.",
        "bank-aware-failed",
        "warning",
    ),
    ("45", "RuntimeError: runlist command timed out", "runlist-timeout", "2026-03-18"),
    ("46", "aiecc: --aie-generate-cdo/-pdi/-xclbin require an NPU device", "not-an-npu-device", "npu1"),
    (
        "47",
        "Error: Missing start columns for the AIE partition.",
        "start-columns-missing",
        "at most 4 columns",
    ),
    (
        "48",
        "amdxdna: exports duplicate symbol amdxdna_debug (owned by amdxdna_drm)",
        "module-conflict",
        "blacklist",
    ),
    ("old", "Failed to open KMQ device (err=22): Invalid argument", "device-open", "doctor"),
]

CORPUS: list[tuple[str, str, str, str]] = [
    ("U2", "ModuleNotFoundError: No module named 'aie'", "aie-not-in-this-python", "absolute path"),
    (
        "U3",
        "Error encountered while running: bootgen -arch versal -image main.prj/main_design.bif -o main.prj/main.pdi -w",
        "bootgen-of-another-environment",
        "bootgen",
    ),
    (
        "U4",
        "FileNotFoundError: [Errno 2] No such file or directory: '<aietools not found>/tps/lnx64/target_aie_ml/bin/LNa64bin/chess-llvm-link'",
        "chess-wanted",
        "Vitis is not needed",
    ),
    ("U5", "xchesscc_wrapper: line 53: xchesscc: command not found", "xbridge-wanted", "--no-xbridge"),
    ("U5b", "dirname: missing operand", "xchesscc-wrapper-empty", "--no-xbridge"),
    ("U6", "Unexpected target . Exiting...", "target-arch-empty", "aie-translate"),
    (
        "U7",
        "FileNotFoundError: [Errno 2] No such file or directory: 'xclbinutil'",
        "xclbinutil-missing",
        "PATH",
    ),
    ("U8", "[Errno 2] No such file or directory: ''", "empty-tool-path", "PEANO_INSTALL_DIR"),
    (
        "U8b",
        "FileNotFoundError: [Errno 2] No such file or directory: 'mel_with_loop_corrected.mlir'",
        "file-not-found",
        "mel_with_loop_corrected.mlir",
    ),
    ("U8c", "bash: aiecc.py: command not found", "aiecc-not-on-path", "absolute path"),
    (
        "U8d",
        "/home/u/my_install/aie_kernels/peano/bin/clang: No such file or directory",
        "peano-clang-path",
        "PEANO_INSTALL_DIR",
    ),
    (
        "U9",
        "error: \"-\":5:17: 'aie.tile' op allocated buffers exceeded available memory",
        "l1-overflow",
        "smaller",
    ),
    (
        "U9b",
        "error: 'aie.tile' op Basic sequential allocation also failed.",
        "basic-sequential-failed",
        "depth",
    ),
    (
        "U10",
        "ld.lld: error: section '.data' will not fit in region 'data': overflowed by 6176 bytes",
        "data-region-overflow",
        "depth 1",
    ),
    (
        "U11",
        "ld.lld: error: mel_kernel_simple.o is incompatible with main.prj/main_input.o",
        "incompatible-object",
        "Peano",
    ),
    (
        "U12",
        "ld.lld: error: undefined symbol: fft_radix2_512_fixed(short*, complex_q15_t*)",
        "mangled-symbol",
        'extern "C"',
    ),
    (
        "U12b",
        "clang++: warning: treating 'c' input as 'c++' when in C++ mode, this behavior is deprecated",
        "treated-as-cpp",
        "clang",
    ),
    ("U12c", "ld.lld: error: undefined symbol: sqrtf", "math-library-missing", "sqrtf"),
    ("U12d", "ld.lld: error: undefined symbol: tanhf", "math-library-missing", "look-up"),
    ("U12e", "ld.lld: error: undefined symbol: expf", "math-library-missing", "look-up"),
    ("U12f", "ld.lld: error: undefined symbol: softmax_kernel", "undefined-symbol", "softmax_kernel"),
    (
        "U13",
        "clang-19: AIE2MCCodeEmitter.cpp: Assertion `Imm >= Min && Imm <= Max && \"can't represent value in the given immediate type range!\"' failed.",
        "encoder-assertion",
        "Peano",
    ),
    (
        "U14",
        "error: 'aie.core' op When 'elf_file' attribute is specified, core body must be empty",
        "core-body-with-elf",
        "link_with",
    ),
    (
        "U14b",
        "error: 'aie.core' op Expected lowered ELF file to be given as attribute 'elf_file' for this core. Compile cores first.",
        "cores-not-compiled",
        "aiecc",
    ),
    (
        "U15",
        "error: custom op 'aie.device' expected string or keyword containing one of the following enum values for attribute 'device' [xcvc1902, xcve2302, xcve2802, npu1, npu1_1col, npu1_2col, npu1_3col, npu1_4col, npu2]",
        "unknown-device",
        "npu1",
    ),
    ("U15b", "error: custom op 'aie.end_bd' is unknown", "unknown-op", "aie.end_bd"),
    (
        "U16",
        "aie-translate: Unknown command line argument '--aie-generate-xclbin=test_simple.xclbin'.  Try: 'aie-translate --help'",
        "aie-translate-makes-no-xclbin",
        "aiecc",
    ),
    ("U16b", "aie-opt: Too many positional arguments specified!", "too-many-positional", "aie-opt"),
    ("U17", "Error: There are no PDI nodes in the AIE Partition section.", "no-pdi-nodes", "PDI"),
    (
        "U17b",
        "ERROR: Expected format [USER | SYS]:<key>:<value> when adding a key-value pair",
        "xclbinutil-key-value",
        "USER",
    ),
    ("U18", "RuntimeError: load_axlf: Operation not supported", "load-axlf", "register_xclbin"),
    ("U19", "ert_cmd_state.ERT_CMD_STATE_ERROR", "command-error", "kernel(3, instructions, size"),
    ("U19b", "unexpected command state", "unexpected-command-state", "wedged"),
    (
        "U20",
        "[XRT] WARNING: Kernel MLIR_AIE has no compute units with connectivity required for global argument at index 0. The argument is allocated in bank 1, the compute unit is connected to bank 131071.",
        "shifted-arguments",
        "shifted",
    ),
    (
        "U20b",
        "Reverting to host copy of buffers (exec_buf: Operation not supported)",
        "shifted-arguments",
        "opcode",
    ),
    ("U21", "RuntimeError: unsupported buffer type: none flag (err=95)", "buffer-flags", "host_only"),
    ("U21b", "Bad BO flags (err=95)", "buffer-flags", "cacheable"),
    ("U22", "DRM_IOCTL_AMDXDNA_CREATE_HWCTX IOCTL failed (err=-2)", "contexts-exhausted", "6"),
    (
        "U22b",
        "TypeError: __init__(): incompatible constructor arguments. The following argument types are supported",
        "bo-flag-type",
        "host_only",
    ),
    ("U22c", "Instructions file not found: build/insts_512.bin", "instructions-missing", "insts.bin"),
    (
        "U8e",
        "aiecc.py: error: unrecognized arguments: --aie-generate-npu",
        "aiecc-unknown-flag",
        "--aie-generate-npu",
    ),
    (
        "wrap",
        "/usr/bin/xclbinutil: line 9: /usr/lib/xrt/unwrapped/xclbinutil: No such file or directory",
        "xclbinutil-wrapper",
        "code 0",
    ),
    (
        "glibc",
        "aiecc: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.35' not found (required by aiecc)",
        "glibc-too-old",
        "2.35",
    ),
    (
        "full",
        "fatal error: error in backend: IO failure on output stream: No space left on device",
        "disk-full",
        "space",
    ),
    (
        "memory",
        "terminate called after throwing an instance of 'std::bad_alloc'",
        "out-of-memory",
        "parallel",
    ),
]


@pytest.mark.parametrize(
    ("row", "message", "entry", "word"), TABLE + CORPUS, ids=[r[0] for r in TABLE + CORPUS]
)
def test_every_collected_message_is_explained(row: str, message: str, entry: str, word: str) -> None:
    log = f"some tool at work\n100% done with part 1\n{message}\nmake: *** [Makefile:12: build] Error 1\n"
    first = diagnose_text(log).first
    assert first is not None
    assert first.name == entry
    assert word in f"{first.cause} {first.fix}"
    assert (first.line, first.message) == (3, message[:400])


def test_all_rows_of_the_table_are_here() -> None:
    rows = {int("".join(c for c in row if c.isdigit())) for row, *_ in TABLE if row[0].isdigit()}
    assert rows == set(range(1, 49))


def test_every_message_of_the_golden_refusals_is_explained() -> None:
    """The real tools' words for designs that must be refused."""
    table = Path(__file__).parent.parent / "golden" / "broken" / "expected.tsv"
    unknown = []
    for line in table.read_text().splitlines():
        cells = line.split("\t")
        words = next(
            (cell for cell in cells if "' op " in cell or "custom op" in cell or "could not copy" in cell), ""
        )
        if cells[0].startswith("B") and words and diagnose_text(f"error: {words}").first is None:
            unknown.append((cells[0], words))
    assert unknown == []


def test_every_entry_has_words_and_a_source() -> None:
    for known in catalogue():
        assert known.patterns
        assert known.source
        assert known.cause
        assert known.fix
        assert not known.cause.endswith(".")
        assert not known.fix.endswith(".")


def test_the_first_real_error_comes_first() -> None:
    log = (
        "warning: Bank-aware allocation failed, trying basic sequential allocation.\n"
        "kernel.cc:12:5: error: use of undeclared identifier 'acc'\n"
        "ld.lld: error: undefined symbol: mm\n"
        "error: 'aie.tile' op Basic sequential allocation also failed.\n"
    )
    names = [finding.name for finding in diagnose_text(log).findings]
    assert names == ["compiler", "undefined-symbol", "basic-sequential-failed", "bank-aware-failed"]


def test_a_place_comes_with_the_line_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "kernel.cc").write_text("int a;\n\tacc = 1;\n")
    first = diagnose_text("kernel.cc:2:2: error: unknown name 'acc'\n", base=tmp_path).first
    assert first is not None
    assert first.place == "kernel.cc:2:2"
    assert first.excerpt == ("|  acc = 1;", "|  ^")


@pytest.mark.parametrize(
    ("line", "place"),
    [
        (
            "error: \"-\":5:17: 'aie.tile' op allocated buffers exceeded available memory",
            "line 5 of the design as aiecc printed it anew",
        ),
        (
            "design.mlir:5:17: error: 'aie.tile' op allocated buffers exceeded available memory",
            "design.mlir:5:17",
        ),
        ('loc("design.mlir":5:17): error: something new', "design.mlir:5:17"),
        ("aiecc: error: design.mlir:5:17: something new", "design.mlir:5:17"),
        (
            "templates/matmul/kernel.cc.j2:7:1: fatal error: too many errors",
            "templates/matmul/kernel.cc.j2:7:1",
        ),
    ],
)
def test_places_of_every_spelling_are_read(line: str, place: str) -> None:
    first = diagnose_text(line).first
    assert first is not None
    assert first.place == place


def test_a_line_of_what_aiecc_printed_anew_is_not_blamed_on_the_design(tmp_path: Path) -> None:
    log = tmp_path / "aiecc.log"
    log.write_text("error: \"-\":3:17: 'aie.tile' op allocated buffers exceeded available memory\n")
    design = tmp_path / "design.mlir"
    design.write_text("module {\n  aie.device(npu1) {\n    %tile_0_2 = aie.tile(0, 2)\n")
    first = diagnose_log(log).first
    assert first is not None
    assert (first.place, first.excerpt[0]) == ("design.mlir:3:17", "|     %tile_0_2 = aie.tile(0, 2)")
    design.write_text("// a comment, which aiecc does not print\n" + design.read_text())
    first = diagnose_log(log).first
    assert first is not None
    assert (first.place, first.excerpt) == ("line 3 of the design as aiecc printed it anew", ())


def test_a_python_traceback_gives_its_last_frame() -> None:
    log = (
        'Traceback (most recent call last):\n  File "/x/aiecc/main.py", line 31, in run\n    do_call()\n'
        "FileNotFoundError: [Errno 2] No such file or directory: 'xclbinutil'\n"
    )
    first = diagnose_text(log).first
    assert first is not None
    assert first.place == "/x/aiecc/main.py:31"


def test_an_unknown_error_shows_the_last_meaningful_lines(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text(
        "step 1\nstep 2\nthe frobnicator is out of cheese\n\n   ^~~~\nmake[1]: *** [all] Error 2\n"
    )
    diagnosis = diagnose_log(log)
    assert diagnosis.first is None
    assert diagnosis.tail[-1] == "the frobnicator is out of cheese"
    result = CliRunner().invoke(cli, ["diagnose", str(log)])
    assert "no error that is known in 6 lines" in result.stdout
    assert result.stdout.rstrip().endswith("the frobnicator is out of cheese")


def test_an_error_in_the_middle_of_a_long_log_is_found(tmp_path: Path) -> None:
    log = tmp_path / "long.log"
    filler = "remark: nothing to see here, move along please\n" * 60_000
    log.write_text(filler + "ld.lld: error: undefined symbol: mm\n" + filler)
    diagnosis = diagnose_log(log)
    assert diagnosis.lines == 120_001
    assert diagnosis.first is not None
    assert (diagnosis.first.name, diagnosis.first.line) == ("undefined-symbol", 60_001)


def test_binary_rubbish_and_endless_lines_are_survived(tmp_path: Path) -> None:
    log = tmp_path / "bad.log"
    log.write_bytes(bytes(range(256)) * 2000 + b"\n" + b"x" * 5_000_000 + b"\n0 devices found\n")
    diagnosis = diagnose_log(log)
    assert diagnosis.first is not None
    assert diagnosis.first.name == "no-devices"
    assert all(len(line) <= 2000 for line in diagnosis.tail)


def test_colours_are_taken_out() -> None:
    first = diagnose_text("\x1b[1mk.cc:3:1: \x1b[0;1;31merror: \x1b[0mbad\n").first
    assert first is not None
    assert first.place == "k.cc:3:1"


def test_diagnose_on_the_command_line(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("ok\n0 devices found\nDRM_IOCTL_AMDXDNA_EXEC_CMD IOCTL failed (err=-5)\n")
    shown = CliRunner().invoke(cli, ["diagnose", str(log)]).stdout
    assert f"{log}:2: 0 devices found" in shown
    assert "1 more after it; --all shows them" in shown
    value = json.loads(CliRunner().invoke(cli, ["diagnose", str(log), "--json"]).stdout)
    assert [finding["name"] for finding in value["findings"]] == ["no-devices", "exec-io-error"]
    empty = tmp_path / "empty.log"
    empty.write_text("")
    assert "the log is empty" in CliRunner().invoke(cli, ["diagnose", str(empty)]).stdout
