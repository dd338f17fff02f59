"""How IR ops are written in a format: a function for each, by the op's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingot.ir.op import OPS

__all__ = ["Emit", "Emitters"]

Emit = Callable[..., Any]


class Emitters(dict[str, Emit]):
    """A function (writer, node, what its inputs are called) -> what its output is called, or a list of them, for each op."""

    def of(self, *names: str) -> Callable[[Emit], Emit]:
        """Enter a function for ops of these names. ValueError where there is none."""

        def enter(fn: Emit) -> Emit:
            for name in names:
                if name not in OPS:
                    raise ValueError(f"there is no op {name}")
                self[name] = fn
            return fn

        return enter
