"""The tensor graph: values, nodes and the immutable Graph.

A Value does not know the node that makes it and a node does not know its users, so graphs hold no reference
cycles; `Graph.producers` and `Graph.users` are computed when a pass asks for them.
"""

from __future__ import annotations

from functools import cached_property
from types import CodeType
from typing import Any

import numpy as np

from ingot.ir.dtypes import DType
from ingot.ir.op import Op
from ingot.ir.size import Symbol, symbols
from ingot.ir.types import Dim, TensorType, tensor_type

__all__ = ["Value", "Node", "Graph", "Const", "Single", "SizedConst", "Location", "symbols_of"]

# Where a node was recorded: (code, f_lasti), resolved to file, line and column only when printed. Never a frame.
Location = tuple[CodeType, int]
Single = tuple[Op, tuple[Any, ...], tuple[int, ...]]


class Value:
    """An SSA value: compared by identity, it has only a type."""

    __slots__ = ("type",)

    def __init__(self, type: TensorType):
        self.type = type

    def __repr__(self) -> str:
        return f"<{self.type}>"


class Node:
    """One application of an op. `attrs` are in the order of `op.attr_names`."""

    __slots__ = ("op", "inputs", "attrs", "outputs", "loc")

    def __init__(self, op: Op, inputs: tuple[Value, ...], attrs: tuple[Any, ...], outputs: tuple[Value, ...], loc: Location | None = None):
        self.op = op
        self.inputs = inputs
        self.attrs = attrs
        self.outputs = outputs
        self.loc = loc

    def attr(self, name: str) -> Any:
        return self.attrs[self.op.attr_names.index(name)]

    @property
    def may_fail(self) -> bool:
        """Whether it checks values, and fails the call where one is wrong."""
        return self.op.may_fail([v.type for v in self.inputs], self.attrs)

    def __repr__(self) -> str:
        return f"<{self.op.name} -> {', '.join(str(v.type) for v in self.outputs)}>"


class Const:
    """The payload of a `constant` node: a small array, compared by type and bytes (so NaN payloads and -0.0 count)."""

    __slots__ = ("type", "data", "_hash")

    def __init__(self, type: TensorType, data: bytes):
        if len(data) != type.nbytes:
            raise ValueError(f"a constant {type} holds {type.nbytes} bytes, not {len(data)}")
        self.type = type
        self.data = data
        self._hash = hash((type, data))

    @classmethod
    def of(cls, value: Any, dtype: DType) -> Const:
        """A number or an array, converted to `dtype`."""
        array = np.asarray(value).astype(dtype.numpy)
        return cls(tensor_type(dtype, array.shape), array.tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Const) and self.type == other.type and self.data == other.data

    def __hash__(self) -> int:
        return self._hash

    def digest(self) -> str:
        from hashlib import sha256

        return sha256(self.data).hexdigest()

    def array(self) -> np.ndarray:
        return np.frombuffer(self.data, self.type.dtype.numpy).reshape(self.type.shape)


class SizedConst(Const):
    """The value of a size as a constant of `type`, in a graph that stands for graphs of many sizes (ir/template.py)."""

    def __init__(self, type: TensorType, dim: Dim):
        self.type = type
        self.dim = dim
        self._hash = hash((type, dim))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SizedConst) and self.type == other.type and self.dim == other.dim

    __hash__ = Const.__hash__


class Graph:
    """An immutable function of tensors: nodes in an order where definitions come before uses.

    `scalars` are the indices of inputs that are passed by value (rank 0: host numbers such as a learning rate,
    or the seed and offset of a random stream). `steady` are those of inputs whose values seldom change from call to call: what follows from
    them alone is calculated once and kept (ir/lower/prologue.py). `input_names` are for people and are part of the text.
    """

    def __init__(
        self,
        name: str,
        inputs: tuple[Value, ...],
        nodes: tuple[Node, ...],
        outputs: tuple[Value, ...],
        *,
        input_names: tuple[str, ...] | None = None,
        scalars: frozenset[int] = frozenset(),
        steady: frozenset[int] = frozenset(),
    ):
        self.name = name
        self.inputs = inputs
        self.nodes = nodes
        self.outputs = outputs
        self.input_names = input_names or tuple(f"a{i}" for i in range(len(inputs)))
        self.scalars = scalars
        self.steady = steady

    @cached_property
    def producers(self) -> dict[Value, Node]:
        """Value -> the node that defines it; inputs are absent."""
        return {v: n for n in self.nodes for v in n.outputs}

    @cached_property
    def users(self) -> dict[Value, list[Node]]:
        """Value -> the nodes that read it, in order, once each; unread values are absent."""
        out: dict[Value, list[Node]] = {}
        for n in self.nodes:
            for v in dict.fromkeys(n.inputs):
                out.setdefault(v, []).append(n)
        return out

    @property
    def in_types(self) -> tuple[TensorType, ...]:
        return tuple(v.type for v in self.inputs)

    @property
    def out_types(self) -> tuple[TensorType, ...]:
        return tuple(v.type for v in self.outputs)

    @cached_property
    def single(self) -> Single | None:
        """The op, its attributes, and which inputs of the graph it takes, where this is one node with all its outputs; else None."""
        if len(self.nodes) != 1 or self.nodes[0].outputs != self.outputs:
            return None
        (n,) = self.nodes
        return n.op, n.attrs, tuple([self.inputs.index(v) for v in n.inputs])

    @cached_property
    def may_fail(self) -> bool:
        """Whether one of its nodes checks values, and fails the call where one is wrong."""
        return any(n.may_fail for n in self.nodes)

    @cached_property
    def symbols(self) -> tuple[Symbol, ...]:
        """The symbols of its types and attributes, in the order of their names; those of called graphs and of bodies are among them."""
        types = dict.fromkeys([v.type for v in self.inputs] + [v.type for n in self.nodes for v in n.outputs])
        found = {s: None for t in types for s in symbols(*t.shape)}
        for n in self.nodes:
            for a in n.attrs:
                found.update((s, None) for s in _symbols(a))
        return tuple(sorted(found, key=lambda s: s.name))

    @cached_property
    def text(self) -> str:
        """The text without locations: the graph's identity."""
        from ingot.ir.text import print_graph  # not at the top: the text form knows graphs

        return print_graph(self)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of `text`, hex."""
        from hashlib import sha256

        return sha256(self.text.encode()).hexdigest()

    def replace(self, **changes: Any) -> Graph:
        """A copy with some of name, inputs, nodes, outputs, input_names, scalars, steady changed."""
        kw: dict[str, Any] = dict(name=self.name, inputs=self.inputs, nodes=self.nodes, outputs=self.outputs)
        kw.update(input_names=self.input_names, scalars=self.scalars, steady=self.steady)
        kw.update(changes)
        return Graph(kw.pop("name"), kw.pop("inputs"), kw.pop("nodes"), kw.pop("outputs"), **kw)

    def __str__(self) -> str:
        from ingot.ir.text import print_graph

        return print_graph(self, locations=True)

    def __repr__(self) -> str:
        return f"<Graph @{self.name}: {len(self.inputs)} inputs, {len(self.nodes)} nodes, {len(self.outputs)} outputs>"


def symbols_of(node: Node) -> list[Symbol]:
    """The symbols in the types of what a node makes, and in its attributes."""
    types = [s for v in node.outputs if v.type.symbolic for s in symbols(*v.type.shape)]
    return types + [s for a in node.attrs for s in _symbols(a)]


def _symbols(attribute: Any) -> tuple[Symbol, ...] | list[Symbol]:
    """The symbols in an attribute."""
    if isinstance(attribute, tuple):
        return [s for a in attribute for s in _symbols(a)]
    if isinstance(attribute, SizedConst):
        return symbols(attribute.dim)
    return attribute.symbols if isinstance(attribute, Graph) else symbols(attribute)
