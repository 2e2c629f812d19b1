"""The catalogue of known errors: every row of the two collections, fed verbatim."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from npukbuild.cli import cli
from npukbuild.toolchain.diagnosis import catalogue, diagnose_log, diagnose_text
from tests.toolchain.known_messages import CORPUS, TABLE


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
