"""Small graphs, from functions on Exprs, and arrays to run them on."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import ingot.ir.ops  # noqa: F401  (fills the table of ops)
from ingot.ir import dtypes
from ingot.ir.builder import Builder
from ingot.ir.graph import Graph
from ingot.ir.types import TensorType, tensor_type


def graph_of(inputs: Sequence[Any], function: Callable[..., Any], name: str = "main") -> Graph:
    """The graph of `function`, which gives one Expr or several, on inputs that are arrays, shapes (of f32) or (shape, dtype).

    Inputs have the names of the function's parameters.
    """
    b = Builder(name)
    plain = inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = [p.name for p in inspect.signature(function).parameters.values() if p.kind == plain]
    names += [""] * len(inputs)
    out = function(*[b.expr(b.input(_type_of(x), n)) for x, n in zip(inputs, names)])
    return b.freeze(tuple(e.value for e in (out if isinstance(out, (tuple, list)) else (out,))))


def _type_of(x: Any) -> TensorType:
    if isinstance(x, np.ndarray):
        return tensor_type(dtypes.by_numpy(x.dtype), x.shape)
    shape, dtype = x if x and isinstance(x[0], tuple) else (x, dtypes.f32)
    return tensor_type(dtype, shape)


def arrays_for(graph: Graph, seed: int = 0) -> list[np.ndarray]:
    """Standard normal floats; small non-negative integers (they may be indices)."""
    rng = np.random.default_rng(seed)
    out = []
    for t in graph.in_types:
        x = rng.standard_normal(t.shape) if t.dtype.kind == "f" else rng.integers(0, 2, t.shape)
        out.append(np.asarray(x).astype(t.dtype.numpy))
    return out
