"""Lay out stand-in installs as the wheels do: ``<env>/lib/python3.X/site-packages/{mlir_aie,llvm-aie}``."""

from __future__ import annotations

import json
import stat
import sys
import sysconfig
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"
VERSIONS = {"python": "1.2.0", "cpp": "1.3.4", "declarative": "1.4.2"}
PEANO_VERSION = "21.0.0.2026080301+c9c5ecb7"


def site_packages(env: Path) -> Path:
    """Return the site-packages of an environment for the tests' Python version."""
    return env / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def _script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return path


def python_script(path: Path, body: str) -> Path:
    """Write an executable that runs ``body`` with the tests' interpreter and the stand-ins importable."""
    # Another interpreter may run it (the Python aiecc): what the stand-ins import is named here.
    packages = sysconfig.get_paths()["purelib"]
    return _script(
        path,
        f"#!{sys.executable} -I\nimport sys\n"
        f"sys.path[:0] = [{str(HERE.parent.parent)!r}]\nsys.path.append({packages!r})\n{body}",
    )


def make_peano(folder: Path, *, commit: str = "c9c5ecb7", version: str | None = PEANO_VERSION) -> Path:
    """Make a stand-in Peano at ``folder``."""
    python_script(
        folder / "bin" / "clang++",
        f"from tests.standins.peano_clang import main\nsys.exit(main(sys.argv[1:], {commit!r}))\n",
    )
    for tool in ("opt", "llc", "ld.lld", "clang"):
        _script(folder / "bin" / tool, "#!/bin/sh\nexit 0\n")
    python_script(
        folder / "bin" / "llvm-ar",
        "from pathlib import Path\n"
        "assert sys.argv[1] == 'rcsD', sys.argv\n"
        "members = b''.join(Path(p).read_bytes() for p in sys.argv[3:])\n"
        "Path(sys.argv[2]).write_bytes(b'!<arch>\\n' + members)\n",
    )
    if version is not None:
        (folder.parent / f"llvm_aie-{version}.dist-info").mkdir(exist_ok=True)
    return folder


def make_xclbinutil(path: Path, *, kind: str = "good") -> Path:
    """Make a stand-in xclbinutil: ``good`` writes a container, ``debian`` wraps a missing file, exits 0."""
    if kind == "debian":
        return _script(
            path,
            '#!/bin/sh\n/usr/lib/nowhere/unwrapped/xclbinutil "$@" 2>/dev/null || '
            "echo 'ERROR: Could not find executable: unwrapped/xclbinutil' >&2\nexit 0\n",
        )
    container = GOLDEN / "G1_matmul_64x64x512_bf16.standin.xclbin"
    return python_script(
        path,
        "from tests.standins.package import pack\n"
        "if '--version' in sys.argv: print('XRT Build Version: 2.21.75'); sys.exit(0)\n"
        f"pack({str(container)!r}, sys.argv[sys.argv.index('--output') + 1])\n"
        "print('Successfully wrote', file=sys.stdout)\n",
    )


def make_install(
    env: Path,
    generation: str = "declarative",
    *,
    version: str | None = None,
    behaviour: dict[str, Any] | None = None,
    xclbinutil: str | None = "good",
    peano: bool = True,
) -> Path:
    """Make a stand-in environment at ``env`` and return its ``site-packages/mlir_aie``."""
    site = site_packages(env)
    root = site / "mlir_aie"
    (root / "include" / "aie_api").mkdir(parents=True, exist_ok=True)
    (root / "include" / "aie_api" / "aie.hpp").write_text("#pragma once\n")
    (env / "bin").mkdir(parents=True, exist_ok=True)
    (env / "pyvenv.cfg").write_text(f"home = {sys.base_prefix}/bin\ninclude-system-site-packages = false\n")
    interpreter = env / "bin" / "python"
    if not interpreter.exists():
        interpreter.symlink_to(sys.executable)
    body = (
        "from pathlib import Path\nfrom tests.standins.aiecc_driver import main\n"
        f"sys.exit(main(sys.argv[1:], {generation!r}, Path({str(root)!r})))\n"
    )
    python_script(env / "bin" / "aiecc.py" if generation == "python" else root / "bin" / "aiecc", body)
    if generation == "python":
        (root / "bin").mkdir(exist_ok=True)
        _script(root / "bin" / "aiecc.py", (env / "bin" / "aiecc.py").read_text())
    if xclbinutil:
        make_xclbinutil(root / "bin" / "xclbinutil", kind=xclbinutil)
    (site / f"mlir_aie-{version or VERSIONS[generation]}.dist-info").mkdir(exist_ok=True)
    if behaviour:
        (root / "standin.json").write_text(json.dumps(behaviour))
    if peano:
        make_peano(site / "llvm-aie")
    return root
