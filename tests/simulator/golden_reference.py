"""Inputs and numpy references of the golden designs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

BF16 = ml_dtypes.bfloat16
Arrays = list[Any]


@dataclass(frozen=True)
class Golden:
    """One golden design: how to call it and what it must give."""

    name: str
    make: Callable[[np.random.Generator], Arrays]
    reference: Callable[[Arrays], Any]
    tolerance: float = 0.0


def bf16(rng: np.random.Generator, *shape: int) -> Any:
    return rng.standard_normal(shape).astype(BF16)


def matmul(m: int, k: int, n: int) -> Callable[[np.random.Generator], Arrays]:
    return lambda rng: [bf16(rng, m, k), bf16(rng, k, n), np.zeros((m, n), BF16)]


def matmul_i8(rng: np.random.Generator) -> Arrays:
    return [
        *(rng.integers(-32, 32, (512, 512)).astype(np.int8) for _ in range(2)),
        np.zeros((512, 512), np.int8),
    ]


def product(args: Arrays) -> Any:
    return args[0].astype(np.float64) @ args[1].astype(np.float64)


def product_i8(args: Arrays) -> Any:
    return np.clip((args[0].astype(np.int64) @ args[1].astype(np.int64)) >> SHIFT, -128, 127)


SHIFT = 7


def gelu(x: Any) -> Any:
    x = x.astype(np.float64)
    return 0.5 * x * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x**3)))


def layernorm(x: Any, gamma: Any, beta: Any) -> Any:
    x = x.astype(np.float64)
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * gamma.astype(
        np.float64
    ) + beta.astype(np.float64)


def softmax(x: Any) -> Any:
    e = np.exp(x.astype(np.float64) - x.astype(np.float64).max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def chain(args: Arrays) -> Any:
    h = layernorm(*args[:3]).astype(BF16)
    return gelu(softmax(h).astype(BF16))


def attention(args: Arrays) -> Any:
    q, k, v, _ = (a.astype(np.float64) for a in args)
    return softmax(q @ k.T / 8).astype(BF16).astype(np.float64) @ v


def padded(rows: int, columns: int, pitch: int) -> Callable[[np.random.Generator], Arrays]:
    def make(rng: np.random.Generator) -> Arrays:
        x = np.zeros((rows, pitch), BF16)
        x[:, :columns] = bf16(rng, rows, columns)
        return [x, np.zeros((rows, pitch), BF16)]

    return make


def masked(columns: int, pitch: int) -> Callable[[Arrays], Any]:
    def reference(args: Arrays) -> Any:
        y = np.zeros((args[0].shape[0], pitch))
        y[:, :columns] = softmax(args[0][:, :columns])
        return y

    return reference


ULP = 2.0**-7  # two roundings to bfloat16

GOLDEN = (
    Golden("G1_matmul_64x64x512_bf16", matmul(64, 64, 512), product, ULP),
    Golden("G1_matmul_64x64x512_bf16.corelink", matmul(64, 64, 512), product, ULP),
    Golden("G2_matmul_128x512x512_bf16", matmul(128, 512, 512), product, ULP),
    Golden("G3_matmul_3008x512x512_bf16", matmul(3008, 512, 512), product, ULP),
    Golden("G3b_matmul_3008x512x512_bf16_onetask", matmul(3008, 512, 512), product, ULP),
    Golden("G3c_matmul_3072x512x512_bf16", matmul(3072, 512, 512), product, ULP),
    Golden("G4_matmul_512x512x512_i8_npu1", matmul_i8, product_i8),
    Golden("G4b_matmul_512x512x512_i8_npu2", matmul_i8, product_i8),
    Golden(
        "G5_gelu_1500x2048_bf16",
        lambda rng: [bf16(rng, 1500, 2048), np.zeros((1500, 2048), BF16)],
        lambda args: gelu(args[0]),
        ULP,
    ),
    Golden(
        "G6_layernorm_1500x512_bf16",
        lambda rng: [bf16(rng, 1500, 512), bf16(rng, 512), bf16(rng, 512), np.zeros((1500, 512), BF16)],
        lambda args: layernorm(*args[:3]),
        ULP,
    ),
    Golden(
        "G7_chain_ln_softmax_gelu_1024_bf16",
        lambda rng: [bf16(rng, 1024), bf16(rng, 1024), bf16(rng, 1024), np.zeros(1024, BF16)],
        chain,
        2 * ULP,
    ),
    Golden(
        "G7_chain_ln_softmax_gelu_1024_bf16.corelink",
        lambda rng: [bf16(rng, 1024), bf16(rng, 1024), bf16(rng, 1024), np.zeros(1024, BF16)],
        chain,
        2 * ULP,
    ),
    Golden(
        "G8_attention_head_64x64_bf16",
        lambda rng: [*(bf16(rng, 64, 64) for _ in range(3)), np.zeros((64, 64), BF16)],
        attention,
        2 * ULP,
    ),
    Golden("G9_softmax_1500_hostpad1504_bf16", padded(1500, 1500, 1504), masked(1500, 1504), ULP),
    Golden("G9b_softmax_1500_mempad1504_bf16", padded(1500, 1500, 1500), masked(1500, 1500), ULP),
    Golden(
        "G9c_softmax_1500_mempad1536_bf16",
        lambda rng: [bf16(rng, 1500, 1500), np.zeros((1500, 1536), BF16)],
        masked(1500, 1536),
        ULP,
    ),
)
