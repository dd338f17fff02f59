"""Sizes of an artifact that a call decides: its symbols, the shapes that have them, and what is found from the shapes of a call.

    extents = sizes.extents([x.shape, ids.shape])      # {"B": 4, "T": 17}, or SizeError in one line
    sizes.shape(("B", "2*T+1"), extents)               # (4, 35)

A dim is a number or a text, as runtime/formula.py reads it. Each symbol is the whole of at least one dim of an input, from which a call
has its value; other dims are compared with what they must be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ingot.runtime.formula import formula, names_in

__all__ = ["Dim", "Shape", "SizeError", "Sizes", "Symbol"]

Dim = int | str
Shape = tuple[Dim, ...]


class SizeError(RuntimeError):
    """Shapes of a call that an artifact is not for; the message names input, dim and bound."""


class Symbol:
    """A symbol and its bounds; no `max` where there is none."""

    def __init__(self, name: str, min: int, max: int | None):
        self.name, self.min, self.max = name, min, max

    def __str__(self) -> str:
        return f"{self.min} <= {self.name}" + ("" if self.max is None else f" <= {self.max}")


class Sizes:
    """The symbols of an artifact with the names and shapes of its inputs. ValueError where a symbol is no dim of any input."""

    def __init__(self, symbols: Sequence[Symbol], inputs: Sequence[tuple[str, Shape]]):
        self.symbols = tuple(symbols)
        self.names = tuple(s.name for s in symbols)
        self._known: dict[Dim, Callable[..., int]] = {}
        self._first: list[tuple[Symbol, int, int]] = []  # a symbol, and the input and dim that give it
        for s in symbols:
            found = [(s, i, d) for i, (_, shape) in enumerate(inputs) for d, dim in enumerate(shape) if dim == s.name]
            if not found:
                raise ValueError(f"the symbol {s.name} is no dim of any input")
            self._first.append(found[0])
        self._inputs = list(inputs)
        given = {(i, d) for _, i, d in self._first}
        self._rest = [(i, d, x) for i, (_, shape) in enumerate(inputs) for d, x in enumerate(shape) if (i, d) not in given]

    def extents(self, shapes: Sequence[tuple[int, ...]]) -> dict[str, int]:
        """The values of the symbols for a call whose inputs have these shapes. SizeError where they do not fit."""
        for (name, expected), got in zip(self._inputs, shapes, strict=True):
            if len(expected) != len(got):
                raise SizeError(f"input {name} must have shape {shown(expected)}, got {shown(got)}")
        values: dict[str, int] = {}
        for s, i, d in self._first:
            n = shapes[i][d]
            if n < s.min or s.max is not None and n > s.max:
                most = "" if s.max is None else f" and at most {s.max}"
                raise SizeError(f"input {self._inputs[i][0]}: dim {d}, {s.name}, must be at least {s.min}{most}, got {n}")
            values[s.name] = n
        for i, d, x in self._rest:
            n, wanted = shapes[i][d], self.value(x, values)
            if n != wanted:
                what = f"{x} = {wanted}" if isinstance(x, str) else str(wanted)
                raise SizeError(f"input {self._inputs[i][0]}: dim {d} must be {what}, got {n}")
        return values

    def value(self, dim: Dim, extents: Mapping[str, int]) -> int:
        """The number that a dim is for these values of the symbols."""
        if isinstance(dim, int):
            return dim
        found = self._known.get(dim)
        if found is None:
            found = self._known[dim] = formula(dim, self.names)
        return found(*extents.values())

    def shape(self, shape: Shape, extents: Mapping[str, int]) -> tuple[int, ...]:
        """The shape for these values of the symbols."""
        return tuple(self.value(d, extents) for d in shape)

    def largest(self) -> dict[str, int] | None:
        """The symbols at their upper bounds; None where one has none."""
        most = {s.name: s.max for s in self.symbols}
        return None if None in most.values() else most  # type: ignore[return-value]

    def fits(self, dim: Dim) -> bool:
        """Whether no other symbols are in a dim. FormulaError where it is none."""
        return names_in(dim) <= set(self.names)


def shown(shape: Sequence[Dim]) -> str:
    """A shape for people."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
