"""Places where a number or a tensor stands: an argument leaf, an extent of one, or outside: a name, an attribute, an item of a list."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import MutableMapping, Sequence
from types import CellType
from typing import TYPE_CHECKING, Any
from weakref import ref

from ingot._tensor import Tensor
from ingot.capture.slots import OfClass, Slots
from ingot.capture.watch import MISSING, content, entry
from ingot.ir.struct import struct

if TYPE_CHECKING:
    from ingot.capture.lines import Lines

__all__ = [
    "DataOf", "Elsewhere", "ExtentAt", "InCell", "InClass", "InList", "InTable", "Spot", "Within", "number_at", "part", "place_text",
    "table_of", "within",
]  # fmt: skip


class Elsewhere(ABC):
    """The base of places beside the arguments. `text` says what stands there, for people."""

    __slots__ = ()
    text: str

    @property
    @abstractmethod
    def key(self) -> Any:
        """Equal for the same place."""

    @abstractmethod
    def read(self) -> Any:
        """What stands there; MISSING where nothing."""

    def put(self, value: Any) -> None:
        """Have it hold a value."""
        raise AssertionError(f"{self.text} cannot be assigned")

    def expression(self, c: Lines) -> str:
        """The same as `read` in the fast call."""
        return f"{c.name(self.read)}()"


@struct
class InTable(Elsewhere):
    """An entry of a table: a global, or an attribute of an object."""

    table: MutableMapping
    name: str
    text: str

    @property
    def key(self) -> Any:
        return id(self.table.of if isinstance(self.table, (OfClass, Slots)) else self.table), self.name

    def read(self) -> Any:
        return entry(self.table, self.name)

    def put(self, value: Any) -> None:
        if isinstance(self.table, dict):
            dict.__setitem__(self.table, self.name, value)
        else:
            self.table[self.name] = value

    def expression(self, c: Lines) -> str:
        if isinstance(self.table, dict) and type(self.table) is not dict:  # whose methods may be the user's
            return f"{c.name(dict.get)}({c.name(self.table)}, {self.name!r})"
        return f"{c.name(self.table)}.get({self.name!r})"


@struct
class InCell(Elsewhere):
    """A variable of an enclosing function."""

    cell: CellType
    text: str

    @property
    def key(self) -> Any:
        return id(self.cell)

    def read(self) -> Any:
        return content(self.cell)

    def put(self, value: Any) -> None:
        self.cell.cell_contents = value

    def expression(self, c: Lines) -> str:
        return f"{c.name(self.cell)}.cell_contents"


@struct
class InClass(Elsewhere):
    """An attribute of a class, in its own table."""

    of: type
    name: str
    text: str

    @property
    def key(self) -> Any:
        return id(self.of), self.name

    def read(self) -> Any:
        return vars(self.of).get(self.name, MISSING)

    def put(self, value: Any) -> None:
        type.__setattr__(self.of, self.name, value)


@struct
class InList(Elsewhere):
    """An item of a list or a deque."""

    items: Any
    index: int
    text: str

    @property
    def key(self) -> Any:
        return id(self.items), self.index

    def read(self) -> Any:
        return self.items[self.index] if self.index < len(self.items) else MISSING

    def put(self, value: Any) -> None:
        self.items[self.index] = value


@struct
class DataOf(Elsewhere):
    """A tensor from outside whose memory is another one at each call."""

    tensor: ref[Any]
    text: str

    @property
    def key(self) -> Any:
        return id(self.tensor), "data"

    def read(self) -> Any:
        return self.tensor()


@struct
class Within(Elsewhere):
    """A part of what a place holds: an item of a tuple, of a list in it, and so on along a path."""

    place: Elsewhere
    path: tuple[Any, ...]

    @property
    def text(self) -> str:  # type: ignore[override]
        return self.place.text + "".join([f"[{k!r}]" for k in self.path])

    @property
    def key(self) -> Any:
        return self.place.key, self.path

    def read(self) -> Any:
        return part(self.place.read(), self.path)


@struct
class ExtentAt(Elsewhere):
    """An extent of the tensor at a place, which was another one before."""

    place: Elsewhere
    dim: int
    was: int

    @property
    def text(self) -> str:  # type: ignore[override]
        return f"{self.place.text}.shape[{self.dim}]"

    @property
    def key(self) -> Any:
        return self.place.key, self.dim, "extent"

    def read(self) -> Any:
        t = self.place.read()
        return t._array.type.shape[self.dim] if isinstance(t, Tensor) and self.dim < t._array.type.rank else MISSING


def table_of(place: Elsewhere) -> Any:
    """The table that a place is an entry of, or a part of one; None for any other place."""
    while isinstance(place, (ExtentAt, Within)):
        place = place.place
    return place.table if isinstance(place, InTable) else None


def within(place: Elsewhere, path: tuple[Any, ...]) -> Elsewhere:
    """A part of what a place holds, or the place itself where there is no path."""
    if isinstance(place, Within):
        return Within(place.place, place.path + path)
    return Within(place, path) if path else place


def part(x: Any, path: tuple[Any, ...]) -> Any:
    """What stands in a value at a path; MISSING where nothing."""
    for k in path:
        try:
            x = x[k]
        except (LookupError, TypeError):
            return MISSING
    return x


Spot = tuple[int, int | None] | Elsewhere  # (leaf, dim), or (leaf, None) for an int itself


def number_at(leaves: Sequence[Any], place: Spot) -> Any:
    """What stands at a place, for these argument leaves."""
    if isinstance(place, Elsewhere):
        return place.read()
    i, d = place
    return leaves[i] if d is None else leaves[i]._array.type.shape[d]


def place_text(place: Spot, names: Sequence[str]) -> str:
    """A place for people, given the names of the leaves: `x.shape[0]`."""
    if isinstance(place, Elsewhere):
        return place.text
    i, d = place
    return names[i] if d is None else f"{names[i]}.shape[{d}]"
