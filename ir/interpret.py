"""The interpreter: runs a graph with the ops' NumPy references. Slow, plain, and the oracle of the tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ingot.ir.graph import Graph
from ingot.ir.types import ShapeError, Sym, TensorType

__all__ = ["run"]


def run(graph: Graph, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The outputs of `graph` for `arrays`, one per input: fresh contiguous arrays.

    Symbolic dims take the extents of the arrays. Raises TypeError for a wrong number of arrays or a wrong dtype, ShapeError
    for a wrong shape, IndexError for an index out of range.

        from ingot.ir.interpret import run
        (y,) = run(graph, [np.ones((2, 3), np.float32)])
    """
    if len(arrays) != len(graph.inputs):
        raise TypeError(f"@{graph.name} takes {len(graph.inputs)} inputs, got {len(arrays)}")
    extents: dict[str, int] = {}
    env = {}
    for v, name, given in zip(graph.inputs, graph.input_names, arrays):
        array = np.asarray(given)
        _bind(f"@{graph.name}: input {name}", v.type, array, extents)
        env[v] = array
    last = {v: i for i, n in enumerate(graph.nodes) for v in n.inputs}
    kept = set(graph.outputs)
    for i, n in enumerate(graph.nodes):
        attrs = tuple(_substitute(a, extents) for a in n.attrs) if extents else n.attrs
        out = n.op.ref(*(env[v] for v in n.inputs), *attrs)
        for v, array in zip(n.outputs, out if isinstance(out, tuple) else (out,), strict=True):
            env[v] = _checked(n.op.name, v.type, np.asarray(array), extents)
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


def _bind(what: str, t: TensorType, array: np.ndarray, extents: dict[str, int]) -> None:
    if array.dtype != t.dtype.numpy:
        raise TypeError(f"{what} is {t}, got an array of {array.dtype}")
    fits = array.ndim == t.rank
    for d, n in zip(t.shape, array.shape):
        fits = fits and (extents.setdefault(d.name, n) if isinstance(d, Sym) else d) == n
    if not fits:
        raise ShapeError(f"{what} is {t}, got an array of shape {list(array.shape)}")


def _substitute(attr: Any, extents: dict[str, int]) -> Any:
    """`attr` with the extents of symbols in place of the symbols."""
    if isinstance(attr, Sym):
        return extents[attr.name]
    return tuple(_substitute(a, extents) for a in attr) if isinstance(attr, tuple) else attr


def _checked(name: str, t: TensorType, array: np.ndarray, extents: dict[str, int]) -> np.ndarray:
    """`array`, which a reference made: it must be what the type rule promised."""
    shape = tuple(extents.get(d.name, d) if isinstance(d, Sym) else d for d in t.shape)
    if array.dtype != t.dtype.numpy or array.shape != shape:
        raise AssertionError(f"the reference of {name} made {array.dtype}{list(array.shape)} where its type rule says {t}")
    return array
