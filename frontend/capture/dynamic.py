"""Which numbers of a compiled function's calls are symbols: what was declared, and what has come with a second value."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from math import inf
from typing import Any

from ingot._tensor import Tensor
from ingot.capture.declared import Declared, marks
from ingot.capture.places import Elsewhere, ExtentAt, Spot, Within, number_at, place_text
from ingot.capture.shapes import FloatSymbol, Shapes
from ingot.capture.signature import ATTRIBUTE
from ingot.ir.size import Dim, symbol

__all__ = ["Dynamic", "History"]

_STATIC = "declared static"
_GUESSES = 8
_CALLS = 8  # calls of one kind that are remembered, to see which sizes are always equal


class History:
    """What sizes calls of one kind came with: alike but for extents and ints.

    moving: places that are symbols; fixed: places that are not, whatever comes, and why
    static: why none is; None where some may be
    """

    def __init__(self, places: list[tuple[int, int | None]]):
        self.places = places
        self.calls: list[tuple[int, ...]] = []
        self.moving: set[Spot] = set()
        self.fixed: dict[Spot, str] = {}
        self.static: str | None = None

    def see(self, leaves: Sequence[Any]) -> list[tuple[tuple[int, int | None], int, int]]:
        """Take note of a call: the places that move since, with what they are and what they were."""
        now = tuple([number_at(leaves, p) for p in self.places])
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
        return tuple([(p, number_at(leaves, p)) for p in self.fixed])

    def groups(self) -> dict[tuple[int, int | None], int]:
        """All places by what they share: those that were equal in all calls."""
        columns: dict[tuple[int, ...], int] = {}
        found = {}
        for p, column in zip(self.places, zip(*self.calls)):
            found[p] = columns.setdefault((p in self.moving, p[1] is None, *column), len(columns))
        return found


class Dynamic:
    """The numbers of one function. `mode`: None waits for a second value, True takes all sizes as symbols at once, False none.

    outside: places beside the arguments whose numbers have changed, by their keys; None for those that Python needs as they are
    exchanged: places beside the arguments whose tensors have been exchanged
    """

    def __init__(self, mode: bool | None, declared: Declared | None):
        self.mode = mode
        self.declared = declared
        self.outside: dict[Any, Elsewhere | None] = {}
        self.exchanged: dict[Any, Elsewhere] = {}
        self._seen: dict[Any, tuple[int, ...]] = {}  # what extents outside were
        self.pinned: dict[Any, str] = {}  # why, for those
        self._histories: dict[Any, History] = {}

    def history(self, key: Any, leaves: Sequence[Any]) -> History | None:
        """That of calls with such a loose key; None where all sizes are static."""
        if self.mode is False and self.declared is None:
            return None
        found = self._histories.get(key)
        if found is None:
            places = list(_places(key, leaves))
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
            history.fixed.update((p, _STATIC) for p in history.places if p[0] in static)
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
                history.fixed[p] = _STATIC
            elif asked or (self.mode and number_at(leaves, p) > 1 and p[1] is not None):
                history.moving.add(p)

    def _asked(self, place: tuple[int, int | None], leaves: Sequence[Any], names: Sequence[str]) -> Any:
        """What the user has asked for: a Dim, True for some symbol, False for none, None for nothing."""
        i, d = place
        if d is None:
            return None
        found = marks(leaves[i]).get(d)
        return found if found is not None or self.declared is None else self.declared.at(names[i], d)

    def changed(self, places: Sequence[Elsewhere]) -> bool:
        """Take note of places outside whose numbers or tensors are others than an entry has seen: whether one of them is new."""
        tensors = [p for p in places if isinstance(p.read(), Tensor)]
        numbers = [p for p in places if p not in tensors]
        new = any(p.key not in self.exchanged for p in tensors)
        self.exchanged.update((p.key, p) for p in tensors)
        if self.mode is False:
            return new
        for p in numbers:
            if p.key not in self.outside:
                new = True
                self.outside[p.key] = p
                if isinstance(p, ExtentAt):
                    self._seen[p.key] = (p.was,)
        for known in self.outside.values():
            if isinstance(known, ExtentAt) and type(n := known.read()) is int:
                self._seen[known.key] = (*self._seen[known.key][-_CALLS:], n)
        return new

    @property
    def read_anew(self) -> list[Elsewhere]:
        """The places outside whose tensors each call reads, and the parts of tuples whose numbers it reads."""
        held = {p.place.key: p.place for p in self.outside.values() if isinstance(p, ExtentAt)}
        held.update((p.key, p) for p in self.outside.values() if isinstance(p, Within))
        return list({**held, **self.exchanged}.values())

    def fixed_because(self) -> str:
        """What keeps numbers from being symbols, in words; "" where nothing does."""
        found = [h.static or next((w for w in h.fixed.values() if w != _STATIC), "") for h in self._histories.values()]
        return next(filter(None, found), "") or next(iter(self.pinned.values()), "")

    def refuse(self, history: History | None, why: str) -> None:
        """No code can be for many sizes: from now on it is for those of each call."""
        if history is not None:
            history.static = why
        self.outside = dict.fromkeys(self.outside)

    @property
    def moves_outside(self) -> bool:
        """Whether a number beside the arguments is a symbol."""
        return any(p is not None for p in self.outside.values())

    def guesses(self, history: History | None, leaves: Sequence[Any]) -> Iterator[None]:
        """Which sizes may have been symbols where code was made ahead: those that are equal, one group after the other, move in turn."""
        if history is None or history.static is not None or history.moving or self.mode is not None or self.declared is not None:
            return
        extents = {p: n for p in history.places if p[1] is not None and (n := number_at(leaves, p)) > 0 and p not in history.fixed}
        for n in list(dict.fromkeys(extents.values()))[:_GUESSES]:
            history.moving = {p for p, m in extents.items() if m == n}
            yield
        history.moving = set()

    def shapes(self, history: History | None, leaves: Sequence[Any], names: Sequence[str]) -> Shapes | None:
        """What a trace takes the numbers to be; None where nothing is a symbol."""
        if history is not None and history.static is not None:
            return None
        dims: dict[Spot, Any] = {}
        values: dict[str, Any] = {}
        declared: set[str] = set()
        by_group: dict[int, Dim] = {}
        for place, group in history.groups().items() if history is not None else ():
            n = dims[place] = number_at(leaves, place)
            if place not in history.moving:  # type: ignore[union-attr]
                continue
            if type(n) is float:
                name = _free("s", values)
                values[name], dims[place] = n, FloatSymbol(name)
                continue
            asked = self._asked(place, leaves, names)
            if asked not in (None, True):
                dims[place] = asked.dim(n, place_text(place, names), values)
                declared.update(asked.names)
                continue
            least = 0 if place[1] is None else 1
            if n < least:
                continue
            if group not in by_group:
                name = _free("s", values)
                by_group[group] = symbol(name, least, inf)
                values[name] = n
            dims[place] = by_group[group]
        columns: dict[Any, Dim] = {}  # extents that have always been equal share a symbol
        for outside in self.outside.values():
            value = None if outside is None else outside.read()
            if isinstance(outside, ExtentAt):
                if type(value) is int and value > 0:
                    column = self._seen[outside.key]
                    if column not in columns:
                        name = _free("n", values)
                        values[name] = value
                        columns[column] = symbol(name, 1, inf)
                    dims[outside] = columns[column]
            elif outside is not None and (type(value) is float or (type(value) is int and value >= 0)):
                name = _free("n", values)
                values[name] = value
                dims[outside] = FloatSymbol(name) if type(value) is float else symbol(name, 0, inf)
        return Shapes(dims, values, frozenset(declared)) if values else None

    def found(self, history: History | None, shapes: Shapes, pinned: Mapping[str, str]) -> None:
        """What a trace that began with `shapes` has needed as plain numbers: those places move no more."""
        for name, why in pinned.items():
            for place in shapes.places(name):
                if isinstance(place, Elsewhere):
                    self.outside[place.key] = None
                    self.pinned[place.key] = why
                elif history is not None:
                    history.fixed[place] = why
                    history.moving.discard(place)


def _free(letter: str, taken: Mapping[str, Any]) -> str:
    return next(name for i in range(len(taken) + 1) if (name := f"{letter}{i}") not in taken)


def _places(key: tuple[Any, ...], leaves: Sequence[Any]) -> list[tuple[int, int | None]]:
    found: list[tuple[int, int | None]] = []
    seen: set[int] = set()
    for i, (k, x) in enumerate(zip(key[-len(leaves) :], leaves)):
        if isinstance(x, Tensor):
            if id(x) not in seen:
                seen.add(id(x))
                found += [(i, d) for d in range(len(x._array.type.shape))]
        elif type(x) is int or k == ATTRIBUTE:
            found.append((i, None))
    return found
