"""`ingot.debug`: looking at values while compiled functions run."""

from __future__ import annotations

import builtins
from typing import Any

from ingot._tensor import wrap
from ingot._tensor.state import Tensor
from ingot.capture import flatten, unflatten
from ingot.runtime.recorder import here

__all__ = ["print"]


def print(*values: Any, sep: str = " ", end: str = "\n", file: Any = None, flush: bool = False) -> None:
    """Python's `print`, at run time: in a compiled function, at each of its calls, when its code has run.

    What is printed are the values that the function had here, in the order of its prints; tensors in lists, tuples and dicts too. Strings
    and other values of Python's are those of the trace: like all of these they are watched. Where a call fails nothing is printed.

    >>> @ingot.compile
    ... def f(x):
    ...     y = x * 2
    ...     ingot.debug.print("y is", y)
    ...     return y + 1
    >>> for i in range(2):
    ...     _ = f(ingot.tensor([float(i)]))
    y is tensor([0.])
    y is tensor([2.])
    """
    rec = here.recorder
    if not rec.capturing:
        builtins.print(*values, sep=sep, end=end, file=file, flush=flush)
        return
    leaves: list[Any] = []
    structure = flatten(values, leaves)
    kept = [_kept(x) if isinstance(x, Tensor) else x for x in leaves]

    def show(made: list[Any]) -> None:
        builtins.print(*unflatten(structure, made), sep=sep, end=end, file=file, flush=flush)

    rec.prints.append((kept, show))


def _kept(t: Tensor) -> Tensor:
    """The value that a tensor has now."""
    out = wrap((t._now(), None), type(t))
    out._weak = t._weak
    return out
