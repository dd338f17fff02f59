"""What a schedule takes a size to be that is known only at run time.

What is decided by it costs time where it is wrong, never results: loops are right at every extent. What results depend on goes by
`at_most` and `equal` (ir/size.py).
"""

from __future__ import annotations

from functools import lru_cache

from ingot.ir.size import evaluate, symbols
from ingot.ir.types import Dim, Shape

__all__ = ["assumed", "assumed_shape"]

LARGE = 1024


def assumed(d: Dim) -> int:
    """An extent, large within the bounds of its symbols, and at least 1; an integer is itself.

    >>> from ingot.ir.size import symbol
    >>> assumed(2 * symbol("B")), assumed(symbol("T", 1, 64)), assumed(5 - symbol("T", 0, 5)), assumed(7)
    (2048, 64, 5, 7)
    """
    return d if isinstance(d, int) else _assumed(d)


def assumed_shape(shape: Shape) -> tuple[int, ...]:
    """`assumed` of every dim."""
    return tuple(map(assumed, shape))


@lru_cache(maxsize=1024)
def _assumed(d: Dim) -> int:
    least, most = {s.name: s.min for s in symbols(d)}, {s.name: int(max(s.min, min(s.max, LARGE))) for s in symbols(d)}
    return max(1, evaluate(d, least), evaluate(d, most))
