"""Folds: how values are combined into accumulators. A `Reduce` of the loop IR names one.

A fold is declared once, over the scalar instructions of `ir/instructions.py`, for the interpreter, for every backend and for the
lowering; declaring it enters it in `FOLDS`. The common ones stand here; one that a single op uses stands beside that op.

    ABSMAX = fold("absmax", lambda e, a, b: e.max(e.abs(a), e.abs(b)), neutral=lambda dtype: 0)
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from ingot.ir.dtypes import DType, Half, f32, f64, i32, i64
from ingot.ir.struct import frozen, struct

__all__ = [
    "Fold", "FOLDS", "fold", "register", "lowest", "highest",
    "SUM", "PROD", "MAX", "MIN", "AND", "OR", "FMA", "ARGMAX", "ARGMIN",
]  # fmt: skip

Scalars = tuple[Any, ...]  # of an ir/instructions.Emitter
Number = bool | int | float


@frozen
@struct
class Fold:
    """How values are folded into accumulators.

    name                           in the loop IR's text
    combine(e, a, b) -> scalars    the accumulators b folded into a, over ir/instructions.Emitter; in any order
    neutral(dtype) -> numbers      accumulators that leave others unchanged; dtype: that of the first accumulator
    initial(dtype) -> numbers      what a fold starts from, and what it makes of nothing
    more                           dtypes of the accumulators after the first, which has the dtype of the elements
    positions                      an element is folded in with its position along the folded dim: two values
    result                         the accumulator that holds the result
    step(e, accs, values)          folds in an element; None: like `combine`
    values                         how many values that is
    parts                          the fold that partial results are combined by; None: this one
    narrow                         the same with positions of 32 bits, of which a register holds twice as many
    wide                           float32 accumulates in float64: for chains so long that roundings would add up
    """

    name: str
    combine: Callable[[Any, Scalars, Scalars], Scalars]
    neutral: Callable[[DType], tuple[Number, ...]]
    initial: Callable[[DType], tuple[Number, ...]]
    more: tuple[DType, ...] = ()
    positions: bool = False
    result: int = 0
    step: Callable[[Any, Scalars, Scalars], Scalars] | None = None
    values: int = 1
    parts: Fold | None = None
    wide: bool = False
    narrow: Fold | None = None

    def __repr__(self) -> str:
        return self.name

    def accumulators(self, dtype: DType) -> tuple[DType, ...]:
        """The dtypes of the accumulators for elements of `dtype`: halves accumulate in f32."""
        return (f32 if dtype in Half else f64 if self.wide and dtype is f32 else dtype, *self.more)

    @property
    def across(self) -> Fold:
        """The fold that combines partial results of this one."""
        return self.parts or self

    def fold_in(self, e: Any, accs: Scalars, values: Scalars) -> Scalars:
        """The accumulators with one more element."""
        return (self.step or self.combine)(e, accs, values)


FOLDS: dict[str, Fold] = {}


def register(fold: Fold) -> Fold:
    """Enter `fold` in the table of all folds. ValueError if its name is taken."""
    if fold.name in FOLDS:
        raise ValueError(f"fold {fold.name} is declared twice")
    FOLDS[fold.name] = fold
    return fold


def fold(
    name: str, combine: Callable[[Any, Any, Any], Any], neutral: Callable[[DType], Number], initial: Callable[[DType], Number] | None = None
) -> Fold:
    """Declare a fold into one accumulator: `combine` takes and gives scalars, `neutral` and `initial` (neutral unless given) numbers."""
    start = initial or neutral
    return register(
        Fold(name, lambda e, a, b: (combine(e, *a, *b),), lambda dtype: (neutral(dtype),), lambda dtype: (start(dtype),))
    )


def lowest(dtype: DType) -> Number:
    """The least value of a dtype."""
    if dtype.kind == "f":
        return -inf
    return False if dtype.kind == "b" else 0 if dtype.kind == "u" else -(2 ** (dtype.bits - 1))


def highest(dtype: DType) -> Number:
    """The greatest value of a dtype."""
    if dtype.kind == "f":
        return inf
    return True if dtype.kind == "b" else 2 ** (dtype.bits - (dtype.kind == "i")) - 1


def _truth(bools: str, others: str) -> Callable[[Any, Any, Any], Any]:
    """One instruction for bools, another for the other dtypes."""
    return lambda e, a, b: getattr(e, bools if e.dtype(a).kind == "b" else others)(a, b)


# a sum of floats starts from 0.0: it is never -0.0, which is what leaves every float unchanged
SUM = fold("sum", _truth("or_", "add"), lambda d: -0.0 if d.kind == "f" else 0, initial=lambda d: 0)
PROD = fold("prod", _truth("and_", "mul"), lambda d: 1)
MAX = fold("max", _truth("or_", "max"), lowest)
MIN = fold("min", _truth("and_", "min"), highest)
AND = fold("and", lambda e, a, b: e.and_(a, b), lambda d: -1 if d.kind == "i" else highest(d))
OR = fold("or", lambda e, a, b: e.or_(a, b), lambda d: False if d.kind == "b" else 0)
FMA = register(
    Fold(
        "fma", SUM.combine, SUM.neutral, SUM.initial,
        step=lambda e, accs, values: (e.fma(values[0], values[1], accs[0]),), values=2, parts=SUM,
    )
)  # fmt: skip


# -- positions -------------------------------------------------------------------------------------------------------


def _first(name: str, better: str, no_better: str, worst: Callable[[DType], Number], position: DType = i64) -> Fold:
    """The best value and its position: the first of equals; NaN is better than all else.

    Where positions are of 32 bits, elements are folded in in their order. Where none is better than what the fold starts from, its
    position stays the highest of all: then they are equal, and the first is the best.
    """

    def combine(e: Any, a: Scalars, b: Scalars) -> Scalars:
        (best, at), (value, position) = a, b
        take = getattr(e, better)(value, best)
        same = e.eq(value, best)
        if e.dtype(best).kind == "f":
            new_nan, old_nan = e.ne(value, value), e.ne(best, best)
            take = e.or_(take, e.and_(new_nan, e.not_(old_nan)))
            same = e.or_(same, e.and_(new_nan, old_nan))
        take = e.or_(take, e.and_(same, e.lt(position, at)))
        return e.select(take, value, best), e.select(take, position, at)

    def worst_of_all(dtype: DType) -> tuple[Number, ...]:
        return worst(dtype), highest(position)

    def in_order(e: Any, accs: Scalars, values: Scalars) -> Scalars:
        (best, at), (value, place) = accs, values
        take = getattr(e, better)(value, best)
        if e.dtype(best).kind == "f":
            take = e.and_(e.not_(getattr(e, no_better)(value, best)), e.eq(best, best))
        return e.select(take, value, best), e.select(take, place, at)

    wide = position is i64
    return register(Fold(
        name, combine, neutral=worst_of_all, initial=worst_of_all, more=(position,), positions=True, result=1, values=2,
        step=None if wide else in_order, narrow=_first(f"{name}_narrow", better, no_better, worst, i32) if wide else None,
    ))  # fmt: skip


ARGMAX = _first("argmax", "gt", "le", lowest)
ARGMIN = _first("argmin", "lt", "ge", highest)
