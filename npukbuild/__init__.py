"""Build, simulate, check and publish kernels for AMD Ryzen AI NPUs.

The names an application imports live here; each is loaded when it is first asked for, so that
``import npukbuild`` costs nothing.
"""

from __future__ import annotations

__version__ = "0.1.0"
