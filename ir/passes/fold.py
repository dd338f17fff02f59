"""fold: what is known when the graph is built, computed once.

Limited to ops that say so (`foldable`): those whose NumPy result is exact or correctly rounded everywhere (integers, bools,
movement, comparisons, + - * / sqrt). NumPy's transcendental functions give other bits on other CPUs.
"""

from __future__ import annotations

import numpy as np

from ingot.ir.facts import Foldable
from ingot.ir.graph import Const, Graph, Node, Value
from ingot.ir.ops.creation import constant
from ingot.ir.passes.bodies import with_bodies
from ingot.ir.size import Size

__all__ = ["fold"]

MAX_ELEMENTS = 4096


@with_bodies
def fold(graph: Graph) -> Graph:
    """Replace foldable nodes whose inputs are all constants by constants, where that makes no large constant out of small ones."""
    known: dict[Value, Const] = {}
    nodes: list[Node] = []
    changed = False
    for n in graph.nodes:
        if n.op is constant:
            known[n.outputs[0]] = n.attrs[0]
        elif n.op.foldable is not Foldable.NEVER and n.inputs and all(v in known for v in n.inputs):
            value = _evaluate(n, [known[v] for v in n.inputs])
            if value is not None:
                known[n.outputs[0]] = value
                n = Node(constant, (), (value,), n.outputs, n.loc)
                changed = True
        nodes.append(n)
    return graph.replace(nodes=tuple(nodes)) if changed else graph


def _evaluate(n: Node, inputs: list[Const]) -> Const | None:
    t = n.outputs[0].type
    if any(isinstance(d, Size) for a in (t.shape, *n.attrs) if isinstance(a, tuple) for d in a):
        return None
    size = max([1, *(c.type.numel for c in inputs)])
    if t.numel > size or size > MAX_ELEMENTS:
        return None
    if n.op.foldable is Foldable.INTEGERS and any(c.type.dtype.kind == "f" for c in inputs):
        return None
    try:
        array = np.asarray(n.op.ref(*(c.array() for c in inputs), *n.attrs), t.dtype.numpy)
    except RuntimeError:
        if n.op.can_fail:  # so it does when it runs
            return None
        raise
    return Const(t, array.tobytes())

