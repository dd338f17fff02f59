"""What ops do with complex values, said in real ones: the rules by which the pass `parts` rewrites a graph.

A rule takes the inputs of a node, complex ones as `Parts`, and its attributes; it gives the outputs likewise. Every op that takes
complex values by its declaration (`over_complex`) has one in `RULES`, but those that hold a graph: that is rewritten as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ingot.ir.builder import Expr
from ingot.ir.dtypes import DType
from ingot.ir.graph import Const
from ingot.ir.op import OPS, Op
from ingot.ir.ops import complex_functions as functions
from ingot.ir.ops import spectra
from ingot.ir.ops.complex_functions import Pair
from ingot.ir.types import Dim, Shape

__all__ = ["Parts", "RULES"]


class Parts:
    """A complex value: `re` and `im`, and `packed`, both with the part as the last dim, as it is in memory. Each is made when asked for."""

    __slots__ = ("_pair", "_packed")

    def __init__(self, pair: Pair | None, packed: Expr | None = None):
        self._pair = pair
        self._packed = packed

    @property
    def shape(self) -> Shape:
        return self._pair[0].shape if self._pair is not None else self._packed.shape[:-1]  # type: ignore[union-attr]

    @property
    def dtype(self) -> DType:
        """Of the parts."""
        return self._pair[0].dtype if self._pair is not None else self._packed.dtype  # type: ignore[union-attr]

    @property
    def pair(self) -> Pair:
        if self._pair is None:
            assert self._packed is not None
            self._pair = _part(self._packed, 0), _part(self._packed, 1)
        return self._pair

    @property
    def is_packed(self) -> bool:
        return self._packed is not None

    @property
    def packed(self) -> Expr:
        if self._packed is None:
            assert self._pair is not None
            re, im = (p.reshape((*p.shape, 1)) for p in self._pair)
            self._packed = OPS["concatenate"](re, im, axis=re.rank - 1)
        return self._packed


def _part(packed: Expr, which: int) -> Expr:
    shape = packed.shape[:-1]
    zeros, ones = (0,) * len(shape), (1,) * len(shape)
    return OPS["slice"](packed, starts=(*zeros, which), stops=(*shape, which + 1), steps=(*ones, 1)).reshape(shape)


Rule = Callable[..., list[Any]]


# -- by kinds --------------------------------------------------------------------------------------------------------


def _function(fn: Callable[..., Pair]) -> Rule:
    """An elementwise function of pairs."""

    def rule(op: Op, ins: Sequence[Parts], *attrs: Any) -> list[Parts]:
        re, im = fn(*(z.pair for z in ins), *attrs)
        shape = re.shape if re.rank >= im.rank else im.shape
        return [Parts((re.broadcast(shape), im.broadcast(shape)))]

    return rule


def _each(along: Callable[..., tuple] | None = None, complex_inputs: int | None = None) -> Rule:
    """The op on each part by itself; where all inputs are packed and `along` gives the attributes for one more dim, on both at once.

    complex_inputs: the inputs behind so many are no values but indices.
    """

    def rule(op: Op, ins: Sequence[Any], *attrs: Any) -> list[Parts]:
        named = dict(zip(op.attr_names, attrs))
        values = [x for x in ins if isinstance(x, Parts)]
        if along is not None and len(values) == len(ins) and all(z.is_packed for z in values):
            rank = len(values[0].shape)
            return [Parts(None, op(*(z.packed for z in values), **dict(zip(op.attr_names, along(rank, *attrs)))))]
        both = [op(*(x.pair[k] if isinstance(x, Parts) else x for x in ins), **named) for k in (0, 1)]
        return [Parts((both[0], both[1]))]

    return rule


def _aligned(op: Op, ins: Sequence[Parts], *attrs: Any) -> list[Parts]:
    """An elementwise op that is linear with real factors."""
    if all(z.is_packed for z in ins) and len({len(z.shape) for z in ins}) == 1:
        return [Parts(None, op(*(z.packed for z in ins)))]
    return [Parts((op(*(z.pair[0] for z in ins)), op(*(z.pair[1] for z in ins))))]


def _bilinear(op: Op, ins: Sequence[Parts], *attrs: Any) -> list[Parts]:
    """Four real ones. Three (Gauss's way) would lose the smaller part to cancellation."""
    (ar, ai), (br, bi) = (z.pair for z in ins)
    named = dict(zip(op.attr_names, attrs))

    def f(a: Expr, b: Expr) -> Expr:
        return op(a, b, **named)

    return [Parts((f(ar, br) - f(ai, bi), f(ar, bi) + f(ai, br)))]


# -- one by one ------------------------------------------------------------------------------------------------------


def _dot(op: Op, ins: Sequence[Parts], batch: tuple, contract: tuple) -> list[Parts]:
    """One real product: [ar ai] [[br bi] [-bi br]], four multiplications for each complex one, all in one sum.

    Three would do (Gauss), but lose the smaller part of a result to cancellation.
    """
    a, b = ins
    rank_a, rank_b = len(a.shape), len(b.shape)
    br, bi = b.pair
    shape = (*b.shape, 1, 2)
    rows = [Parts(pair).packed.reshape(shape) for pair in ((br, bi), (-bi, br))]
    right = OPS["concatenate"](*rows, axis=rank_b)
    out = op(a.packed, right, batch=batch, contract=((*contract[0], rank_a), (*contract[1], rank_b)))
    return [Parts(None, out)]


def _cast(op: Op, ins: Sequence[Any], dtype: DType) -> list[Any]:
    x = ins[0]
    if not isinstance(x, Parts):
        re = x.cast(dtype.to_real())
        return [Parts((re, re.full(0.0)))]
    if dtype.kind == "c":
        if x.is_packed:
            return [Parts(None, x.packed.cast(dtype.to_real()))]
        re, im = x.pair
        return [Parts((re.cast(dtype.to_real()), im.cast(dtype.to_real())))]
    re, im = x.pair
    return [re.ne(0.0) | im.ne(0.0) if dtype.kind == "b" else re.cast(dtype)]


def _select(op: Op, ins: Sequence[Any]) -> list[Parts]:
    mask, a, b = ins
    (ar, ai), (br, bi) = a.pair, b.pair
    return [Parts((op(mask, ar, br), op(mask, ai, bi)))]


def _equal(op: Op, ins: Sequence[Parts]) -> list[Expr]:
    (ar, ai), (br, bi) = (z.pair for z in ins)
    re, im = op(ar, br), op(ai, bi)
    return [re & im if op.name == "eq" else re | im]


def _constant(op: Op, ins: Sequence[Any], value: Const, *, builder: Any) -> list[Parts]:
    part = value.type.dtype.to_real()
    array = value.array()
    return [Parts((builder.expr(builder.constant(array.real, part)), builder.expr(builder.constant(array.imag, part))))]


def _product(op: Op, ins: Sequence[Parts], axes: tuple[int, ...]) -> list[Parts]:
    """Halves times halves, until one is left."""
    (z,) = ins
    kept = tuple(i for i in range(len(z.shape)) if i not in axes)
    n = 1
    for a in axes:
        n *= z.shape[a]
    perm = kept + axes
    re, im = (p.transpose(perm).reshape((*(z.shape[i] for i in kept), n)) for p in z.pair)
    if n == 0:
        re, im = (_ends(p, 0, 1, value) for p, value in ((re, 1.0), (im, 0.0)))
        n = 1
    while n > 1:
        half = (n + 1) // 2
        second = [_ends(_cut(p, half, n), 0, 2 * half - n, value) for p, value in ((re, 1.0), (im, 0.0))]
        re, im = functions.mul((_cut(re, 0, half), _cut(im, 0, half)), (second[0], second[1]))
        n = half
    shape = tuple(1 if i in axes else d for i, d in enumerate(z.shape))
    return [Parts((re.reshape(shape), im.reshape(shape)))]


def _cut(x: Expr, start: Dim, stop: Dim) -> Expr:
    """Part of the last dim."""
    if (start, stop) == (0, x.shape[-1]):
        return x
    lead = x.shape[:-1]
    return OPS["slice"](x, starts=(*(0 for _ in lead), start), stops=(*lead, stop), steps=(1,) * x.rank)


def _ends(x: Expr, low: Dim, high: Dim, value: float) -> Expr:
    """Padding of the last dim."""
    if low == high == 0:
        return x
    none = (0,) * (x.rank - 1)
    return OPS["pad"](x, value, low=(*none, low), high=(*none, high), interior=(0,) * x.rank)


def _running_product(op: Op, ins: Sequence[Parts], axis: int, reverse: bool) -> list[Parts]:
    """Each element times that 1 before it, then 2, 4, ... before it."""
    (z,) = ins
    rank, n = len(z.shape), z.shape[axis]
    perm = (*(i for i in range(rank) if i != axis), axis)
    back = tuple(perm.index(i) for i in range(rank))
    pair = tuple(p.transpose(perm) for p in z.pair)
    step = 1
    while step < n:
        low, high, start = (0, step, step) if reverse else (step, 0, 0)
        shifted = tuple(_cut(_ends(p, low, high, value), start, start + n) for p, value in zip(pair, (1.0, 0.0)))
        pair = functions.mul(pair, shifted)  # type: ignore[arg-type]
        step *= 2
    return [Parts(tuple(p.transpose(back) for p in pair))]  # type: ignore[arg-type]


RULES: dict[str, Rule] = {
    # between complex and real
    "complex": lambda op, ins: [Parts(tuple(p.broadcast(_wide(ins)) for p in ins))],  # type: ignore[arg-type]
    "real": lambda op, ins: [ins[0].pair[0]],
    "imag": lambda op, ins: [ins[0].pair[1]],
    "view_as_real": lambda op, ins: [ins[0].packed],
    "view_as_complex": lambda op, ins: [Parts(None, ins[0])],
    "magnitude": lambda op, ins: [functions.magnitude(ins[0].pair)],
    "cast": _cast,
    "eq": _equal,
    "ne": _equal,
    "select": _select,
    "constant": _constant,
    # elementwise
    "add": _aligned,
    "sub": _aligned,
    "neg": _aligned,
    **{name: _function(fn) for name, fn in functions.FUNCTIONS.items()},
    # movement
    "reshape": _each(lambda rank, shape: ((*shape, 2),)),
    "transpose": _each(lambda rank, perm: ((*perm, rank),)),
    "slice": _each(lambda rank, starts, stops, steps: ((*starts, 0), (*stops, 2), (*steps, 1))),
    "reverse": _each(lambda rank, axes: (axes,)),
    "concatenate": _each(lambda rank, axis: (axis,)),
    "broadcast": _each(),
    "pad": _each(),
    "gather": _each(),
    "scatter": _each(),
    "index_get": _each(),
    "index_put": _each(),
    # folds
    "reduce_sum": _each(),
    "reduce_prod": _product,
    "cumsum": _each(),
    "cumprod": _running_product,
    # transforms
    "fft": lambda op, ins, axis, inverse: [Parts(None, spectra.along(ins[0].packed, axis, 1 if inverse else -1))],
    # products
    "dot": _dot,
    "conv": _bilinear,
    "conv_input_grad": _bilinear,
    "conv_weight_grad": _bilinear,
}


def _wide(ins: Sequence[Expr]) -> Shape:
    from ingot.ir.types import broadcast_shapes

    return broadcast_shapes(*(x.shape for x in ins))
