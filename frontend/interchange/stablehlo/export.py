"""A function as a StableHLO program: what tracing gives, written op by op as text. Nothing is compiled."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ingot.capture.export import traced_model
from ingot.interchange.stablehlo import emit as _emit  # noqa: F401  (fills the table)
from ingot.interchange.stablehlo.emit.writer import UnsupportedError, V, Writer, alike, type_text
from ingot.ir.dtypes import by_numpy
from ingot.ir.graph import Graph
from ingot.ir.size import as_symbol
from ingot.ir.types import TensorType

__all__ = ["program", "text_of"]


def text_of(
    graph: Graph, feed: Sequence[tuple[str, Any]], weights: Mapping[str, np.ndarray], types: Sequence[TensorType], name: str = "main"
) -> str:
    """The program that a graph is: a module with one function `main`, of the inputs, with the weights in it.

    feed: where each input of the graph comes from: ("input", which), ("weight", name), or ("size", dim)
    types: of the inputs

    UnsupportedError for what there is nothing for.
    """
    w = Writer()
    args = [V(f"%arg{i}", t.dtype, t.shape) for i, t in enumerate(types)]  # type: ignore[arg-type]
    head = ", ".join(f"{a.name}: {type_text(t.dtype, t.shape)}" for a, t in zip(args, types))
    for a in args:
        for axis, d in enumerate(a.shape):
            symbol = as_symbol(d)
            if symbol is not None:
                w.symbols.setdefault(symbol, (a, axis))
    given = []
    for v, (kind, of) in zip(graph.inputs, feed):
        if kind == "size":
            given.append(w.constant(of, v.type.dtype))
            continue
        given.append(args[of] if kind == "input" else w.constant(np.asarray(weights[of]), by_numpy(np.asarray(weights[of]).dtype)))
        if given[-1].dtype is not v.type.dtype or not alike(given[-1].shape, v.type.shape):
            raise UnsupportedError(f"the input {of} is {given[-1].type}, and the function reads it as {v.type}")
    results = w.graph(graph, given)
    types_out = ", ".join(r.type for r in results)
    own = re.sub(r"[^A-Za-z0-9_]", "_", name) or "main"
    lines = [
        f"module @{own} attributes {{mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32}} {{",
        f"  func.func public @main({head}) -> ({types_out}) {{",
        *w.lines,
        f"    return {', '.join(r.name for r in results)} : {types_out}" if results else "    return",
        "  }",
        "}",
        "",
    ]
    return "\n".join(lines)


def program(target: Any, args: Any, kwargs: Mapping[str, Any], dynamic_shapes: Any = None) -> str:
    """The text of a function or Module, traced on example arguments; see `ingot.stablehlo.export`."""
    traced = traced_model(target, args, kwargs, dynamic_shapes)
    try:
        return text_of(traced.graph, traced.feed, traced.weights, [t for _, t in traced.inputs], traced.name)
    except UnsupportedError as e:
        raise UnsupportedError(f"stablehlo.export: {traced.name}: {e}") from None
