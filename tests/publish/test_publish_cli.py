"""From a built kernel to a release and back, as a user types it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from npukbuild.publish.provenance import rebuild_command

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ("matmul_bf16_16x32x32", "matmul_bf16_32x32x64")


@pytest.fixture
def published(world: Path, npukbuild_cli: Callable[..., Any]) -> list[str]:
    """Publish both kernels; return the names of the releases."""
    assert npukbuild_cli("keys", "new", "me").code == 0
    said = npukbuild_cli("publish", "--json")
    assert said.code == 0, said.err
    return [str(row["release"]) for row in said.json()["published"]]


def test_keys(world: Path, npukbuild_cli: Callable[..., Any]) -> None:
    assert "keys new NAME" in npukbuild_cli("keys", "list").err
    npukbuild_cli("keys", "new", "me")
    said = npukbuild_cli("keys", "list")
    assert "own" in said.out
    assert "me" in said.out
    exported = npukbuild_cli("keys", "export", "me")
    assert exported.out.startswith("-----BEGIN PUBLIC KEY-----")
    assert "PRIVATE" not in exported.out
    (world / "theirs.pub").write_text(exported.out)
    assert npukbuild_cli("keys", "trust", "theirs.pub").code == 0
    assert npukbuild_cli("keys", "new", "me").code == 2
    assert npukbuild_cli("keys", "export", "nobody").code == 26


def test_without_a_key_publishing_says_how_to_make_one(
    world: Path, npukbuild_cli: Callable[..., Any]
) -> None:
    said = npukbuild_cli("publish")
    assert said.code == 26
    assert "npukbuild keys new" in said.err


def test_a_manifest_a_folder_and_nothing_mean_the_same_kernels(
    published: list[str], npukbuild_cli: Callable[..., Any]
) -> None:
    assert [name.partition("@")[0] for name in published] == [f"npu1/{name}" for name in NAMES]
    for place in ("kernels.toml", "build", "build/npu1"):
        rows = npukbuild_cli("publish", place, "--json").json()["published"]
        assert sorted(row["release"] for row in rows) == published
        assert not any(row["new"] for row in rows)


def test_a_manifest_with_unbuilt_kernels_is_said(
    published: list[str], world: Path, npukbuild_cli: Callable[..., Any]
) -> None:
    (world / "kernels.toml").write_text((world / "kernels.toml").read_text().replace("[16,", "[48,"))
    said = npukbuild_cli("publish", "kernels.toml")
    assert said.code == 11
    assert "1 of 2 kernels" in said.err
    assert "npukbuild build" in said.err


def test_one_refusal_does_not_stop_the_others(world: Path, npukbuild_cli: Callable[..., Any]) -> None:
    npukbuild_cli("keys", "new", "me")
    verdict = world / "build" / "npu1" / NAMES[0] / "verdict.json"
    verdict.write_text(json.dumps(json.loads(verdict.read_text()) | {"status": "failed"}))
    said = npukbuild_cli("publish", "build")
    assert said.code == 24
    assert "its check failed" in said.err
    assert NAMES[1] in said.out
    assert NAMES[0] not in said.out


def test_stable_without_an_npu_is_refused_with_the_way_out(
    world: Path, npukbuild_cli: Callable[..., Any]
) -> None:
    npukbuild_cli("keys", "new", "me")
    said = npukbuild_cli("publish", f"build/npu1/{NAMES[0]}", "--channel", "stable")
    assert said.code == 24
    assert "NPU" in said.err
    assert "--channel candidate" in said.err


def test_list_filters_and_show(published: list[str], npukbuild_cli: Callable[..., Any]) -> None:
    rows = npukbuild_cli("list", "--json").json()
    assert [row["release"] for row in rows] == published
    for filters, count in [
        (("--shape", "16x32x32"), 1), (("--dtype", "bf16"), 2), (("--dtype", "i8"), 0),
        (("--target", "npu2"), 0), (("--family", "matmul", "--channel", "candidate"), 2),
    ]:  # fmt: skip
        assert len(npukbuild_cli("list", "--json", *filters).json()) == count
    assert "checked on the simulator" in npukbuild_cli("list").out
    shown = npukbuild_cli("show", NAMES[0])
    assert "candidate" in shown.out
    assert "passed on the simulator" in shown.out
    assert npukbuild_cli("show", NAMES[0], "--json").json()["verdict"]["ran"] == ["design.mlir", "kernel.cc"]
    assert npukbuild_cli("show", "nonsense").code == 27


def test_a_damaged_entry_does_not_hide_the_others(
    published: list[str], world: Path, npukbuild_cli: Callable[..., Any]
) -> None:
    (plan,) = world.glob(f"build/registry/npu1/{NAMES[0]}/*/plan.json")
    plan.write_text("{")
    said = npukbuild_cli("list")
    assert said.code == 0
    assert "damaged" in said.out
    assert NAMES[1] in said.out
    import npukbuild

    kernel = npukbuild.load("matmul", m=32, k=32, n=64, registry="build/registry", device="simulator")
    assert kernel.release.id.name == NAMES[1]


def test_verify_and_tampering(published: list[str], world: Path, npukbuild_cli: Callable[..., Any]) -> None:
    assert "signature of me" in npukbuild_cli("verify", published[0]).out
    (kernel,) = world.glob(f"build/registry/npu1/{NAMES[0]}/*/kernel.cc")
    kernel.write_bytes(kernel.read_bytes() + b" ")
    said = npukbuild_cli("verify", published[0])
    assert said.code == 26
    assert "kernel.cc was changed" in said.err


def test_verify_rebuilds_bit_for_bit_and_notices_changed_sources(
    published: list[str], world: Path, npukbuild_cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = npukbuild_cli("verify", published[0], "--rebuild", "--json")
    assert said.code == 0, said.err
    assert said.json()["rebuilt"] == ["design.mlir", "kernel.cc"]
    checkout = Path(__file__).parents[2]
    for name in ("templates", "kernels_src"):
        shutil.copytree(checkout / name, world / "data" / name)
    header = world / "data" / "kernels_src" / "matmul.hpp"
    header.write_text(header.read_text() + "// changed\n")
    monkeypatch.setenv("NPUKBUILD_DATA_DIR", str(world / "data"))
    said = npukbuild_cli("verify", published[0], "--rebuild")
    assert said.code == 26
    assert "other bytes in kernel.cc" in said.err


def test_the_rebuild_command_of_the_provenance_builds_the_same(
    world: Path, npukbuild_cli: Callable[..., Any]
) -> None:
    import shlex

    for name in NAMES:
        manifest = json.loads((world / "build" / "npu1" / name / "manifest.json").read_text())
        words = shlex.split(rebuild_command(manifest["request"]))
        assert words[0] == "npukbuild"
        said = npukbuild_cli(*words[1:], "--build-dir", "again")
        assert said.code == 0, said.err
        again = json.loads((world / "again" / "npu1" / name / "manifest.json").read_text())
        assert again["files"] == manifest["files"]


def test_prune_keeps_the_newest_of_each_kernel(
    published: list[str], world: Path, npukbuild_cli: Callable[..., Any]
) -> None:
    folder = f"build/npu1/{NAMES[0]}"
    for version in ("v1", "v2", "v3"):
        npukbuild_cli("publish", folder, "--version", version)
    assert len(npukbuild_cli("prune", "--keep", "2", "--dry-run", "--json").json()["removed"]) == 2
    assert len(npukbuild_cli("list", "--json").json()) == 5
    assert npukbuild_cli("prune", "--keep", "2").code == 0
    assert len(npukbuild_cli("list", "--json").json()) == 3
    assert npukbuild_cli("prune", "--channel", "stable").err == "nothing to remove\n"
