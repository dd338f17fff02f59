"""The graph of an exported program as an `ingot.fx` graph, and what its inputs and outputs are."""

from __future__ import annotations

import operator
import re
from collections.abc import Container, Sequence
from typing import Any

from ingot._tensor import Tensor
from ingot._tensor.recording import record
from ingot.export.signature import ExportGraphSignature, InputKind, InputSpec, OutputKind, OutputSpec, TensorArgument
from ingot.fx import Graph as FxGraph
from ingot.ir.graph import Graph, Value
from ingot.ir.op import Op

__all__ = ["Primitive", "fx_graph"]

_PREFIX = {InputKind.PARAMETER: "p_", InputKind.BUFFER: "b_", InputKind.CONSTANT_TENSOR: "c_", InputKind.USER_INPUT: ""}


class Primitive:
    """An op of the IR as a function of tensors, its attributes given by name: the target of a node.

    RuntimeError where the sizes of its graph vary: `ExportedProgram.module` runs such a graph.
    """

    __module__ = "ingot.ir.ops"

    def __init__(self, op: Op, name: str, symbolic: bool):
        self.op, self.symbolic = op, symbolic
        self.__name__ = self.__qualname__ = name

    def __call__(self, *tensors: Tensor, **attrs: Any) -> Any:
        if self.symbolic:
            raise RuntimeError(f"{self.__name__}: the sizes of this graph vary, and its nodes do not run one by one: call module()")
        return record(self.op, tensors, self.op.attr_tuple(attrs))

    def __repr__(self) -> str:
        return f"<op {self.__name__}>"


def fx_graph(graph: Graph, inputs: Sequence[tuple[InputKind, str]], state: Container[str]) -> tuple[FxGraph, ExportGraphSignature]:
    """The nodes of `graph`: a placeholder for each input, of these kinds and names, a call for each op, and the tuple of results.

    state: the names in the state_dict
    """
    made, values = FxGraph(), {}
    specs = []
    for v, (kind, name) in zip(graph.inputs, inputs, strict=True):
        node = values[v] = made.placeholder(_PREFIX[kind] + re.sub(r"\W", "_", name))
        node.meta["type"] = v.type
        kept = name in state if kind is InputKind.BUFFER else None
        specs.append(InputSpec(kind, TensorArgument(node.name), None if kind is InputKind.USER_INPUT else name, kept))
    symbolic = bool(graph.symbols)
    for n in graph.nodes:
        name = n.attrs[0].name if n.op.name == "call" else n.op.name
        target = Primitive(n.op, name, symbolic)
        call = made.call_function(target, tuple(values[v] for v in n.inputs), dict(zip(n.op.attr_names, n.attrs)))
        for i, v in enumerate(n.outputs):
            values[v] = call if len(n.outputs) == 1 else made.call_function(operator.getitem, (call, i))
            values[v].meta["type"] = v.type
    made.output(tuple(values[v] for v in graph.outputs))
    return made, ExportGraphSignature(tuple(specs), tuple(_result(values, v) for v in graph.outputs))


def _result(values: dict[Value, Any], v: Value) -> OutputSpec:
    return OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(values[v].name))
