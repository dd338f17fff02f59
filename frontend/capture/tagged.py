"""Attributes of the user's at tensors that calls make or are given: `y.tag = n`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ingot._tensor import Tensor
from ingot._tensor.extents import Extent
from ingot._tensor.reals import Real
from ingot.capture.attached import attributes
from ingot.capture.describe import PLAIN
from ingot.capture.leftovers import Once, is_constant
from ingot.capture.pytree import flatten
from ingot.capture.writes import Attributes

if TYPE_CHECKING:
    from ingot.capture.assembly import Assembly
    from ingot.capture.tables import Tables
    from ingot.capture.watch import Watch
    from ingot.capture.writes import Write

__all__ = ["tagged"]


def tagged(assembly: Assembly, tables: Tables) -> Iterator[Write | Watch]:
    """The writes of these attributes; a watch where one is an object that each call would have to make anew."""
    seen: set[int] = set()
    while found := [t for t in assembly.made() if id(t) not in seen]:  # an attribute may be a tensor with attributes
        seen.update(map(id, found))
        for t in found:
            held, given = attributes(t), assembly.arguments.held.get(id(t), {})
            new = {name: value for name, value in held.items() if name not in given or value is not given[name]}
            gone = tuple([name for name in given if name not in held])
            if new or gone:
                recipes = [(name, tables.recipe(assembly, value)) for name, value in new.items()]
                yield Attributes(assembly.recipe(t), tuple(recipes), gone)
                if not all(_is_repeated(value, assembly.arguments.leaves) for value in new.values()):
                    yield Once("gives a tensor an attribute that is an object")


def _is_repeated(value: Any, given: Sequence[Any]) -> bool:
    """Whether a recipe makes a value at each call as the function does: it is no object, or one of those `given`."""
    leaves: list[Any] = []
    flatten(value, leaves)
    known = (Tensor, *PLAIN)
    return all(isinstance(x, known) or type(x) in (Extent, Real) or is_constant(x) or any(x is y for y in given) for x in leaves)
