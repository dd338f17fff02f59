"""Copying loop IR with changes: parameters and variables replaced, names and accumulators renamed; and asking what it uses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ingot.ir.loop import index as ix
from ingot.ir.loop.ir import (
    Acc,
    Alloc,
    Check,
    Coef,
    Const,
    Div,
    For,
    GetAcc,
    If,
    Index,
    IndexValue,
    Let,
    Load,
    Mod,
    Operand,
    Param,
    Reduce,
    SetAcc,
    Stmt,
    Store,
    Var,
)  # fmt: skip
from ingot.ir.loop.walk import index_names, indices, operands, statements

__all__ = ["Rewrite", "used", "defined"]


class Rewrite:
    """A copy of statements, with changes.

    params: parameter -> its value;  vars: loop variable -> index;  names, accs: renamed where used and where defined
    shift: buffer -> what is added to the indices it is read and written at
    ranges: extents of the variables that the new indices read
    """

    def __init__(self, params: Mapping[str, int] | None = None, vars: Mapping[str, Index] | None = None,
                 names: Mapping[str, str] | None = None, accs: Mapping[str, str] | None = None,
                 shift: Mapping[str, Index] | None = None, ranges: Mapping[str, int] | None = None):  # fmt: skip
        self.params = params or {}
        self.vars = vars or {}
        self.names = names or {}
        self.accs = accs or {}
        self.shift = shift or {}
        self.ranges = dict(ranges or {})

    def coef(self, c: Coef) -> Coef:
        """A coefficient, its parameter replaced."""
        return c if isinstance(c, int) else self.params.get(c.name, c)

    def index(self, i: Index) -> Index:
        """An index, its variables and names replaced."""
        out = Index(self.coef(i.const), ())
        for atom, c in i.terms:
            if isinstance(atom, Div):
                here = ix.div(self.index(atom.num), atom.den, self.ranges)
            elif isinstance(atom, Mod):
                here = ix.mod(self.index(atom.num), atom.den, self.ranges)
            elif isinstance(atom, Var):
                here = self.vars.get(atom.name) or ix.var(atom.name)
            elif isinstance(atom, Param):
                here = Index(self.coef(atom), ()) if atom.name in self.params else ix.param(atom.name)
            else:
                here = ix.dyn(self.name(atom.name))
            out = ix.add(out, ix.mul(here, self.coef(c)))
        return out

    def place(self, s: Load | Store) -> Index:
        """Where a load or store is now."""
        at = self.index(s.index)
        return ix.add(at, self.shift[s.buf]) if s.buf in self.shift else at

    def name(self, n: str) -> str:
        """What a scalar is called now."""
        return self.names.get(n, n)

    def operand(self, x: Operand) -> Operand:
        """An operand, renamed."""
        return x if isinstance(x, Const) else self.name(x)

    def _mask(self, x: Operand | None) -> Operand | None:
        return None if x is None else self.operand(x)

    def _at(self, at: tuple[Index, ...]) -> tuple[Index, ...]:
        return tuple(map(self.index, at))

    def acc(self, a: str) -> str:
        """What an accumulator is called now."""
        return self.accs.get(a, a)

    def body(self, stmts: Iterable[Stmt]) -> list[Stmt]:
        """A copy of statements."""
        return [self.stmt(s) for s in stmts]

    def stmt(self, s: Stmt) -> Stmt:
        """A copy of a statement."""
        if isinstance(s, Load):
            return Load(self.name(s.dst), s.buf, self.place(s), self._mask(s.mask))
        if isinstance(s, Store):
            return Store(s.buf, self.place(s), self.operand(s.src), self._mask(s.mask), s.streaming)
        if isinstance(s, Let):
            return Let(self.name(s.dst), s.op, tuple(map(self.operand, s.args)), s.dtype)
        if isinstance(s, IndexValue):
            return IndexValue(self.name(s.dst), self.index(s.index))
        if isinstance(s, Acc):
            return Acc(self.acc(s.name), s.dtype, self.operand(s.init), s.shape)
        if isinstance(s, Reduce):
            return Reduce(tuple(map(self.acc, s.accs)), s.kind, tuple(map(self.operand, s.values)), self._at(s.at))
        if isinstance(s, SetAcc):
            return SetAcc(self.acc(s.acc), self.operand(s.value), self._at(s.at))
        if isinstance(s, GetAcc):
            return GetAcc(self.name(s.dst), self.acc(s.acc), self._at(s.at))
        if isinstance(s, For):
            extent = self.index(s.extent)
            if ix.is_const(extent):
                self.ranges[s.var] = extent.const  # type: ignore[assignment]
            return replace(s, extent=extent, body=self.body(s.body))
        if isinstance(s, If):
            return If(self.operand(s.cond), self.body(s.body))
        if isinstance(s, Check):
            return Check(self.operand(s.cond), self.coef(s.code))
        return s


def used(stmts: Iterable[Stmt]) -> set[str]:
    """The scalars that statements read (not accumulators)."""
    out: set[str] = set()
    for s in statements(list(stmts)):
        out.update(x for x in operands(s) if isinstance(x, str))
        for index in indices(s):
            out.update(index_names(index))
    return out


def defined(stmts: Iterable[Stmt]) -> set[str]:
    """The scalars and scratch that statements define, and their accumulators."""
    return {s.dst for s in statements(list(stmts)) if isinstance(s, (Load, Let, IndexValue, GetAcc))} | {
        s.name for s in statements(list(stmts)) if isinstance(s, (Acc, Alloc))
    }  # fmt: skip
