from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engine.rig import World

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path / "checkout", tmp_path / "cache")
    made.write("src/main.c", "#include <value.h>\nint value(void) { return VALUE; }\n")
    made.write("two/value.h", "#define VALUE 1\n")
    (made.folder / "one").mkdir()
    return made
