"""Recipes: how each tensor of the result is made at a call. One class per kind.

One recipe stands for one tensor: what is returned twice, or returned and kept as well, is one object after each call, too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ingot._tensor import Tensor, wrap
from ingot._tensor.extents import Extent, plain_dim
from ingot._tensor.reals import Real
from ingot._tensor.state import view
from ingot.capture.describe import held_in
from ingot.capture.errors import CaptureError
from ingot.capture.places import Elsewhere
from ingot.capture.pytree import LEAF, unflatten
from ingot.capture.shapes import valued
from ingot.capture.sources import Place
from ingot.ir.struct import struct
from ingot.runtime.storage import Storage
from ingot.runtime.views import Step

if TYPE_CHECKING:
    from ingot.capture.call import Done
    from ingot.capture.lines import Lines
    from ingot.capture.traced import Traced

__all__ = [
    "Built", "Given", "Gradient", "Object", "Placed", "Recipe", "Result", "Value", "ViewOfArgument", "ViewOfCaptured", "ViewOfFresh",
]  # fmt: skip


class Recipe(ABC):
    """The base of all kinds."""

    __slots__ = ()
    outputs: ClassVar[tuple[int, ...]] = ()  # those that become the tensor's own memory

    @abstractmethod
    def make(self, done: Done) -> Any:
        """The tensor, for a call whose code has run."""

    def lines(self, c: Lines, i: int, traced: Traced) -> list[str] | None:
        """The lines of the fast call that make it, as `t{i}`, where there is no backward. None: it cannot."""
        return None


@struct
class Given(Recipe):
    """An argument leaf itself."""

    index: int

    def make(self, done: Done) -> Any:
        return done.leaves[self.index]


@struct
class Gradient(Recipe):
    """The gradient that was there before the call; a view of it, where there are steps."""

    place: Place
    steps: tuple[Step, ...] = ()
    cls: type | None = None

    def make(self, done: Done) -> Any:
        t = self.place.at(done.leaves).grad
        return t if self.cls is None else view(t._share(), t._steps + done.sized(self.steps), self.cls)


@struct
class Object(Recipe):
    """A tensor from outside itself, such as a parameter."""

    tensor: Any

    def make(self, done: Done) -> Any:
        return self.tensor


@struct
class Placed(Recipe):
    """The tensor that was at a place before the call; a view of it, where there are steps."""

    place: Elsewhere
    steps: tuple[Step, ...] = ()
    cls: type | None = None

    def make(self, done: Done) -> Any:
        t = self.place.read()
        return t if self.cls is None else view(t._share(), t._steps + done.sized(self.steps), self.cls)


class Built(Recipe):
    """A tuple, list or dict with tensors in it. `leaves` are recipes, sizes and formulas, and what else was there."""

    __slots__ = ("structure", "leaves")

    def __init__(self, structure: Any, leaves: tuple[Any, ...]):
        self.structure = structure
        self.leaves = leaves

    def make(self, done: Done) -> Any:
        return unflatten(self.structure, [done.result(x) if isinstance(x, Recipe) else valued(x, done.sizes) for x in self.leaves])


@struct
class Value(Recipe):
    """An output, as a tensor of class `cls`: with the call's history if it is `rooted`, a leaf that requires gradients if a `leaf`."""

    out: int
    cls: type = Tensor
    rooted: bool = True
    leaf: bool = False

    @property
    def outputs(self) -> tuple[int, ...]:  # type: ignore[override]
        return (self.out,)

    def make(self, done: Done) -> Any:
        t = wrap((done.outs[self.out], done.edge(self.out) if self.rooted else None), self.cls)
        return t.requires_grad_() if self.leaf else t

    def lines(self, c: Lines, i: int, traced: Traced) -> list[str] | None:
        if self.leaf or self.cls is not Tensor:
            return None
        freed = traced.freed.get(self.out) if self.rooted else None
        t = f"t{i}"
        return [
            f"{t} = new(Tensor)",
            f"{t}._array = Array(OT{self.out}, o{self.out}, None, None)",
            f"{t}._edge = {'None' if freed is None else c.name(freed)}",
            f"{t}._storage = {t}._version_cell = {t}._slot = None",
            f"{t}._steps = ()",
            f"{t}._generation = 0",
            f"{t}._weak = False",
        ]


@struct
class ViewOfCaptured(Recipe):
    """A view of a tensor from outside."""

    storage: Storage
    steps: tuple[Step, ...]
    cls: type

    def make(self, done: Done) -> Any:
        return view(self.storage, done.sized(self.steps), self.cls)


@struct
class ViewOfArgument(Recipe):
    """A view of an argument leaf."""

    index: int
    steps: tuple[Step, ...]
    cls: type

    def make(self, done: Done) -> Any:
        t = done.leaves[self.index]
        return view(t._share(), t._steps + done.sized(self.steps), self.cls)


@struct
class ViewOfFresh(Recipe):
    """A view of memory that the call made, and that other results share."""

    number: int
    steps: tuple[Step, ...]
    cls: type

    def make(self, done: Done) -> Any:
        return view(done.fresh[self.number], done.sized(self.steps), self.cls)


# ---- what the function returns


@struct
class Result:
    """What the function returned: its structure, and its leaves, of which the tensors are made anew by each call."""

    structure: Any
    leaves: tuple[Any, ...]  # None in the place of a tensor; sizes and formulas of each call as such
    tensors: tuple[int, ...]  # their places
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, structure: Any, leaves: list[Any]) -> Result:
        """Of what was returned while it was traced."""
        for x in leaves:
            if _holds_numbers(x):
                raise CaptureError(
                    f"a compiled function cannot return a {type(x).__name__} that holds a size or a number of the call: later calls would "
                    "return the first one's; return it in a tuple, list, dict or dataclass of tensors"
                )
        tensors = tuple(i for i, x in enumerate(leaves) if isinstance(x, Tensor))
        sizes = tuple(i for i, x in enumerate(leaves) if type(x) in (Extent, Real))
        return cls(structure, tuple(None if isinstance(x, Tensor) else plain_dim(x) for x in leaves), tensors, sizes)

    @property
    def one(self) -> bool:
        """Whether it is a tensor."""
        return self.structure == LEAF and len(self.tensors) == 1

    @property
    def flat(self) -> bool:
        """Whether it is a tuple of tensors."""
        s = self.structure
        return type(s) is tuple and s[0] is tuple and all(x == LEAF for x in s[1:]) and len(self.tensors) == len(self.leaves)

    def builder(self) -> Callable[[list[Any], Mapping[str, int]], Any]:
        """What puts the tensors of a call, and sizes by the values of symbols, between what else was returned."""
        if self.one:
            return _only
        return _all if self.flat else self._nested

    def _nested(self, tensors: list[Any], sizes: Mapping[str, int]) -> Any:
        values = list(self.leaves)
        for i, t in zip(self.tensors, tensors):
            values[i] = t
        for i in self.sizes:
            values[i] = valued(values[i], sizes)
        return unflatten(self.structure, values)


def _holds_numbers(x: Any) -> bool:
    """Whether a leaf that is no number itself has numbers in it that each call has anew."""
    if isinstance(x, (type, Tensor)) or type(x) in (Extent, Real):
        return False
    inner = [*held_in(x)] if isinstance(x, (tuple, list, deque)) else [*x.values()] if isinstance(x, dict) else []
    if type(x) is slice:
        inner = [x.start, x.stop, x.step]
    return any(type(i) in (Extent, Real) for i in (*inner, *(getattr(x, "__dict__", None) or {}).values()))


def _only(tensors: list[Any], sizes: Mapping[str, int]) -> Any:
    return tensors[0]


def _all(tensors: list[Any], sizes: Mapping[str, int]) -> Any:
    return tuple(tensors)
