"""What one thread of execution sees while the interpreter runs a kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ingot.ir.loop.expression import Coef, Div, Dyn, Index, Param, Var
from ingot.ir.loop.ir import Const, Operand
from ingot.ir.loop.races import Races
from ingot.ir.numpy_emitter import NumpyEmitter

__all__ = ["EMITTER", "Frame"]

EMITTER = NumpyEmitter()


class Frame:
    """What one thread of execution sees."""

    def __init__(self, bufs: dict[str, np.ndarray], params: dict[str, int]):
        self.bufs = bufs
        self.params = params
        self.vars: dict[str, Any] = {}
        self.names: dict[str, Any] = {}
        self.accs: dict[str, dict[tuple[int, ...], Any]] = {}
        self.failed: list[int] = []
        self.lanes = 0
        self.mask: np.ndarray | None = None
        self.races: Races | None = None
        self.copies: list[list[Callable[[], None]]] = [[]]  # on their way, by group; the last group is open

    def copy(self) -> Frame:
        out = Frame(dict(self.bufs), self.params)
        out.vars, out.names = dict(self.vars), dict(self.names)
        out.accs = {k: dict(v) for k, v in self.accs.items()}
        out.failed, out.races = self.failed, self.races
        return out

    def operand(self, x: Operand) -> Any:
        return EMITTER.const(x.value, x.dtype) if isinstance(x, Const) else self.names[x]

    def coef(self, c: Coef) -> int:
        return c if isinstance(c, int) else self.params[c.name]

    def divisor(self, c: Coef) -> int:
        found = self.coef(c)
        if found < 1:
            raise ValueError(f"a division by {c}, which is {found}")
        return found

    def index(self, i: Index) -> Any:
        total: Any = self.coef(i.const)
        for atom, c in i.terms:
            if isinstance(atom, Var):
                v = self.vars[atom.name]
            elif isinstance(atom, Param):
                v = self.params[atom.name]
            elif isinstance(atom, Dyn):
                v = self.names[atom.name]
                v = v if np.ndim(v) else int(v)
            elif isinstance(atom, Div):
                v = self.index(atom.num) // self.divisor(atom.den)
            else:
                v = self.index(atom.num) % self.divisor(atom.den)
            total = total + v * self.coef(c)
        return total

    def present(self, mask: Operand | None) -> Any:
        """Which lanes take part: True, a bool, or one bool per lane."""
        out: Any = True if mask is None else self.operand(mask)
        return out if self.mask is None else np.logical_and(out, self.mask)
