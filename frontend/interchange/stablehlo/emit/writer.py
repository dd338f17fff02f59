"""Writing a graph as text: values with their types, operations, regions; and the table of what writes an op."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ingot.interchange.emitters import Emitters
from ingot.ir import dtypes
from ingot.ir import ops as _ops  # noqa: F401  (fills OPS)
from ingot.ir.dtypes import DType
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.op import OPS
from ingot.ir.size import Dim, Quotient, Size, Smaller, Symbol

__all__ = ["EMIT", "UnsupportedError", "V", "Writer", "alike", "emits", "empty", "ints", "sized", "type_text"]

EMIT = Emitters()
emits = EMIT.of
_ELEMENTS = {
    "bool": "i1", "u8": "ui8", "u16": "ui16", "u32": "ui32", "u64": "ui64", "c64": "complex<f32>", "c128": "complex<f64>",
}  # fmt: skip
_LISTED = 16  # elements of a constant that are written as numbers


class UnsupportedError(RuntimeError):
    """What StableHLO has nothing for."""


def type_text(dtype: DType, shape: Sequence[Any]) -> str:
    """A tensor's type; a question mark for a size that varies."""
    dims = "".join("?x" if isinstance(d, Size) else f"{d}x" for d in shape)
    return f"tensor<{dims}{_ELEMENTS.get(dtype.name, dtype.name)}>"


def sized(*values: Any) -> bool:
    """Whether one of these numbers is a size that varies."""
    return any(isinstance(v, Size) for v in values)


def empty(shape: Sequence[Any]) -> bool:
    """Whether there are no elements, whatever the sizes are."""
    return any(not isinstance(d, Size) and d == 0 for d in shape)


def alike(a: Sequence[Any], b: Sequence[Any]) -> bool:
    """Whether two shapes are written alike."""
    return len(a) == len(b) and all(isinstance(x, Size) == isinstance(y, Size) and x == y for x, y in zip(a, b))


class V(NamedTuple):
    """A value in the text."""

    name: str
    dtype: DType
    shape: tuple[int, ...]

    @property
    def type(self) -> str:
        return type_text(self.dtype, self.shape)

    @property
    def rank(self) -> int:
        return len(self.shape)


class Writer:
    """The lines of one function, and what they may be made of."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 2
        self.count = 0
        self.names: dict[Value, V] = {}
        self.constants: list[dict[Any, V]] = [{}]  # of each region that is being written
        self.symbols: dict[Symbol, tuple[V, int]] = {}  # which dim of which argument a symbol is

    # ---- lines

    def line(self, text: str) -> None:
        self.lines.append("  " * self.depth + text)

    def fresh(self) -> str:
        self.count += 1
        return f"%{self.count - 1}"

    def value(self, dtype: DType, shape: Sequence[Any]) -> V:
        return V(self.fresh(), dtype, tuple(shape))

    def many(
        self, name: str, inputs: Sequence[V], results: Sequence[tuple[DType, Sequence[Any]]], attrs: str = "",
        regions: Sequence[tuple[Sequence[V], Callable[..., Sequence[V]]]] = (),
    ) -> list[V]:  # fmt: skip
        """An operation in the generic form. A region is its arguments, and a function of them that writes it."""
        outs = [self.value(d, s) for d, s in results]
        full = name if "." in name else f"stablehlo.{name}"
        head = f"{', '.join(o.name for o in outs)} = " if outs else ""
        given = ", ".join(v.name for v in inputs)
        types = f"({', '.join(v.type for v in inputs)}) -> ({', '.join(o.type for o in outs)})"
        attrs = f" <{{{attrs}}}>" if attrs else ""
        if not regions:
            self.line(f'{head}"{full}"({given}){attrs} : {types}')
            return outs
        self.line(f'{head}"{full}"({given}){attrs} ({{')
        for i, (args, fn) in enumerate(regions):
            if i:
                self.line("}, {")
            self.block(args, fn)
        self.line(f"}}) : {types}")
        return outs

    def block(self, args: Sequence[V], fn: Callable[..., Sequence[V]]) -> None:
        """The inside of a region."""
        if args:
            self.line(f"^bb0({', '.join(f'{a.name}: {a.type}' for a in args)}):")
        self.depth += 1
        self.constants.append({})
        results = fn(*args)
        self.line(f"stablehlo.return {', '.join(r.name for r in results)} : {', '.join(r.type for r in results)}")
        self.constants.pop()
        self.depth -= 1

    def op(self, name: str, *inputs: V, dtype: DType | None = None, shape: Sequence[Any] | None = None, attrs: str = "") -> V:
        """An operation of one result, of the type of its first operand unless told otherwise."""
        x = inputs[0]
        return self.many(name, inputs, [(dtype or x.dtype, x.shape if shape is None else shape)], attrs)[0]

    # ---- sizes

    def size(self, x: Dim) -> V:
        """A size as an int64 number: a constant, or what is computed of the arguments' dims."""
        if not isinstance(x, Size):
            return self.constant(x, dtypes.i64)
        for known in self.constants:
            if x in known:
                return known[x]
        total: V | None = self.constant(x.const, dtypes.i64) if x.const else None
        for product, factor in x.terms:
            term: V | None = None
            for atom in product:
                term = self._atom(atom) if term is None else self.op("multiply", term, self._atom(atom))
            if term is None:
                term = self.constant(factor, dtypes.i64)
            elif factor != 1:
                term = self.op("multiply", term, self.constant(factor, dtypes.i64))
            total = term if total is None else self.op("add", total, term)
        assert total is not None
        self.constants[-1][x] = total
        return total

    def _atom(self, atom: Any) -> V:
        if isinstance(atom, Symbol):
            if atom not in self.symbols:
                raise UnsupportedError(f"the size {atom} is that of no input")
            x, axis = self.symbols[atom]
            return self.cast(self.op("get_dimension_size", x, dtype=dtypes.i32, shape=(), attrs=f"dimension = {axis} : i64"), dtypes.i64)
        a, b = (self.size(p) for p in atom.parts)
        if not isinstance(atom, Quotient):
            return self.op("minimum" if isinstance(atom, Smaller) else "maximum", a, b)
        whole, zero = self.op("divide", a, b), self.constant(0, dtypes.i64)  # which is rounded towards 0
        rest = self.op("remainder", a, b)
        less = self.compare("LT", self.op("multiply", rest, b), zero)
        return self.select(less, self.op("subtract", whole, self.constant(1, dtypes.i64)), whole)

    def sizes(self, values: Sequence[Dim]) -> V:
        """Sizes as a vector of int64."""
        if not sized(*values):
            return self.constant(np.array([int(v) for v in values], np.int64), dtypes.i64)  # type: ignore[arg-type]
        return self.concatenate([self.op("reshape", self.size(v), shape=(1,)) for v in values], 0)

    # ---- constants

    def constant(self, value: Any, dtype: DType, shape: Sequence[Any] | None = None) -> V:
        """A number, a size or an array; with a shape, one number everywhere. Equal ones are written once."""
        if isinstance(value, Size):
            number = self.cast(self.size(value), dtype)
            return number if shape is None else self.broadcast(number, shape)
        if shape is not None and sized(*shape):
            return self.broadcast(self.constant(value, dtype), shape)
        with np.errstate(all="ignore"):
            array = np.asarray(value).astype(dtype.numpy)
        dims = array.shape if shape is None else tuple(shape)
        key = (dtype, array.shape, dims, array.tobytes())
        for known in self.constants:
            if key in known:
                return known[key]
        t = type_text(dtype, dims)
        out = self.value(dtype, dims)
        self.line(f"{out.name} = stablehlo.constant dense<{_dense(array)}> : {t}")
        self.constants[-1][key] = out
        return out

    def like(self, value: Any, x: V) -> V:
        """A number everywhere, in the type of a value."""
        return self.constant(value, x.dtype, x.shape)

    # ---- what other operations are made of

    def cast(self, x: V, dtype: DType) -> V:
        return x if x.dtype is dtype else self.op("convert", x, dtype=dtype)

    def reshape(self, x: V, shape: Sequence[Any]) -> V:
        if alike(x.shape, shape):
            return x
        if sized(*shape):
            return self.many("dynamic_reshape", (x, self.sizes(shape)), [(x.dtype, shape)])[0]
        return self.op("reshape", x, shape=shape)

    def broadcast(self, x: V, shape: Sequence[Any], dims: Sequence[int] | None = None) -> V:
        """Repeated up to a shape; dims say where x's are, at the end by default."""
        shape = tuple(shape)
        if alike(x.shape, shape):
            return x
        dims = range(len(shape) - x.rank, len(shape)) if dims is None else dims
        if sized(*shape, *x.shape):
            attrs = f"broadcast_dimensions = {ints(dims)}"
            return self.many("dynamic_broadcast_in_dim", (x, self.sizes(shape)), [(x.dtype, shape)], attrs)[0]
        return self.op("broadcast_in_dim", x, shape=shape, attrs=f"broadcast_dimensions = {ints(dims)}")

    def transpose(self, x: V, perm: Sequence[int]) -> V:
        if list(perm) == list(range(x.rank)):
            return x
        return self.op("transpose", x, shape=[x.shape[p] for p in perm], attrs=f"permutation = {ints(perm)}")

    def slice(
        self, x: V, starts: Sequence[Any], stops: Sequence[Any], steps: Sequence[int] | None = None, shape: Sequence[Any] | None = None
    ) -> V:
        steps = steps or (1,) * x.rank
        if sized(*starts, *stops):
            shape = [(b - a + s - 1) // s for a, b, s in zip(starts, stops, steps)] if shape is None else shape
            bounds = (self.sizes(v) for v in (starts, stops, steps))
            return self.many("real_dynamic_slice", (x, *bounds), [(x.dtype, shape)])[0]
        shape = [max(0, -(-(b - a) // s)) for a, b, s in zip(starts, stops, steps)]
        stops = [max(a, b) for a, b in zip(starts, stops)]
        attrs = f"start_indices = {ints(starts)}, limit_indices = {ints(stops)}, strides = {ints(steps)}"
        return self.op("slice", x, shape=shape, attrs=attrs)

    def concatenate(self, values: Sequence[V], axis: int) -> V:
        if len(values) == 1:
            return values[0]
        shape = list(values[0].shape)
        shape[axis] = sum(v.shape[axis] for v in values)
        return self.op("concatenate", *values, shape=shape, attrs=f"dimension = {axis} : i64")

    def part(self, x: V, at: V, axis: int) -> V:
        """The elements at one place along an axis, which stays."""
        shape = [1 if d == axis else n for d, n in enumerate(x.shape)]
        if not sized(*shape):
            zero = self.constant(0, dtypes.i64)
            places = [at if d == axis else zero for d in range(x.rank)]
            return self.op("dynamic_slice", x, *places, shape=shape, attrs=f"slice_sizes = {ints(shape)}")

        dims = f"offset_dims = {list(range(x.rank))}, start_index_map = [{axis}], index_vector_dim = 0"
        attrs = f"dimension_numbers = #stablehlo.gather<{dims}>, indices_are_sorted = false"
        return self.many("dynamic_gather", (x, self.reshape(at, (1,)), self.sizes(shape)), [(x.dtype, shape)], attrs)[0]

    def pad(self, x: V, value: V, low: Sequence[Any], high: Sequence[Any], interior: Sequence[int], shape: Sequence[Any]) -> V:
        if sized(*low, *high):
            amounts = (self.sizes(v) for v in (low, high, interior))
            return self.many("dynamic_pad", (x, value, *amounts), [(x.dtype, shape)])[0]
        attrs = f"edge_padding_low = {ints(low)}, edge_padding_high = {ints(high)}, interior_padding = {ints(interior)}"
        return self.op("pad", x, value, shape=shape, attrs=attrs)

    def iota(self, dtype: DType, shape: Sequence[Any], axis: int) -> V:
        if sized(*shape):
            return self.many("dynamic_iota", (self.sizes(shape),), [(dtype, shape)], f"iota_dimension = {axis} : i64")[0]
        return self.many("iota", (), [(dtype, shape)], f"iota_dimension = {axis} : i64")[0]

    def compare(self, direction: str, x: V, y: V) -> V:
        return self.op("compare", x, y, dtype=dtypes.bool_, attrs=f"comparison_direction = #stablehlo<comparison_direction {direction}>")

    def select(self, c: V, x: V, y: V) -> V:
        return self.many("select", (c, x, y), [(x.dtype, x.shape)])[0]

    def scalar(self, dtype: DType) -> V:
        """A new argument of a region: a number."""
        return self.value(dtype, ())

    def reduce(self, x: V, name: str, init: Any, axes: Sequence[int], keep: bool = True) -> V:
        """A reduction by one operation; the axes stay as extent 1."""
        axes = sorted(axes)
        shape = [d for i, d in enumerate(x.shape) if i not in axes]
        args = (self.scalar(x.dtype), self.scalar(x.dtype))
        start = self.constant(init, x.dtype)
        region = (args, lambda a, b: [self.op(name, a, b)])
        out = self.many("reduce", (x, start), [(x.dtype, shape)], f"dimensions = {ints(axes)}", [region])[0]
        return self.reshape(out, [1 if i in axes else d for i, d in enumerate(x.shape)]) if keep else out

    # ---- graphs

    def graph(self, g: Graph, inputs: Sequence[V]) -> list[V]:
        """The operations of a graph, with `inputs` for its inputs: its outputs."""
        outer, self.names = self.names, dict(zip(g.inputs, inputs, strict=True))
        try:
            for n in _needed(g):
                self.emit(n)
            return [self.names[v] for v in g.outputs]
        finally:
            self.names = outer

    def emit(self, n: Node) -> None:
        inputs = [self.names[v] for v in n.inputs]
        if n.op is OPS["call"]:
            outputs: Any = self.graph(n.attrs[0], inputs)
        else:
            rule = EMIT.get(n.op.name)
            if rule is None:
                raise UnsupportedError(f"StableHLO has nothing for {n.op.name} ({n.outputs[0].type})")
            outputs = rule(self, n, inputs)
        outputs = [outputs] if isinstance(outputs, V) else outputs
        for v, out in zip(n.outputs, outputs):
            if out.dtype is not v.type.dtype or not alike(out.shape, v.type.shape):
                raise UnsupportedError(f"{n.op.name} was written as {out.type}, where the graph has {v.type}")
        self.names.update(zip(n.outputs, outputs))


def ints(values: Any) -> str:
    """`array<i64: …>`. UnsupportedError for sizes that vary, where only numbers can stand."""
    values = list(values)
    if sized(*values):
        raise UnsupportedError(f"the size {next(v for v in values if isinstance(v, Size))} varies, where StableHLO has numbers alone")
    listed = ", ".join(map(str, values))
    return f"array<i64: {listed}>" if listed else "array<i64>"


def _needed(g: Graph) -> list[Node]:
    """The nodes that the outputs depend on."""
    live, out = set(g.outputs), []
    for n in reversed(g.nodes):
        if live.intersection(n.outputs):
            live.update(n.inputs)
            out.append(n)
    return out[::-1]


def _dense(array: np.ndarray) -> str:
    """An array as `dense` has it: numbers, or bytes where it is long, or what is no number."""
    if not array.size:
        return ""
    if array.size > _LISTED and array.dtype != bool:
        return f'"0x{np.ascontiguousarray(array).tobytes().hex().upper()}"'
    return _nested(array)


def _nested(array: np.ndarray) -> str:
    if array.ndim:
        return f"[{', '.join(map(_nested, array))}]"
    if array.dtype == bool:
        return "true" if array else "false"
    if array.dtype.kind in "iu":
        return str(int(array))
    if array.dtype.kind == "c":
        return f"({_nested(array.real)}, {_nested(array.imag)})"
    if array.dtype.itemsize == 8 and np.isfinite(array):
        text = repr(float(array))
        return text if "." in text else text.replace("e", ".0e") if "e" in text else f"{text}.0"
    return f"0x{int.from_bytes(array.tobytes(), 'little'):0{2 * array.dtype.itemsize}X}"
