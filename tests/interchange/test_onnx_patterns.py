"""What exporters spread out is recognised, only where nothing else reads its parts, and computes the same."""

from __future__ import annotations

import math

import numpy as np
import pytest

import ingot
from ingot.interchange.onnx.emit.writer import attribute
from ingot.interchange.onnx.messages import GraphProto, ModelProto, NodeProto, OperatorSetId, ValueInfo
from ingot.interchange.onnx.tensors import proto_of
from ingot.interchange.onnx.wire import encode


def model(text: str, outputs: str, opset: int = 17, **values: np.ndarray):
    """A model of lines `result = Op(inputs) name=value …`; upper-case values are its initializers."""
    nodes = []
    for line in text.strip().splitlines():
        result, call = (s.strip() for s in line.split("=", 1))
        op, rest = call.split("(", 1)
        inputs, attrs = rest.split(")", 1)
        attributes = [attribute(k, eval(v)) for k, v in (a.split("=") for a in attrs.split())]  # noqa: S307  (of this file)
        nodes.append(NodeProto(op_type=op, input=inputs.replace(",", " ").split(), output=[result], attribute=attributes))
    read = dict.fromkeys(i for n in nodes for i in n.input)
    made = {o for n in nodes for o in n.output}
    graph = GraphProto(
        name="g", node=nodes, initializer=[proto_of(k, v) for k, v in values.items()],
        input=[ValueInfo(name=i) for i in read if i not in made and i not in values], output=[ValueInfo(name=o) for o in outputs.split()],
    )  # fmt: skip
    return ingot.onnx.load(encode(ModelProto(ir_version=9, opset_import=[OperatorSetId(version=opset)], graph=graph)))


def ops(m) -> list[str]:
    return [n.op for n in m._program.body.nodes]


def f32(*values):
    return np.array(values, np.float32)


rng = np.random.default_rng(0)
X = rng.normal(size=(2, 3, 8)).astype(np.float32)
ERF = np.vectorize(math.erf)
GELU = X * 0.5 * (1 + ERF(X / math.sqrt(2)))


@pytest.mark.parametrize(
    "text",
    [
        "a = Div(x, R)\nb = Erf(a)\nc = Add(b, ONE)\nd = Mul(x, c)\ny = Mul(d, H)",
        "a = Div(x, R)\nb = Erf(a)\nc = Add(b, ONE)\nd = Mul(c, H)\ny = Mul(x, d)",
        "h = Mul(x, H)\na = Mul(x, I)\nb = Erf(a)\nc = Add(ONE, b)\ny = Mul(h, c)",
    ],
)
def test_gelu(text):
    m = model(text, "y", R=f32(math.sqrt(2)), I=f32(math.sqrt(0.5)), ONE=f32(1), H=f32(0.5))
    assert ops(m) == ["Gelu"]
    np.testing.assert_allclose(m.run({"x": X})["y"], GELU, rtol=1e-5, atol=1e-6)
    parts = model(text, "y b", R=f32(math.sqrt(2)), I=f32(math.sqrt(0.5)), ONE=f32(1), H=f32(0.5))
    assert "Erf" in ops(parts)  # its result is asked for
    np.testing.assert_allclose(parts.run({"x": X})["y"], GELU, rtol=1e-5, atol=1e-6)
    other = model(text, "y", R=f32(math.sqrt(2)), I=f32(math.sqrt(0.5)), ONE=f32(2), H=f32(0.5))
    assert "Erf" in ops(other)


def test_norms():
    weight, bias = rng.normal(size=8).astype(np.float32), rng.normal(size=8).astype(np.float32)
    text = """
        m = ReduceMean(x) axes=[-1]
        c = Sub(x, m)
        s = Pow(c, TWO)
        v = ReduceMean(s) axes=[-1]
        e = Add(v, E)
        r = Sqrt(e)
        d = Div(c, r)
        w = Mul(d, W)
        y = Add(w, B)
    """
    values = dict(TWO=f32(2), E=f32(1e-5), W=weight, B=bias)
    m = model(text, "y", **values)
    centred = X - X.mean(-1, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * weight + bias
    assert ops(m) == ["LayerNormalization"]
    np.testing.assert_allclose(m.run({"x": X})["y"], expected, rtol=1e-4, atol=1e-5)
    assert ops(model(text.replace("[-1]", "[1]"), "y", **values)) != ["LayerNormalization"]
    text = "s = Mul(x, x)\nv = ReduceMean(s) axes=[-1]\ne = Add(v, E)\nr = Sqrt(e)\ni = Reciprocal(r)\nd = Mul(x, i)\ny = Mul(d, W)"
    m = model(text, "y", E=f32(1e-5), W=weight)
    assert ops(m) == ["RMSNormalization"]
    np.testing.assert_allclose(m.run({"x": X})["y"], X / np.sqrt((X**2).mean(-1, keepdims=True) + 1e-5) * weight, rtol=1e-4, atol=1e-5)


def test_attention():
    q, v = (rng.normal(size=(2, 2, 5, 4)).astype(np.float32) for _ in range(2))
    k, mask = rng.normal(size=(2, 2, 4, 5)).astype(np.float32), np.where(np.tri(5) > 0, 0, -1e4).astype(np.float32)
    text = "a = MatMul(q, k)\nb = Div(a, S)\nc = Add(b, mask)\np = Softmax(c) axis=-1\ny = MatMul(p, v)"
    m = model(text, "y", S=f32(2))
    assert ops(m) == ["DotProductAttention"]
    scores = q @ k / 2 + mask
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    got = m.run({"q": q, "k": k, "v": v, "mask": mask})["y"]
    np.testing.assert_allclose(got, weights / weights.sum(-1, keepdims=True) @ v, rtol=1e-4, atol=1e-5)
    assert "Softmax" in ops(model(text, "y p", S=f32(2)))


def test_quantised_products_are_exact():
    """Sums that float32 would round: many products of large integers, whose sum is just at a rounding of the result."""
    n = 4096
    a, w = rng.integers(0, 256, (3, n)).astype(np.uint8), rng.integers(-128, 128, (n, 5)).astype(np.int8)
    text = """
        fa = DequantizeLinear(a, SA, ZA)
        fw = DequantizeLinear(W, SW, ZW)
        p = MatMul(fa, fw)
        y = QuantizeLinear(p, SY, ZY)
    """
    values = dict(SA=np.float32(0.02), ZA=np.uint8(7), SW=np.float32(0.05), ZW=np.int8(0), SY=np.float32(9.7), ZY=np.uint8(128), W=w)
    m = model(text, "y", **{k: np.asarray(v) for k, v in values.items()})
    assert ops(m) == ["QLinearMatMul"]
    total = (a.astype(np.int64) - 7) @ w.astype(np.int64)
    scale = np.float32(np.float32(0.02) * np.float32(0.05)) / np.float32(9.7)
    expected = np.clip(np.round(total.astype(np.float32) * scale) + 128, 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(m.run({"a": a})["y"], expected)


def test_quantised_convolution():
    x, w = rng.integers(0, 256, (1, 3, 6, 6)).astype(np.uint8), rng.integers(-128, 128, (4, 3, 3, 3)).astype(np.int8)
    bias = rng.integers(-1000, 1000, 4).astype(np.int32)
    sw = np.linspace(0.01, 0.04, 4).astype(np.float32)
    text = """
        fx = DequantizeLinear(x, SX, ZX)
        fw = DequantizeLinear(W, SW, ZW) axis=0
        fb = DequantizeLinear(B, SB) axis=0
        p = Conv(fx, fw, fb) pads=[1,1,1,1]
        y = QuantizeLinear(p, SY, ZY)
    """
    values = dict(SX=np.float32(0.02), ZX=np.uint8(120), SW=sw, ZW=np.zeros(4, np.int8), SB=np.float32(0.02) * sw, B=bias, W=w,
                  SY=np.float32(1.3), ZY=np.uint8(128))  # fmt: skip
    m = model(text, "y", **{k: np.asarray(v) for k, v in values.items()})
    assert ops(m) == ["QLinearConv"]
    padded = np.pad(x.astype(np.int64) - 120, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    total = np.einsum("nchwij,ocij->nohw", windows, w.astype(np.int64)) + bias.reshape(-1, 1, 1)
    scale = (np.float32(0.02) * sw / np.float32(1.3)).reshape(-1, 1, 1)
    expected = np.clip(np.round(total.astype(np.float32) * scale) + 128, 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(m.run({"x": x})["y"], expected)
