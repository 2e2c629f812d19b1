"""Ratios against named baselines; `python -m benchmarks.<name>` runs one."""
