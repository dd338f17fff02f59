"""Writing a graph: names for values, nodes, constants, sizes that are computed; and the table of what writes an op."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ingot.interchange.emitters import Emit, Emitters
from ingot.interchange.onnx.emit.older import OLDER, UnsupportedError
from ingot.interchange.onnx.messages import AttributeProto, FunctionProto, GraphProto, NodeProto, OperatorSetId
from ingot.interchange.onnx.tensors import proto_of, type_code
from ingot.ir import ops as _ops  # noqa: F401  (fills OPS)
from ingot.ir.dtypes import DType
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.op import OPS
from ingot.ir.size import Quotient, Size, Smaller, Symbol, as_symbol
from ingot.ir.text import print_graph

__all__ = ["COMPOSITES", "DOMAIN", "EMIT", "UnsupportedError", "Writer", "composite", "emits"]

EMIT = Emitters()
emits = EMIT.of
COMPOSITES: dict[str, Emit] = {}
# composites that are functions of the model where the op set has no op for them, by the names of these
FUNCTIONS = {"_sdpa": "Attention", "_rms_norm": "RMSNormalization", "_gelu": "Gelu", "_group_norm": "GroupNormalization"}
DOMAIN = "ingot"  # of these functions


def composite(*names: str) -> Callable[[Emit], Emit]:
    """Enter a function (writer, called graph, node, input names) -> output names, or None where the composite is written out."""

    def enter(fn: Emit) -> Emit:
        for name in names:
            COMPOSITES[name] = fn
        return fn

    return enter


class Writer:
    """Nodes of one graph, in order. `outer` is the writer of the graph around it."""

    def __init__(self, opset: int, outer: Writer | None = None):
        self.opset = opset
        self.outer = outer
        self.root: Writer = self if outer is None else outer.root
        self.nodes: list[NodeProto] = []
        self.initializers: dict[str, np.ndarray] = {}
        self.names: dict[Value, str] = {}
        self.types: dict[str, Any] = {}
        self.sizes: dict[Any, str] = {}
        if outer is None:
            self.taken: set[str] = set()
            self.constants: dict[Any, str] = {}
            self.symbols: dict[Symbol, tuple[str, int]] = {}  # which input's dim a symbol is
            self.functions: dict[str, FunctionProto] = {}  # by the texts of their graphs
            self.measured: dict[Value, str] = {}  # values that the graph computes of sizes, and the names of their symbols
            self.counts: dict[str, str] = {}  # what these are called, by the symbols' names
            self.bits: dict[str, tuple[str, DType]] = {}  # what bits were taken of, and its type
            self.unmade: dict[str, str] = {}  # names that no node gives, and why

    # ---- names and nodes

    def fresh(self, hint: str) -> str:
        """A name that nothing has yet."""
        taken, name, n = self.root.taken, hint, 1
        while name in taken:
            name, n = f"{hint}_{n}", n + 1
        taken.add(name)
        return name

    def add(self, op: str, inputs: Sequence[str], outputs: Sequence[str], attrs: dict[str, Any], domain: str = "") -> None:
        for x in inputs:
            if x in self.root.unmade:
                raise UnsupportedError(self.root.unmade[x])
        attributes = [attribute(k, v) for k, v in attrs.items() if v is not None]
        name = self.fresh(f"node_{op}")
        self.nodes.append(NodeProto(op_type=op, name=name, domain=domain, input=list(inputs), output=list(outputs), attribute=attributes))

    def many(self, op: str, inputs: Sequence[str], count: int, **attrs: Any) -> list[str]:
        """A node with `count` outputs, as the op set has it."""
        version, change = OLDER.get(op, (0, None))
        if change is not None and self.opset < version:
            changed = change(self, list(inputs), {k: v for k, v in attrs.items() if v is not None})
            if isinstance(changed, str):
                return [changed]
            inputs, attrs = changed
        outputs = [self.fresh(f"{op.lower()}") for _ in range(count)]
        self.add(op, inputs, outputs, attrs)
        return outputs

    def node(self, op: str, *inputs: str, **attrs: Any) -> str:
        """A node with one output: its name."""
        return self.many(op, inputs, 1, **attrs)[0]

    def need(self, dtype: np.dtype) -> None:
        """UnsupportedError where the op set has no such numbers."""
        if self.opset < 13 and dtype.name == "bfloat16":
            raise UnsupportedError(f"bfloat16 needs op set 13, and {self.opset} was asked for")

    def constant(self, value: Any, dtype: Any = None, hint: str = "const") -> str:
        """An initializer that holds a number or an array. Equal ones are made once."""
        array = np.asarray(value, dtype.numpy if isinstance(dtype, DType) else dtype)
        self.need(array.dtype)
        key = (array.dtype, array.shape, array.tobytes())
        root = self.root
        found = root.constants.get(key)
        if found is None:
            found = root.constants[key] = self.fresh(hint)
            root.initializers[found] = array
        return found

    def ints(self, values: Sequence[Any]) -> str:
        """A vector of int64: an initializer, or computed where sizes are symbolic."""
        values = list(values)
        if all(not isinstance(v, Size) for v in values):
            return self.constant(np.array(values, np.int64), hint="shape")
        return self.node("Concat", *[self.size(v) for v in values], axis=0)

    def reshape(self, x: str, shape: Sequence[Any]) -> str:
        """The elements in another shape; a 0 in it is an extent."""
        zero = any(not isinstance(d, Size) and d == 0 for d in shape)
        return self.node("Reshape", x, self.ints(shape), allowzero=1 if zero else None)

    # ---- sizes

    def size(self, x: Any) -> str:
        """A size as a vector of one int64."""
        if not isinstance(x, Size):
            return self.constant(np.array([x], np.int64), hint="dim")
        found = self.sizes.get(x)
        if found is None:
            found = self.sizes[x] = self._size(x)
        return found

    def _size(self, x: Size) -> str:
        total = self.size(x.const) if x.const else None
        for product, factor in x.terms:
            term = None
            for atom in product:
                one = self._atom(atom)
                term = one if term is None else self.node("Mul", term, one)
            if term is None:
                term = self.size(factor)
            elif factor != 1:
                term = self.node("Mul", term, self.size(factor))
            total = term if total is None else self.node("Add", total, term)
        assert total is not None
        return total

    def _atom(self, atom: Any) -> str:
        if isinstance(atom, Symbol):
            if atom.name in self.root.counts:
                return self.node("Reshape", self.root.counts[atom.name], self.ints([1]))
            if atom not in self.root.symbols:
                raise UnsupportedError(f"the size {atom} is that of no input")
            name, axis = self.root.symbols[atom]
            return self.node("Shape", name, start=axis, end=axis + 1)
        a, b = (self.size(p) for p in atom.parts)
        if isinstance(atom, Quotient):
            return self.node("Div", a, b)
        return self.node("Min" if isinstance(atom, Smaller) else "Max", a, b)

    # ---- values and graphs

    def name(self, v: Value) -> str:
        found = self.names.get(v)
        if found is not None:
            return found
        if self.outer is None:
            raise KeyError(v)
        return self.outer.name(v)

    def cast(self, x: str, dtype: DType) -> str:
        self.need(dtype.numpy)
        return self.node("Cast", x, to=type_code(dtype.numpy))

    def graph(self, g: Graph, inputs: Sequence[str]) -> list[str]:
        """The nodes of a graph, written out with `inputs` for its inputs: the names of its outputs."""
        outer, self.names = self.names, dict(zip(g.inputs, inputs, strict=True))
        try:
            for n in _needed(g):
                self.emit(n)
            return [self.names[v] for v in g.outputs]
        finally:
            self.names = outer

    def function(self, g: Graph, inputs: Sequence[str]) -> list[str] | None:
        """A call of a function of the model, which is this graph; None where that needs sizes that no input has, or the op set is older
        than functions."""
        if self.opset < 15:
            return None
        root, key = self.root, print_graph(g, payloads=True)
        found = root.functions.get(key)
        if found is None:
            w = Writer(self.opset)
            w.functions = root.functions
            names = [w.fresh(f"x{i}") for i in range(len(g.inputs))]
            for name, v in zip(names, g.inputs):
                for axis, d in enumerate(v.type.shape):
                    symbol = as_symbol(d)
                    if symbol is not None:
                        w.symbols.setdefault(symbol, (name, axis))
            try:
                results = w.graph(g, names)
            except UnsupportedError:
                return None
            count = sum(f.name.partition("_")[0] == FUNCTIONS[g.name] for f in root.functions.values())
            nodes = [NodeProto(op_type="Constant", output=[k], attribute=[attribute("value", v)]) for k, v in w.initializers.items()]
            sets = [OperatorSetId(domain="", version=self.opset), OperatorSetId(domain=DOMAIN, version=1)]
            found = root.functions[key] = FunctionProto(
                name=FUNCTIONS[g.name] + (f"_{count + 1}" if count else ""), domain=DOMAIN, input=names, output=results,
                node=[*nodes, *w.nodes], opset_import=sets,
            )  # fmt: skip
        outputs = [self.fresh(found.name.lower()) for _ in g.outputs]
        self.add(found.name, inputs, outputs, {}, DOMAIN)
        return outputs

    def emit(self, n: Node) -> None:
        inputs = [self.name(v) for v in n.inputs]
        if n.op is OPS["call"]:
            graph: Graph = n.attrs[0]
            rule = COMPOSITES.get(graph.name)
            outputs = None if rule is None else rule(self, graph, n, inputs)
            if outputs is None and graph.name in FUNCTIONS:
                outputs = self.function(graph, inputs)
            if outputs is None:
                outputs = self.graph(graph, inputs)
        else:
            rule = EMIT.get(n.op.name)
            if rule is None:
                raise UnsupportedError(f"ONNX has no op for {n.op.name} ({n.outputs[0].type})")
            outputs = rule(self, n, inputs)
        self.names.update(zip(n.outputs, [outputs] if isinstance(outputs, str) else outputs))
        for v in n.outputs if self.root.measured else ():
            if v in self.root.measured:
                self.root.counts[self.root.measured[v]] = self.names[v]


def _needed(g: Graph) -> list[Node]:
    """The nodes that the outputs depend on."""
    live, out = set(g.outputs), []
    for n in reversed(g.nodes):
        if live.intersection(n.outputs):
            live.update(n.inputs)
            out.append(n)
    return out[::-1]


def attribute(name: str, value: Any) -> AttributeProto:
    """An attribute, of the type that the value has."""
    if isinstance(value, bool) or isinstance(value, (int, np.integer)):
        return AttributeProto(name=name, type=2, i=int(value))
    if isinstance(value, float):
        return AttributeProto(name=name, type=1, f=value)
    if isinstance(value, str):
        return AttributeProto(name=name, type=3, s=value.encode())
    if isinstance(value, np.ndarray):
        return AttributeProto(name=name, type=4, t=proto_of("", value))
    if isinstance(value, GraphProto):
        return AttributeProto(name=name, type=5, g=value)
    values = list(value)
    if values and all(isinstance(v, float) for v in values):
        return AttributeProto(name=name, type=6, floats=values)
    if values and all(isinstance(v, str) for v in values):
        return AttributeProto(name=name, type=8, strings=[v.encode() for v in values])
    return AttributeProto(name=name, type=7, ints=[int(v) for v in values])
