"""Nested arguments of the transforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ingot._tensor import Tensor

__all__ = ["basis", "chosen", "jacobian_tree", "replaced"]


def chosen(name: str, argnums: int | tuple[int, ...], args: tuple) -> tuple[int, ...]:
    """The positions of arguments that `argnums` means, negative ones from the end. RuntimeError where there is none."""
    if not isinstance(argnums, (int, tuple)) or isinstance(argnums, bool):
        raise RuntimeError(f"{name}: argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    given = (argnums,) if isinstance(argnums, int) else argnums
    if not given:
        raise RuntimeError(f"{name}: argnums must not be empty")
    for i in given:
        if not isinstance(i, int) or not -len(args) <= i < len(args):
            raise RuntimeError(f"{name}: got argnum={i}, but only {len(args)} positional inputs")
    which = tuple(i % len(args) for i in given)
    if len(set(which)) != len(which):
        raise RuntimeError(f"{name}: argnums elements must be unique, got {argnums}")
    return which


def replaced(args: tuple, which: Sequence[int], new: Sequence[Any]) -> list[Any]:
    """`args` with those at `which` replaced."""
    found = list(args)
    for i, x in zip(which, new):
        found[i] = x
    return found


def basis(like: Sequence[Tensor]) -> list[Tensor]:
    """The unit vectors of the space that some tensors span together: for each tensor, its part of all of them, stacked."""
    import ingot

    total = sum(t.numel() for t in like)
    parts, start = [], 0
    for t in like:
        n = t.numel()
        place = ingot.arange(total).unsqueeze(1) == ingot.arange(start, start + n)
        parts.append(place.to(t.dtype).reshape(total, *t.shape))
        start += n
    return parts


def jacobian_tree(outs: Sequence[Tensor] | None, ins: Sequence[Tensor], found: Sequence[Tensor]) -> list[list[Tensor]]:
    """[output][input] -> a block of shape output.shape + input.shape.

    found: for each input its part of all rows, stacked; without `outs`, for each output its part of all columns, stacked.
    """
    if outs is not None:
        table, start = [], 0
        for o in outs:
            n = o.numel()
            table.append([f.narrow(0, start, n).reshape(*o.shape, *i.shape) for i, f in zip(ins, found)])
            start += n
        return table
    table = []
    for f in found:
        start, blocks = 0, []
        for i in ins:
            n = i.numel()
            blocks.append(f.narrow(0, start, n).movedim(0, -1).reshape(*f.shape[1:], *i.shape))
            start += n
        table.append(blocks)
    return table
