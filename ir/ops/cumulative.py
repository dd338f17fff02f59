"""Running sums, products and extrema along one axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ingot.ir.builder import Builder, Expr
from ingot.ir.dtypes import REAL, Complex, DType, Number, by_numpy, i64
from ingot.ir.facts import Foldable, OverComplex, OwnKernels
from ingot.ir.graph import Graph
from ingot.ir.loop.folds import PROD, SUM, Fold, Scalars, highest, lowest
from ingot.ir.op import OPS, Op
from ingot.ir.ops.batching import axis_batch
from ingot.ir.ops.family import declare, linear_jvp, narrow, need_axis, need_dtype, widen
from ingot.ir.ops.movement import inverse, shifted
from ingot.ir.ops.samples import Case, case
from ingot.ir.size import remembered
from ingot.ir.struct import replace
from ingot.ir.types import Shape, TensorType, tensor_type

Exprs = Sequence[Expr]
_SHAPES = (((3, 4), 1), ((3, 4), 0), ((7,), 0), ((2, 3, 2), 1), ((0, 3), 0), ((2, 0), 0), ((1, 1), 1))


def _accumulate(name: str, fn: Callable) -> tuple[Callable, Callable]:
    def infer(types: tuple[TensorType, ...], axis: int, reverse: bool) -> TensorType:
        (x,) = types
        need_dtype(name, x, Number | Complex)
        need_axis(name, axis, x.rank)
        return x

    def ref(x: np.ndarray, axis: int, reverse: bool) -> np.ndarray:
        wide = widen(x, True)
        wide = np.flip(wide, axis) if reverse else wide
        out = fn(wide, axis=axis, dtype=wide.dtype)
        return narrow(np.flip(out, axis) if reverse else out, by_numpy(x.dtype))

    return infer, ref


def _both_ways() -> list[Case]:
    out = [case(("f32", s), axis=a, reverse=r) for s, a in _SHAPES for r in (False, True)]
    out += [case((d.name, (3, 4)), axis=1, reverse=False) for d in sorted(Number | Complex, key=str) if d.name != "f32"]
    zeros = [2, 0, 3, 0, 1, 5, 0, 7]
    return [*out, case(("f32", (2, 4), zeros), axis=1, reverse=False), case(("f32", (2, 4), zeros), axis=1, reverse=True)]


_infer, _ref = _accumulate("cumsum", np.cumsum)
cumsum = declare(
    "cumsum", doc="Running sum along `axis`, from the end if `reverse`; f32 sums in f64. Integers keep their dtype and wrap around.",
    attrs=("axis", "reverse"), infer=_infer, ref=_ref, jvp=linear_jvp("cumsum"), batch=axis_batch("cumsum"),
    samples=_both_ways,
    vjp=lambda cts, ins, outs, axis, reverse: [OPS["cumsum"](cts[0], axis=axis, reverse=not reverse)],
    lowering=OwnKernels("cumulative", fold=replace(SUM, wide=True)), foldable=Foldable.NEVER, over_complex=OverComplex.PLAIN,
)  # fmt: skip


@remembered(256)
def _recurrence(dtype: DType, shape: Shape) -> Graph:
    """One step of c[i] = g[i] + x[i + 1] c[i + 1]: carries x[i] c[i], emits c[i]."""
    b = Builder("linear_recurrence")
    t = tensor_type(dtype, shape)
    carried, g, x = (b.expr(b.input(t, n)) for n in ("carried", "g", "x"))
    c = g + carried
    return b.freeze(((x * c).value, c.value))


def _cumprod_vjp(cts: Exprs, ins: Exprs, outs: Exprs, axis: int, reverse: bool) -> list[Expr]:
    """dL/dx[i] = y[i - 1] c[i] with c[i] = g[i] + x[i + 1] c[i + 1]: no division, so that zeros are right too."""
    x, y, g = ins[0], outs[0], cts[0]
    n = x.shape[axis]
    if n == 0:
        return [g]
    perm = (axis, *(i for i in range(x.rank) if i != axis))
    rest = tuple(x.shape[i] for i in perm[1:])
    first = x.const(0).broadcast(rest)
    _, c = OPS["scan"](
        first, g.transpose(perm), x.transpose(perm),
        body=_recurrence(x.dtype, rest), n_const=0, n_carry=1, length=n, reverse=not reverse,
    )  # fmt: skip
    return [shifted(y, axis, reverse) * c.transpose(inverse(perm))]


@remembered(256)
def _following(dtype: DType, shape: Shape) -> Graph:
    """One step of c[i] = g[i] + x[i] c[i - 1]: carries and emits c[i]."""
    b = Builder("linear_recurrence")
    t = tensor_type(dtype, shape)
    carried, g, x = (b.expr(b.input(t, n)) for n in ("carried", "g", "x"))
    c = (g + x * carried).value
    return b.freeze((c, c))


def _cumprod_jvp(tangents: Sequence[Expr | None], ins: Exprs, outs: Exprs, axis: int, reverse: bool) -> list[Expr]:
    """dy[i] = y[i - 1] dx[i] + x[i] dy[i - 1]."""
    (x,), (t,) = ins, tangents
    assert t is not None
    n = x.shape[axis]
    if n == 0:
        return [t]
    perm = (axis, *(i for i in range(x.rank) if i != axis))
    rest = tuple(x.shape[i] for i in perm[1:])
    g = shifted(outs[0], axis, reverse) * t
    _, dy = OPS["scan"](
        x.const(0).broadcast(rest), g.transpose(perm), x.transpose(perm),
        body=_following(x.dtype, rest), n_const=0, n_carry=1, length=n, reverse=reverse,
    )  # fmt: skip
    return [dy.transpose(inverse(perm))]


_infer, _ref = _accumulate("cumprod", np.cumprod)
cumprod = declare(
    "cumprod", doc="Running product along `axis`, from the end if `reverse`; f32 multiplies in f64. Integers wrap around.",
    attrs=("axis", "reverse"), infer=_infer, ref=_ref, vjp=_cumprod_vjp, jvp=_cumprod_jvp, batch=axis_batch("cumprod"), samples=_both_ways,
    lowering=OwnKernels("cumulative", fold=replace(PROD, wide=True)), foldable=Foldable.NEVER, over_complex=OverComplex.CONJUGATE,
)  # fmt: skip


# -- running extrema -------------------------------------------------------------------------------------------------


def _last(instruction: str, worst: Callable) -> Fold:
    """The best value and its position: the last of equals, as in torch; NaN is better than all else.

    Its steps have an order, so it is not in the table of folds that a `Reduce` may name.
    """

    def combine(e: Any, a: Scalars, b: Scalars) -> Scalars:
        (best, at), (value, position) = a, b
        newer = getattr(e, instruction)(value, best)
        if e.dtype(best).kind == "f":
            newer = e.or_(e.ne(value, value), e.and_(newer, e.eq(best, best)))
        return e.select(newer, value, best), e.select(newer, position, at)

    def start(dtype: DType) -> tuple:
        return worst(dtype), 0

    return Fold(f"last_{instruction}", combine, start, start, more=(i64,), positions=True, values=2)


def _running_extremum(name: str, which: str, at_least: Callable, fold: Fold) -> Op:
    def infer(types: tuple[TensorType, ...], axis: int) -> tuple[TensorType, ...]:
        (x,) = types
        need_axis(name, axis, x.rank)
        return x, x.with_dtype(i64)

    def ref(x: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
        moved = np.moveaxis(x, axis, 0)
        values, index = moved.copy(), np.zeros(moved.shape, np.int64)
        for i in range(1, len(moved)):
            new, old = widen(moved[i]), widen(values[i - 1])
            # `x != x` is NaN, which wins, and wins again
            take = (new != new) | ((old == old) & at_least(new, old))
            values[i] = np.where(take, moved[i], values[i - 1])
            index[i] = np.where(take, i, index[i - 1])
        return np.moveaxis(values, 0, axis).copy(), np.moveaxis(index, 0, axis).copy()

    def vjp(cts: Exprs, ins: Exprs, outs: Exprs, axis: int) -> list[Expr]:
        return [OPS["scatter"](ins[0].full(0), outs[1], cts[0], axis=axis, mode="add")]

    def jvp(tangents: Exprs, ins: Exprs, outs: Exprs, axis: int) -> list[Expr | None]:
        return [OPS["gather"](tangents[0], outs[1], axis=axis), None]

    def samples() -> list[Case]:
        out = [case(("f32", s, "distinct"), axis=a) for s, a in _SHAPES]
        out += [case((d.name, (3, 4)), axis=1, grad=False) for d in REAL]
        return [*out, case(("f32", (8,), [1, 1, np.nan, 3, np.nan, np.inf, -np.inf, 1]), axis=0, grad=False)]

    return declare(
        name, doc=f"The {which} element so far along `axis`, and its position (i64): the last of equals; NaN wins.",
        attrs=("axis",), infer=infer, ref=ref, vjp=vjp, jvp=jvp, batch=axis_batch(name), samples=samples,
        lowering=OwnKernels("cumulative", fold=fold), foldable=Foldable.NEVER,
    )  # fmt: skip


cummax = _running_extremum("cummax", "greatest", np.greater_equal, _last("ge", lowest))
cummin = _running_extremum("cummin", "least", np.less_equal, _last("le", highest))
