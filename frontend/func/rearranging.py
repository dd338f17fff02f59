"""Dims in another order, split and joined, as a pattern says."""

from __future__ import annotations

import re
from collections.abc import Sequence

import ingot
from ingot._tensor import Tensor

__all__ = ["rearrange"]

Group = list[str]
DOTS: Group = ["..."]


def _side(text: str, pattern: str) -> list[Group]:
    """The dims of one side of a pattern: groups of names, of which "..." is one; DOTS where it is no part of a group."""
    groups: list[Group] = []
    inside: Group | None = None
    for token in re.findall(r"\.\.\.|\w+|\S", text):
        if token == "(" and inside is None:
            inside = []
        elif token == ")" and inside is not None:
            groups.append(inside)
            inside = None
        elif token == "..." or token.isidentifier() or token == "1":
            if inside is not None:
                inside += [] if token == "1" else [token]
            else:
                groups.append(DOTS if token == "..." else [] if token == "1" else [token])
        else:
            raise ValueError(f"rearrange: unexpected {token!r} in the pattern {pattern!r}")
    if inside is not None:
        raise ValueError(f"rearrange: a parenthesis is not closed in the pattern {pattern!r}")
    return groups


def rearrange(tensor: Tensor | Sequence[Tensor], pattern: str, **axes_lengths: int) -> Tensor:
    """`tensor` with its dims as the right side of `pattern` has those of the left: "b (h w) c -> b c h w".

    Names in parentheses are one dim, the first name outermost; all but one of their extents are given by `axes_lengths`. "..." are any
    dims, 1 is a dim of extent 1. A sequence of tensors is stacked first. ValueError for patterns and extents that do not fit.
    Source: Rogozhnikov, Einops: clear and reliable tensor manipulations with Einstein-like notation (2022).

        >>> ingot.func.rearrange(ingot.ones(2, 12, 3), "b (h w) c -> b c h w", h=3).shape
        ingot.Size([2, 3, 3, 4])
    """
    x = tensor if isinstance(tensor, Tensor) else ingot.stack(list(tensor))
    sides = pattern.split("->")
    if len(sides) != 2:
        raise ValueError(f"rearrange: a pattern has two sides, with -> between them, got {pattern!r}")
    left, right = (_side(s, pattern) for s in sides)
    names = [n for g in left for n in g]
    if len(set(names)) != len(names) or sorted(names) != sorted(n for g in right for n in g):
        raise ValueError(f"rearrange: both sides must have the same names, each once, got {pattern!r}")
    dotted = any(g is DOTS for g in left)
    if ("..." in names) != dotted:
        raise ValueError(f"rearrange: ... stands in parentheses on the right side alone, got {pattern!r}")
    if set(axes_lengths) - set(names):
        raise ValueError(f"rearrange: {', '.join(sorted(set(axes_lengths) - set(names)))} not in the pattern {pattern!r}")
    more = x.ndim - len(left) + 1 if dotted else 0
    if more < 0 or (["..."] not in left and len(left) != x.ndim):
        raise ValueError(f"rearrange: the pattern {pattern!r} does not fit a tensor of {x.ndim} dims")
    rest = [f"...{i}" for i in range(more)]
    groups = [[n] for n in rest]
    at = left.index(DOTS) if dotted else len(left)
    left = [*left[:at], *groups, *left[at + 1 :]]
    lengths = dict(axes_lengths)
    for group, extent in zip(left, x.shape):
        known = 1
        unknown = [n for n in group if n not in lengths]
        for n in group:
            known *= lengths.get(n, 1)
        if len(unknown) > 1:
            raise ValueError(f"rearrange: the extents of {', '.join(unknown[1:])} are needed")
        if (extent % known if unknown and known else extent != known) or (unknown and not known):
            raise ValueError(f"rearrange: a dim of extent {extent} is not {' * '.join(group) or 1} with {axes_lengths}")
        if unknown:
            lengths[unknown[0]] = extent // known
    flat = [n for g in left for n in g]
    order, shape = [], []
    for group in right:
        inner = [m for n in group for m in (rest if n == "..." else [n])]
        order += [flat.index(n) for n in inner]
        if group is DOTS:
            shape += [lengths[n] for n in inner]
        else:
            size = 1
            for n in inner:
                size *= lengths[n]
            shape.append(size)
    return x.reshape([lengths[n] for n in flat]).permute(order).reshape(shape)
