"""Views by strides: slices, reshapes, permutations and expansions of one-dimensional memory that have given strides."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ingot._tensor import Tensor

__all__ = ["strided_view"]


def strided_view(memory: Tensor, shape: Sequence[int], strides: Sequence[int], offset: int) -> Tensor | None:
    """A view of one-dimensional `memory`, whose elements are `strides` apart; None where strides are no such chain, as those of windows.

    >>> from ingot.interchange.strides import strided_view
    >>> strided_view(ingot.arange(6), (3, 2), (1, 3), 0)
    tensor([[0, 3],
            [1, 4],
            [2, 5]])
    """
    moving = sorted((d for d, n in enumerate(shape) if n > 1 and strides[d]), key=lambda d: -strides[d])
    if not math.prod(shape):
        return None
    v, left = memory, offset
    for at, d in enumerate(moving):  # the last dim of `v` is a block of memory, in which `left` is where the view begins
        n, s = shape[d], strides[d]
        rows, rest = divmod(v.shape[-1], s)
        first = left // s
        if rest or first + n > rows:
            return None
        v = v.view(*v.shape[:-1], rows, s).narrow(at, first, n)
        left -= first * s
    v = v.narrow(-1, left, 1)
    v = v.view(*v.shape[:-1], *(1 for d in range(len(shape)) if d not in moving))
    order = [*moving, *(d for d in range(len(shape)) if d not in moving)]
    v = v.permute(*(order.index(d) for d in range(len(shape)))) if shape else v
    return v.expand(*shape) if tuple(v.shape) != tuple(shape) else v
