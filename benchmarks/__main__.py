"""``python -m benchmarks``: every benchmark, one after the other."""

from __future__ import annotations

import sys
from importlib import import_module

NAMES = ("startup", "planner", "gemm", "simulator", "engine")


def main() -> None:
    """Run the benchmarks named on the command line, all without names."""
    for name in sys.argv[1:] or NAMES:
        sys.stdout.write(f"\n{name}\n")
        sys.stdout.flush()
        import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
