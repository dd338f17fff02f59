"""Building graphs: an append-only Builder, and Expr, the values that rules and composites compute with."""

from __future__ import annotations

from typing import Any

from ingot.ir.dtypes import DType
from ingot.ir.graph import Const, Graph, Location, Node, Value
from ingot.ir.op import OPS, Op, infer
from ingot.ir.size import remembered
from ingot.ir.types import TensorType

__all__ = ["Builder", "Expr", "op_graph"]


class Builder:
    """Appends nodes; `freeze` yields the Graph. Equal constants are made once."""

    def __init__(self, name: str = "main"):
        self.name = name
        self.inputs: list[Value] = []
        self.input_names: list[str] = []
        self.scalars: set[int] = set()
        self.nodes: list[Node] = []
        self.loc: Location | None = None  # given to the nodes that follow
        self._constants: dict[Const, Value] = {}

    def input(self, type: TensorType, name: str | None = None, scalar: bool = False) -> Value:
        v = Value(type)
        if scalar:
            self.scalars.add(len(self.inputs))
        self.input_names.append(name or f"a{len(self.inputs)}")
        self.inputs.append(v)
        return v

    def emit(self, op: Op, inputs: tuple[Value, ...], attrs: tuple[Any, ...] = ()) -> tuple[Value, ...]:
        outputs = tuple(map(Value, infer(op, tuple([v.type for v in inputs]), attrs)))
        self.nodes.append(Node(op, inputs, attrs, outputs, self.loc))
        return outputs

    def constant(self, value: Any, dtype: DType) -> Value:
        """A constant of `dtype`: `value` is a number or an array."""
        return self.payload(Const.of(value, dtype))

    def payload(self, payload: Const) -> Value:
        """The constant that holds `payload`."""
        found = self._constants.get(payload)
        if found is None:
            found = self._constants[payload] = self.emit(OPS["constant"], (), (payload,))[0]
        return found

    def call(self, graph: Graph, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
        """Append the nodes of `graph` with `inputs` for its inputs: its outputs' values here."""
        here = dict(zip(graph.inputs, inputs, strict=True))
        for n in graph.nodes:
            args = tuple(here[v] for v in n.inputs)
            if n.op is OPS["constant"]:
                here[n.outputs[0]] = self.payload(n.attrs[0])
                continue
            outputs = tuple(Value(v.type) for v in n.outputs)
            self.nodes.append(Node(n.op, args, n.attrs, outputs, self.loc or n.loc))
            here.update(zip(n.outputs, outputs))
        return tuple(here[v] for v in graph.outputs)

    def expr(self, value: Value) -> Expr:
        return Expr(self, value)

    def freeze(self, outputs: tuple[Value, ...]) -> Graph:
        return Graph(
            self.name, tuple(self.inputs), tuple(self.nodes), outputs, input_names=tuple(self.input_names), scalars=frozenset(self.scalars)
        )


Scalar = bool | int | float


class Expr:
    """A value and the builder it lives in, with arithmetic: what VJP rules are written in.

    A Python number beside an Expr becomes a constant of the Expr's dtype; two Exprs must agree in dtype
    (rules cast where they mean to). Shapes broadcast as everywhere.
    """

    __slots__ = ("builder", "value")
    __array_priority__ = 1000

    def __init__(self, builder: Any, value: Value):
        self.builder = builder
        self.value = value

    @property
    def type(self) -> TensorType:
        return self.value.type

    @property
    def dtype(self) -> DType:
        return self.value.type.dtype

    @property
    def shape(self) -> tuple:
        return self.value.type.shape

    @property
    def rank(self) -> int:
        return len(self.value.type.shape)

    def apply(self, op: Op, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """`op` on Exprs and Python numbers, in this one's builder: what `op(*inputs, **attrs)` does with the first Expr."""
        # a number takes the dtype of the first Expr that is not a mask: `select(mask, 0.0, x)` means x's dtype
        like = next((i for i in inputs if isinstance(i, Expr) and i.dtype.kind != "b"), self)
        values = tuple(i.value if isinstance(i, Expr) else like.const(i).value for i in inputs)
        out = self.builder.emit(op, values, op.attr_tuple(attrs))
        return Expr(self.builder, out[0]) if len(out) == 1 else tuple(Expr(self.builder, v) for v in out)

    def const(self, value: Any, dtype: DType | None = None) -> Expr:
        """A constant beside this value, of its dtype unless one is given."""
        return Expr(self.builder, self.builder.constant(value, dtype or self.dtype))

    def full(self, value: Scalar) -> Expr:
        """`value` everywhere, in this value's type."""
        return OPS["broadcast"](self.const(value), shape=self.shape)

    def cast(self, dtype: DType) -> Expr:
        return self if dtype is self.dtype else OPS["cast"](self, dtype=dtype)

    def reshape(self, shape: tuple) -> Expr:
        return self if shape == self.shape else OPS["reshape"](self, shape=shape)

    def broadcast(self, shape: tuple) -> Expr:
        return self if shape == self.shape else OPS["broadcast"](self, shape=shape)

    def transpose(self, perm: tuple[int, ...]) -> Expr:
        return self if perm == tuple(range(self.rank)) else OPS["transpose"](self, perm=perm)

    def sum(self, axes: tuple[int, ...]) -> Expr:
        """Sum over `axes`, which stay as extent 1."""
        return OPS["reduce_sum"](self, axes=axes) if axes else self

    def sum_to(self, shape: tuple) -> Expr:
        """The transpose of broadcasting from `shape`: sum away what broadcasting added."""
        if shape == self.shape:
            return self
        extra = self.rank - len(shape)
        axes = tuple(range(extra)) + tuple(i + extra for i, d in enumerate(shape) if d == 1 and self.shape[i + extra] != 1)
        return self.sum(axes).reshape(shape)

    def _binary(self, name: str, other: Any, swap: bool = False) -> Expr:
        if not isinstance(other, Expr):
            other = self.const(other)
        a, b = (other, self) if swap else (self, other)
        return OPS[name](a, b)

    def __add__(self, o: Any) -> Expr: return self._binary("add", o)
    def __radd__(self, o: Any) -> Expr: return self._binary("add", o, True)
    def __sub__(self, o: Any) -> Expr: return self._binary("sub", o)
    def __rsub__(self, o: Any) -> Expr: return self._binary("sub", o, True)
    def __mul__(self, o: Any) -> Expr: return self._binary("mul", o)
    def __rmul__(self, o: Any) -> Expr: return self._binary("mul", o, True)
    def __truediv__(self, o: Any) -> Expr: return self._binary("div", o)
    def __rtruediv__(self, o: Any) -> Expr: return self._binary("div", o, True)
    def __neg__(self) -> Expr: return OPS["neg"](self)
    def __invert__(self) -> Expr: return OPS["logical_not"](self)
    def __and__(self, o: Any) -> Expr: return self._binary("logical_and", o)
    def __or__(self, o: Any) -> Expr: return self._binary("logical_or", o)
    def __lt__(self, o: Any) -> Expr: return self._binary("lt", o)
    def __le__(self, o: Any) -> Expr: return self._binary("le", o)
    def __gt__(self, o: Any) -> Expr: return self._binary("gt", o)
    def __ge__(self, o: Any) -> Expr: return self._binary("ge", o)
    def eq(self, o: Any) -> Expr: return self._binary("eq", o)
    def ne(self, o: Any) -> Expr: return self._binary("ne", o)

    def __bool__(self) -> bool:
        raise TypeError("the value of an Expr is not known while a graph is built")

    def __repr__(self) -> str:
        return f"Expr({self.type})"


@remembered(4096)
def op_graph(op: Op, attrs: tuple[Any, ...], in_types: tuple[TensorType, ...]) -> Graph:
    """The graph that holds one op, `attrs` in declared order. Remembered."""
    b = Builder(op.name)
    ins = tuple(b.input(t) for t in in_types)
    return b.freeze(b.emit(op, ins, attrs))
