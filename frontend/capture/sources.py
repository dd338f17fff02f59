"""Sources: where the value of a graph's input comes from at each call. One class per kind, which knows all rules of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ingot._tensor.extents import python_text
from ingot._tensor.reals import Formula
from ingot.ir.size import Dim, evaluate
from ingot.ir.struct import struct
from ingot.ir.types import TensorType, tensor_type
from ingot.runtime.array import Array, host
from ingot.runtime.numbers import wrap_i64
from ingot.runtime.storage import Storage
from ingot.runtime.tape import GradSlot, Version

if TYPE_CHECKING:
    from ingot.capture.lines import Lines
    from ingot.capture.places import Elsewhere

__all__ = [
    "Argument", "Attribute", "BriefArgument", "Captured", "Cell", "ExtentValue", "FormulaValue", "Grad", "Number", "Offset", "Place",
    "Seed", "Source", "shared_memory", "type_text",
]  # fmt: skip


def type_text(c: Lines, t: TensorType) -> str:
    """A type as an expression of variables `d_NAME`."""
    if not t.symbolic:
        return c.name(t)
    c.names["tensor_type"] = tensor_type
    text = f"tensor_type({c.name(t.dtype)}, ({''.join(python_text(d) + ', ' for d in t.shape)}))"
    return text if t.device is None else f"{text}.on({t.device})"


def _where(t: TensorType) -> str:
    return "" if t.device is None else f" on cuda:{t.device}"


def shared_memory(t: Any) -> Array | None:
    """The memory that a tensor shares with the outside, where the tensor is all of it; None for any other tensor."""
    s = t._storage
    if s is None or s.exposed is None or t._steps or s.base.buffer is None:
        return None
    return s.base


Sizes = Mapping[str, Any]  # ints, and floats for the symbols of formulas


class Source(ABC):
    """The base of all kinds."""

    __slots__ = ()
    label: ClassVar[str]  # what inputs without a name of their own are called
    last: ClassVar[bool] = False  # gathering changes something: the fast call does it when nothing can miss any more

    @abstractmethod
    def gather(self, leaves: Sequence[Any], t: TensorType, sizes: Sizes) -> Array:
        """The value, of type `t`, for a call with these argument leaves, in which symbols have the values `sizes`."""

    def seen(self, leaves: Sequence[Any], t: TensorType, sizes: Sizes) -> Array:
        """The same, and nothing changes before `used` is called."""
        return self.gather(leaves, t, sizes)

    def used(self, seen: Array, sizes: Sizes) -> bool:
        """Change what a call changes that has `seen` this; False where others have changed it meanwhile."""
        return True

    def version(self, leaves: Sequence[Any]) -> Version | None:
        """What counts the writes to the tensor that it gathers from; None where there is none."""
        return None

    @abstractmethod
    def lines(self, c: Lines, k: int, t: TensorType) -> tuple[str, str] | None:
        """Add the lines of the fast call that gather input `k`: what is passed for it, and an expression of its Array. None: it cannot."""

    def called(self, k: int, arguments: Sequence[str], storages: Mapping[int, str]) -> str:
        """The name of graph input `k`, given those of argument leaves and of Storages (by id)."""
        return f"{self.label}{k}"

    def feed(self, n: int, storages: Mapping[int, str]) -> tuple[str, int | str]:
        """What an artifact feeds: ("input", argument leaf), or ("weight", name) where `n` weights came before."""
        return "weight", f"{self.label}.{n}"


def _number(c: Lines, k: int, t: TensorType, value: str) -> tuple[str, str]:
    c.add(f"n{k} = {value}")
    return f"n{k}", f"Array({c.name(t)}, None, n{k}, HOST)"


@struct
class Argument(Source):
    """A tensor among the argument leaves."""

    label: ClassVar[str] = "arg"
    index: int

    def gather(self, leaves: Sequence[Any], t: TensorType, sizes: Sizes) -> Array:
        return leaves[self.index]._now()

    def version(self, leaves: Sequence[Any]) -> Version:
        return leaves[self.index]._writes()

    def lines(self, c: Lines, k: int, t: TensorType) -> tuple[str, str]:
        c.add(f"x{k} = m{self.index}")
        c.add(f"b{k} = x{k}.buffer")
        c.add(f"if b{k} is None: b{k} = ready(x{k})")
        return f"b{k}.address", f"x{k}"

    def called(self, k: int, arguments: Sequence[str], storages: Mapping[int, str]) -> str:
        return arguments[self.index]

    def feed(self, n: int, storages: Mapping[int, str]) -> tuple[str, int | str]:
        return "input", self.index


@struct
class BriefArgument(Argument):
    """The same where the call keeps no input: memory that others see needs no snapshot, for it is read at once."""

    def gather(self, leaves: Sequence[Any], t: TensorType, sizes: Sizes) -> Array:
        leaf = leaves[self.index]
        return shared_memory(leaf) or leaf._now()


@struct
class Number(Source):
    """A Python float among the argument leaves."""

    label: ClassVar[str] = "number"
    index: int

    def gather(self, leaves: Sequence[Any], t: TensorType, sizes: Sizes) -> Array:
        return host(t, float(leaves[self.index]))

    def lines(self, c: Lines, k: int, t: TensorType) -> tuple[str, str]:
        return _number(c, k, t, f"a{self.index}")

    def called(self, k: int, arguments: Sequence[str], storages: Mapping[int, str]) -> str:
        return arguments[self.index]


@struct
class Captured(Source):
    """A Storage that is no argument's: a parameter, a buffer, any tensor that the function reads."""

    label: ClassVar[str] = "captured"
    storage: Storage

    def gather(self, leaves: Sequence[Any], t: TensorType, sizes: Sizes) -> Array:
        return self.storage.base

    def version(self, leaves: Sequence[Any]) -> Version:
        return self.storage.version

    def lines(self, c: Lines, k: int, t: TensorType) -> tuple[str, str]:
        c.add(f"x{k} = {c.name(self.storage)}.base")
        c.add(f"b{k} = x{k}.buffer")
        c.add(f"if b{k} is None: return MISS")
        return f"b{k}.address", f"x{k}"

    def called(self, k: int, arguments: Sequence[str], storages: Mapping[int, str]) -> str:
        return storages.get(id(self.storage), f"captured{k}")

    def feed(self, n: int, storages: Mapping[int, str]) -> tuple[str, int | str]:
        return "weight", storages.get(id(self.storage), f"captured.{n}")


@struct
class Attribute(Source):
    """A tensor at a place outside whose tensors are exchanged between calls: whatever is there now."""

    label: ClassVar[str] = "attribute"
    place: Elsewhere
    function: str

    def gather(self, leaves: Sequence[Any], t: TensorType, sizes: Sizes) -> Array:
        found = self.place.read()._now()
        if found.type is not t and found.type != tensor_type(t.dtype, tuple([evaluate(d, sizes) for d in t.shape])).on(t.device):
            raise RuntimeError(
                f"{self.function}: {self.place.text} is {found.type}{_where(found.type)} now, it was {t}{_where(t)} when the function was "
                "compiled"
            )
        return found

    def version(self, leaves: Sequence[Any]) -> Version:
        return self.place.read()._writes()

    def lines(self, c: Lines, k: int, t: TensorType) -> tuple[str, str]:
        c.add(f"y{k} = {self.place.expression(c)}")
        c.need(f"isinstance(y{k}, Tensor)")
        for i in c.tensors:
            c.need(f"y{k} is not a{i} and (s{i} is None or y{k}._storage is not s{i})")
        c.add(f"x{k} = y{k}._now()")
        c.need(f"x{k}.type == {type_text(c, t)}")
        c.add(f"b{k} = ready(x{k})")
        return f"b{k}.address", f"x{k}"


@struct
class Place:
    """Where a gradient lives: in `slot`, or in that of an argument leaf."""

    slot: GradSlot | None = None
    argument: int = -1

    def at(self, leaves: Sequence[Any]) -> GradSlot:
        """The slot, for a call with these argument leaves."""
        return leaves[self.argument]._grad_slot() if self.slot is None else self.slot

    def expression(self, c: Lines) -> str:
        """The same in the fast call."""
        return f"a{self.argument}._grad_slot()" if self.slot is None else c.name(self.slot)


@struct
class Grad(Source):
    """A gradient that is there before the call."""

    label: ClassVar[str] = "slot"
    place: Place

    def gather(self, leaves: Sequence[Any], t: TensorType, sizes: Sizes) -> Array:
        return self.place.at(leaves).grad._now()

    def version(self, leaves: Sequence[Any]) -> Version:
        return self.place.at(leaves).grad._writes()

    def lines(self, c: Lines, k: int, t: TensorType) -> tuple[str, str]:
        c.add(f"x{k} = {self.place.expression(c)}.grad._now()")
        c.add(f"b{k} = ready(x{k})")
        return f"b{k}.address", f"x{k}"


@struct
class Cell(Source):
    """A setting that is read anew at each call, such as a learning rate: container[key], or container[key][index]."""

    label: ClassVar[str] = "cell"
    container: Any
    key: Any
    index: int | None

    def gather(self, leaves: Sequence[Any], t: TensorType, sizes: Sizes) -> Array:
        value = self.container[self.key]
        return host(t, float(value if self.index is None else value[self.index]))

    def lines(self, c: Lines, k: int, t: TensorType) -> tuple[str, str]:
        index = "" if self.index is None else f"[{self.index}]"
        return _number(c, k, t, f"float({c.name(self.container)}[{self.key!r}]{index})")

    def called(self, k: int, arguments: Sequence[str], storages: Mapping[int, str]) -> str:
        return str(self.key) if self.index is None else f"{self.key}[{self.index}]"


@struct
class Seed(Source):
    """The seed of a Generator."""

    label: ClassVar[str] = "seed"
    generator: Any

    def gather(self, leaves: Sequence[Any], t: TensorType, sizes: Sizes) -> Array:
        return host(t, wrap_i64(self.generator.initial_seed()))

    def lines(self, c: Lines, k: int, t: TensorType) -> tuple[str, str]:
        return _number(c, k, t, f"wrap_i64({c.name(self.generator)}._seed)")


@struct
class Offset(Source):
    """How many blocks of a Generator's numbers are used up. The call takes `blocks` more."""

    label: ClassVar[str] = "offset"
    last: ClassVar[bool] = True
    generator: Any
    blocks: Dim = 0

    def gather(self, leaves: Sequence[Any], t: TensorType, sizes: Sizes) -> Array:
        return host(t, self.generator.take(evaluate(self.blocks, sizes)))

    def seen(self, leaves: Sequence[Any], t: TensorType, sizes: Sizes) -> Array:
        return host(t, self.generator.take(0))

    def used(self, seen: Array, sizes: Sizes) -> bool:
        return bool(self.generator.advance(seen.value, evaluate(self.blocks, sizes)))

    def lines(self, c: Lines, k: int, t: TensorType) -> tuple[str, str]:
        return _number(c, k, t, f"{c.name(self.generator)}.take({python_text(self.blocks)})")


@struct
class ExtentValue(Source):
    """The value of a size."""

    label: ClassVar[str] = "size"
    dim: Dim

    def gather(self, leaves: Sequence[Any], t: TensorType, sizes: Sizes) -> Array:
        return host(t, evaluate(self.dim, sizes))

    def lines(self, c: Lines, k: int, t: TensorType) -> tuple[str, str]:
        return _number(c, k, t, python_text(self.dim))


@struct
class FormulaValue(Source):
    """The value of a formula of run-time numbers."""

    label: ClassVar[str] = "number"
    formula: Formula

    def gather(self, leaves: Sequence[Any], t: TensorType, sizes: Sizes) -> Array:
        return host(t, self.formula.at(sizes))

    def lines(self, c: Lines, k: int, t: TensorType) -> tuple[str, str]:
        return _number(c, k, t, self.formula.text)
