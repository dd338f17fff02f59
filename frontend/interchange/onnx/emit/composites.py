"""Composites that ONNX has an op for: what their parameters are is read from their graphs. All others are written out."""

from __future__ import annotations

from typing import Any

import numpy as np

from ingot.interchange.onnx.emit.products import convolution, pads_of
from ingot.interchange.onnx.emit.writer import Writer, composite
from ingot.ir import dtypes
from ingot.ir.graph import Graph, Node
from ingot.ir.op import OPS
from ingot.ir.size import Size

__all__: list[str] = []


def _first(g: Graph, name: str) -> Node | None:
    """The first node of an op, in a graph or those it calls."""
    for n in g.nodes:
        if n.op.name == name:
            return n
        if n.op is OPS["call"]:
            found = _first(n.attrs[0], name)
            if found is not None:
                return found
    return None


def _numbers(g: Graph) -> list[float]:
    """The constants of one element in a graph, in order."""
    return [float(n.attrs[0].array().reshape(-1)[0]) for n in g.nodes if n.op is OPS["constant"] and n.attrs[0].type.numel == 1]


def _beside(g: Graph, name: str) -> float | None:
    """The number that is added to what the first op of this name reads: an epsilon."""
    makers = g.producers
    for n in g.nodes:
        if n.op.name == name:
            add = makers.get(n.inputs[0])
            if add is not None and add.op.name == "add":
                for v in add.inputs:
                    c = makers.get(v)
                    if c is not None and c.op is OPS["constant"]:
                        return float(c.attrs[0].array().reshape(-1)[0])
    return None


def _half(n: Node) -> bool:
    return n.inputs[0].type.dtype.bits < 32


@composite("_softmax", "_log_softmax")
def _softmax(w: Writer, g: Graph, n: Node, xs: list[str]) -> list[str] | None:
    top = _first(g, "reduce_max")
    if top is None or not n.inputs[0].type.shape or len(top.attrs[0]) != 1:
        return None
    op, axis, rank = "Softmax" if g.name == "_softmax" else "LogSoftmax", top.attrs[0][0], n.inputs[0].type.rank
    if w.opset >= 13 or axis == rank - 1:
        return [w.node(op, xs[0], axis=axis)]
    turned = list(range(rank))  # before, it went over all axes from this one on
    turned[axis], turned[-1] = rank - 1, axis
    return [w.node("Transpose", w.node(op, w.node("Transpose", xs[0], perm=turned), axis=rank - 1), perm=turned)]


@composite("_linear")
def _linear(w: Writer, g: Graph, n: Node, xs: list[str]) -> list[str] | None:
    x, weight = n.inputs[:2]
    if len(weight.type.shape) != 2 or x.type.dtype.kind != "f":
        return None
    if len(x.type.shape) == 2 and (len(xs) < 3 or len(n.inputs[2].type.shape) == 1):
        return [w.node("Gemm", *xs, transB=1)]
    if len(x.type.shape) < 2:
        return None
    y = w.node("MatMul", xs[0], w.node("Transpose", xs[1], perm=[1, 0]))
    return [y if len(xs) < 3 else w.node("Add", y, xs[2])]


@composite("_gelu")
def _gelu(w: Writer, g: Graph, n: Node, xs: list[str]) -> list[str] | None:
    if w.opset < 20 or _half(n):
        return None
    return [w.node("Gelu", xs[0], approximate="none" if _first(g, "erf") is not None else "tanh")]


@composite("_layer_norm")
def _layer_norm(w: Writer, g: Graph, n: Node, xs: list[str]) -> list[str] | None:
    total, eps = _first(g, "reduce_sum"), _beside(g, "rsqrt")
    if w.opset < 17 or total is None or eps is None or _half(n) or n.inputs[0].type.dtype is dtypes.f64:
        return None
    axis, shape = min(total.attrs[0]), n.inputs[0].type.shape
    if any(isinstance(d, Size) for d in shape[axis:]) or len(xs) == 2 and not _adds(g):
        return None
    scale = xs[1] if len(xs) > 1 else w.constant(np.ones(shape[axis:]), n.inputs[0].type.dtype)
    return [w.node("LayerNormalization", xs[0], scale, *xs[2:], axis=axis, epsilon=eps)]


def _adds(g: Graph) -> bool:
    """Whether the one parameter of a norm is its weight, not its bias: the last node multiplies."""
    maker = g.producers.get(g.outputs[0])
    return maker is not None and maker.op.name == "mul"


@composite("_rms_norm")
def _rms_norm(w: Writer, g: Graph, n: Node, xs: list[str]) -> list[str] | None:
    total, eps = _first(g, "reduce_sum"), _beside(g, "rsqrt")
    if w.opset < 23 or total is None or eps is None or len(xs) < 2 or _half(n):
        return None
    return [w.node("RMSNormalization", xs[0], xs[1], axis=min(total.attrs[0]), epsilon=eps)]


@composite("_group_norm")
def _group_norm(w: Writer, g: Graph, n: Node, xs: list[str]) -> list[str] | None:
    grouped, eps = _first(g, "reshape"), _beside(g, "rsqrt")
    if w.opset < 21 or grouped is None or eps is None or len(xs) != 3 or _half(n) or len(grouped.attrs[0]) != 3:
        return None
    groups = grouped.attrs[0][1]
    return None if isinstance(groups, Size) else [w.node("GroupNormalization", *xs, num_groups=groups, epsilon=eps)]


@composite("_batch_norm_eval")
def _batch_norm(w: Writer, g: Graph, n: Node, xs: list[str]) -> list[str] | None:
    eps = _beside(g, "rsqrt")
    if eps is None or len(xs) != 5 or _half(n):
        return None
    x, mean, var, weight, bias = xs
    return [w.node("BatchNormalization", x, weight, bias, mean, var, epsilon=eps)]


@composite("_sdpa")
def _attention(w: Writer, g: Graph, n: Node, xs: list[str]) -> list[str] | None:
    """Four-dimensional queries; a mask is passed on, causal ones are written out."""
    if w.opset < 23 or len(n.inputs[0].type.shape) != 4 or len(xs) not in (3, 4) or _half(n):
        return None
    causal = any(m.op.name == "select" and m.inputs[0].type.rank == 2 for m in g.nodes) and len(xs) == 3
    q, k = n.inputs[0].type.shape, n.inputs[1].type.shape
    if (
        q[:2] != k[:2]
        or len(xs) == 4
        and n.inputs[3].type.dtype is not dtypes.bool_
        and n.inputs[3].type.dtype is not n.inputs[0].type.dtype
    ):
        return None
    scale = _numbers(g)[0]
    return [w.node("Attention", *xs, scale=scale, is_causal=int(causal))]


@composite("_conv")
def _convolution(w: Writer, g: Graph, n: Node, xs: list[str]) -> list[str] | None:
    """A convolution with its bias as one node."""
    conv = _first(g, "conv")
    if conv is None or len(xs) != 3 or n.inputs[0].type.rank != conv.inputs[0].type.rank or conv.inputs[0] is not g.inputs[0]:
        return None
    if conv.inputs[1] is not g.inputs[1] or any(p < 0 for p in pads_of(conv.attrs[1])):
        return None
    return [convolution(w, conv, xs[:2], xs[2])]


_GATES: dict[str, tuple[str, tuple[int, ...], dict[str, Any]]] = {
    "lstm_step": ("LSTM", (0, 3, 1, 2), {}),  # torch has input, forget, cell, output; ONNX input, output, forget, cell
    "gru_step": ("GRU", (1, 0, 2), {"linear_before_reset": 1}),
    "rnn_tanh_step": ("RNN", (0,), {}),
    "rnn_relu_step": ("RNN", (0,), {"activations": ["Relu"]}),
}


@composite("_layer")
def _recurrent(w: Writer, g: Graph, n: Node, xs: list[str]) -> list[str] | None:
    """One layer in one direction: inputs x, states, w_ih, w_hh, and b_ih, b_hh where it has biases."""
    scan = _first(g, "scan")
    if scan is None or scan.attrs[0].name not in _GATES:
        return None
    op, order, attrs = _GATES[scan.attrs[0].name]
    states = 2 if op == "LSTM" else 1
    if len(xs) not in (3 + states, 5 + states) or n.inputs[1].type.shape[-1] * len(order) != n.inputs[states + 2].type.shape[0]:
        return None
    if len(xs) == 5 + states and n.inputs[3 + states].type.rank != 1:  # a projection
        return None
    x, *first = xs[: 1 + states]
    hidden = n.inputs[1].type.shape[-1]
    lead = w.constant(np.array([0], np.int64))

    def reordered(v: str) -> str:
        if len(order) > 1:
            parts = w.many("Split", [v, w.ints([hidden] * len(order))], len(order), axis=0)
            v = w.node("Concat", *[parts[k] for k in order], axis=0)
        return v

    weights = [w.node("Unsqueeze", reordered(v), lead) for v in xs[1 + states : 3 + states]]
    biases = [reordered(v) for v in xs[3 + states :]]
    bias = w.node("Unsqueeze", w.node("Concat", *biases, axis=0), lead) if biases else ""
    begin = [w.node("Unsqueeze", v, lead) for v in first]
    back = "reverse" if scan.attrs[4] else "forward"
    y, *ends = w.many(op, [x, *weights, bias, "", *begin], 1 + states, hidden_size=hidden, direction=back, **attrs)
    one = w.constant(np.array([1], np.int64))
    return [w.node("Squeeze", y, one), *[w.node("Squeeze", e, lead) for e in ends]]
