"""Where the toolchain lives on a user's machine."""

from __future__ import annotations

import os
from pathlib import Path

HOME_VARIABLE = "NPUKBUILD_HOME"


def data_home() -> Path:
    """Return the per-user data folder.

    ``NPUKBUILD_HOME`` if set, else ``$XDG_DATA_HOME/npukbuild``, else ``~/.local/share/npukbuild``.
    """
    own = os.environ.get(HOME_VARIABLE)
    if own:
        return Path(own).absolute()
    shared = os.environ.get("XDG_DATA_HOME")
    base = Path(shared) if shared and Path(shared).is_absolute() else Path.home() / ".local" / "share"
    return base / "npukbuild"


def toolchains_folder() -> Path:
    """Return the folder that holds one environment per installed set."""
    return data_home() / "toolchains"


def wheelhouse_folder() -> Path:
    """Return the folder that keeps every downloaded wheel."""
    return data_home() / "wheelhouse"
