"""What users put over Tensor's own methods: attributes at single tensors, and others in the table of the class."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from weakref import ref

from ingot._tensor import Tensor
from ingot._tensor.table import PATCHES, Later
from ingot.capture.attached import attributes, has_slots
from ingot.capture.describe import describe
from ingot.capture.reads import lookup
from ingot.capture.watch import RareWatch, Watch
from ingot.ir.struct import struct
from ingot.runtime.tape import GradSlot

__all__ = ["Bare", "BareGradients", "TensorClass", "may_be_shadowed"]


def may_be_shadowed(names: Collection[str]) -> bool:
    """Whether an attribute of a tensor may stand before one of these, which its class has.

    >>> may_be_shadowed({"sum"}), may_be_shadowed({"shape", "no_such_method"})
    (True, False)
    """
    for n in names:
        base, raw = lookup(Tensor, n)
        if base is not None and base is not object and (isinstance(raw, Later) or lookup(type(raw), "__set__")[0] is None):
            return True
    return False


@struct
class Bare(Watch):
    """That tensors have no attributes of the user's of these names (None: of any)."""

    tensors: tuple[ref[Any], ...]
    names: Collection[str] | None
    tables: list[dict[str, Any]] | None = None  # of those whose tables are empty: one look at all of them is enough
    others: tuple[ref[Any], ...] = ()

    def failed(self) -> str | None:
        if self.tables is not None and not any(self.tables):
            rest = self.others
        else:
            self.tables, rest = None, self.tensors
        for r in rest:
            t = r()
            held = () if t is None else attributes(t)
            found = [n for n in held if self.names is None or n in self.names]
            if found:
                return f"a tensor of shape {list(t.shape)} has attributes ({', '.join(found)}), it had none"  # type: ignore[union-attr]
        if self.tables is None:
            here = [(r, t) for r in self.tensors if (t := r()) is not None]
            self.tables = [t.__dict__ for _, t in here if not t.__dict__]
            self.others = tuple([r for r, t in here if t.__dict__ or has_slots(type(t))])
        return None


@struct
class BareGradients(Watch):
    """That the gradients which the code asks for, whichever they are, have no attributes of the user's."""

    slots: tuple[GradSlot, ...]

    def failed(self) -> str | None:
        return "a gradient has attributes, it had none" if any([s.grad is not None and s.grad.__dict__ for s in self.slots]) else None


@struct
class TensorClass(RareWatch):
    """What a class of tensors has under names that the code looks up, and its operators. `at`: how often such classes had been changed."""

    of: type
    seen: Mapping[str, Any]
    at: int = -1

    @classmethod
    def now(cls, of: type, names: Collection[str]) -> TensorClass:
        """As it is now."""
        operators = [n for base in of.__mro__[:-1] for n in vars(base) if n[:2] == "__"]
        return cls(of, {n: _held(of, n) for n in {*names, *operators}}, PATCHES[0])

    def failed(self) -> str | None:
        if self.at == PATCHES[0]:
            return None
        for n, was in self.seen.items():
            now = _held(self.of, n)
            if now != was and not (isinstance(was, Later) and _of_ingot(now)):
                return f"{self.of.__name__}.{n} is another"
        self.at = PATCHES[0]
        return None


def _held(cls: type, name: str) -> Any:
    """What a class has under a name: a method or the like as it is, other values described."""
    base, raw = lookup(cls, name)
    return raw if base is None or callable(raw) or hasattr(type(raw), "__get__") else describe(raw)


def _of_ingot(x: Any) -> bool:
    return (getattr(getattr(x, "fget", x), "__module__", None) or "").startswith("ingot.")
