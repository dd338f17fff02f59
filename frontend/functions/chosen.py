"""What there is as much of as values say: positions that a mask chooses, repeats, distinct elements.

Values are read at once where that can be; a compiled function computes how many there are, and goes on with a size that only a run knows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ingot._tensor.composites import routine
from ingot._tensor.recording import own_array, placed
from ingot.functions.common import Tensor, apply, cast, dtypes, plain_dims, scalar
from ingot.functions.creation import arange
from ingot.functions.cumulative import cumsum
from ingot.functions.index import index_select, taken
from ingot.runtime.recorder import here

__all__ = ["chosen", "chosen_per_dim", "computed", "distinct", "measured", "spread", "tally"]


def computed(x: Tensor) -> bool:
    """Whether a compiled function computes x, and may have sizes that follow from it; else its value can be read."""
    rec = here.recorder
    return rec.measures and not rec.knows(x._now())


def measured(count: Tensor, most: int | None = None, negative: str = "") -> Any:
    """The number in an int64 scalar, of at most `most`, as an extent that the compiled function computes.

    A call in which it is less than 0 fails with the message `negative`.
    """
    return here.recorder.measure(count._now(), plain_dims(most), negative)


def _filled(n: Any, value: int = 0) -> Tensor:
    return apply("broadcast", scalar(value, dtypes.i64), attrs=((plain_dims(n),),))


def _put(into: Tensor, at: Tensor, what: Tensor, mode: str) -> Tensor:
    return apply("scatter", into, at, what, attrs=(0, mode))


def _indices(found: np.ndarray) -> Tensor:
    """Indices that NumPy has found, where they lie."""
    return own_array(np.ascontiguousarray(found, np.int64))


def chosen(mask: Tensor) -> Tensor:
    """The positions of True in the flattened mask, int64."""
    if not computed(mask):
        return placed(_indices(np.flatnonzero(mask._value())), mask.device)
    flat = mask.reshape((-1,))
    n = flat.shape[0]
    places, count = _chosen_first(flat)
    many = measured(count, n)
    return places[:many] if type(n) is int else taken(places, arange(many, device=mask.device))  # no bound says that it is at most n


@routine("order.chosen")
def _chosen_first(mask: Tensor) -> tuple[Tensor, Tensor]:
    """The places of True in a vector, then zeros, and how many are True."""
    n = mask.shape[0]
    to = apply("select", mask, cumsum(mask, 0) - 1, scalar(n, dtypes.i64))  # those that are not chosen fall behind the last
    places = _put(_filled(n + 1), to, apply("iota", attrs=(dtypes.i64, (n,), 0)), "set")
    return apply("slice", places, attrs=((0,), (n,), (1,))), apply("reduce_sum", cast(mask, dtypes.i64), attrs=((0,),)).reshape(())


def chosen_per_dim(mask: Tensor) -> list[Tensor]:
    """The positions of True in each dim of a mask, int64; those of a mask without dims as if it had one."""
    if not computed(mask):
        values = mask._value()
        found = np.nonzero(values if values.ndim else values.reshape(-1))
        return [placed(_indices(i), mask.device) for i in found]
    places, per_dim = chosen(mask), []
    for d in reversed(mask.shape[1:]):
        per_dim.append(places % d)
        places = places // d
    return [places, *reversed(per_dim)]


def spread(counts: Tensor) -> Tensor:
    """0, 1, 2, ... each as often as `counts` says, int64; for what is `computed`."""
    counts = cast(counts, dtypes.i64)
    total = apply("select", (counts < 0).any(), scalar(-1, dtypes.i64), counts.sum())
    many = measured(total, negative="repeats can not be negative")
    marks = _put(_filled(many + 1), cumsum(counts, 0) - counts, _filled(counts.shape[0], 1), "add")  # where each begins
    return cumsum(marks[:many], 0) - 1


def tally(values: Tensor, source: Tensor, least: int) -> Tensor:
    """The sums of `source` at 0, 1, 2, ... in `values`, which are int64; as many as the largest asks for; for what is `computed`."""
    total = apply("maximum", values.max() + 1, scalar(least, dtypes.i64)) if values.shape[0] else scalar(least, dtypes.i64)
    total = apply("select", (values < 0).any(), scalar(-1, dtypes.i64), total)
    many = measured(total, negative="bincount only supports 1-d non-negative integral inputs.")
    return _put(apply("broadcast", scalar(0, source.dtype), attrs=((plain_dims(many),),)), values, source, "add")


def distinct(x: Tensor, dim: int | None, ordered: bool) -> tuple[Tensor, Tensor, Tensor]:
    """What differs from its left neighbour, the number of it at each place, and how often each came; for what is `computed`.

    dim: of slices along it, else of the flattened elements. ordered: of these in order, each where it was.
    """
    rows = x.reshape((-1,)) if dim is None else x
    axis = dim or 0
    n = rows.shape[axis]
    if ordered:
        rows, order = apply("sort", rows, attrs=(0, False))
    numbers = arange(n, device=x.device)
    differ = rows != index_select(rows, axis, apply("maximum", numbers - 1, scalar(0, dtypes.i64)))
    others = [d for d in range(rows.ndim) if d != axis]
    new = (differ.any(others) if others else differ) | (numbers == 0)
    number = cumsum(new, 0) - 1
    places = chosen(new)
    counts = _put(_filled(places.shape[0]), number, _filled(n, 1), "add")
    if ordered:
        number = _put(_filled(n), order, number, "set")
    return index_select(rows, axis, places), number if dim is not None else number.reshape(x.shape), counts
