"""Functions made from the declarations of ops: which there are, and what their docstrings show.

How a declaration becomes a function is told where its kind stands: unary.py, binary.py, reduce.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from ingot.functions._examples import PRINTED
from ingot.ir.op import Op
from ingot.ir.ops import OPS
from ingot.ir.public import Public

__all__ = ["CALLS", "declared", "define", "example", "printed", "reference"]

Row = TypeVar("Row", bound=Public)
CALLS: dict[str, Callable[[], np.ndarray]] = {}  # the examples, and what gives their results


def declared(kind: type[Row]) -> Iterator[tuple[str, Op, Row]]:
    """The public functions of a kind, in the order of their declarations: name, op, and what the declaration says of the function."""
    for op in OPS.values():
        if isinstance(op.public, kind):
            yield op.public.name or op.name, op, op.public


def define(module: dict[str, Any], function: Callable[..., Any], aliases: tuple[str, ...]) -> None:
    """Give a module, by its globals, a function under its name and aliases. ValueError where the module has one of them."""
    for name in (function.__name__, *aliases):
        if name in module:
            raise ValueError(f"an op is declared public as {name}, which {module['__name__']} has already")
        module[name] = function
        module["__all__"].append(name)


def reference(op: Op, *args: Any) -> np.ndarray:
    """What an op makes of arrays and attributes, for an example."""
    with np.errstate(all="ignore"):
        return np.asarray(op.ref(*args))


def example(call: str, result: Callable[[], np.ndarray], indent: str = "    ") -> str:
    """The lines of an example for a docstring: `call`, and what it prints, as it was generated; one that is new is computed."""
    CALLS[call] = result
    return f"{indent}>>> {call}\n{indent}{PRINTED.get(call) or printed(call)}\n    "


def printed(call: str) -> str:
    """What an example prints, computed."""
    from ingot.printing import array_text

    return f"tensor({array_text(CALLS[call](), 7)})"
