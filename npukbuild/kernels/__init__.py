"""Kernel families: what a request of each may say, what it means in numbers, how the host calls it."""

from __future__ import annotations
