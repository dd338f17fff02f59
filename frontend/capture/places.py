"""Places where a number stands: an extent of a tensor among the argument leaves, an int among them, or outside: a name, an attribute."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import MutableMapping, Sequence
from types import CellType
from typing import TYPE_CHECKING, Any

from ingot.capture.watch import MISSING, content
from ingot.ir.struct import struct

if TYPE_CHECKING:
    from ingot.capture.lines import Lines

__all__ = ["Elsewhere", "InCell", "InTable", "Spot", "number_at", "place_text"]


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

    @abstractmethod
    def put(self, value: Any) -> None:
        """Have it hold a value."""

    @abstractmethod
    def expression(self, c: Lines) -> str:
        """The same as `read` in the fast call."""


@struct
class InTable(Elsewhere):
    """An entry of a table: a global, or an attribute of an object."""

    table: MutableMapping
    name: str
    text: str

    @property
    def key(self) -> Any:
        return id(self.table), self.name

    def read(self) -> Any:
        return self.table.get(self.name, MISSING)

    def put(self, value: Any) -> None:
        self.table[self.name] = value

    def expression(self, c: Lines) -> str:
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
