"""A failing graph made smaller, written down as text, and read again."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence

import numpy as np

import ingot.ir.ops  # noqa: F401
from ingot.ir import interpret
from ingot.ir.graph import Graph
from ingot.ir.passes.dce import dce
from ingot.ir.text import parse, print_graph


def shrink(graph: Graph, arrays: Sequence[np.ndarray], fails: Callable[[Graph, list[np.ndarray]], bool]) -> tuple[Graph, list[np.ndarray]]:
    """A smaller graph (with its arrays) for which `fails(graph, arrays)` still holds: fewer outputs, fewer nodes.

    Nodes are cut off at their end (what read them reads an input holding their value) and dropped at the front.
    """
    best: tuple[Graph, list[np.ndarray]] = (graph, list(arrays))

    def attempt(candidate: Graph, values: list[np.ndarray]) -> bool:
        nonlocal best
        try:
            smaller = _used(dce(candidate), values)
            if not fails(*smaller):
                return False
        except Exception:  # the candidate is broken in another way
            return False
        best = smaller
        return True

    for v in graph.outputs:
        if len(graph.outputs) > 1 and attempt(graph.replace(outputs=(v,)), list(arrays)):
            break
    progress = True
    while progress:
        progress = False
        g, values = best
        for n in reversed(g.nodes[:-1]):  # cut: the node's results become inputs
            if n.op.name == "constant":
                continue
            results = interpret.run(g.replace(outputs=n.outputs), values)
            names = tuple(f"cut{len(g.inputs) + i}" for i in range(len(n.outputs)))
            candidate = g.replace(
                inputs=g.inputs + n.outputs, input_names=g.input_names + names, nodes=tuple(m for m in g.nodes if m is not n)
            )
            if attempt(candidate, [*values, *results]):
                progress = True
                break
        else:
            for n in reversed(g.nodes[:-1]):  # end the graph here
                if attempt(g.replace(outputs=n.outputs), values):
                    progress = True
                    break
    return best


def _used(g: Graph, arrays: Sequence[np.ndarray]) -> tuple[Graph, list[np.ndarray]]:
    """The graph without inputs that nothing reads."""
    read = {v for n in g.nodes for v in n.inputs} | set(g.outputs)
    keep = [i for i, v in enumerate(g.inputs) if v in read]
    if len(keep) == len(g.inputs):
        return g, list(arrays)
    smaller = g.replace(
        inputs=tuple(g.inputs[i] for i in keep),
        input_names=tuple(g.input_names[i] for i in keep),
        scalars=frozenset(new for new, old in enumerate(keep) if old in g.scalars),
    )
    return smaller, [arrays[i] for i in keep]


def case_text(graph: Graph, arrays: Sequence[np.ndarray]) -> str:
    """The graph and its inputs as text for a file of `tests/fuzz/cases`."""
    lines = [f"// input {base64.b64encode(np.ascontiguousarray(a).tobytes()).decode()}\n" for a in arrays]
    return "".join(lines) + print_graph(graph, locations=True, payloads=True)


def parse_case(text: str) -> tuple[Graph, list[np.ndarray]]:
    """What `case_text` wrote."""
    graph = parse(text)
    data = [base64.b64decode(line.removeprefix("// input").strip()) for line in text.splitlines() if line.startswith("// input")]
    return graph, [np.frombuffer(d, t.dtype.numpy).reshape(t.shape) for d, t in zip(data, graph.in_types, strict=True)]
