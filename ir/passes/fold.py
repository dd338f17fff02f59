"""fold: what is known when the graph is built, computed once.

Limited to operations whose NumPy result is exact or correctly rounded everywhere (integers, bools, movement,
comparisons, + - * / sqrt): NumPy's transcendental functions give other bits on other CPUs.
"""

from __future__ import annotations

import numpy as np

from ingot.ir.graph import Const, Graph, Node, Value
from ingot.ir.op import OPS
from ingot.ir.passes.bodies import with_bodies

__all__ = ["fold", "FOLDABLE"]

MAX_ELEMENTS = 4096

_EXACT_ON_ANY = (
    "add", "sub", "mul", "div", "sqrt", "reciprocal", "neg", "abs", "sign", "floor", "ceil", "trunc", "round", "maximum", "minimum",
    "copysign", "eq", "ne", "lt", "le", "gt", "ge", "isnan", "isinf", "isfinite", "logical_not", "logical_and", "logical_or", "logical_xor",
    "select", "cast", "bitcast", "reshape", "transpose", "slice", "reverse", "concatenate", "pad",
)  # fmt: skip
_EXACT_ON_INTEGERS = (
    "floor_divide", "remainder", "fmod", "integer_pow", "bitwise_not", "bitwise_and", "bitwise_or", "bitwise_xor", "shift_left",
    "shift_right", "reduce_sum", "reduce_prod", "reduce_max", "reduce_min", "reduce_and", "reduce_or", "argmax", "argmin",
)  # fmt: skip
FOLDABLE = frozenset(_EXACT_ON_ANY) | frozenset(_EXACT_ON_INTEGERS)
_INTEGERS_ONLY = frozenset(_EXACT_ON_INTEGERS)


@with_bodies
def fold(graph: Graph) -> Graph:
    """Replace foldable nodes whose inputs are all constants by constants, where that makes no large constant out of small ones."""
    known: dict[Value, Const] = {}
    nodes: list[Node] = []
    changed = False
    constant = OPS["constant"]
    for n in graph.nodes:
        if n.op is constant:
            known[n.outputs[0]] = n.attrs[0]
        elif n.op.name in FOLDABLE and n.inputs and all(v in known for v in n.inputs):
            value = _evaluate(n, [known[v] for v in n.inputs])
            if value is not None:
                known[n.outputs[0]] = value
                n = Node(constant, (), (value,), n.outputs, n.loc)
                changed = True
        nodes.append(n)
    return graph.replace(nodes=tuple(nodes)) if changed else graph


def _evaluate(n: Node, inputs: list[Const]) -> Const | None:
    t = n.outputs[0].type
    size = max([1, *(c.type.numel for c in inputs)])
    if t.numel > size or size > MAX_ELEMENTS:
        return None
    if n.op.name in _INTEGERS_ONLY and any(c.type.dtype.kind == "f" for c in inputs):
        return None
    array = np.asarray(n.op.ref(*(c.array() for c in inputs), *n.attrs), t.dtype.numpy)
    return Const(t, array.tobytes())

