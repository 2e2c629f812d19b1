"""The house's rule: a room imports only the rooms before it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "npukbuild"

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "targets": {"errors"},
    "kernels": {"errors", "targets"},
    "planner": {"errors", "targets", "kernels"},
    "render": {"errors", "targets", "kernels", "planner"},
    "ir": {"errors", "targets"},
    "simulator": {"errors", "targets", "ir"},
    "toolchain": {"errors"},
    "xclbin": {"errors"},
}
MAY_IMPORT["engine"] = set(MAY_IMPORT)
MAY_IMPORT["smoke"] = {*MAY_IMPORT, "engine"}
MAY_IMPORT["publish"] = {*MAY_IMPORT, "smoke"}
MAY_IMPORT["runtime"] = {*MAY_IMPORT, "publish"}
MAY_IMPORT["cli"] = set(MAY_IMPORT)
ALWAYS = {"", "__version__"}


def room_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[tuple[str, int]]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write imports in full"
            names = [node.module or ""]
            if node.module == "npukbuild":
                names = [f"npukbuild.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "npukbuild":
                assert isinstance(node, ast.Import | ast.ImportFrom)
                rooms.add((parts[1] if len(parts) > 1 else "", node.lineno))
    return rooms


def violations(path: Path, room: str) -> list[str]:
    allowed = MAY_IMPORT[room] | {room} | ALWAYS
    return [
        f"{path.name}:{line}: {room} imports {other}"
        for other, line in sorted(imported_rooms(path))
        if other not in allowed
    ]


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_room_imports_only_what_it_may(room: str) -> None:
    paths = [path for path in PACKAGE.rglob("*.py") if room_of(path) == room]
    assert paths, f"room {room} is empty"
    assert [fault for path in paths for fault in violations(path, room)] == []


def test_every_file_is_in_a_room() -> None:
    rooms = {room_of(path) for path in PACKAGE.rglob("*.py") if "_data" not in path.parts}
    assert rooms - {"__init__", "__main__"} <= set(MAY_IMPORT)


def test_the_rule_can_fail(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n    from npukbuild.cli import main\n")
    assert violations(bad, "ir") == ["bad.py:2: ir imports cli"]
