"""Models of one node, of any domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ingot.interchange.onnx.emit.writer import attribute
from ingot.interchange.onnx.messages import GraphProto, ModelProto, NodeProto, OperatorSetId, TensorType, TypeProto, ValueInfo
from ingot.interchange.onnx.tensors import type_code
from ingot.interchange.onnx.wire import encode

__all__ = ["one_node"]


def one_node(
    op: str, inputs: Sequence[np.ndarray | None], attrs: dict[str, Any], count: int, domain: str = "com.microsoft", version: int = 1
) -> tuple[bytes, dict[str, np.ndarray]]:
    """The file's bytes, and the inputs by name. None: the node has no such input. count: of outputs."""
    names = ["" if a is None else f"x{i}" for i, a in enumerate(inputs)]
    outputs = [f"y{i}" for i in range(count)]
    given = {n: a for n, a in zip(names, inputs) if a is not None}
    node = NodeProto(op_type=op, domain=domain, input=names, output=outputs, attribute=[attribute(k, v) for k, v in attrs.items()])
    graph = GraphProto(
        name="g", node=[node], output=[ValueInfo(name=o) for o in outputs],
        input=[ValueInfo(name=n, type=TypeProto(tensor_type=TensorType(elem_type=type_code(a.dtype)))) for n, a in given.items()],
    )  # fmt: skip
    sets = [OperatorSetId(version=17), OperatorSetId(domain=domain, version=version)]
    return encode(ModelProto(ir_version=8, opset_import=sets, graph=graph)), given
