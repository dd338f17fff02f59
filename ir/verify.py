"""The verifier: what every graph between two passes must satisfy."""

from __future__ import annotations

from typing import Any

from ingot.ir.graph import Const, Graph, Node, Value
from ingot.ir.op import OPS

__all__ = ["verify", "VerifyError"]


class VerifyError(RuntimeError):
    """A graph that breaks a rule of the IR: a defect of the pass that made it."""


def verify(graph: Graph) -> Graph:
    """`graph` itself if it is well formed; VerifyError names function, node and rule if it is not.

    Checked: each value is defined once and before its uses; ops are registered; attributes are there, hashable and
    (if graphs) well formed themselves; output types are what the op's rule infers; scalar inputs have rank 0.
    """
    _verify(graph, set())
    return graph


def _verify(graph: Graph, seen: set[int]) -> None:
    if id(graph) in seen:
        return
    seen.add(id(graph))
    if len(graph.input_names) != len(graph.inputs):
        raise VerifyError(f"@{graph.name}: {len(graph.inputs)} inputs but {len(graph.input_names)} names")
    defined: set[Value] = set()
    for v in graph.inputs:
        if v in defined:
            raise VerifyError(f"@{graph.name}: an input stands twice")
        defined.add(v)
    for i in graph.scalars:
        if not 0 <= i < len(graph.inputs) or graph.inputs[i].type.rank:
            raise VerifyError(f"@{graph.name}: scalar input {i} is not an input of rank 0")
    for i in graph.steady:
        if not 0 <= i < len(graph.inputs) or i in graph.scalars:
            raise VerifyError(f"@{graph.name}: steady input {i} is no input in memory")
    for i, node in enumerate(graph.nodes):
        problem = _node_problem(node, defined, seen)
        if problem:
            raise VerifyError(f"@{graph.name}: node {i}, {node!r}: {problem}{_where(node)}")
        defined.update(node.outputs)
    for i, v in enumerate(graph.outputs):
        if v not in defined:
            raise VerifyError(f"@{graph.name}: output {i} ({v.type}) is not defined in the graph")


def _node_problem(node: Node, defined: set[Value], seen: set[int]) -> str | None:
    op = node.op
    if OPS.get(op.name) is not op:
        return "the op is not registered"
    if len(node.attrs) != len(op.attr_names):
        return f"{len(node.attrs)} attributes, but the op takes {len(op.attr_names)}: {', '.join(op.attr_names)}"
    for i, v in enumerate(node.inputs):
        if v not in defined:
            return f"input {i} ({v.type}) is not defined before"
    for i, v in enumerate(node.outputs):
        if v in defined or v in node.outputs[:i]:
            return f"output {i} ({v.type}) is defined twice"
    for name, value in zip(op.attr_names, node.attrs):
        problem = _attr_problem(value, seen)
        if problem:
            return f"attribute {name}: {problem}"
    try:
        types = op.infer(tuple(v.type for v in node.inputs), *node.attrs)
    except Exception as e:  # whatever a rule objects to is the answer here
        return f"its type rule refuses it: {e}"
    have = tuple(v.type for v in node.outputs)
    if types != have:
        return f"has types {', '.join(map(str, have))}, its rule gives {', '.join(map(str, types))}"
    return None


def _attr_problem(value: Any, seen: set[int]) -> str | None:
    if isinstance(value, Graph):
        _verify(value, seen)
    elif isinstance(value, Const):
        if len(value.data) != value.type.nbytes:
            return f"a payload of {len(value.data)} bytes for {value.type}"
    try:
        hash(value)
    except TypeError:
        return f"{value!r} is not hashable"
    return None


def _where(node: Node) -> str:
    from ingot.ir.location import describe

    return "\n" + describe(node.loc) if node.loc else ""
