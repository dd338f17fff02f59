"""Reductions: the reduced dims stay, with extent 1."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import reduce
from typing import Any

import numpy as np

from ingot.ir.builder import Expr
from ingot.ir.dtypes import Bool, Complex, DType, Float, Number, by_numpy, f32, i64
from ingot.ir.facts import Foldable, OverComplex, Reduction
from ingot.ir.loop import folds
from ingot.ir.op import NO_GRAD, OPS, Op
from ingot.ir.ops.batching import axis_batch
from ingot.ir.ops.family import declare, linear_jvp, narrow, need_axes, need_axis, need_dtype, need_within, widen
from ingot.ir.ops.movement import inverse, shifted
from ingot.ir.ops.samples import Case, case
from ingot.ir.public import Reduce
from ingot.ir.size import ShapeError
from ingot.ir.struct import replace
from ingot.ir.types import Shape, TensorType, tensor_type

Axes = tuple[int, ...]

_SHAPES: tuple[tuple[Shape, Axes], ...] = (
    ((3, 4), (1,)), ((3, 4), (0,)), ((2, 3, 4), (0, 2)), ((5,), (0,)), ((2, 3), ()), ((1, 1), (0, 1)), ((0, 3), (1,)), ((3, 33), (1,)),
)  # fmt: skip
_EMPTY: tuple[tuple[Shape, Axes], ...] = (((0, 3), (0,)), ((2, 0), (0, 1)))


def reduced(shape: Shape, axes: Axes) -> Shape:
    """`shape` with extent 1 at `axes`."""
    return tuple(1 if i in axes else d for i, d in enumerate(shape))


def reduction(name: str, dtypes: Collection[DType], *, fold: folds.Fold, doc: str, ref: Any, vjp: Any, jvp: Any, empty: bool,
              precise: bool = False, values: Any = None, public: Reduce | None = None,
              over_complex: OverComplex = OverComplex.NONE) -> Op:  # fmt: skip
    """Declare a reduction over {axes}. `fold`: see ir/loop/folds.py. `empty`: reducing no elements has a meaning."""

    dtypes = dtypes if over_complex is OverComplex.NONE else Complex.union(dtypes)

    def infer(types: tuple[TensorType, ...], axes: Axes) -> TensorType:
        (x,) = types
        need_dtype(name, x, dtypes)
        need_axes(name, axes, x.rank)
        if not empty and any(x.shape[a] == 0 for a in axes):
            raise ShapeError(f"{name}: {x} has no elements along axes {axes}, and {name} of nothing has no value")
        return tensor_type(x.dtype, reduced(x.shape, axes))

    def reference(x: np.ndarray, axes: Axes) -> np.ndarray:
        if not empty and any(x.shape[a] == 0 for a in axes):  # a dim that has turned out so: as compiled code does, which begins with it
            return np.full(reduced(x.shape, axes), fold.initial(by_numpy(x.dtype))[0], x.dtype)
        return narrow(ref(widen(x, precise), axis=axes, keepdims=True), by_numpy(x.dtype))

    def samples() -> list[Case]:
        shapes = _SHAPES + (_EMPTY if empty else ())
        order = sorted(dtypes, key=lambda d: (d is not f32, d.name))
        spec = () if values is None else (values,)
        out = [case((d.name, s, *spec), axes=a) for i, d in enumerate(order) for s, a in (shapes if i == 0 else shapes[:3])]
        special = [1, np.nan, 2, np.inf, 5, -np.inf, -0.0, 0, 0, 1, 1, np.inf]
        return out + [case((d.name, (4, 3), special), axes=(1,), grad=False) for d in sorted(Float.intersection(dtypes), key=str)]

    return declare(
        name, doc=doc, attrs=("axes",), infer=infer, ref=reference, vjp=vjp, jvp=jvp, batch=axis_batch(name), samples=samples,
        lowering=Reduction(fold), foldable=Foldable.INTEGERS, public=public and replace(public, empty=empty),
        over_complex=over_complex,
    )  # fmt: skip


def _wrapping(fn: Any) -> Any:
    """NumPy widens the sums of small integers: keep the dtype, which wraps around to the same bits."""
    return lambda x, **kw: fn(x, dtype=x.dtype, **kw)


reduce_sum = reduction(
    "reduce_sum", Number, fold=folds.SUM, doc="Sum over `axes` in the input's dtype; halves accumulate in f32, integers wrap around.",
    ref=_wrapping(np.sum), vjp=lambda cts, ins, outs, axes: [cts[0].broadcast(ins[0].shape)], jvp=linear_jvp("reduce_sum"),
    empty=True, precise=True, over_complex=OverComplex.PLAIN,
)  # fmt: skip


def _summed_jvp(vjp: Callable) -> Callable:
    """Of a reduction: every element's tangent by its gradient, summed."""
    return lambda tangents, ins, outs, axes: [(tangents[0] * vjp([outs[0].full(1)], ins, outs, axes)[0]).sum(axes)]


def _prod_vjp(cts: Sequence[Expr], ins: Sequence[Expr], outs: Sequence[Expr], axes: Axes) -> list[Expr]:
    """The derivative by one factor is the product of all the others, which is right when factors are zero too."""
    x = ins[0]
    if not axes:
        return [cts[0]]
    kept = tuple(i for i in range(x.rank) if i not in axes)
    perm = kept + axes
    shape = tuple(x.shape[i] for i in perm)
    n = reduce(lambda a, b: a * b, (x.shape[a] for a in axes), 1)
    flat = x.transpose(perm).reshape(shape[: len(kept)] + (n,))
    axis = len(kept)
    before, after = (OPS["cumprod"](shifted(flat, axis, reverse), axis=axis, reverse=reverse) for reverse in (False, True))
    others = before * after
    return [cts[0] * others.reshape(shape).transpose(inverse(perm))]


reduce_prod = reduction(
    "reduce_prod", Number, fold=replace(folds.PROD, wide=True), doc="Product over `axes` in the input's dtype; integers wrap around.",
    ref=_wrapping(np.prod), vjp=_prod_vjp, jvp=_summed_jvp(_prod_vjp), empty=True, precise=True, over_complex=OverComplex.CONJUGATE,
)  # fmt: skip


def _extremum_vjp(cts: Sequence[Expr], ins: Sequence[Expr], outs: Sequence[Expr], axes: Axes) -> list[Expr]:
    """Elements equal to the extremum share the cotangent equally."""
    ct, x, y = cts[0], ins[0], outs[0]
    winners = x.eq(y)
    count = winners.cast(x.dtype).sum(axes)
    return [OPS["select"](winners, ct, 0.0) / count]  # a NaN extremum has no winner: 0 / 0, as in torch


reduce_max = reduction(
    "reduce_max", Number, fold=folds.MAX, doc="Greatest element over `axes`; NaN if there is one. Equal elements share the derivative.",
    ref=np.max, vjp=_extremum_vjp, jvp=_summed_jvp(_extremum_vjp), empty=False, values="distinct",
    public=Reduce("number", "The largest element; NaN wins. Ties share the gradient.", name="amax", bools="reduce_or"),
)  # fmt: skip
reduce_min = reduction(
    "reduce_min", Number, fold=folds.MIN, doc="Least element over `axes`; NaN if there is one. Equal elements share the derivative.",
    ref=np.min, vjp=_extremum_vjp, jvp=_summed_jvp(_extremum_vjp), empty=False, values="distinct",
    public=Reduce("number", "The smallest element; NaN wins. Ties share the gradient.", name="amin", bools="reduce_and"),
)  # fmt: skip
reduce_and = reduction(
    "reduce_and", Bool, fold=folds.AND, doc="Whether all hold.", ref=np.all, vjp=NO_GRAD, jvp=NO_GRAD, empty=True,
    public=Reduce("truth", "True where all elements are true (not zero).", name="all"),
)  # fmt: skip
reduce_or = reduction(
    "reduce_or", Bool, fold=folds.OR, doc="Whether any holds.", ref=np.any, vjp=NO_GRAD, jvp=NO_GRAD, empty=True,
    public=Reduce("truth", "True where any element is true (not zero).", name="any"),
)  # fmt: skip


# -- positions -------------------------------------------------------------------------------------------------------


def _position(name: str, which: str, ref: Any, fold: folds.Fold) -> Op:
    def infer(types: tuple[TensorType, ...], axis: int) -> TensorType:
        (x,) = types
        need_axis(name, axis, x.rank)
        need_within(1, x.shape[axis], lambda: f"{name}: {x} has no elements along axis {axis}")
        return tensor_type(i64, reduced(x.shape, (axis,)))

    def samples() -> list[Case]:
        shapes = (((3, 4), 1), ((5, 2), 0), ((1,), 0))
        special = [1, np.nan, 9, np.nan, 5, 5, 5, 5, -np.inf, 0.0, -0.0, -np.inf]
        out = [case((d, s), axis=a) for d in ("f32", "f64", "bf16", "i32", "u8", "bool") for s, a in shapes]
        return [*out, case(("f32", (3, 4), special), axis=1)]

    return declare(
        name, doc=f"Position (i64) of the {which} element along `axis`: the first if several, the first NaN if there is one.",
        attrs=("axis",), infer=infer, ref=lambda x, axis: np.expand_dims(ref(widen(x), axis), axis).astype(np.int64),
        vjp=NO_GRAD, jvp=NO_GRAD, batch=axis_batch(name), samples=samples, lowering=Reduction(fold), foldable=Foldable.INTEGERS,
        public=Reduce("position", f"Index of the {which} element. The first of equals; int64.", empty=False),
    )  # fmt: skip


argmax = _position("argmax", "largest", np.argmax, folds.ARGMAX)
argmin = _position("argmin", "smallest", np.argmin, folds.ARGMIN)
