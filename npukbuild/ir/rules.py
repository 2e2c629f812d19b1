"""Rules that a design must keep: those of the dialect's own verifiers and those of the hardware behind them.

Sources: mlir-aie's verifiers (``AIEDialect.cpp``, ``AIEXDialect.cpp``, the stateful transform's errors) for
what the tools refuse; aie-rt's register fields for what they take although hardware cannot do it.
"""

from __future__ import annotations

from npukbuild.ir.rules_fifos import check_fifos, check_uses
from npukbuild.ir.rules_sequences import check_descriptors, check_sequences, check_transfers

__all__ = ["check_descriptors", "check_fifos", "check_sequences", "check_transfers", "check_uses"]
