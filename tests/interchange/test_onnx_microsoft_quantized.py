"""Ops of com.microsoft on quantised numbers, and those beside attention, against ONNX Runtime."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import ingot
from ingot.interchange.onnx.rules import OnnxError
from tests.interchange.one_node import one_node

ort = pytest.importorskip("onnxruntime")

rng = np.random.default_rng(1)
B, S, N, H, WIDE = 2, 5, 2, 16, 16
SCALE = [np.array([v], np.float32).reshape(()) for v in (0.05, 0.08, 0.1, 0.004)]
ZERO, ONE = np.array(120, np.uint8), np.array(3, np.int8)


def f(*shape):
    return rng.normal(size=shape).astype(np.float32)


def ints(low, high, *shape, dtype=np.int32):
    return rng.integers(low, high, shape).astype(dtype)


def u8(*shape):
    return ints(0, 256, *shape, dtype=np.uint8)


def s8(*shape):  # of 7 bits: ONNX Runtime adds pairs of products in 16 bits where the CPU has no VNNI
    return ints(-64, 64, *shape, dtype=np.int8)


X = f(B, S, H)
angles = np.outer(np.arange(16), 1 / 10000 ** (np.arange(0, WIDE, 2) / WIDE)).astype(np.float32)
TURN = [np.cos(angles), np.sin(angles)]
QX = [u8(2, 3, 4, 5), SCALE[0], ZERO]
WINDOW = {"kernel_shape": [2, 3], "pads": [1, 0, 0, 1], "strides": [2, 1]}
MASK = np.array([[1] * 5, [1, 1, 1, 0, 0]], np.int32)
TABLES = [u8(20, H), u8(9, H), u8(2, H), u8(H), u8(H)]
EXPERTS = [f(6, 8), f(6, 4), f(4, 10, 8), f(4, 10), f(4, 8, 10), f(4, 8)]

# op -> (inputs by position, None where one is left out; attributes; how many outputs)
SWIGLU = {"activation_type": "swiglu", "swiglu_fusion": 1, "activation_alpha": 1.702, "activation_beta": 1.0, "swiglu_limit": 7.0}
QMOE = {"k": 2, "normalize_routing_weights": 1, "expert_weight_bits": 4}

CASES = {
    "QLinearAdd": ([*QX, u8(3, 1, 5), SCALE[1], ZERO, SCALE[2], ZERO], {}, 1),
    "QLinearAdd, signed": ([s8(2, 5), SCALE[0], ONE, s8(5), SCALE[1], ONE, SCALE[2], ONE], {}, 1),
    "QLinearMul": ([*QX, u8(3, 1, 5), SCALE[1], ZERO, SCALE[2], ZERO], {}, 1),
    "QLinearSigmoid": ([*QX, SCALE[3], np.array(0, np.uint8)], {}, 1),
    "QLinearLeakyRelu": ([*QX, SCALE[1], ZERO], {"alpha": 0.2}, 1),
    "QLinearSoftmax": ([*QX, SCALE[3], np.array(0, np.uint8)], {"axis": 1, "opset": 13}, 1),
    "QLinearSoftmax, older": ([*QX, SCALE[3], np.array(0, np.uint8)], {"axis": 2, "opset": 12}, 1),
    "QLinearGlobalAveragePool": ([*QX, SCALE[0], ZERO], {"channels_last": 0}, 1),
    "QLinearGlobalAveragePool, channels last": ([*QX, SCALE[0], ZERO], {"channels_last": 1}, 1),
    "QLinearAveragePool": ([*QX, SCALE[1], ZERO], WINDOW, 1),
    "QLinearAveragePool, channels last": ([*QX, SCALE[1], ZERO], {**WINDOW, "channels_last": 1, "count_include_pad": 1}, 1),
    "QLinearConcat": ([SCALE[1], ZERO, *QX, u8(2, 2, 4, 5), SCALE[2], ZERO], {"axis": 1}, 1),
    "QLinearWhere": ([rng.random((3, 5)) < 0.5, u8(3, 5), SCALE[0], ZERO, u8(5), SCALE[1], ZERO, SCALE[2], ZERO], {}, 1),
    "QLinearConv": (
        [u8(2, 6, 5, 3), SCALE[0], ZERO, s8(4, 3, 3, 3), SCALE[3], np.array(0, np.int8), SCALE[2], ZERO, ints(-500, 500, 4)],
        {"channels_last": 1, "kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, 1,
    ),
    "QGemm": ([u8(3, 6), SCALE[0], ZERO, s8(6, 4), SCALE[1], ONE, ints(-99, 99, 4), SCALE[2], ZERO], {"alpha": 0.5}, 1),
    "QGemm, float": ([u8(3, 6), SCALE[0], ZERO, s8(4, 6), SCALE[1], ONE, None], {"transB": 1}, 1),
    "QAttention": ([u8(B, S, H), s8(H, 3 * H), f(3 * H), SCALE[0], SCALE[3], MASK, ZERO, np.array(0, np.int8)], {"num_heads": N}, 1),
    "QAttention, causal": (
        [u8(B, S, H), s8(H, 3 * H), f(3 * H), SCALE[0], SCALE[3], None, ZERO, ONE], {"num_heads": N, "unidirectional": 1}, 1,
    ),
    "QEmbedLayerNormalization": (
        [ints(0, 20, B, S), ints(0, 2, B, S), *TABLES, MASK, *[SCALE[0]] * 5, *[ZERO] * 5], {"epsilon": 1e-5}, 2,
    ),
    "GatherBlockQuantized, packed": ([u8(5, 32), ints(0, 5, 3), f(5, 2), u8(5, 1)], {"block_size": 32, "bits": 4}, 1),
    "GatherBlockQuantized, bytes": ([u8(5, 64), ints(0, 5, 3), f(5, 2)], {"block_size": 32, "bits": 8}, 1),
    "MatMulBnb4, NF4": ([f(3, 64), u8(320), np.abs(f(10))], {"K": 64, "N": 10, "block_size": 64, "quant_type": 1}, 1),
    "MatMulBnb4, FP4": ([f(3, 64), u8(320), np.abs(f(20))], {"K": 64, "N": 10, "block_size": 32, "quant_type": 0}, 1),
    "MatMulNBits, order": (
        [f(3, 64), u8(10, 2, 16), f(20), None, rng.permutation(np.arange(64, dtype=np.int32) // 32)],
        {"K": 64, "N": 10, "bits": 4, "block_size": 32}, 1,
    ),
    "MatMulNBits, bytes": ([f(3, 64), u8(10, 2, 32), f(20)], {"K": 64, "N": 10, "bits": 8, "block_size": 32}, 1),
    "GroupQueryAttention, sinks": (
        [f(B, S, 2 * WIDE), f(B, S, WIDE), f(B, S, WIDE), f(B, 1, 0, WIDE), f(B, 1, 0, WIDE), np.full(B, S - 1, np.int32),
         np.array([S], np.int32), *TURN, None, None, f(2)], {"num_heads": N, "kv_num_heads": 1, "do_rotary": 1}, 1,
    ),
    "GroupQueryAttention, smooth": (
        [f(B, S, 2 * WIDE), f(B, S, WIDE), f(B, S, WIDE), f(B, 1, 0, WIDE), f(B, 1, 0, WIDE), np.full(B, S - 1, np.int32),
         np.array([S], np.int32)], {"num_heads": N, "kv_num_heads": 1, "smooth_softmax": 1, "softcap": 20.0}, 1,
    ),
    "GroupQueryAttention, of both sides": (
        [f(B, S, 2 * WIDE), f(B, S, WIDE), f(B, S, WIDE), f(B, 1, 0, WIDE), f(B, 1, 0, WIDE), np.full(B, S - 1, np.int32),
         np.array([S], np.int32)], {"num_heads": N, "kv_num_heads": 1, "causal": 0}, 1,
    ),
    "DynamicQuantizeLSTM": (
        [f(6, 1, 4), s8(2, 4, 12), s8(2, 3, 12), f(2, 24), None, None, None, None, np.full(2, SCALE[3]), np.zeros(2, np.int8),
         np.full(2, SCALE[3]), np.zeros(2, np.int8)], {"hidden_size": 3, "direction": "bidirectional"}, 3,
    ),
    "MoE": (EXPERTS, {"k": 2, "activation_type": "gelu", "normalize_routing_weights": 1}, 1),
    "MoE, one": (EXPERTS, {"k": 1, "activation_type": "relu"}, 1),
    "MoE, swiglu": (
        [f(6, 8), f(6, 4), f(4, 20, 8), f(4, 20), f(4, 8, 10), f(4, 8)],
        {"k": 2, "normalize_routing_weights": 1, **SWIGLU}, 1,
    ),
    "QMoE": ([f(6, 32), f(6, 4), u8(4, 64, 16), np.abs(f(4, 64)), f(4, 64), u8(4, 32, 32), np.abs(f(4, 32)), f(4, 32)], QMOE, 1),
    "QMoE, bytes": (
        [f(6, 32), f(6, 4), u8(4, 64, 32), np.abs(f(4, 64)) / 99, None, u8(4, 32, 64), np.abs(f(4, 32)) / 99],
        {**QMOE, "activation_type": "gelu", "expert_weight_bits": 8}, 1,
    ),
    "QMoE, blocks": (
        [f(6, 32), f(6, 4), u8(4, 64, 16), np.abs(f(4, 64, 2)), f(4, 64), u8(4, 32, 16), np.abs(f(4, 32, 2)), f(4, 32), None, None, None,
         u8(4, 64, 1), u8(4, 32, 1)], {**QMOE, **SWIGLU, "block_size": 16}, 1,
    ),
    "QMoE, zero points": (
        [f(6, 32), f(6, 4), u8(4, 64, 16), np.abs(f(4, 64)), None, u8(4, 32, 16), np.abs(f(4, 32)), None, None, None, None,
         u8(4, 32), u8(4, 16), None, np.abs(f(6, 4))], {**QMOE, **SWIGLU}, 1,
    ),
    "CDist": ([f(4, 3), f(5, 3)], {"metric": "euclidean"}, 1),
    "ExpandDims": ([f(4, 3), np.array(1, np.int32)], {}, 1),
    "TransposeMatMul": ([f(2, 4, 3), f(2, 4, 5)], {"transA": 1}, 1),
    "Pad": ([f(3, 4), np.array([1, 0, 0, 2]), np.array([0.5], np.float32)], {}, 1),
    "GatherND": ([f(3, 4), np.array([[1, 2], [0, 3]])], {}, 1),
}  # fmt: skip

@pytest.mark.parametrize("name", CASES)
def test_ops(name, monkeypatch):
    monkeypatch.setenv("INGOT_BACKEND", "interpreter")
    inputs, attrs, count = CASES[name]
    data, given = one_node(name.split(",")[0], inputs, attrs, count)
    expected = ort.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, given)
    got = ingot.onnx.load(data).run(given)
    for e, g in zip(expected, got.values()):
        assert (g.shape, g.dtype) == (e.shape, e.dtype)
        if e.dtype.kind in "iu" and name.startswith("QL"):
            assert np.abs(e.astype(int) - g.astype(int)).max() <= 1  # a half may be rounded either way
        else:
            np.testing.assert_allclose(g, e, rtol=1e-3, atol=2e-4)


def test_heads_are_normalized_before_they_are_rotated():
    """ONNX Runtime's kernel for CPUs refuses the weights of norms: here they are what the norms before the node would be."""
    q, k, v, wq, wk = f(B, S, 2 * WIDE), f(B, S, WIDE), f(B, S, WIDE), f(WIDE), f(WIDE)
    rest = [f(B, 1, 0, WIDE), f(B, 1, 0, WIDE), np.full(B, S - 1, np.int32), np.array([S], np.int32), *TURN]
    attrs = {"num_heads": N, "kv_num_heads": 1, "do_rotary": 1}

    def norm(x, weight):
        h = x.reshape(B, S, -1, WIDE)
        return (h / np.sqrt((h * h).mean(-1, keepdims=True) + 1e-3) * weight).reshape(x.shape).astype(np.float32)

    data, given = one_node("GroupQueryAttention", [norm(q, wq), norm(k, wk), v, *rest], attrs, 1)
    (expected,) = ort.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, given)
    inputs = [q, k, v, *rest, None, None, None, None, None, wq, wk]
    attrs |= {"qk_norm_epsilon": 1e-3, "k_quant_type": "NONE", "v_quant_type": "NONE"}
    data, given = one_node("GroupQueryAttention", inputs, attrs, 1)
    (got,) = ingot.onnx.load(data).run(given).values()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("k", [1, 2])
def test_quantized_experts_that_are_not_normalized(k):
    """As the same experts in floats. (ONNX Runtime's QMoE for CPUs normalizes whatever the attribute says, its MoE does not.)"""
    x, router, w1, w2, s1, s2 = f(6, 8), f(6, 4), u8(4, 10, 8), u8(4, 8, 10), np.abs(f(4, 10)), np.abs(f(4, 8))
    floats = [(w.astype(np.float32) - 128) * s[..., None] for w, s in ((w1, s1), (w2, s2))]
    data, given = one_node("MoE", [x, router, floats[0], None, floats[1]], {"k": k, "activation_type": "silu"}, 1)
    (expected,) = ort.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, given)
    attrs = {"k": k, "activation_type": "silu", "expert_weight_bits": 8}
    data, given = one_node("QMoE", [x, router, w1, s1, None, w2, s2], attrs, 1)
    (got,) = ingot.onnx.load(data).run(given).values()
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("attrs, match", [({"quant_type": "fp8"}, "weights are fp8"), ({"expert_weight_bits": 3}, "3 bits")])
def test_quantized_experts_of_other_formats_are_refused(attrs, match):
    data, given = one_node("QMoE", [f(6, 8), f(6, 4), u8(4, 10, 8), f(4, 10), None, u8(4, 8, 10), f(4, 8)], attrs, 1)
    with pytest.raises(OnnxError, match=match):
        ingot.onnx.load(data).run(given)


@pytest.mark.parametrize("dtype, low, high", [("int4", -8, 8), ("uint4", 0, 16)])
def test_rows_of_small_integers(dtype, low, high):
    table, at, scales = ints(low, high, 5, 64), ints(0, 5, 2, 3), f(5, 2)
    data, given = one_node("GatherBlockQuantized", [table.astype(getattr(ml_dtypes, dtype)), at, scales], {"block_size": 32}, 1)
    (got,) = ingot.onnx.load(data).run(given).values()
    np.testing.assert_allclose(got, (table * scales.repeat(32, 1))[at], rtol=1e-6)


def test_relative_positions():
    table = f(8, 2)
    data, given = one_node("RelativePositionBias", [table, np.array([6]), np.array([9])], {"max_distance": 20, "is_bidirectional": 1}, 1)
    (got,) = ingot.onnx.load(data).run(given).values()
    assert got.shape == (1, 2, 6, 9)
    for i, j, bucket in ((0, 0, 0), (1, 0, 1), (5, 0, 2), (0, 1, 5), (0, 5, 6), (0, 8, 7)):  # the nearest are exact, farther ones share
        np.testing.assert_array_equal(got[0, :, i, j], table[bucket], err_msg=f"{i} {j}")


def test_layers_of_diffusion_models():
    """ONNX Runtime has them on GPUs alone: here they are what their parts are."""
    x, gamma, beta = f(2, 3, 5, 8), f(8), f(8)
    data, given = one_node("GroupNorm", [x, gamma, beta], {"groups": 4, "activation": 1}, 1)
    (got,) = ingot.onnx.load(data).run(given).values()
    moved = ingot.nn.functional.group_norm(ingot.tensor(x.transpose(0, 3, 1, 2).copy()), 4, ingot.tensor(gamma), ingot.tensor(beta))
    np.testing.assert_allclose(got, ingot.nn.functional.silu(moved).numpy().transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-5)
    data, given = one_node("BiasSplitGelu", [X, f(H)], {}, 1)
    assert next(iter(ingot.onnx.load(data).run(given).values())).shape == (B, S, H // 2)
    data, given = one_node("NhwcConv", [f(1, 5, 5, 3), f(4, 3, 3, 3)], {"pads": [1, 1, 1, 1]}, 1)
    assert next(iter(ingot.onnx.load(data).run(given).values())).shape == (1, 5, 5, 4)
