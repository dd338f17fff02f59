"""Ops of com.microsoft, against ONNX Runtime, which defines them."""

from __future__ import annotations

import numpy as np
import pytest

import ingot
from tests.interchange.one_node import one_node

ort = pytest.importorskip("onnxruntime")

rng = np.random.default_rng(0)
B, S, N, D = 2, 5, 2, 8
H = N * D


def f(*shape):
    return rng.normal(size=shape).astype(np.float32)


def ints(low, high, *shape, dtype=np.int32):
    return rng.integers(low, high, shape).astype(dtype)


angles = np.outer(np.arange(16), 1 / 10000 ** (np.arange(0, D, 2) / D)).astype(np.float32)
COS, SIN = np.cos(angles), np.sin(angles)
X = f(B, S, H)
WIDE = 16  # which GroupQueryAttention's heads are, a multiple of
wide = np.outer(np.arange(16), 1 / 10000 ** (np.arange(0, WIDE, 2) / WIDE)).astype(np.float32)
TURN = [np.cos(wide), np.sin(wide)]

# op -> (inputs by position, None where one is left out; attributes; how many outputs)
CASES = {
    "Gelu": ([X], {}, 1),
    "BiasGelu": ([X, f(H)], {}, 1),
    "FastGelu": ([X, f(H)], {}, 1),
    "QuickGelu": ([X], {"alpha": 1.702}, 1),
    "FusedMatMul": ([f(2, 4, 3), f(2, 5, 3)], {"transB": 1, "alpha": 0.5}, 1),
    "SkipLayerNormalization": ([X, f(B, S, H), f(H), f(H), f(H)], {"epsilon": 1e-5}, 1),
    "SkipSimplifiedLayerNormalization": ([X, f(B, S, H), f(H)], {"epsilon": 1e-5}, 1),
    "EmbedLayerNormalization": (
        [ints(0, 20, B, S), ints(0, 2, B, S), f(20, H), f(9, H), f(2, H), f(H), f(H), np.array([[1] * 5, [1, 1, 1, 0, 0]], np.int32)],
        {"epsilon": 1e-5}, 2,
    ),
    "Attention": ([X, f(H, 3 * H), f(3 * H), np.array([[1] * 5, [1, 1, 1, 0, 0]], np.int32)], {"num_heads": N}, 1),
    "Attention, causal": ([X, f(H, 3 * H), f(3 * H)], {"num_heads": N, "unidirectional": 1}, 1),
    "MultiHeadAttention": ([f(B, S, H), f(B, 7, H), f(B, 7, H), f(3 * H)], {"num_heads": N}, 1),
    "MultiHeadAttention, masked": (
        [f(B, S, H), f(B, S, H), f(B, S, H), None, np.array([[1] * 5, [1, 1, 1, 0, 0]], np.int32)], {"num_heads": N, "scale": 0.3}, 1,
    ),
    "RotaryEmbedding": ([f(B, N, S, D), np.tile(np.arange(S), (B, 1)).astype(np.int64), COS, SIN], {}, 1),
    "RotaryEmbedding, offset": ([X, np.array([3], np.int64), COS, SIN], {"num_heads": N, "interleaved": 1}, 1),
    "GroupQueryAttention": (
        [f(B, S, 2 * WIDE), f(B, S, WIDE), f(B, S, WIDE), f(B, 1, 0, WIDE), f(B, 1, 0, WIDE), np.full(B, S - 1, np.int32),
         np.array([S], np.int32), *TURN], {"num_heads": N, "kv_num_heads": 1, "do_rotary": 1}, 3,
    ),
    "GroupQueryAttention, decoding": (
        [f(B, 1, 2 * WIDE), f(B, 1, WIDE), f(B, 1, WIDE), f(B, 1, 4, WIDE), f(B, 1, 4, WIDE), np.full(B, 4, np.int32),
         np.array([5], np.int32), *TURN], {"num_heads": N, "kv_num_heads": 1, "do_rotary": 1}, 3,
    ),
    "GroupQueryAttention, windowed": (
        [f(B, S, 2 * WIDE), f(B, S, WIDE), f(B, S, WIDE), f(B, 1, 0, WIDE), f(B, 1, 0, WIDE), np.full(B, S - 1, np.int32),
         np.array([S], np.int32)], {"num_heads": N, "kv_num_heads": 1, "local_window_size": 2}, 3,
    ),
    "MatMulNBits": ([f(3, 64), ints(0, 256, 10, 2, 16, dtype=np.uint8), f(20)], {"K": 64, "N": 10, "bits": 4, "block_size": 32}, 1),
    "MatMulNBits, zeros": (
        [f(3, 64), ints(0, 256, 10, 2, 16, dtype=np.uint8), f(20), ints(0, 256, 10, dtype=np.uint8)],
        {"K": 64, "N": 10, "bits": 4, "block_size": 32}, 1,
    ),
    "MatMulIntegerToFloat": (
        [ints(0, 256, 3, 8, dtype=np.uint8), ints(-64, 64, 8, 4, dtype=np.int8), np.array([0.1], np.float32), np.array([0.2], np.float32),
         np.array([3], np.uint8), np.array([0], np.int8), f(4)], {}, 1,
    ),
    "DynamicQuantizeMatMul": ([f(3, 8), ints(-64, 64, 8, 4, dtype=np.int8), np.array([0.2], np.float32), np.array([0], np.int8)], {}, 1),
    "FusedConv": ([f(1, 3, 6, 6), f(4, 3, 3, 3), f(4)], {"activation": "Relu", "kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, 1),
    "FusedGemm": ([f(3, 4), f(4, 5), f(5)], {"activation": "Relu", "alpha": 0.5}, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_ops(name, monkeypatch):
    monkeypatch.setenv("INGOT_BACKEND", "interpreter")
    inputs, attrs, count = CASES[name]
    data, given = one_node(name.split(",")[0], inputs, attrs, count)
    expected = ort.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, given)
    got = ingot.onnx.load(data).run(given)
    for e, g in zip(expected, got.values()):
        np.testing.assert_allclose(g, e, rtol=1e-3, atol=1e-4)


SENTENCES = np.array([["the cat, sat", "a-b c  dd"], ["", "x ,y"]], object)


@pytest.mark.parametrize(
    "attrs",
    [
        {"mark": 0, "mincharnum": 1, "separators": [" ", ","]}, {"mark": 1, "mincharnum": 2, "separators": [" "]},
        {"mark": 1, "mincharnum": 1, "separators": [""]}, {"mark": 0, "mincharnum": 2, "tokenexp": "[a-z]+"},
    ],
)  # fmt: skip
def test_tokenizer(attrs):
    data, given = one_node("Tokenizer", [SENTENCES], attrs | {"pad_value": "#"}, 1)
    expected = ort.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, given)[0]
    got = ingot.onnx.load(data).run(given)["y0"]
    assert got.shape == expected.shape and got.tolist() == expected.tolist()
