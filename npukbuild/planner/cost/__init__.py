"""The closed-form timing model of a GEMM on the array, calibrated on published measurements."""

from __future__ import annotations

from npukbuild.planner.cost.model import predict
from npukbuild.planner.cost.shape import GemmShape, Prediction

__all__ = ["GemmShape", "Prediction", "predict"]
