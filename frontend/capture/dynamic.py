"""Which sizes of a compiled function's arguments are symbols: what was declared, and what has come with a second value."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import inf
from typing import Any

from ingot._tensor import Tensor
from ingot.capture.dims import Declared, marks
from ingot.capture.shapes import Place, Shapes, place_text, size_at
from ingot.ir.size import Dim, symbol, symbols

__all__ = ["Dynamic", "History"]

_CALLS = 8  # calls of one kind that are remembered, to see which sizes are always equal


class History:
    """What sizes calls of one kind came with: alike but for extents and ints.

    moving: places that are symbols; fixed: places that are not, whatever comes, and why
    static: why none is; None where some may be
    """

    def __init__(self, places: list[Place]):
        self.places = places
        self.calls: list[tuple[int, ...]] = []
        self.moving: set[Place] = set()
        self.fixed: dict[Place, str] = {}
        self.static: str | None = None

    def see(self, leaves: Sequence[Any]) -> list[tuple[Place, int, int]]:
        """Take note of a call: the places that move since, with what they are and what they were."""
        now = tuple([size_at(leaves, p) for p in self.places])
        if now in self.calls:
            return []
        new = []
        if self.calls and self.static is None:
            for p, n, was in zip(self.places, now, self.calls[-1]):
                if n != was and p not in self.moving and p not in self.fixed:
                    self.moving.add(p)
                    new.append((p, n, was))
        self.calls = [*self.calls[-_CALLS:], now]
        return new

    def key(self, leaves: Sequence[Any]) -> tuple[Any, ...]:
        """What tells those calls apart that no symbol tells apart."""
        return tuple([(p, size_at(leaves, p)) for p in self.fixed])

    def groups(self) -> dict[Place, int]:
        """All places by what they share: those that were equal in all calls."""
        columns: dict[tuple[int, ...], int] = {}
        found = {}
        for p, column in zip(self.places, zip(*self.calls)):
            found[p] = columns.setdefault((p in self.moving, p[1] is None, *column), len(columns))
        return found


class Dynamic:
    """The sizes of one function's arguments. `mode`: None waits for a second size, True takes all as symbols at once, False none."""

    def __init__(self, mode: bool | None, declared: Declared | None):
        self.mode = mode
        self.declared = declared
        self._histories: dict[Any, History] = {}

    def history(self, key: Any, leaves: Sequence[Any]) -> History | None:
        """That of calls with such a loose key; None where all sizes are static."""
        if self.mode is False and self.declared is None:
            return None
        found = self._histories.get(key)
        if found is None:
            places = list(_places(leaves))
            if not places:
                return None
            found = self._histories[key] = History(places)
            if len(self._histories) > 256:
                del self._histories[next(iter(self._histories))]
        return found

    def see(self, history: History, structure: Any, leaves: Sequence[Any], names: Sequence[str], static: Collection[int]) -> str:
        """Take note of a call that is compiled: what moves from now on, in words.

        static: leaves that are no symbols. ValueError where what was declared does not fit the call.
        """
        if self.declared is not None:
            self.declared.bind(structure, leaves, names)
        if not history.calls:
            history.fixed.update((p, "declared static") for p in history.places if p[0] in static)
            self._begin(history, leaves, names)
        new = history.see(leaves)
        if not new:
            return ""
        said = [f"{place_text(p, names)} is {n}, it was {was}" for p, n, was in new]
        return f"{', '.join(said)}: run-time {'sizes' if len(new) > 1 else 'size'} from now on"

    def _begin(self, history: History, leaves: Sequence[Any], names: Sequence[str]) -> None:
        """Before the first call of a kind: what is declared moves at once, or never."""
        for p in history.places:
            asked = self._asked(p, leaves, names)
            if asked is False:
                history.fixed[p] = "declared static"
            elif asked or (self.mode and size_at(leaves, p) > 1 and p[1] is not None):
                history.moving.add(p)

    def _asked(self, place: Place, leaves: Sequence[Any], names: Sequence[str]) -> Any:
        """What the user has asked for: a Dim, True for some symbol, False for none, None for nothing."""
        i, d = place
        if d is None:
            return None
        found = marks(leaves[i]).get(d)
        return found if found is not None or self.declared is None else self.declared.at(names[i], d)

    def shapes(self, history: History, leaves: Sequence[Any], names: Sequence[str]) -> Shapes | None:
        """What a trace takes the leaves to be; None where nothing is a symbol."""
        if history.static is not None:
            return None
        dims: dict[Place, Dim] = {}
        values: dict[str, int] = {}
        declared: set[str] = set()
        by_group: dict[int, Dim] = {}
        for place, group in history.groups().items():
            n = dims[place] = size_at(leaves, place)
            if place not in history.moving:
                continue
            asked = self._asked(place, leaves, names)
            if asked not in (None, True):
                dims[place] = asked.dim(n, place_text(place, names), values)
                declared.update(asked.names)
                continue
            if n < (0 if place[1] is None else 1):
                continue
            if group not in by_group:
                name = next(f"s{i}" for i in range(len(values) + 1) if f"s{i}" not in values)
                by_group[group] = symbol(name, 0 if place[1] is None else 1, inf)
                values[name] = n
            dims[place] = by_group[group]
        return Shapes(dims, values, frozenset(declared)) if values else None

    def found(self, history: History, shapes: Shapes, pinned: Mapping[str, str]) -> None:
        """What a trace that began with `shapes` has needed as plain numbers: those places move no more."""
        for place, dim in shapes.dims.items():
            for s in symbols(dim):
                if s.name in pinned:
                    history.fixed[place] = pinned[s.name]
                    history.moving.discard(place)


def _places(leaves: Sequence[Any]) -> list[Place]:
    found: list[Place] = []
    seen: set[int] = set()
    for i, x in enumerate(leaves):
        if isinstance(x, Tensor):
            if id(x) not in seen:
                seen.add(id(x))
                found += [(i, d) for d in range(len(x._array.type.shape))]
        elif type(x) is int:
            found.append((i, None))
    return found
