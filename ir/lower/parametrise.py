"""Constants become parameters, so that kernels of one form and many sizes are one piece of machine code.

Loop extents, strides and offsets turn into int64 parameters in the order they occur. What code generation must know
stays: strides of 0 and +-1, divisors, extents of unrolled and block loops and of vector loops of one group, sizes of scratch, and
what the threads of a block share is indexed by: that follows from the schedule. What has symbols in it becomes a parameter
wherever it stands: a launch gives its value, a divisor's at least 1.
"""

from __future__ import annotations

from ingot.ir.loop.expression import Atom, Coef, Div, Index, Mod, Param, Var
from ingot.ir.loop.ir import Alloc, Check, CopyAsync, For, If, IndexValue, Kernel, Load, Stmt, Store, Transpose
from ingot.ir.size import Size, larger
from ingot.ir.struct import replace
from ingot.ir.types import Dim

__all__ = ["parametrise"]


class _Rewriter:
    def __init__(self, fixed: bool) -> None:
        self.fixed = fixed
        self.values: list[Dim] = []
        self.unrolled: set[str] = set()
        self.shared: set[str] = set()
        self.seen: dict[tuple[str, Dim], Param] = {}
        self.done: dict[Index, Index] = {}

    def param(self, role: str, value: Dim) -> Coef:
        """One parameter per role and value: an offset, an extent and a stride that happen to agree stay apart."""
        if self.fixed and isinstance(value, int):
            return value
        found = self.seen.get((role, value))
        if found is None:
            found = self.seen[(role, value)] = Param(f"n{len(self.values)}")
            self.values.append(value)
        return found

    def index(self, i: Index) -> Index:
        found = self.done.get(i)
        if found is None:
            found = self.done[i] = self._index(i)
        return found

    def _index(self, i: Index) -> Index:
        terms: list[tuple[Atom, Coef]] = []
        for atom, c in i.terms:
            if isinstance(atom, Var) and atom.name in self.unrolled and isinstance(c, int):
                terms.append((atom, c))
                continue
            if isinstance(atom, (Div, Mod)):
                den = atom.den
                if isinstance(den, Size):
                    den = self.param("/", larger(den, 1))
                atom = type(atom)(self.index(atom.num), den)
            if not isinstance(c, Param) and c not in (-1, 0, 1):
                c = self.param(_name(atom), c)
            terms.append((atom, c))
        const = i.const
        fixed = isinstance(const, int) and (const == 0 or any(isinstance(a, Var) and a.name in self.unrolled for a, _ in i.terms))
        if not fixed and not isinstance(const, Param):
            const = self.param("+", const)
        return Index(const, tuple(terms))

    def body(self, stmts: list[Stmt]) -> list[Stmt]:
        return [self.stmt(s) for s in stmts]

    def stmt(self, s: Stmt) -> Stmt:
        if isinstance(s, Alloc) and s.scope == "shared":
            self.shared.add(s.name)
            return s
        if isinstance(s, Alloc) and isinstance(s.size, Size):
            return replace(s, size=self.param("scratch", s.size))
        if isinstance(s, For):
            if s.kind == "unroll":
                self.unrolled.add(s.var)
                return replace(s, body=self.body(s.body))
            one_group = s.kind == "vector" and s.exact and s.extent.const == s.width  # no loop is made of it
            known = isinstance(s.extent.const, int)
            keep = known and (one_group or s.kind == "parallel" and s.extent.const == 1 or s.kind == "block")
            extent = s.extent
            if not keep and not extent.terms and not isinstance(extent.const, Param):
                extent = Index(self.param(f"{s.var} <", extent.const), ())
            elif extent.terms:
                extent = self.index(extent)
            return replace(s, extent=extent, body=self.body(s.body))
        if isinstance(s, If):
            return replace(s, body=self.body(s.body))
        if isinstance(s, (Load, Store)) and s.buf in self.shared:
            return s
        if isinstance(s, (Load, Store, IndexValue)):
            return replace(s, index=self.index(s.index))
        if isinstance(s, CopyAsync):
            return replace(s, at=self.index(s.at))
        if isinstance(s, Transpose):
            to_step, at_step = (c if isinstance(c, Param) else self.param("step", c) for c in (s.to_step, s.at_step))
            return replace(s, to=self.index(s.to), to_step=to_step, at=self.index(s.at), at_step=at_step)
        if isinstance(s, Check) and isinstance(s.code, int):
            return replace(s, code=self.param("check", s.code))
        return s


def _name(atom: Atom) -> str:
    if isinstance(atom, (Div, Mod)):
        return "/" + "".join(_name(a) for a, _ in atom.num.terms)
    return atom.name


def parametrise(kernel: Kernel, fixed: bool = False) -> tuple[Kernel, tuple[Dim, ...]]:
    """The kernel with parameters for its constants, and their values for this launch. `fixed`: integers stay where they are."""
    r = _Rewriter(fixed)
    body = r.body(kernel.body)
    return Kernel(kernel.name, kernel.buffers, tuple(f"n{k}" for k in range(len(r.values))), body, kernel.schedule), tuple(r.values)
