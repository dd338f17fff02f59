"""Writes: what a call changes outside of itself, when its code has run. One class per kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from weakref import ref

from ingot.capture.attached import put_attributes
from ingot.capture.describe import PLAIN
from ingot.capture.places import Elsewhere, InTable
from ingot.capture.recipes import Recipe
from ingot.capture.shapes import valued
from ingot.capture.sources import Place
from ingot.capture.watch import MISSING, WATCHED
from ingot.ir.struct import struct
from ingot.runtime.epoch import bump
from ingot.runtime.storage import Storage
from ingot.runtime.tape import Version
from ingot.runtime.views import Step

if TYPE_CHECKING:
    from ingot.capture.call import Done

__all__ = [
    "ArgumentDetach", "ArgumentRequiresGrad", "ArgumentView", "ArgumentWrite", "Attributes", "DataAssign", "GradAssign", "GradNone",
    "GradWrite", "History", "ListAdd", "ListWrite", "NewState", "PlaceWrite", "PlacedWrite", "PlainWrite", "Print", "RequiresGrad",
    "ResultGrad", "RetainGrad", "StorageWrite", "Write",
]  # fmt: skip

History = Literal["keep", "new", "clear"]  # of what is written: what it had, the call's, or none


class Write(ABC):
    """The base of all kinds."""

    __slots__ = ()
    tensors: ClassVar[bool] = True  # whether it changes tensors; else what Python keeps beside them
    distinct: ClassVar[bool] = False  # whether it depends on which arguments are one object

    @abstractmethod
    def apply(self, done: Done) -> None:
        """Do it, for a call whose code has run."""


@struct
class StorageWrite(Write):
    """A Storage that is no argument's gets an output as its value."""

    storage: Storage
    out: int
    history: History

    def apply(self, done: Done) -> None:
        s, new = self.storage, done.outs[self.out]
        if s.base.buffer is new.buffer:  # the code wrote it in place
            s.version.n += 1
            s.renew()
        else:
            s.commit(new, s.edge if self.history == "keep" else done.history(self.out, self.history))


def _overwrite(t: Any, done: Done, out: int, history: History) -> None:
    new, edge = done.outs[out], done.history(out, history)
    if t._storage is not None:
        t._now()
        t._storage.write(t._steps, (new, edge), history != "keep")
        return
    t._array = new
    if history != "keep":
        t._edge = edge
    if t._version_cell is None:
        t._version_cell = Version()
    t._version_cell.n += 1


@struct
class PlacedWrite(Write):
    """The tensor at a place gets an output as its value."""

    place: Elsewhere
    out: int
    history: History

    def apply(self, done: Done) -> None:
        _overwrite(self.place.read(), done, self.out, self.history)


@struct
class DataAssign(Write):
    """A tensor gets the memory of another one: its `.data` is assigned."""

    distinct: ClassVar[bool] = True
    tensor: Recipe
    data: Recipe

    def apply(self, done: Done) -> None:
        done.result(self.tensor).data = done.result(self.data)


@struct
class ArgumentWrite(Write):
    """An argument leaf gets an output as its value."""

    distinct: ClassVar[bool] = True
    index: int
    out: int
    history: History

    def apply(self, done: Done) -> None:
        _overwrite(done.leaves[self.index], done, self.out, self.history)


@struct
class ArgumentDetach(Write):
    """An argument leaf forgets its history, or to require gradients."""

    distinct: ClassVar[bool] = True
    index: int

    def apply(self, done: Done) -> None:
        done.leaves[self.index].detach_()


@struct
class ArgumentRequiresGrad(Write):
    """An argument leaf starts to require gradients."""

    distinct: ClassVar[bool] = True
    index: int

    def apply(self, done: Done) -> None:
        done.leaves[self.index].requires_grad_()


@struct
class ArgumentView(Write):
    """An argument leaf turns into a view of itself."""

    distinct: ClassVar[bool] = True
    index: int
    steps: tuple[Step, ...]

    def apply(self, done: Done) -> None:
        t = done.leaves[self.index]
        s = t._share()
        t._steps += done.sized(self.steps)
        (t._array, t._edge), t._generation = s.read(t._steps)


@struct
class GradNone(Write):
    """A gradient is dropped."""

    distinct: ClassVar[bool] = True
    place: Place

    def apply(self, done: Done) -> None:
        self.place.at(done.leaves).grad = None


@struct
class GradAssign(Write):
    """Another tensor becomes the gradient."""

    distinct: ClassVar[bool] = True
    place: Place
    recipe: Recipe

    def apply(self, done: Done) -> None:
        self.place.at(done.leaves).grad = done.result(self.recipe)


@struct
class GradWrite(Write):
    """The gradient that is there gets an output as its value."""

    distinct: ClassVar[bool] = True
    place: Place
    out: int

    def apply(self, done: Done) -> None:
        held, new = self.place.at(done.leaves).grad, done.outs[self.out]
        if held._storage is None:
            held._array = new
        else:
            held._now()
            held._storage.write(held._steps, (new, None), False)


@struct
class ResultGrad(Write):
    """A result comes with a gradient."""

    result: Recipe
    grad: Recipe

    def apply(self, done: Done) -> None:
        done.result(self.result).grad = done.result(self.grad)


@struct
class RetainGrad(Write):
    """A tensor that is no leaf will keep its gradient."""

    tensor: Recipe

    def apply(self, done: Done) -> None:
        done.result(self.tensor).retain_grad()


@struct
class RequiresGrad(Write):
    """A tensor starts or stops to require gradients."""

    tensors: ClassVar[bool] = False
    tensor: ref[Any]
    value: bool

    def apply(self, done: Done) -> None:
        t = self.tensor()
        if t is not None:
            t.requires_grad_(self.value)


@struct
class PlainWrite(Write):
    """An attribute or dict entry gets a number, a string or the like: the guards held, so the function would assign the same again.

    A `value` that is a size is that of the call.
    """

    tensors: ClassVar[bool] = False
    table: MutableMapping
    name: str
    value: Any

    def apply(self, done: Done) -> None:
        value = valued(self.value, done.sizes)
        if self.table.get(self.name, self) is not value:
            self.table[self.name] = value
            bump()


@struct
class PlaceWrite(Write):
    """A place (an attribute, a dict's entry, a variable) gets a tensor, or a tuple, list or dict of such."""

    place: Elsewhere
    recipe: Recipe

    def apply(self, done: Done) -> None:
        place, new = self.place, done.result(self.recipe)
        old = place.read()
        place.put(new)
        if not isinstance(place, InTable):
            return
        # numbers, and that nothing is there, are not in WATCHED; what is exchanged between calls is looked at by each
        key = id(place.table), place.name
        if old is MISSING or isinstance(old, PLAIN) or key in WATCHED:
            WATCHED.discard(key)
            bump()


@struct
class ListWrite(Write):
    """A list or deque gets other items: `items` are (place before, None), or (-1, a recipe, a size, or what else was put there).

    left: what the trace has left in it, where that is what each call puts there
    """

    of: Any
    items: tuple[tuple[int, Any], ...]
    left: tuple[Any, ...] | None

    def apply(self, done: Done) -> None:
        before = list(self.of)
        if self.left is not None and len(before) == len(self.left) and all(a is b for a, b in zip(before, self.left)):
            return
        new = [
            before[i] if i >= 0 else done.result(x) if isinstance(x, Recipe) else valued(x, done.sizes)
            for i, x in self.items
        ]  # fmt: skip
        self.of.clear()
        self.of.extend(new)


@struct
class ListAdd(Write):
    """Things are added to a list or deque: methods of it are called, with what these recipes make. known: before the code has run."""

    of: Any
    done: tuple[tuple[str, tuple[Recipe, ...]], ...]
    known: bool

    def apply(self, done: Done) -> None:
        for method, given in self.done:
            getattr(self.of, method)(*[done.result(r) for r in given])


@struct
class Attributes(Write):
    """A tensor that the call makes or is given gets attributes of the user's, names with recipes, and loses those `gone`."""

    tensors: ClassVar[bool] = False
    tensor: Recipe
    entries: tuple[tuple[str, Recipe], ...]
    gone: tuple[str, ...]

    def apply(self, done: Done) -> None:
        put_attributes(done.result(self.tensor), {name: done.result(value) for name, value in self.entries}, self.gone)


@struct
class Print(Write):
    """Values are shown, see `ingot.debug.print`."""

    tensors: ClassVar[bool] = False
    values: tuple[Any, ...]  # recipes of tensors among them
    numbers: frozenset[int]  # which of them stand for Python numbers
    show: Callable[[list[Any]], None]

    def apply(self, done: Done) -> None:
        made: list[Any] = [done.result(v) if isinstance(v, Recipe) else valued(v, done.sizes) for v in self.values]
        self.show([x.item() if i in self.numbers else x for i, x in enumerate(made)])


@struct
class NewState(Write):
    """An optimizer's state of a parameter that had none is made: `entries` are names with recipes, or with plain values."""

    states: dict
    key: Any
    kind: type
    entries: tuple[tuple[Any, Any], ...]

    def apply(self, done: Done) -> None:
        state = self.states.get(self.key)
        if state is None:
            state = self.states[self.key] = self.kind()
        for name, value in self.entries:
            state[name] = done.result(value) if isinstance(value, Recipe) else valued(value, done.sizes)
