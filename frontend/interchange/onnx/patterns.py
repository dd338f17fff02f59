"""What exporters spread out is one op again: attention, layer and RMS norms, GELU, and products between (de)quantised numbers.

Each pattern is a function of a node where it begins; it gives the op that does the same, or None. What it takes away may be read by
nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ingot.ir.struct import struct

__all__ = ["Found", "found_patterns"]


@struct
class Found:
    """op, domain: what takes the place; inputs: names; nodes: what it takes away, the last of which has its output"""

    op: str
    domain: str
    inputs: tuple[str, ...]
    attrs: dict[str, Any]
    nodes: list[Any]


_TWO = ("Add", "Sub", "Mul", "Div", "Pow", "MatMul")  # ops of two inputs: what has fewer is left to its rule, which says so


class _View:
    """The nodes of a graph by what they give and read, and the values that are known."""

    def __init__(self, nodes: Sequence[Any], outputs: Sequence[str], constants: Mapping[str, np.ndarray]):
        self.nodes = nodes = [n for n in nodes if len(n.inputs) >= (2 if n.op in _TWO else 1 if n.op != "Constant" else 0) and n.outputs]
        self.makers = {name: n for n in nodes for name in n.outputs if name}
        self.users: dict[str, list[Any]] = {}
        self.kept = set(outputs)
        self.constants = dict(constants)
        for n in nodes:
            for name in n.inputs:
                self.users.setdefault(name, []).append(n)
            if n.op == "Constant" and not n.domain and isinstance(n.attrs.get("value"), np.ndarray):
                self.constants[n.outputs[0]] = n.attrs["value"]

    def maker(self, name: str, *ops: str) -> Any:
        n = self.makers.get(name)
        return n if n is not None and n.op in ops and not n.domain else None

    def user(self, name: str, *ops: str) -> Any:
        """The only node that reads a value, if it is one of these ops."""
        users = self.users.get(name, [])
        n = users[0] if len(set(map(id, users))) == 1 and name not in self.kept else None
        return n if n is not None and n.op in ops and not n.domain else None

    def number(self, name: str) -> float | None:
        a = self.constants.get(name)
        return float(a.reshape(-1)[0]) if a is not None and a.size == 1 and a.dtype.kind in "fiu" else None

    def beside(self, n: Any, name: str) -> str:
        """The other input of a node of two."""
        return n.inputs[1] if n.inputs[0] == name else n.inputs[0]

    def times(self, n: Any, name: str) -> float | None:
        """The number that a Mul or Div by a number multiplies `name` by."""
        value = self.number(self.beside(n, name))
        if value is None or n.op == "Div" and (n.inputs[0] != name or not value):
            return None
        return value if n.op == "Mul" else 1 / value

    def last_axis(self, n: Any) -> bool:
        """Whether a reduction is over the last axis, which stays."""
        axes = n.attrs.get("axes")
        if axes is None and len(n.inputs) > 1 and n.inputs[1] in self.constants:
            axes = self.constants[n.inputs[1]].reshape(-1).tolist()
        return axes == [-1] and n.attrs.get("keepdims", 1) == 1

    def alone(self, found: Found) -> bool:
        """Whether nothing else reads what is taken away."""
        inside = set(map(id, found.nodes))
        for n in found.nodes[:-1]:
            for name in n.outputs:
                if name in self.kept or any(id(u) not in inside for u in self.users.get(name, ())):
                    return False
        return True


def _close(a: float | None, b: float) -> bool:
    return a is not None and math.isclose(a, b, rel_tol=1e-3)


def _gelu(v: _View, erf: Any) -> Found | None:
    """x * 0.5 * (1 + erf(x / sqrt(2))), multiplied in any order."""
    if erf.op != "Erf" or erf.domain:
        return None
    inner = v.maker(erf.inputs[0], "Div", "Mul")
    if inner is None:
        return None
    x = next((name for name in inner.inputs if v.number(name) is None), "")
    if not x or not _close(v.times(inner, x), math.sqrt(0.5)):
        return None
    add = v.user(erf.outputs[0], "Add")
    if add is None or v.number(v.beside(add, erf.outputs[0])) != 1.0:
        return None
    nodes, at, left, halves = [inner, erf, add], add.outputs[0], True, 1.0
    while left or halves == 1.0:
        n = v.user(at, "Mul", "Div")
        if n is None:
            return None
        factor, other = v.times(n, at), v.beside(n, at)
        half = v.maker(other, "Mul", "Div")
        if factor is not None:
            halves *= factor
        elif left and n.op == "Mul" and other == x:
            left = False
        elif left and n.op == "Mul" and half is not None and x in half.inputs and v.times(half, x) is not None:
            left = False
            halves *= v.times(half, x) or 0.0
            nodes.append(half)
        else:
            return None
        nodes.append(n)
        at = n.outputs[0]
    return Found("Gelu", "", (x,), {}, nodes) if _close(halves, 0.5) else None


def _square(v: _View, n: Any) -> str | None:
    """What a node squares."""
    if n.op == "Mul" and n.inputs[0] == n.inputs[1] or n.op == "Pow" and v.number(n.inputs[1]) == 2.0:
        return n.inputs[0]
    return None


def _root(v: _View, mean: Any) -> tuple[Any, Any, float] | None:
    """sqrt(mean + epsilon): its nodes, and epsilon."""
    add = v.user(mean.outputs[0], "Add")
    eps = None if add is None else v.number(v.beside(add, mean.outputs[0]))
    root = None if add is None else v.user(add.outputs[0], "Sqrt")
    return None if root is None or eps is None else (add, root, eps)


def _scaled(v: _View, name: str) -> tuple[Any, str] | None:
    """A product with a vector that is known: its node, and the vector."""
    n = v.user(name, "Mul")
    if n is None:
        return None
    scale = v.constants.get(v.beside(n, name))
    return (n, v.beside(n, name)) if scale is not None and scale.ndim == 1 else None


def _normalised(v: _View, x: str, root: Any) -> list[Any] | None:
    """x / root, or x * (1 / root)."""
    n = v.user(root.outputs[0], "Div", "Reciprocal")
    if n is None:
        return None
    if n.op == "Div":
        return [n] if n.inputs == (x, root.outputs[0]) else None
    product = v.user(n.outputs[0], "Mul")
    return None if product is None or v.beside(product, n.outputs[0]) != x else [n, product]


def _layer_norm(v: _View, mean: Any) -> Found | None:
    if mean.op != "ReduceMean" or mean.domain or not v.last_axis(mean):
        return None
    x = mean.inputs[0]
    sub = v.user(mean.outputs[0], "Sub")
    if sub is None or sub.inputs != (x, mean.outputs[0]):
        return None
    centred = sub.outputs[0]
    square = next((n for n in v.users.get(centred, ()) if _square(v, n) == centred), None)
    spread = None if square is None else v.user(square.outputs[0], "ReduceMean")
    if spread is None or not v.last_axis(spread):
        return None
    root = _root(v, spread)
    quotient = None if root is None else _normalised(v, centred, root[1])
    scaled = None if quotient is None else _scaled(v, quotient[-1].outputs[0])
    if root is None or quotient is None or scaled is None:
        return None
    nodes = [mean, sub, square, spread, root[0], root[1], *quotient, scaled[0]]
    inputs: tuple[str, ...] = (x, scaled[1])
    last = v.user(scaled[0].outputs[0], "Add")
    if last is not None:
        bias = v.constants.get(v.beside(last, scaled[0].outputs[0]))
        if bias is not None and bias.shape == v.constants[scaled[1]].shape:
            nodes.append(last)
            inputs = (*inputs, v.beside(last, scaled[0].outputs[0]))
    return Found("LayerNormalization", "", inputs, {"axis": -1, "epsilon": root[2]}, nodes)


def _rms_norm(v: _View, square: Any) -> Found | None:
    x = _square(v, square)
    mean = None if x is None or square.domain else v.user(square.outputs[0], "ReduceMean")
    if x is None or mean is None or not v.last_axis(mean):
        return None
    root = _root(v, mean)
    quotient = None if root is None else _normalised(v, x, root[1])
    scaled = None if quotient is None else _scaled(v, quotient[-1].outputs[0])
    if root is None or quotient is None or scaled is None:
        return None
    nodes = [square, mean, root[0], root[1], *quotient, scaled[0]]
    return Found("RMSNormalization", "", (x, scaled[1]), {"axis": -1, "epsilon": root[2]}, nodes)


def _attention(v: _View, softmax: Any) -> Found | None:
    """softmax(q @ k * scale + mask) @ v"""
    if softmax.op != "Softmax" or softmax.domain or softmax.attrs.get("axis", -1) != -1 or softmax.version < 13:
        return None
    after = v.user(softmax.outputs[0], "MatMul")
    if after is None or after.inputs[0] != softmax.outputs[0]:
        return None
    at, scale, mask, nodes = softmax.inputs[0], 1.0, "", [softmax, after]
    add = v.maker(at, "Add")
    if add is not None:
        scores = next((i for i in add.inputs if v.maker(i, "MatMul", "Mul", "Div") is not None), None)
        if scores is None:
            return None
        mask, at = v.beside(add, scores), scores
        nodes.insert(0, add)
    scaled = v.maker(at, "Mul", "Div")
    if scaled is not None:
        inner = next((i for i in scaled.inputs if v.maker(i, "MatMul") is not None), None)
        factor = None if inner is None else v.times(scaled, inner)
        if inner is None or factor is None:
            return None
        at, scale = inner, factor
        nodes.insert(0, scaled)
    product = v.maker(at, "MatMul")
    if product is None:
        return None
    nodes.insert(0, product)
    return Found("DotProductAttention", "ingot", (*product.inputs, after.inputs[1], mask), {"scale": scale}, nodes)


def _integer_product(v: _View, q: Any) -> Found | None:
    """MatMul or Conv of dequantised integers, quantised again: the exact product of the integers, rounded once."""
    if q.op != "QuantizeLinear" or q.domain or len(q.inputs) < 3:
        return None
    product = v.maker(q.inputs[0], "MatMul", "Conv")
    if product is None:
        return None
    parts = [v.maker(i, "DequantizeLinear") for i in product.inputs]
    if any(p is None or len(p.inputs) < 3 or p.attrs.get("block_size") for p in parts[:2]):
        return None
    a, b = parts[:2]
    scales: list[Any] = [v.constants.get(name) for name in (a.inputs[1], b.inputs[1], q.inputs[1])]
    zeros: list[Any] = [v.constants.get(name) for name in (a.inputs[2], b.inputs[2], q.inputs[2])]
    if any(s is None or s.dtype != np.float32 for s in scales) or any(z is None or z.dtype not in (np.int8, np.uint8) for z in zeros):
        return None
    if scales[0].size != 1 or scales[2].size != 1:
        return None
    kinds = (*a.inputs[:3], *b.inputs[:3], q.inputs[1], q.inputs[2])
    if product.op == "MatMul":
        if scales[1].size != 1:
            return None
        return Found("QLinearMatMul", "", kinds, {}, [product, q])
    if scales[1].size != 1 and b.attrs.get("axis", 1) != 0 or scales[1].size != 1 and (zeros[1] != 0).any():
        return None
    if len(parts) == 3:
        bias = parts[2]
        if bias is None or v.constants.get(bias.inputs[0]) is None or v.constants.get(bias.inputs[1]) is None:
            return None
        if v.constants[bias.inputs[0]].dtype != np.int32 or not np.allclose(v.constants[bias.inputs[1]], scales[0] * scales[1], 1e-5):
            return None
        kinds = (*kinds, bias.inputs[0])
    return Found("QLinearConv", "", kinds, dict(product.attrs), [product, q])


_PATTERNS: tuple[Callable[[_View, Any], Found | None], ...] = (_integer_product, _attention, _layer_norm, _rms_norm, _gelu)


def found_patterns(nodes: Sequence[Any], outputs: Sequence[str], constants: Mapping[str, np.ndarray]) -> list[Found]:
    """The patterns in a graph, none of which share a node."""
    view, taken, out = _View(nodes, outputs, constants), set[int](), []
    for pattern in _PATTERNS:
        for n in view.nodes:
            found = pattern(view, n)
            if found is not None and view.alone(found) and not taken.intersection(map(id, found.nodes)):
                taken.update(map(id, found.nodes))
                out.append(found)
    return out
