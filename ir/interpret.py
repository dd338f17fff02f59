"""The interpreter: runs a graph with the ops' NumPy references. Slow, plain, and the oracle of the tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ingot.ir.graph import Graph, Node
from ingot.ir.size import ShapeError, Size, as_symbol, evaluate
from ingot.ir.types import TensorType

__all__ = ["run"]


def run(
    graph: Graph, arrays: Sequence[np.ndarray], look: Callable[[Node, list[np.ndarray]], None] | None = None
) -> list[np.ndarray]:
    """The outputs of `graph` for `arrays`, one per input: fresh contiguous arrays.

    look: is shown each node with what it made.

    Symbols take the extents of the arrays. Raises TypeError for a wrong number of arrays or a wrong dtype, ShapeError
    for a wrong shape, IndexError for an index out of range.

        from ingot.ir.interpret import run
        (y,) = run(graph, [np.ones((2, 3), np.float32)])
    """
    if len(arrays) != len(graph.inputs):
        raise TypeError(f"@{graph.name} takes {len(graph.inputs)} inputs, got {len(arrays)}")
    given = [np.asarray(a) for a in arrays]
    extents = _extents(graph, given)
    env = dict(zip(graph.inputs, given))
    last = {v: i for i, n in enumerate(graph.nodes) for v in n.inputs}
    kept = set(graph.outputs)
    for i, n in enumerate(graph.nodes):
        attrs = tuple(_substitute(a, extents) for a in n.attrs) if extents else n.attrs
        out = n.op.ref(*(env[v] for v in n.inputs), *attrs)
        for v, array in zip(n.outputs, out if isinstance(out, tuple) else (out,), strict=True):
            env[v] = _checked(n.op.name, v.type, np.asarray(array), extents)
        if look is not None:
            look(n, [env[v] for v in n.outputs])
        for v in set(n.inputs):  # free what nobody reads again
            if last[v] == i and v not in kept:
                del env[v]
    taken = {id(a) for a in arrays}
    results = []
    for v in graph.outputs:
        out = env[v]
        if id(out) in taken or out.base is not None or not out.flags.c_contiguous:
            out = out.copy()
        taken.add(id(out))
        results.append(out)
    return results


def _extents(graph: Graph, arrays: Sequence[np.ndarray]) -> dict[str, int]:
    """The extents of the symbols, from the arrays: where a dim of an input is a symbol, its extent is that. All others must fit."""
    named = [(f"@{graph.name}: input {name} is {v.type}", v.type, a) for v, name, a in zip(graph.inputs, graph.input_names, arrays)]
    extents: dict[str, int] = {}
    for what, t, array in named:
        if array.dtype != t.dtype.numpy:
            raise TypeError(f"{what}, got an array of {array.dtype}")
        for d, n in zip(t.shape, array.shape):
            s = as_symbol(d)
            if s is not None and not s.min <= extents.setdefault(s.name, n) <= s.max:
                raise ShapeError(f"{what} with {s.bounds_text}, got an array of shape {list(array.shape)}")
    for what, t, array in named:
        if array.shape != tuple(evaluate(d, extents) for d in t.shape):
            raise ShapeError(f"{what}, got an array of shape {list(array.shape)}")
    return extents


def _substitute(attr: Any, extents: dict[str, int]) -> Any:
    """`attr` with the extents of sizes in place of the sizes."""
    if isinstance(attr, Size):
        return evaluate(attr, extents)
    return tuple(_substitute(a, extents) for a in attr) if isinstance(attr, tuple) else attr


def _checked(name: str, t: TensorType, array: np.ndarray, extents: dict[str, int]) -> np.ndarray:
    """`array`, which a reference made: it must be what the type rule promised."""
    shape = tuple(evaluate(d, extents) for d in t.shape)
    if array.dtype != t.dtype.numpy or array.shape != shape:
        raise AssertionError(f"the reference of {name} made {array.dtype}{list(array.shape)} where its type rule says {t}")
    return array
