"""The wheel carries templates and core sources, and works outside the checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_wheel_works_outside_the_checkout(tmp_path: Path) -> None:
    """Its files are unpacked into a folder of their own; the dependencies are those of this environment."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("npukbuild-*.whl")
    place = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(place)
    for folder in ("templates", "kernels_src"):
        files = {
            path.relative_to(ROOT / folder).as_posix()
            for path in (ROOT / folder).rglob("*")
            if path.is_file()
        }
        packed = {
            name.removeprefix(f"npukbuild/_data/{folder}/") for name in names if f"/_data/{folder}/" in name
        }
        assert packed == files
    code = (
        f"import sys; sys.path.insert(0, {str(place)!r})\n"
        "import npukbuild; assert npukbuild.__file__.startswith(sys.path[0]), npukbuild.__file__\n"
        "from npukbuild.cli import main; main(['render', 'matmul', '--m', '64', '--n', '512', '-o', 'out'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "conv_even" in (tmp_path / "out" / "kernel.cc").read_text()
