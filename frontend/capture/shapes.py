"""The sizes of one traced signature: what argument leaves must be like, and what their symbols are in a call.

A *place* is an extent of a tensor among the argument leaves, (leaf, dim), or an int among them, (leaf, None).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from ingot._tensor.extents import Again, Guard
from ingot.ir.size import Dim, Size, Symbol, as_symbol, at_most, deciding, equal, evaluate, replaced, symbols
from ingot.ir.struct import replace, struct

if TYPE_CHECKING:
    from ingot.capture.lines import Lines

__all__ = ["Fit", "Place", "Shapes", "place_text", "python_text", "size_at"]

Place = tuple[int, int | None]


def size_at(leaves: Sequence[Any], place: Place) -> int:
    """What stands at a place of these argument leaves."""
    i, d = place
    return leaves[i] if d is None else leaves[i]._array.type.shape[d]


def place_text(place: Place, names: Sequence[str]) -> str:
    """A place for people, given the names of the leaves: `x.shape[0]`."""
    i, d = place
    return names[i] if d is None else f"{names[i]}.shape[{d}]"


def python_text(dim: Dim) -> str:
    """A size as a Python expression of variables `d_NAME`."""
    return _NAME.sub(r"d_\g<0>", str(dim)).replace("/", "//")


_NAME = re.compile(r"\b(?!min\b|max\b)[A-Za-z_]\w*")


@struct
class Shapes:
    """What a trace takes argument leaves to be: `dims` of all places; `values` of the symbols in the example.

    declared: names of symbols that the user has asked for; bounds: relations that symbols owe which others have taken the place of
    """

    dims: Mapping[Place, Dim]
    values: Mapping[str, int]
    declared: frozenset[str]
    bounds: tuple[Guard, ...] = ()

    def shape(self, i: int, shape: tuple[int, ...]) -> tuple[Dim, ...]:
        """The shape of a leaf, which is `shape` in the example."""
        return tuple([self.dims.get((i, d), n) for d, n in enumerate(shape)])

    def again(self, found: Again) -> Shapes:
        """The same with what a trace has found symbols to be."""
        dims = {place: replaced(d, found.values) for place, d in self.dims.items()}
        bounds = [(sign, replaced(a, found.values), replaced(b, found.values)) for sign, a, b in self.bounds]
        for d in self.dims.values():
            for s in symbols(d):
                if s.name in found.values:
                    bounds += _bounds(s, found.values[s.name])
        left = {s.name for d in dims.values() for s in symbols(d)}
        values = {n: v for n, v in self.values.items() if n in left}
        return replace(self, dims=dims, bounds=tuple(dict.fromkeys(b for b in bounds if not _holds(b))), values=values)


def _bounds(s: Symbol, dim: Dim) -> list[Guard]:
    found: list[Guard] = [("<=", s.min, dim)]
    if s.max != inf:
        found.append(("<=", dim, int(s.max)))
    return found


def _holds(guard: Guard) -> bool:
    sign, a, b = guard
    with deciding(None):
        return bool(at_most(a, b) if sign == "<=" else equal(a, b) if sign == "==" else equal(a, b) is False)


@struct
class Fit:
    """What the argument leaves of a call must be like for an entry with symbols, and the values of these.

    patterns: of tensors their shapes, of ints themselves; `free` are the leaves whose patterns have symbols
    guards: relations, each with the user's line that depends on it
    roots: where each symbol is read: (name, place, factor, rest) for an extent of factor * symbol + rest
    """

    patterns: Mapping[int, Any]
    free: frozenset[int]
    guards: Sequence[tuple[Guard, str]]
    roots: Sequence[tuple[Symbol, Place, int, int]]
    names: Sequence[str]

    @classmethod
    def of(cls, shapes: Shapes, leaves: Sequence[Any], guards: Mapping[Guard, str], names: Sequence[str]) -> Fit:
        """Of a trace that has ended."""
        patterns: dict[int, Any] = {}
        for (i, d), dim in shapes.dims.items():
            if d is None:
                patterns[i] = dim
            elif i not in patterns:
                patterns[i] = shapes.shape(i, leaves[i]._array.type.shape)
        kept = [(g, where) for g, where in {**dict.fromkeys(shapes.bounds, ""), **guards}.items() if not _holds(g)]
        free = frozenset(i for (i, _), dim in shapes.dims.items() if isinstance(dim, Size))
        return cls(patterns, free, kept, list(_roots(shapes.dims)), names)

    def bind(self, leaves: Sequence[Any]) -> dict[str, int]:
        """The values of the symbols."""
        return {s.name: (size_at(leaves, place) - rest) // factor for s, place, factor, rest in self.roots}

    def unfit(self, leaves: Sequence[Any]) -> str | None:
        """Why these leaves, which have the dtypes and ranks of the example, do not fit; None if they do."""
        values = self.bind(leaves)
        for s, place, _, _ in self.roots:
            if not s.min <= values[s.name] <= s.max:
                return f"{place_text(place, self.names)} is {size_at(leaves, place)}, outside of {s.bounds_text}"
        for place, dim in self._places():
            n = evaluate(dim, values)
            if n != size_at(leaves, place):
                return f"{place_text(place, self.names)} is {size_at(leaves, place)}, and not {self.said(dim)}"
        for guard, where in self.guards:
            if not _true(guard, values):
                return f"{self.said_guard(guard)} does not hold" + (f", which was so when it was traced ({where})" if where else "")
        return None

    def _places(self) -> Iterator[tuple[Place, Dim]]:
        known = {place for _, place, factor, rest in self.roots if (factor, rest) == (1, 0)}
        for i, pattern in self.patterns.items():
            for place, dim in [((i, None), pattern)] if not isinstance(pattern, tuple) else [((i, d), n) for d, n in enumerate(pattern)]:
                if place not in known:
                    yield place, dim

    def said(self, dim: Dim) -> str:
        """A size in a sentence: by the places where its symbols are read."""
        where = {s.name: place_text(p, self.names) if (f, r) == (1, 0) else s.name for s, p, f, r in self.roots}
        return _NAME.sub(lambda m: where.get(m[0], m[0]), str(dim)).replace("/", "//")

    def said_guard(self, guard: Guard) -> str:
        """A relation in a sentence."""
        sign, a, b = guard
        return f"{self.said(a)} {sign} {self.said(b)}"

    def lines(self, c: Lines) -> None:
        """Add the lines of the fast call that check those leaves of `a0`, `a1`, … that have symbols, and leave these in `d_NAME`."""
        shapes = [i for i, p in self.patterns.items() if i in self.free and isinstance(p, tuple)]
        for i in shapes:
            c.add(f"h{i} = a{i}._array.type.shape")

        def text(place: Place) -> str:
            return f"a{place[0]}" if place[1] is None else f"h{place[0]}[{place[1]}]"

        conditions = [f"len(h{i}) == {len(self.patterns[i])}" for i in shapes]
        if conditions:
            c.need(" and ".join(conditions))
        checks = []
        for s, place, factor, rest in self.roots:
            value = text(place) + (f" - {rest}" if rest else "")
            c.add(f"d_{s.name} = {value if factor == 1 else f'({value}) // {factor}'}")
            checks.append(f"{s.min} <= d_{s.name}" + (f" <= {s.max}" if s.max != inf else ""))
        checks += [f"{text(place)} == {python_text(dim)}" for place, dim in self._places() if place[0] in self.free]
        checks += [f"{python_text(a)} {sign} {python_text(b)}" for (sign, a, b), _ in self.guards]
        if checks:
            c.need(" and ".join(checks))


def _true(guard: Guard, values: Mapping[str, int]) -> bool:
    sign, a, b = guard
    x, y = evaluate(a, values), evaluate(b, values)
    return x <= y if sign == "<=" else (x == y) is (sign == "==")


def _roots(dims: Mapping[Place, Dim]) -> Iterator[tuple[Symbol, Place, int, int]]:
    """Where each symbol can be read: where it stands alone if there is such a place. ValueError for one that stands nowhere so."""
    known: set[Symbol] = set()
    for place, dim in dims.items():
        s = as_symbol(dim)
        if s is not None and s not in known:
            known.add(s)
            yield s, place, 1, 0
    for place, dim in dims.items():
        if isinstance(dim, Size) and len(dim.terms) == 1:
            ((atoms, factor),) = dim.terms
            if len(atoms) == 1 and isinstance(atoms[0], Symbol) and atoms[0] not in known and factor > 0:
                known.add(atoms[0])
                yield atoms[0], place, factor, dim.const
    for dim in dims.values():
        for s in symbols(dim):
            if s not in known:
                raise ValueError(f"no extent says what {s.name} is: it stands in {dim} only")
