"""Loops: a scan is ONNX's Scan, whose body reads its constants from around it."""

from __future__ import annotations

from typing import Any

from ingot.interchange.onnx.emit.writer import Writer, emits
from ingot.interchange.onnx.messages import Dimension, GraphProto, TensorShape, TensorType, TypeProto, ValueInfo
from ingot.interchange.onnx.tensors import type_code
from ingot.ir.graph import Graph, Node
from ingot.ir.size import Size
from ingot.ir.types import TensorType as Type

__all__ = ["value_info"]


def value_info(name: str, t: Type) -> ValueInfo:
    """A name with its type; symbolic sizes are named as they are written."""
    dims = [Dimension(dim_param=str(d)) if isinstance(d, Size) else Dimension(dim_value=int(d)) for d in t.shape]
    return ValueInfo(name=name, type=TypeProto(tensor_type=TensorType(elem_type=type_code(t.dtype.numpy), shape=TensorShape(dim=dims))))


@emits("scan")
def _scan(w: Writer, n: Node, xs: list[str]) -> list[str]:
    body: Graph
    body, consts, carries, _, reverse = n.attrs
    inner = Writer(w.opset, w)
    inner.names = dict(zip(body.inputs[:consts], xs[:consts]))
    names = [inner.fresh(name) for name in body.input_names[consts:]]
    results = inner.graph(body, [*xs[:consts], *names])
    outputs = []
    for r in results:  # an output must be made by a node, and be an output once
        if r not in outputs and any(r in node.output for node in inner.nodes):
            outputs.append(r)
        else:
            outputs.append(inner.node("Identity", r))
    g = GraphProto(
        name=inner.fresh(body.name), node=inner.nodes, input=[value_info(m, v.type) for m, v in zip(names, body.inputs[consts:])],
        output=[value_info(m, v.type) for m, v in zip(outputs, body.outputs)],
    )  # fmt: skip
    inputs = xs[consts:]
    count = len(inputs) - carries
    back: Any = [1] if reverse else [0]
    ys = len(outputs) - carries
    return w.many(
        "Scan", inputs, len(outputs), body=g, num_scan_inputs=count, scan_input_directions=back * count if count else None,
        scan_output_directions=back * ys if ys else None,
    )  # fmt: skip
