"""Which elements a mask chooses: as many positions as there are. Read at once, or computed where a function is compiled."""

from __future__ import annotations

import numpy as np

from ingot._tensor.recording import from_array, placed
from ingot.functions.common import Tensor, apply, dtypes, plain_dims, scalar
from ingot.functions.creation import arange
from ingot.functions.cumulative import cumsum
from ingot.functions.index import taken
from ingot.runtime.recorder import here

__all__ = ["chosen", "chosen_per_dim", "computed", "measured"]


def computed(x: Tensor) -> bool:
    """Whether a compiled function computes x, and may have sizes that follow from it; else its value can be read."""
    rec = here.recorder
    return rec.measures and not rec.knows(x._now())


def measured(count: Tensor, most: int | None) -> int:
    """The number in an int64 scalar, of 0 to `most`, as an extent that the compiled function computes."""
    return here.recorder.measure(count._now(), plain_dims(most))


def chosen(mask: Tensor) -> Tensor:
    """The positions of True in the flattened mask, int64."""
    if not computed(mask):
        return placed(from_array(np.flatnonzero(mask._value()).astype(np.int64)), mask.device)
    flat = mask.reshape((-1,))
    n = flat.shape[0]
    free = apply("broadcast", scalar(0, dtypes.i64), attrs=((n + 1,),))
    to = apply("select", flat, cumsum(flat, 0) - 1, scalar(n, dtypes.i64))  # those that are not chosen fall behind the last
    numbers = arange(n, device=mask.device)
    places = apply("scatter", free, to, numbers, attrs=(0, "set"))
    many = measured(flat.sum(), n)
    return places[:many] if type(n) is int else taken(places, arange(many, device=mask.device))  # no bound says that it is at most n


def chosen_per_dim(mask: Tensor) -> list[Tensor]:
    """The positions of True in each dim of a mask, int64; those of a mask without dims as if it had one."""
    if not computed(mask):
        values = mask._value()
        found = np.nonzero(values if values.ndim else values.reshape(-1))
        return [placed(from_array(i.astype(np.int64)), mask.device) for i in found]
    places, found = chosen(mask), []
    for d in reversed(mask.shape[1:]):
        found.append(places % d)
        places = places // d
    return [places, *reversed(found)]
