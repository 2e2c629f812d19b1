"""The two commands as a user sees them: tables, JSON, exit codes, files left whole."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from npukbuild.cli import cli
from npukbuild.cli.report import run_guarded
from npukbuild.xclbin import kinds, read
from tests.xclbin.golden_sequences import GOLDEN, NAMES
from tests.xclbin.xclbin_files import G1, G7, another_build, edited, golden, poke, swap

if TYPE_CHECKING:
    from pathlib import Path

    from syrupy.assertion import SnapshotAssertion

CONTAINER = 18


class Screen:
    """Runs a command line in this process and keeps what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.out = self.err = ""

    def __call__(self, *argv: object) -> int:
        code = run_guarded(cli, [str(arg) for arg in argv])
        self.out, self.err = self.capsys.readouterr()
        return code

    def json(self, *argv: object) -> Any:
        self(*argv, "--json")
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Screen:
    return Screen(capsys)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "kernel.xclbin"
    path.write_bytes(G1.read_bytes())
    return path


def test_inspect_prints_a_table(run: Screen, snapshot: SnapshotAssertion) -> None:
    assert run("xclbin", "inspect", G1) == 0
    assert run.out == snapshot
    assert max(map(len, run.out.splitlines())) <= 80


def test_inspect_json_has_everything(run: Screen) -> None:
    report = run.json("xclbin", "inspect", G7)
    assert report["kernels"][0]["arguments"][3]["groups"] == [0]
    assert report["partitions"][0]["pdis"][0]["tiles"] == [[0, 0], [0, 1], [0, 2], [0, 3], [0, 4]]
    assert report["identity"]["uuid"] == "97ec2c11-b71e-dd19-731d-e561957262fe"


def test_inspect_of_a_damaged_file_shows_what_is_whole(run: Screen, tmp_path: Path) -> None:
    path = tmp_path / "damaged.xclbin"
    path.write_bytes(edited(kinds.AIE_PARTITION, poke("I", 0x78, 1 << 30)).to_bytes())
    assert run("xclbin", "inspect", path) == 0
    assert "MLIR_AIE" in run.out
    assert "unreadable: AIE_PARTITION" in run.out


def test_verify_of_a_whole_file(run: Screen, file: Path) -> None:
    assert run("xclbin", "verify", file) == 0
    assert run.out.splitlines() == [
        "warning  PDI 0: its UUID is all zeros: run lists over several such files time out",
        f"{file}: 0 errors, 1 warning or note",
    ]


def test_verify_of_a_damaged_file(run: Screen, tmp_path: Path) -> None:
    path = tmp_path / "damaged.xclbin"
    path.write_bytes(edited(kinds.EMBEDDED_METADATA, swap(b'"0x901"', b'"0x902"')).to_bytes())
    assert run("xclbin", "verify", path) == CONTAINER
    assert "error    kernel MLIR_AIE: id 0x902 has no PDI; the partition offers 0x901" in run.out
    report = run.json("xclbin", "verify", path)
    assert report["ok"] is False
    assert {"error", "warning"} == {fault["severity"] for fault in report["faults"]}


@pytest.mark.parametrize("command", ["inspect", "verify", "normalise"])
def test_other_files_are_refused(run: Screen, tmp_path: Path, command: str) -> None:
    path = tmp_path / "insts.bin"
    path.write_bytes((GOLDEN / f"{NAMES[0]}.insts.bin").read_bytes())
    assert run("xclbin", command, path) == CONTAINER
    assert run.out == ""
    assert run.err.startswith("error: this is not an XCLBIN\n  at ")
    assert run.json("xclbin", command, path)["error"] == "container"


def test_missing_files_are_named(run: Screen, tmp_path: Path) -> None:
    assert run("xclbin", "inspect", tmp_path / "none.xclbin") == 11
    assert "none.xclbin" in run.err


def test_normalise_makes_two_builds_equal(run: Screen, tmp_path: Path) -> None:
    paths = []
    for seed in (1, 2):
        path = tmp_path / f"{seed}.xclbin"
        path.write_bytes(another_build(golden(), seed).to_bytes())
        assert run("xclbin", "normalise", path, "--key", "00ff") == 0
        assert "normalised" in run.out
        paths.append(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert run("xclbin", "normalise", paths[0], "--key", "00ff") == 0
    assert "was normalised already" in run.out
    assert run("xclbin", "diff", *paths, "--identity") == 0


def test_normalise_to_another_file_leaves_the_first(run: Screen, file: Path, tmp_path: Path) -> None:
    report = run.json("xclbin", "normalise", file, "-o", tmp_path / "out.xclbin", "--fill-zero-pdi-uuids")
    assert report["changed"] is True
    assert file.read_bytes() == G1.read_bytes()
    assert report["identity"]["pdi_uuids"] != ["00000000-0000-0000-0000-000000000000"]
    assert run("xclbin", "verify", tmp_path / "out.xclbin") == 0
    assert run.out.endswith("no faults\n")


def test_normalise_keeps_the_files_mode(run: Screen, file: Path) -> None:
    file.chmod(0o640)
    assert run("xclbin", "normalise", file) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_bad_key_is_refused(run: Screen, file: Path) -> None:
    assert run("xclbin", "normalise", file, "--key", "xyz") == 2
    assert "the key is not hexadecimal" in run.err
    assert file.read_bytes() == G1.read_bytes()


def test_a_full_disk_leaves_the_file(run: Screen, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("npukbuild.xclbin.files.os.fsync", full)
    assert run("xclbin", "normalise", file) == 12
    assert file.read_bytes() == G1.read_bytes()
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_diff_shows_both_sides(run: Screen, tmp_path: Path) -> None:
    path = tmp_path / "wider.xclbin"
    path.write_bytes(edited(kinds.AIE_PARTITION, poke("H", 0x20, 4)).to_bytes())
    assert run("xclbin", "diff", G1, path) == CONTAINER
    assert run.out.startswith("partitions[0].columns\n  - 1\n  + 4\n")
    report = run.json("xclbin", "diff", G1, path)
    assert report["differences"][0] == {"path": "partitions[0].columns", "left": 1, "right": 4}


def test_diff_ignores_identity_by_default(run: Screen, tmp_path: Path) -> None:
    path = tmp_path / "again.xclbin"
    path.write_bytes(another_build(read(another_build(golden(), 1).to_bytes()), 2).to_bytes())
    first = tmp_path / "first.xclbin"
    first.write_bytes(another_build(golden(), 1).to_bytes())
    assert run("xclbin", "diff", first, path) == 0
    assert run("xclbin", "diff", first, path, "--identity") == CONTAINER


def test_insts_prints_a_table(run: Screen, snapshot: SnapshotAssertion) -> None:
    assert run("insts", "inspect", GOLDEN / "G2_matmul_128x512x512_bf16.insts.bin") == 0
    assert run.out == snapshot


def test_insts_shows_a_part_of_long_streams(run: Screen) -> None:
    path = GOLDEN / "G3c_matmul_3072x512x512_bf16.insts.bin"
    assert run("insts", "inspect", path) == 0
    assert len(run.out.splitlines()) == 45
    assert run.out.endswith("... 664 more (--all)\n")
    assert run("insts", "inspect", path, "--all") == 0
    assert len(run.out.splitlines()) == 4 + 704


def test_insts_are_checked_against_their_design(run: Screen) -> None:
    path, design = GOLDEN / f"{NAMES[0]}.insts.bin", GOLDEN / f"{NAMES[0]}.mlir"
    assert run("insts", "inspect", path, "--design", design) == 0
    assert run.out.endswith(f"the stream is that of {design}\n")
    assert run.json("insts", "inspect", path, "--design", design)["design"]["ok"] is True


def test_insts_of_another_design_are_refused(run: Screen) -> None:
    path, design = GOLDEN / f"{NAMES[0]}.insts.bin", GOLDEN / f"{NAMES[1]}.mlir"
    assert run("insts", "inspect", path, "--design", design) == CONTAINER
    assert "mismatch  start of (0,0)" in run.out
    report = run.json("insts", "inspect", path, "--design", design)
    assert report["design"]["ok"] is False
    assert report["design"]["mismatches"][0]["word"] == 28


def test_damaged_insts_are_refused(run: Screen, tmp_path: Path) -> None:
    path = tmp_path / "insts.bin"
    path.write_bytes(b"\0" * 64)
    assert run("insts", "inspect", path) == CONTAINER
    assert "the instruction stream" in run.err
    assert run.json("insts", "inspect", path)["error"] == "container"
