"""Backward graphs for all sizes: a rule runs once per structure, and gives an Instance (ir/template.py) for each signature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ingot.ir.builder import op_graph
from ingot.ir.facts import Inline
from ingot.ir.graph import Graph
from ingot.ir.op import Op
from ingot.ir.sized import sized
from ingot.ir.structure import filled, parts
from ingot.ir.template import Instance, Template, Templates, templated
from ingot.ir.transforms.replay import Mask
from ingot.ir.transforms.vjp import Backward, op_vjp, vjp
from ingot.ir.types import Dim, TensorType, tensor_type

__all__ = ["backward_of"]

_OPS: dict[Any, Templates] = {}  # by structure
_OPS_LIMIT = 4096


def backward_of(op: Op, attrs: tuple[Any, ...], in_types: Sequence[TensorType], wrt: Mask, cts: Mask) -> Backward:
    """What `op_vjp` gives, from a template where there is one.

    RuntimeError where there is no derivative yet.
    """
    if isinstance(op.lowering, Inline):
        graph = attrs[0]
    elif any(isinstance(a, Graph) for a in attrs):
        return op_vjp(op, attrs, in_types, wrt, cts)
    else:
        graph = _op_graph(op, attrs, in_types)
    if not isinstance(graph, Instance):
        return vjp(graph, wrt, cts)
    template = graph.template
    templates: Templates = template.derived.setdefault((wrt, cts), Templates())

    def make() -> Template:
        found: list[Backward] = []

        def derive(dims: tuple[Dim, ...]) -> Graph:
            found.append(vjp(sized(template.graph, dict(zip(template.names, dims))), wrt, cts))
            return found[-1].graph

        made = templated(derive, graph.values)
        made.result = found[-1]
        return made

    found = templates.instance(graph.values, make)
    if found is None:
        return vjp(graph, wrt, cts)
    like = found.template.result
    return Backward(found, like.reads_inputs, like.reads_outputs, like.grads)


def _op_graph(op: Op, attrs: tuple[Any, ...], in_types: Sequence[TensorType]) -> Graph:
    form, leaves = parts(op, attrs)
    key = (form, *[(t.dtype, len(t.shape)) for t in in_types])
    templates = _OPS.get(key)
    if templates is None:
        if len(_OPS) >= _OPS_LIMIT:
            _OPS.clear()
        templates = _OPS[key] = Templates()

    def make(dims: tuple[Dim, ...]) -> Graph:
        given = iter(dims)
        types = tuple([tensor_type(t.dtype, tuple([next(given) for _ in t.shape])) for t in in_types])
        return op_graph(op, filled(op, attrs, given), types)

    sizes = (*[d for t in in_types for d in t.shape], *leaves)
    return templates.instance(sizes, lambda: templated(make, sizes)) or op_graph(op, attrs, tuple(in_types))
