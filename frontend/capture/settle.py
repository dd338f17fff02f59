"""Symbols of a trace as its guards leave them: bounds as tight as they say, and no dim that could be less than 0.

A dim such as `s0-s1` is at least 0 because a guard says so, which no bound of a symbol can. Then another symbol takes the place of one:
`s0` is `k0+s1` for a `k0` of 0 or more, and a call passes `s0-s1` for it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from math import inf
from typing import Any

from ingot._tensor.extents import Guard
from ingot.ir.graph import Graph
from ingot.ir.size import Dim, Size, Symbol, bounds, deciding, replaced, symbol, symbols
from ingot.ir.sized import sized

__all__ = ["settled", "unsettled"]

_TRIES = 8
_NO_LIMIT = (1 << 63) - 1  # an extent is no more anyway


def settled(graphs: Sequence[Graph], guards: Iterable[Guard], measured: Container[str]) -> tuple[list[Graph], dict[str, Dim]]:
    """The graphs with such symbols, and what the new ones among these are of the others. `measured`: symbols that stay as they are."""
    with deciding(None):
        found = _tightened({s for g in graphs for s in g.symbols}, guards)
        graphs = [sized(g, found) for g in graphs]
        new: dict[str, Dim] = {}
        for i in range(_TRIES):
            d = next((d for d in _negative(graphs) if not any(s.name in measured for s in symbols(d))), None)
            s = None if d is None else next(_addends(d), None)
            if d is None or s is None:
                break
            name = f"k{i}"
            rest = replaced(d, {s.name: 0})
            new = {**new, name: d}
            graphs = [sized(g, {s.name: symbol(name) - rest}) for g in graphs]
        return list(graphs), {n: _plain(d, new) for n, d in new.items()}


def unsettled(*graphs: Graph) -> Size | None:
    """An extent that could be less than 0 as far as bounds say: no code is made for such."""
    with deciding(None):
        return next(_negative(graphs), None)


def _plain(d: Dim, new: dict[str, Dim]) -> Dim:
    """A size of the trace's own symbols."""
    while any(s.name in new for s in symbols(d)):
        d = replaced(d, new)
    return d


def _negative(graphs: Sequence[Graph]) -> Iterator[Size]:
    """Extents that no bound keeps from being less than 0."""
    for g in graphs:
        for t in dict.fromkeys([v.type for v in g.inputs] + [v.type for n in g.nodes for v in n.outputs]):
            if t.symbolic:
                yield from (d for d in t.shape if isinstance(d, Size) and bounds(d)[0] < 0)


def _addends(d: Size) -> Iterator[Symbol]:
    for atoms, c in d.terms:
        if c == 1 and len(atoms) == 1 and isinstance(atoms[0], Symbol) and atoms[0] not in symbols(replaced(d, {atoms[0].name: 0})):
            yield atoms[0]


def _tightened(known: set[Symbol], guards: Iterable[Guard]) -> dict[str, Dim]:
    """The symbols, by their names, with the bounds that guards of one symbol leave."""
    limits: dict[Symbol, list[Any]] = {s: [s.min, s.max] for s in known}
    for sign, a, b in guards:
        d = b - a
        if not isinstance(d, Size) or len(d.terms) != 1:
            continue
        ((atoms, c),) = d.terms
        if len(atoms) != 1 or atoms[0] not in limits:
            continue
        limit = limits[atoms[0]]  # type: ignore[index]
        if sign == "<=" and c > 0:
            limit[0] = max(limit[0], -(d.const // c))
        elif sign == "<=" and -d.const // c < _NO_LIMIT:
            limit[1] = min(limit[1], -d.const // c)
        elif sign == "!=" and -d.const == limit[0] * c:
            limit[0] += 1
    return {s.name: symbol(s.name, low, high) for s, (low, high) in limits.items() if low <= high <= inf}
