"""A model made ready to be evaluated: attributes as Python values, rules found, and after each node the names that nobody reads again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ingot.interchange.onnx.messages import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    OperatorSetId,
    SparseTensorProto,
    ValueInfo,
)
from ingot.interchange.onnx.ops import find
from ingot.interchange.onnx.patterns import found_patterns
from ingot.interchange.onnx.rules import OnnxError, Rule
from ingot.interchange.onnx.tensors import TYPES, Folder, array_of
from ingot.ir.struct import struct

__all__ = ["Body", "Function", "Input", "Node", "Program", "Reference", "declared", "prepare"]

OLDEST, NEWEST = 1, 28
MOST = 1 << 22  # nodes, those of functions as often as they are called: they are evaluated that often
LARGEST = 1 << 31  # bytes of a sparse tensor that is made dense: what one file could hold


@struct
class Reference:
    """An attribute of a node in a function, whose value is an attribute of the call."""

    name: str


@struct
class Node:
    """rule: None for a call of one of the model's functions, which `function` names then
    dead: names that no later node reads
    """

    name: str
    op: str
    domain: str
    version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: dict[str, Any]
    rule: Rule | None
    function: Function | None
    dead: tuple[str, ...]

    def bodies(self) -> Iterator[Body]:
        """The graphs among its attributes."""
        for a in self.attrs.values():
            for inner in a if isinstance(a, list) else (a,):
                if isinstance(inner, Body):
                    yield inner

    def text(self) -> str:
        """The node for messages."""
        op = f"{self.domain}.{self.op}" if self.domain else self.op
        return (
            f"node {self.name!r} ({op})" if self.name else f"the node ({op}) that makes {', '.join(map(repr, filter(None, self.outputs)))}"
        )


@struct
class Body:
    """A graph: inputs and outputs by name, the values of its initializers.

    cost: how many nodes it is, with those of the functions that it calls
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: dict[str, np.ndarray]
    cost: int

    def everything(self) -> Iterator[Body]:
        """This body, and those within its nodes."""
        yield self
        for node in self.nodes:
            for inner in node.bodies():
                yield from inner.everything()


@struct
class Function:
    name: str
    inputs: tuple[str, ...]
    attrs: dict[str, Any]  # names, and values where they have some
    body: Body | None


@struct
class Input:
    """What an input must be. `dims`: ints, names, or None for what may be anything; None where not even the rank is said."""

    name: str
    dtype: np.dtype | None  # None for sequences and optionals
    dims: tuple[int | str | None, ...] | None
    kind: str = "tensor"


@struct
class Program:
    name: str
    body: Body
    inputs: tuple[Input, ...]
    optional: tuple[Input, ...]  # inputs that have an initializer for what is left out
    outputs: tuple[Input, ...]
    initializers: dict[str, np.ndarray]
    functions: tuple[Function, ...]
    opsets: dict[str, int]

    def bodies(self) -> Iterator[Body]:
        yield from self.body.everything()
        for f in self.functions:
            if f.body is not None:
                yield from f.body.everything()


class _Maker:
    def __init__(self, model: ModelProto, folder: Folder):
        self.folder = folder
        self.opsets = _opsets(model.opset_import)
        self.functions = {(f.domain, f.name, f.overload): f for f in model.functions}
        self.made: dict[tuple[str, str, str], Function] = {}

    def function(self, key: tuple[str, str, str]) -> Function:
        found = self.made.get(key)
        if found is None:
            proto = self.functions[key]
            attrs: dict[str, Any] = dict.fromkeys(proto.attribute)
            attrs |= {a.name: self.attribute(a, self.opsets, f"function {proto.name!r}") for a in proto.attribute_proto}
            found = self.made[key] = Function(proto.name, tuple(proto.input), attrs, None)
            opsets = self.opsets | _opsets(proto.opset_import)
            found.body = self.body(proto.node, tuple(proto.input), tuple(proto.output), {}, opsets)
        elif found.body is None:
            raise OnnxError(f"function {found.name!r} calls itself")
        return found

    def graph(self, g: GraphProto, opsets: dict[str, int]) -> Body:
        constants = {t.name: array_of(t, self.folder) for t in g.initializer}
        constants |= {s.values.name: self.sparse(s) for s in g.sparse_initializer if s.values is not None}
        return self.body(g.node, tuple(v.name for v in g.input), tuple(v.name for v in g.output), constants, opsets)

    def sparse(self, s: SparseTensorProto) -> np.ndarray:
        if s.values is None or s.indices is None:
            raise OnnxError("a sparse tensor has no values or no indices")
        values, indices = array_of(s.values, self.folder), array_of(s.indices, self.folder)
        what = f"the sparse tensor {s.values.name!r} of the shape {list(s.dims)}"
        if min(s.dims, default=0) < 0 or math.prod(s.dims) * values.itemsize > LARGEST:
            raise OnnxError(f"{what} cannot be made dense")
        out = np.zeros(tuple(s.dims), values.dtype)
        try:
            if indices.ndim == 1:
                out.reshape(-1)[indices] = values
            else:
                out[tuple(indices.T)] = values
        except (IndexError, ValueError) as e:
            raise OnnxError(f"{what} has values elsewhere: {e}") from None
        return out

    def body(
        self, protos: Iterable[NodeProto], inputs: tuple[str, ...], outputs: tuple[str, ...], constants: dict[str, np.ndarray],
        opsets: dict[str, int],
    ) -> Body:  # fmt: skip
        nodes = [self.node(n, opsets) for n in protos]
        cost = sum(1 + sum(b.cost for b in n.bodies()) + (n.function.body.cost if n.function and n.function.body else 0) for n in nodes)
        if cost > MOST:
            raise OnnxError(f"with what functions call, the graph that makes {', '.join(map(repr, outputs))} is more than {MOST} nodes")
        nodes = self.joined(nodes, outputs, constants)
        later, live = set(outputs), []
        for n in reversed(nodes):
            if not later.intersection(n.outputs):
                continue
            live.append(n)
            reads = set(n.inputs) | set(_captured(n))
            n.dead = tuple(sorted((reads | set(n.outputs)) - later - {""}))
            later |= reads
        return Body(inputs, outputs, tuple(reversed(live)), constants, cost)

    def joined(self, nodes: list[Node], outputs: tuple[str, ...], constants: dict[str, np.ndarray]) -> list[Node]:
        """The nodes with one in the place of each pattern."""
        at: dict[int, Node] = {}  # the last node of each pattern, and what takes its place
        gone: set[int] = set()
        for f in found_patterns(nodes, outputs, constants):
            last = max(f.nodes, key=nodes.index)
            rule = find(f.domain, f.op, NEWEST)
            assert rule is not None
            made = Node(last.name, f.op, f.domain, NEWEST, f.inputs, f.nodes[-1].outputs, f.attrs, rule, None, ())
            at[id(last)] = made
            gone.update(map(id, f.nodes))
        return [at.get(id(n), n) for n in nodes if id(n) in at or id(n) not in gone]

    def node(self, n: NodeProto, opsets: dict[str, int]) -> Node:
        domain = "" if n.domain == "ai.onnx" else n.domain
        version = opsets.get(domain, 1)
        node = Node(n.name, n.op_type, domain, version, tuple(n.input), tuple(n.output), {}, None, None, ())
        for a in n.attribute:
            if a.name in node.attrs:
                raise OnnxError(f"{node.text()} has the attribute {a.name!r} twice")
            node.attrs[a.name] = self.attribute(a, opsets, node.text())
        key = (n.domain, n.op_type, n.overload)
        if key in self.functions:
            node.function = self.function(key)
            return node
        node.rule = find(domain, n.op_type, version)
        if node.rule is None:
            if domain == "com.microsoft.nchwc":
                layout = "the memory layout of one kind of processor; write the model at ORT_ENABLE_EXTENDED"
                raise OnnxError(f"{node.text()} has weights in {layout}")
            if domain not in opsets and domain:
                raise OnnxError(f"{node.text()}: the model imports no op set of the domain {domain!r}")
            raise OnnxError(f"{node.text()}: there is no such op in version {version} of {domain or 'ai.onnx'}, or no rule for it here")
        return node

    def attribute(self, a: AttributeProto, opsets: dict[str, int], where: str) -> Any:
        if a.ref_attr_name:
            return Reference(a.ref_attr_name)
        kind = a.type or _kind(a)
        if kind == 1:
            return float(a.f or 0.0)
        if kind == 2:
            return int(a.i or 0)
        if kind == 3:
            return bytes(a.s or b"").decode("utf-8", "replace")
        if kind == 4 and a.t is not None:
            return array_of(a.t, self.folder)
        if kind == 5 and a.g is not None:
            return self.graph(a.g, opsets)
        if kind == 6:
            return list(a.floats)
        if kind == 7:
            return list(a.ints)
        if kind == 8:
            return [bytes(s).decode("utf-8", "replace") for s in a.strings]
        if kind == 9:
            return [array_of(t, self.folder) for t in a.tensors]
        if kind == 10:
            return [self.graph(g, opsets) for g in a.graphs]
        if kind == 11 and a.sparse_tensor is not None:
            return self.sparse(a.sparse_tensor)
        if kind == 13:
            return a.tp
        raise OnnxError(f"{where}: the attribute {a.name!r} has the type {kind}, and no value of it")


def _kind(a: AttributeProto) -> int:
    """The type of an attribute that does not say it, as old files do not."""
    for kind, value in ((1, a.f), (2, a.i), (3, a.s), (4, a.t), (5, a.g), (11, a.sparse_tensor), (13, a.tp)):
        if value is not None:
            return kind
    for kind, values in ((6, a.floats), (7, a.ints), (8, a.strings), (9, a.tensors), (10, a.graphs)):
        if values:
            return kind
    return 7


def _captured(node: Node) -> Iterator[str]:
    """Names around a node that graphs within it read."""
    for inner in node.bodies():
        own = set(inner.inputs) | set(inner.constants)
        for n in inner.nodes:
            yield from (name for name in (*n.inputs, *_captured(n)) if name not in own)
            own.update(n.outputs)
        yield from (name for name in inner.outputs if name not in own)


def _opsets(imports: Iterable[Any]) -> dict[str, int]:
    out = {}
    for o in imports:
        domain = "" if o.domain == "ai.onnx" else o.domain
        if not domain and not OLDEST <= o.version <= NEWEST:
            raise OnnxError(f"the model is of op set {o.version}; {OLDEST} to {NEWEST} are read here")
        out[domain] = o.version
    return out


def _input(v: ValueInfo) -> Input:
    t = v.type
    if t is None:
        return Input(v.name, None, None, "any")
    if t.tensor_type is None:
        return Input(
            v.name, None, None, "sequence" if t.sequence_type is not None else "optional" if t.optional_type is not None else "any"
        )
    code, shape = t.tensor_type.elem_type, t.tensor_type.shape
    if code and code not in TYPES:
        raise OnnxError(f"{v.name!r} has the element type {code}, which is not known")
    return Input(v.name, TYPES.get(code), None if shape is None else tuple(map(_dim, shape.dim)))


def _dim(d: Any) -> int | str | None:
    """What a dim may be. Exporters write -1 and "?" where it is anything: two dims of that name need not be equal."""
    if d.dim_value is not None and d.dim_value >= 0:
        return d.dim_value
    return None if d.dim_param in ("", "?", "-1", "None") else d.dim_param


def declared(model: ModelProto) -> tuple[list[Input], list[Input]]:
    """What a model says of its inputs and outputs, initializers left out."""
    if model.graph is None:
        return [], []
    own = {t.name for t in model.graph.initializer}
    return [_input(v) for v in model.graph.input if v.name not in own], [_input(v) for v in model.graph.output]


def prepare(model: ModelProto, folder: Folder) -> Program:
    """The model made ready. OnnxError, TensorError or WireError where it makes no sense, or needs what is not here."""
    if model.graph is None:
        raise OnnxError("the model has no graph")
    if not model.opset_import and any(n.domain in ("", "ai.onnx") for n in model.graph.node):
        model.opset_import.append(OperatorSetId(version=1))  # as files did before they said it
    maker = _Maker(model, folder)
    body = maker.graph(model.graph, maker.opsets)
    initializers, body.constants = body.constants, {}
    inputs = tuple(_input(v) for v in model.graph.input if v.name not in initializers)
    outputs = tuple(map(_input, model.graph.output))
    names = [i.name for i in inputs]
    if len(set(names)) < len(names):
        raise OnnxError(f"two inputs have the name {next(n for n in names if names.count(n) > 1)!r}")
    body.inputs = tuple(names)
    optional = tuple(_input(v) for v in model.graph.input if v.name in initializers)
    return Program(model.graph.name, body, inputs, optional, outputs, initializers, tuple(maker.made.values()), maker.opsets)
