"""The array models: limits of every target, as typed values read from TOML data.

``load_target("npu1_2col")`` gives the model of a partition: the whole array's, with fewer columns.
"""

from __future__ import annotations

from npukbuild.targets.model import Target, TileLimits, load_target, target_names

__all__ = ["Target", "TileLimits", "load_target", "target_names"]
