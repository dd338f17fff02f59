"""Phases of a convolution over what is spread out by a stride: results a stride apart have terms of the same taps.

A transposed convolution, and the gradient of a strided one by its input, are convolutions of a value with zeros between its elements. Of
the taps of a result all but a few meet nothing but those zeros. Which ones depends on the result's place modulo the stride: the results of
one remainder in each dim are a phase, a convolution of its own of the value as it is, with a part of the taps.
"""

from __future__ import annotations

import math
from itertools import product

from ingot.ir.graph import Node
from ingot.ir.loop import index as ix
from ingot.ir.loop.points import ZERO, Point
from ingot.ir.ops.form import Form, Zeros, form_of
from ingot.ir.struct import frozen, replace, struct
from ingot.ir.types import Shape

__all__ = ["Phase", "form_in_phases", "least", "phases"]


@frozen
@struct
class Phase:
    """Some rows of a contraction, and the steps of k that they have terms of: `first` + i * `apart` in each dim, i below `m` and `k`."""

    m: Shape
    k: Shape
    first_m: tuple[int, ...] = ()
    first_k: tuple[int, ...] = ()
    apart_m: tuple[int, ...] = ()
    apart_k: tuple[int, ...] = ()

    def row(self, m: Point) -> Point:
        """A row by its number in the phase."""
        return _spread(m, self.first_m, self.apart_m)

    def step(self, k: Point) -> Point:
        """A step of k, likewise."""
        return _spread(k, self.first_k, self.apart_k)


def _spread(point: Point, first: tuple[int, ...], apart: tuple[int, ...]) -> Point:
    n = len(first)
    return (*(ix.add(ix.mul(i, a), ix.const(f)) for i, f, a in zip(point, first, apart)), *point[n:])


def _moves(f: Form) -> tuple[int, ...] | None:
    """How far a tap is from the next one in each dim of what is spread out; None where rows do not go over it one by one."""
    if f.zeros is None or all(g == 1 for g in f.zeros.gap) or len(f.k) != len(f.m) + 1 != len(f.zeros.gap) + 1:
        return None
    if not all(isinstance(d, int) for d in (*f.m, *f.k, *f.zeros.low, *f.zeros.gap, *f.zeros.extent)):
        return None
    rank = len(f.m)
    m, k = (tuple(ix.var(f"{name}{d}") for d in range(rank)) for name in "mk")
    places = f.at_left((ZERO,) * len(f.batch), m, (*k, ZERO))[-rank:]
    apart = tuple(ix.coefficient(p, f"k{d}") for d, p in enumerate(places))
    plain = all(p == ix.add(m[d], ix.mul(k[d], a)) for d, (p, a) in enumerate(zip(places, apart)))
    return apart if plain and all(isinstance(a, int) for a in apart) else None  # type: ignore[return-value]


def phases(f: Form) -> tuple[Phase, ...]:
    """The phases that have rows; one of everything where nothing is spread out, or sizes are not known."""
    moves = _moves(f)
    if moves is None:
        return (Phase(f.m, f.k),)
    assert f.zeros is not None
    found = []
    for first in product(*(range(min(g, m)) for g, m in zip(f.zeros.gap, f.m))):  # type: ignore[type-var]
        taps, starts, steps = [], [], []
        for at, move, low, gap, extent in zip(first, moves, f.zeros.low, f.zeros.gap, f.k):
            here = [t for t in range(extent) if (at + move * t - low) % gap == 0]  # type: ignore[operator, arg-type]
            taps.append(len(here))
            starts.append(here[0] if here else 0)
            steps.append(here[1] - here[0] if len(here) > 1 else 1)
        rows = tuple(-(-(m - at) // g) for m, at, g in zip(f.m, first, f.zeros.gap))  # type: ignore[operator]
        found.append(Phase(rows, (*taps, f.k[-1]), first, tuple(starts), f.zeros.gap, tuple(steps)))  # type: ignore[arg-type]
    return tuple(found)


def form_in_phases(node: Node) -> Form:
    """The form of a contraction; where there are phases, A's elements lie beside each other, and are asked for at points of phases only."""
    f = form_of(node)
    if _moves(f) is None:
        return f
    zeros, whole = f.zeros, f.at_left
    assert zeros is not None
    low = tuple(-(-lo // g) for lo, g in zip(zeros.low, zeros.gap))  # type: ignore[operator]
    extent = tuple(n + (e - 1 - lo) // g + 1 for n, lo, e, g in zip(low, zeros.low, zeros.extent, zeros.gap))  # type: ignore[operator]

    def at_left(q: Point, m: Point, k: Point) -> Point:
        point = whole(q, m, k)
        lead, places = point[: -len(low)], point[-len(low) :]
        return (*lead, *(ix.div(ix.add(p, ix.const(n * g - lo)), g) for p, n, lo, g in zip(places, low, zeros.low, zeros.gap)))  # type: ignore

    return replace(f, zeros=Zeros(low, (1,) * len(low), extent, zeros.counted), at_left=at_left)


def least(f: Form) -> tuple[Shape, Shape]:
    """The fewest rows of a phase in each dim, and the most steps of k."""
    every = phases(f)
    m = tuple(min(d) for d in zip(*(p.m for p in every))) if len(every) > 1 else f.m
    k = max((p.k for p in every), key=lambda k: math.prod(k)) if len(every) > 1 else f.k
    return m, k
