"""The run-time numbers of one traced signature: what argument leaves must be like, and what the symbols are in a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from ingot._tensor.extents import NAME, Again, Extents, Guard, holds, python_text
from ingot._tensor.reals import Formula
from ingot.capture.places import Elsewhere, Spot, number_at, place_text
from ingot.ir.size import Dim, Size, Symbol, as_symbol, at_most, deciding, equal, evaluate, replaced, symbols
from ingot.ir.struct import replace, struct, value_type

if TYPE_CHECKING:
    from ingot.capture.lines import Lines

__all__ = ["Fit", "FloatSymbol", "Shapes", "valued"]


@value_type
class FloatSymbol:
    """A name for a float that each call has anew."""

    name: str


Root = tuple[Symbol | FloatSymbol, Spot, int, int]  # a symbol, and where it is read: a number that is factor * symbol + rest


def valued(x: Any, values: Mapping[str, Any]) -> Any:
    """A size or a formula for values of its symbols; anything else as it is."""
    return x.at(values) if isinstance(x, Formula) else evaluate(x, values)


def _names(dim: Any) -> list[str]:
    return [dim.name] if isinstance(dim, FloatSymbol) else [s.name for s in symbols(dim)]


@struct
class Shapes:
    """What a trace takes numbers to be: `dims` of all places (dims, FloatSymbols, or constants); `values` of the symbols in the example.

    declared: names of symbols that the user has asked for; bounds: relations that symbols owe which others have taken the place of
    """

    dims: Mapping[Spot, Any]
    values: Mapping[str, Any]
    declared: frozenset[str]
    bounds: tuple[Guard, ...] = ()

    def shape(self, i: int, shape: tuple[int, ...]) -> tuple[Dim, ...]:
        """The shape of a leaf, which is `shape` in the example."""
        return tuple([self.dims.get((i, d), n) for d, n in enumerate(shape)])

    def given(self, place: Spot, extents: Extents) -> Any:
        """What the function finds at a place."""
        dim = self.dims[place]
        return extents.real(dim.name) if isinstance(dim, FloatSymbol) else extents.of(dim)

    def places(self, name: str) -> list[Spot]:
        """Where a symbol stands."""
        return [p for p, dim in self.dims.items() if name in _names(dim)]

    def now(self, leaves: Sequence[Any]) -> Shapes:
        """The same with the values that the symbols have for these leaves."""
        return replace(self, values={root[0].name: _at(leaves, root) for root in _roots(self.dims)})

    def again(self, found: Again) -> Shapes:
        """The same with what a trace has found symbols to be."""
        dims = {p: _replaced(d, found.values) for p, d in self.dims.items()}
        bounds = [(sign, replaced(a, found.values), replaced(b, found.values)) for sign, a, b in self.bounds]
        for d in self.dims.values():
            for s in symbols(d):
                if s.name in found.values:
                    bounds += _bounds(s, found.values[s.name])
        return replace(self, dims=dims, bounds=tuple(dict.fromkeys(b for b in bounds if not _holds(b))), values=self._values(dims))

    def at(self, wanted: Callable[[Spot], bool], found: Callable[[Spot], Spot]) -> Shapes | None:
        """The same of those places that are wanted, as they are found; None where no number of them is a symbol."""
        dims = {found(p): d for p, d in self.dims.items() if wanted(p)}
        values = self._values(dims)
        return replace(self, dims=dims, values=values) if values else None

    def _values(self, dims: Mapping[Spot, Any]) -> Mapping[str, Any]:
        left = {n for d in dims.values() for n in _names(d)}
        return {n: v for n, v in self.values.items() if n in left}


def _replaced(dim: Any, values: Mapping[str, Any]) -> Any:
    return values.get(dim.name, dim) if isinstance(dim, FloatSymbol) else replaced(dim, values)


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
    """What a call must be like for an entry with run-time numbers, and the values of the symbols in it.

    patterns: of tensors their shapes, of ints themselves; `free` are the leaves whose patterns have symbols
    outside: places beside the arguments, with what stands there
    guards: relations, conditions: formulas, each with the user's line that depends on it
    roots: where each symbol is read: (name, place, factor, rest) for a number that is factor * symbol + rest
    defined: what other symbols are of these
    """

    patterns: Mapping[int, Any]
    free: frozenset[int]
    outside: Mapping[Elsewhere, Any]
    guards: Sequence[tuple[Guard, str]]
    conditions: Sequence[tuple[Formula, str]]
    roots: Sequence[Root]
    names: Sequence[str]
    defined: Mapping[str, Dim]

    @classmethod
    def of(cls, shapes: Shapes, leaves: Sequence[Any], found: Extents, names: Sequence[str]) -> Fit:
        """Of a trace that has ended, and has found out this."""
        patterns: dict[int, Any] = {}
        for place, dim in shapes.dims.items():
            if not isinstance(place, Elsewhere):
                i, d = place
                patterns[i] = dim if d is None else shapes.shape(i, leaves[i]._array.type.shape)
        guards = [(g, where) for g, where in {**dict.fromkeys(shapes.bounds, ""), **found.guards}.items() if not _holds(g)]
        guards = [(g, where) for g, where in guards if not found.measures(g)]
        conditions = [(f, where) for f, where in found.conditions.items() if not found.measures(f)]
        free = frozenset(p[0] for p, dim in shapes.dims.items() if not isinstance(p, Elsewhere) and isinstance(dim, (Size, FloatSymbol)))
        outside = {p: dim for p, dim in shapes.dims.items() if isinstance(p, Elsewhere)}
        return cls(patterns, free, outside, guards, conditions, list(_roots(shapes.dims)), names, {})

    def bind(self, leaves: Sequence[Any]) -> dict[str, Any]:
        """The values of the symbols."""
        found = {root[0].name: _at(leaves, root) for root in self.roots}
        for name, dim in self.defined.items():
            found[name] = evaluate(dim, found)
        return found

    def unfit(self, leaves: Sequence[Any]) -> str | None:
        """Why a call with these leaves, which have the dtypes and ranks of the example, does not fit; None if it does."""
        for spot, dim in self.outside.items():
            n, kind = spot.read(), float if isinstance(dim, (float, FloatSymbol)) else int
            if type(n) is not kind:
                return f"{spot.text} is no {kind.__name__} any more"
        values = self.bind(leaves)
        for s, place, _, _ in self.roots:
            if isinstance(s, Symbol) and not s.min <= values[s.name] <= s.max:
                return f"{place_text(place, self.names)} is {number_at(leaves, place)}, outside of {s.bounds_text}"
        for place, dim in self._places():
            n = number_at(leaves, place)
            if evaluate(dim, values) != n or repr(n) != repr(dim) and isinstance(dim, float):
                return f"{place_text(place, self.names)} is {n}, and not {self.said(dim)}"
        for guard, where in self.guards:
            if not holds(guard, values):
                return f"{self.said_guard(guard)} does not hold{_when(where)}"
        for condition, where in self.conditions:
            if not condition.at(values):
                return f"{self.said_text(condition.text.replace('d_', ''))} does not hold{_when(where)}"
        return None

    def _places(self) -> Iterator[tuple[Spot, Any]]:
        """Those that no root says the number of."""
        known = {place for _, place, factor, rest in self.roots if (factor, rest) == (1, 0)}
        for i, pattern in self.patterns.items():
            inner: list[tuple[Spot, Any]] = [((i, None), pattern)]
            if isinstance(pattern, tuple):
                inner = [((i, d), n) for d, n in enumerate(pattern)]
            yield from ((place, dim) for place, dim in inner if place not in known)
        yield from ((place, dim) for place, dim in self.outside.items() if place not in known)

    def said(self, dim: Dim) -> str:
        """A size in a sentence: by the places where its symbols are read."""
        return self.said_text(str(dim).replace("/", "//"))

    def said_text(self, text: str) -> str:
        """The same of a text with the names of symbols in it."""
        where = {s.name: place_text(p, self.names) if (f, r) == (1, 0) else s.name for s, p, f, r in self.roots}
        return NAME.sub(lambda m: where.get(m[0], m[0]), text)

    def said_guard(self, guard: Guard) -> str:
        """A relation in a sentence."""
        sign, a, b = guard
        return f"{self.said(a)} {sign} {self.said(b)}"

    def lines(self, c: Lines) -> None:
        """Add the lines of the fast call that check what has symbols, the leaves `a0`, `a1`, … among it, and leave these in `d_NAME`."""
        shapes = [i for i, p in self.patterns.items() if i in self.free and isinstance(p, tuple)]
        for i in shapes:
            c.add(f"h{i} = m{i}.type.shape")
        texts: dict[Spot, str] = {}
        for k, (spot, dim) in enumerate(self.outside.items()):
            texts[spot] = f"p{k}"
            c.add(f"p{k} = {spot.expression(c)}")
            c.need(f"p{k}.__class__ is {'float' if isinstance(dim, (float, FloatSymbol)) else 'int'}")

        def text(place: Spot) -> str:
            return texts[place] if isinstance(place, Elsewhere) else f"a{place[0]}" if place[1] is None else f"h{place[0]}[{place[1]}]"

        conditions = [f"len(h{i}) == {len(self.patterns[i])}" for i in shapes]
        if conditions:
            c.need(" and ".join(conditions))
        checks = []
        for s, place, factor, rest in self.roots:
            value = text(place) + (f" - {rest}" if rest else "")
            c.add(f"d_{s.name} = {value if factor == 1 else f'({value}) // {factor}'}")
            if isinstance(s, Symbol):
                checks.append(f"{s.min} <= d_{s.name}" + (f" <= {s.max}" if s.max != inf else ""))
        for place, dim in self._places():
            if isinstance(place, Elsewhere) or place[0] in self.free:
                floats = isinstance(dim, float)
                checks.append(f"repr({text(place)}) == {repr(dim)!r}" if floats else f"{text(place)} == {python_text(dim)}")
        checks += [f"{python_text(a)} {sign} {python_text(b)}" for (sign, a, b), _ in self.guards]
        checks += [f"({condition.text})" for condition, _ in self.conditions]
        if checks:
            c.need(" and ".join(checks))
        for name, dim in self.defined.items():
            c.add(f"d_{name} = {python_text(dim)}")


def _at(leaves: Sequence[Any], root: Root) -> Any:
    """The value of a symbol."""
    s, place, factor, rest = root
    n = number_at(leaves, place)
    return n if isinstance(s, FloatSymbol) else (n - rest) // factor


def _when(where: str) -> str:
    return f", which was so when it was traced ({where})" if where else ""


def _roots(dims: Mapping[Spot, Any]) -> Iterator[Root]:
    """Where each symbol can be read: where it stands alone if there is such a place. ValueError for one that stands nowhere so."""
    known: set[Any] = set()
    for place, dim in dims.items():
        s = dim if isinstance(dim, FloatSymbol) else as_symbol(dim)
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
