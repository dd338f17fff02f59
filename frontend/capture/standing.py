"""Where the lists and dicts stand that a function can reach. What is in them is found by that: another may take their place."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from ingot.capture.describe import held_in
from ingot.capture.exchanged import PlaceIs
from ingot.capture.places import Elsewhere, ExtentAt, InCell, InList, InTable, Spot, Within, part, within
from ingot.capture.roots import Roots
from ingot.capture.slots import OfClass
from ingot.capture.watch import MISSING

__all__ = ["Standing"]


class Standing:
    """The places of a function's lists and dicts before it is traced.

    before: tables, with what was in them and whose they are; lists, with their items; names in namespaces and cells, with what they held
    """

    def __init__(
        self,
        roots: Roots,
        before: Sequence[tuple[MutableMapping, dict, Any]],
        lists: Sequence[tuple[Any, Any]],
        names: Sequence[tuple[dict, str, Any]],
        cells: Sequence[tuple[Any, str, Any]],
    ):
        self._before, self._lists, self._names, self._cells = before, lists, names, cells
        self._in_classes = roots.in_classes
        self._held: dict[int, Any] = {id(x): held for x, held, *_ in (*before, *lists)}
        self._values = {InTable(s, n, n).key: v for s, n, v in names} | {InCell(c, n).key: v for c, n, v in cells}
        self._values.update({(id(t.of), n): v for t, held, _ in before if isinstance(t, OfClass) for n, v in held.items()})
        self._lists_and_dicts = {id(x) for x, _ in lists} | {id(d) for d in roots.dicts}

    def reachable(self, place: Spot) -> bool:
        """Whether a place is where the function can find it, and not in a list or dict that another has taken the place of."""
        while isinstance(place, (ExtentAt, Within)):
            place = place.place
        if isinstance(place, InList):
            return id(place.items) in self._lists_and_dicts or id(place.items) in self._in_classes
        if isinstance(place, InTable) and type(place.table) is dict:
            return id(place.table) in self._in_classes or any(t is place.table for t, _, _ in (*self._before, *self._names))
        return True

    def found(self, place: Spot) -> Spot:
        """The same place by how the function finds it: what is in a list or dict, by the place that this stands in."""
        return self.outermost(place) if isinstance(place, Elsewhere) else place

    def outermost(self, place: Elsewhere, inside: tuple[int, ...] = ()) -> Elsewhere:
        """The same of a place outside."""
        if isinstance(place, ExtentAt):
            return ExtentAt(self.outermost(place.place, inside), place.dim, place.was)
        if isinstance(place, Within):
            return within(self.outermost(place.place, inside), place.path)
        holder: Any
        if isinstance(place, InList):
            holder, path = place.items, (place.index,)
        elif isinstance(place, InTable):
            holder, path = place.table, (place.name,)  # type: ignore[assignment]
        else:
            return place
        at = None if id(holder) in inside else next((p for p, x, _ in self._places() if x is holder), None)
        return place if at is None else within(self.outermost(at, (*inside, id(holder))), path)

    def before(self, place: Elsewhere) -> Any:
        """What stood at a place before the function ran, which may have moved it; MISSING where nothing."""
        if isinstance(place, Within):
            x = self.before(place.place)
            for k in place.path:
                x = part(self._held.get(id(x), x), (k,))
            return x
        if isinstance(place, InTable) and id(place.table) in self._held:
            return self._held[id(place.table)].get(place.name, MISSING)
        if isinstance(place, InList) and id(place.items) in self._held:
            return part(self._held[id(place.items)], (place.index,))
        return self._values[place.key] if place.key in self._values else place.read()

    def root_of(self, place: Elsewhere) -> tuple[Elsewhere, tuple]:
        """The innermost place that could be assigned, and the path from there: the rest of it goes through tuples."""
        if not isinstance(place, Within):
            return place, ()
        root, rest = place.place, place.path
        for n, (k, x) in enumerate(zip(place.path, self.along(place))):
            text = Within(place.place, place.path[: n + 1]).text
            if isinstance(x, (list, deque)):
                root, rest = InList(x, k, text), place.path[n + 1 :]
            elif isinstance(x, dict):
                root, rest = InTable(x, k, text), place.path[n + 1 :]
        return root, rest

    def along(self, place: Elsewhere) -> list[Any]:
        """What a path went through."""
        return [self.before(within(place.place, place.path[:n])) for n in range(len(place.path))] if isinstance(place, Within) else []

    def where(self, containers: Mapping[int, Any]) -> Iterator[PlaceIs]:
        """All places where these lists and dicts were found, and those of the lists and dicts that they are in."""
        if not containers:
            return
        held = list(self._places())
        known, n = dict(containers), 0
        while n < len(known):
            n = len(known)
            known.update({id(holder): holder for _, x, holder in held if holder is not None and id(x) in known})
        yield from (PlaceIs(place, x) for place, x, _ in held if id(x) in known)

    def _places(self) -> Iterator[tuple[Elsewhere, Any, Any]]:
        """The places of lists and dicts, with the list or dict that stands there, and the one that it is in, if it is in one."""
        places: list[tuple[Elsewhere, Any, Any]] = []
        for table, before, owner in self._before:
            places += [(InTable(table, key, str(key)), value, table if owner is table else None) for key, value in before.items()]
        for x, items in self._lists:
            places += [(InList(x, i, f"a list's [{i}]"), value, x) for i, value in enumerate(items)]
        places += [(InTable(space, name, name), value, None) for space, name, value in self._names]
        places += [(InCell(cell, name), value, None) for cell, name, value in self._cells]
        for place, value, holder in places:
            for path, x in _through_tuples(value):
                yield within(place, path), x, holder


def _through_tuples(x: Any, at: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    """A list or dict, or those in a tuple, with their paths."""
    if isinstance(x, (list, deque, dict)):
        yield at, x
    elif isinstance(x, tuple):
        for i, v in enumerate(held_in(x)):
            yield from _through_tuples(v, (*at, i))
