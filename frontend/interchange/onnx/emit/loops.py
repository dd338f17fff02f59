"""Loops and branches: bodies read from around them what stays the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ingot.interchange.onnx.emit.writer import Writer, emits
from ingot.interchange.onnx.messages import Dimension, GraphProto, TensorShape, TensorType, TypeProto, ValueInfo
from ingot.interchange.onnx.tensors import type_code
from ingot.ir.dtypes import bool_, i64
from ingot.ir.graph import Graph, Node
from ingot.ir.size import Size
from ingot.ir.types import TensorType as Type
from ingot.ir.types import tensor_type

__all__ = ["value_info", "whole"]


def value_info(name: str, t: Type) -> ValueInfo:
    """A name with its type; symbolic sizes are named as they are written."""
    dims = [Dimension(dim_param=str(d)) if isinstance(d, Size) else Dimension(dim_value=int(d)) for d in t.shape]
    return ValueInfo(name=name, type=TypeProto(tensor_type=TensorType(elem_type=type_code(t.dtype.numpy), shape=TensorShape(dim=dims))))


def whole(inner: Writer, name: str, names: Sequence[str], ins: Sequence[Type], results: Sequence[str], outs: Sequence[Type]) -> GraphProto:
    """The graph that a writer has written, with inputs of these names. An output must be made by a node, and be an output once."""
    outputs: list[str] = []
    for r in results:
        if r not in outputs and any(r in node.output for node in inner.nodes):
            outputs.append(r)
        else:
            outputs.append(inner.node("Identity", r))
    return GraphProto(
        name=inner.fresh(name), node=inner.nodes, input=[value_info(m, t) for m, t in zip(names, ins)],
        output=[value_info(m, t) for m, t in zip(outputs, outs)],
    )  # fmt: skip


@emits("scan")
def _scan(w: Writer, n: Node, xs: list[str]) -> list[str]:
    body: Graph
    body, consts, carries, _, reverse = n.attrs
    inner = Writer(w.opset, w)
    names = [inner.fresh(name) for name in body.input_names[consts:]]
    results = inner.graph(body, [*xs[:consts], *names])
    g = whole(inner, body.name, names, body.in_types[consts:], results, body.out_types)
    inputs = xs[consts:]
    count = len(inputs) - carries
    back: Any = [1] if reverse else [0]
    ys = len(results) - carries
    return w.many(
        "Scan", inputs, len(results), body=g, num_scan_inputs=count, scan_input_directions=back * count if count else None,
        scan_output_directions=back * ys if ys else None,
    )  # fmt: skip


@emits("cond")
def _cond(w: Writer, n: Node, xs: list[str]) -> list[str]:
    branches = []
    for graph in n.attrs:
        inner = Writer(w.opset, w)
        branches.append(whole(inner, graph.name, (), (), inner.graph(graph, xs[1:]), graph.out_types))
    return w.many("If", xs[:1], len(n.outputs), then_branch=branches[0], else_branch=branches[1])


@emits("while_loop")
def _while(w: Writer, n: Node, xs: list[str]) -> list[str]:
    cond: Graph
    body: Graph
    cond, body, consts, _ = n.attrs
    kept, carries = xs[:consts], xs[consts:]
    inner = Writer(w.opset, w)
    names = [inner.fresh(name) for name in ("step", "going", *body.input_names[consts:])]
    made = inner.graph(body, [*kept, *names[2:]])
    going = inner.graph(cond, [*kept, *made])
    flag = tensor_type(bool_, ())
    g = whole(inner, body.name, names, (tensor_type(i64, ()), flag, *body.out_types), [*going, *made], (flag, *body.out_types))
    return w.many("Loop", ["", *w.graph(cond, xs), *carries], len(carries), body=g)
