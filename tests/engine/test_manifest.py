"""Manifests: matrices, defaults, includes, all mistakes at once with their lines, and the schema."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npukbuild.engine.families import plan_request
from npukbuild.engine.manifest import Manifest, read_manifest
from npukbuild.engine.manifest_schema import json_schema
from npukbuild.engine.toml_places import places
from npukbuild.errors import ManifestError

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion

EXAMPLE = Path(__file__).parents[2] / "examples" / "kernels.toml"


def read(folder: Path, text: str, name: str = "kernels.toml") -> Manifest:
    (folder / name).write_text(text)
    return read_manifest(folder / name)


def groups(manifest: Manifest) -> list[str]:
    return [kernel.group for kernel in manifest.kernels]


def test_a_matrix_of_everything(tmp_path: Path) -> None:
    found = groups(read(tmp_path, """
        [defaults]
        target = ["npu1", "npu2"]
        family = "matmul"
        [[kernel]]
        m = [64, 128]
        n = 256
        dtype = ["bf16", "i8"]
        exclude = [{ m = 128, dtype = "i8" }]
        [[kernel]]
        shapes = [[1, 2, 3], { m = 4, n = 5 }]
        target = "npu1_1col"
    """))  # fmt: skip
    assert len(found) == 6 + 2
    assert "npu1/matmul_i8_64x64x256" in found
    assert "npu2/matmul_i8_128x64x256" not in found
    assert found[-2:] == ["npu1_1col/matmul_bf16_1x2x3", "npu1_1col/matmul_bf16_4x64x5"]


def test_includes_take_the_defaults_and_each_kernel_counts_once(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "more.toml").write_text("[[kernel]]\nm = 7\nn = 8\n[[kernel]]\nm = 1\nn = 1\n")
    manifest = read(tmp_path, """
        include = ["sub/more.toml", "sub/more.toml"]
        [defaults]
        family = "matmul"
        dtype = "i8"
        [[kernel]]
        m = 1
        n = 1
    """)  # fmt: skip
    assert groups(manifest) == ["npu1/matmul_i8_7x64x8", "npu1/matmul_i8_1x64x1"]
    assert [file.name for file in manifest.files] == ["kernels.toml", "more.toml"]


MISTAKES = """includ = ["x"]
include = ["nowhere.toml"]
[defaults]
target = "npu3"

[[kernel]]
family = "matmul"
m = [64,
   # a comment, "with ] brackets"
   0]
n = "x"
shapes = [[1, 2, 3],
  [1, 2],
  { m = 1, q = 2 }]

[[kernel]]
family = "conv"

[[kernel]]
family = "matmul"
m = 1
n = 4
dtype = "bf16"
out_dtype = ["i8"]

[[kernel]]
family = "matmul"
blok = "64x64x64"
block = "64x64"
exclude = [{ colour = 1 }]

[[kernel]]
m = 1

[[kernel]]
family = "matmul"
m = 8
n = 8
[[kernel]]
family = "matmul"
m = 8
n = 8
cols = 1
"""


def test_all_mistakes_at_once_with_their_lines(
    tmp_path: Path, snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("kernels.toml").write_text(MISTAKES)
    with pytest.raises(ManifestError) as caught:
        read_manifest(Path("kernels.toml"))
    assert str(caught.value) == snapshot


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("m = [1,\n", "not valid TOML"),
        ("", "there is no [[kernel]]"),
        ("[kernel]\nfamily = 'matmul'\n", "two brackets"),
        ('include = ["kernels.toml"]\n', "includes itself"),
        ("defaults = 3\n", "must be a table"),
        ("include = 3\n", "list of file names"),
        ("[[kernel]]\nfamily='matmul'\nm=[]\nn=1\n", "empty list"),
        ("[[kernel]]\nfamily='matmul'\nm=true\nn=1\n", "whole number from 1, not True"),
    ],
)
def test_single_mistakes(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ManifestError, match=r"mistake") as caught:
        read(tmp_path, text)
    assert any(said in line for line in caught.value.details), caught.value.details
    assert all(line.partition(":")[2].partition(":")[0].strip().isdigit() for line in caught.value.details)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path / "nowhere.toml")


def test_the_example_is_a_realistic_nightly() -> None:
    manifest = read_manifest(EXAMPLE)
    assert len(manifest.kernels) >= 200
    jsonschema.validate(tomllib.loads(EXAMPLE.read_text()), json_schema())
    assert {kernel.target.partition("_")[0] for kernel in manifest.kernels} == {"npu1", "npu2"}


@pytest.mark.slow
def test_every_kernel_of_the_example_has_a_plan() -> None:
    for kernel in read_manifest(EXAMPLE).kernels:
        assert plan_request(kernel.request).name == kernel.name


values = st.one_of(
    st.integers(-1, 3), st.sampled_from(["bf16", "i8", "f32", "row", "x", "npu1", "npu9", "1x2x3", "1x2"]),
    st.booleans(), st.lists(st.integers(0, 2), max_size=2), st.just(1.5),
)  # fmt: skip
tables = st.dictionaries(
    st.sampled_from(["m", "k", "n", "dtype", "out_dtype", "b_layout", "target", "cols", "block", "colour"]),
    values,
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(tables)
def test_schema_and_check_agree(table: dict[str, Any]) -> None:
    """Whatever the schema refuses the check refuses; what it lets through fails only by combination."""
    import tempfile

    data = {"family": "matmul", "m": 1, "n": 1, **table}
    lines = "\n".join(f"{key} = {_toml(value)}" for key, value in data.items())
    errors = list(jsonschema.Draft202012Validator(json_schema()).iter_errors({"kernel": [data]}))
    with tempfile.TemporaryDirectory() as folder:
        try:
            read(Path(folder), f"[[kernel]]\n{lines}\n")
            mistakes = []
        except ManifestError as error:
            mistakes = list(error.details)
    if errors:
        assert mistakes, errors
    else:
        assert all("exclude combinations" in line or "another " in line for line in mistakes), mistakes


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    return str(value)


def test_places() -> None:
    text = 'a = 1\n[t]\n"b c" = """\nx = 1\n[no]\n"""\nd.e = [1,\n  [2,\n 3]] # [\n'
    text += '[[u]]\nf = { g = [1] }\n[[u]]\nh = "\\"["\ni=2\n'
    tomllib.loads(text)
    found = places(text)
    assert {path: line for path, line in found.items() if len(path) < 4} == {
        ("a",): 1,
        ("t",): 2,
        ("t", "b c"): 3,
        ("t", "d", "e"): 7,
        ("u", 0): 10,
        ("u", 0, "f"): 11,
        ("u", 1): 12,
        ("u", 1, "h"): 13,
        ("u", 1, "i"): 14,
    }
    assert found["t", "d", "e", 0] == 7
    assert found["t", "d", "e", 1] == 8
    assert found["t", "d", "e", 1, 1] == 9
