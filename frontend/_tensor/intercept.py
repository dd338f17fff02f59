"""Watching what is recorded: a function is shown each operation, and may give its results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ingot.ir.ops.flops import flops_of
from ingot.runtime.array import Array
from ingot.runtime.recorder import here
from ingot.runtime.tape import Signature

__all__ = ["Emit", "intercepted", "operator_of"]

Emit = Callable[[], list[Array]]


def operator_of(sig: Signature) -> Any:
    """The operator (`ingot.ops.aten.…`) that people know an operation as: a product as mm or bmm, a composite by its own name."""
    from ingot import ops

    kinds = list(flops_of(sig.op, sig.attrs, sig.in_types, sig.out_types)) if not sig.op.lowering.graphs else []
    name = kinds[0] if kinds else sig.attrs[0].name.strip("_") if sig.op.name == "call" else sig.op.name
    found = getattr(ops.aten, name, None)
    return found if isinstance(found, ops.Operator) else ops.declare(f"aten::{name}")


@contextmanager
def intercepted(handle: Callable[[Signature, Sequence[Array], Emit], list[Array]]) -> Iterator[None]:
    """A block in which `handle(signature, arrays, emit)` stands for recording an operation in this thread; `emit()` records it."""
    rec: Any = here.recorder
    had = rec.__dict__.get("emit")
    inner = rec.emit
    busy = False

    def emit(sig: Signature, arrays: Sequence[Array], loc: Any) -> list[Array]:
        nonlocal busy
        if busy:
            return inner(sig, arrays, loc)

        def record() -> list[Array]:
            nonlocal busy
            busy = True
            try:
                return inner(sig, arrays, loc)
            finally:
                busy = False

        return handle(sig, arrays, record)

    rec.emit = emit
    try:
        yield
    finally:
        if had is None:
            del rec.emit
        else:
            rec.emit = had
