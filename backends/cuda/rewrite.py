"""Copying loop IR with scalars, accumulators and loop variables under other names; and asking what it defines and uses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Atom, Div, Dyn, Index, Mod, Var
from ingot.ir.loop.ir import (
    Acc,
    Alloc,
    Check,
    Const,
    CopyAsync,
    For,
    GetAcc,
    If,
    IndexValue,
    Let,
    Load,
    LoadMatrix,
    Mma,
    Operand,
    Reduce,
    SetAcc,
    Shuffle,
    Stmt,
    Store,
    WarpgroupMma,
    WarpgroupWait,
)
from ingot.ir.loop.walk import index_names, indices, operands, statements
from ingot.ir.struct import replace

__all__ = ["Rewrite", "used", "defined"]


class Rewrite:
    """A copy of statements with other names.

    names, accs: renamed where used and where defined;  vars: loop variable -> the scalar to read in its place
    """

    def __init__(
        self, names: Mapping[str, str] | None = None, accs: Mapping[str, str] | None = None, vars: Mapping[str, str] | None = None
    ):
        self.names = names or {}
        self.accs = accs or {}
        self.vars = vars or {}

    def index(self, i: Index) -> Index:
        """An index, renamed."""
        out = Index(i.const, ())
        for atom, c in i.terms:
            out = ix.add(out, Index(0, ((self.atom(atom), c),)))
        return out

    def atom(self, a: Atom) -> Atom:
        """An atom of an index, renamed."""
        if isinstance(a, (Div, Mod)):
            return type(a)(self.index(a.num), a.den)
        if isinstance(a, Var) and a.name in self.vars:
            return Dyn(self.vars[a.name])
        return Dyn(self.name(a.name)) if isinstance(a, Dyn) else a

    def name(self, n: str) -> str:
        """The new name of a scalar."""
        return self.names.get(n, n)

    def operand(self, x: Operand) -> Operand:
        """An operand, renamed."""
        return x if isinstance(x, Const) else self.name(x)

    def _mask(self, x: Operand | None) -> Operand | None:
        return None if x is None else self.operand(x)

    def _at(self, at: tuple[Index, ...]) -> tuple[Index, ...]:
        return tuple(map(self.index, at))

    def acc(self, a: str) -> str:
        """The new name of an accumulator."""
        return self.accs.get(a, a)

    def body(self, stmts: Iterable[Stmt]) -> list[Stmt]:
        """A copy of statements."""
        return [self.stmt(s) for s in stmts]

    def stmt(self, s: Stmt) -> Stmt:
        """A copy of a statement."""
        if isinstance(s, Load):
            return Load(self.name(s.dst), s.buf, self.index(s.index), self._mask(s.mask), s.word)
        if isinstance(s, Store):
            return Store(s.buf, self.index(s.index), self.operand(s.src), self._mask(s.mask), s.streaming)
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
            return replace(s, extent=self.index(s.extent), body=self.body(s.body))
        if isinstance(s, If):
            return If(self.operand(s.cond), self.body(s.body))
        if isinstance(s, Mma):
            return Mma(s.dtype, tuple(map(self.acc, s.accs)), tuple(map(self.operand, s.left)), tuple(map(self.operand, s.right)))
        if isinstance(s, LoadMatrix):
            a, b, c, d = map(self.name, s.dsts)
            return LoadMatrix((a, b, c, d), s.buf, self.operand(s.at), s.turned)
        if isinstance(s, CopyAsync):
            return CopyAsync(s.dst, self.index(s.to), s.src, self.index(s.at), s.nbytes, self._mask(s.mask))
        if isinstance(s, WarpgroupMma):
            accs, left, right = tuple(map(self.acc, s.accs)), self.operand(s.left_at), self.operand(s.right_at)
            return replace(s, accs=accs, left_at=left, right_at=right)
        if isinstance(s, WarpgroupWait):
            return WarpgroupWait(s.groups, tuple(map(self.acc, s.accs)))
        if isinstance(s, Shuffle):
            return Shuffle(self.name(s.dst), self.operand(s.src), s.lanes)
        if isinstance(s, Check):
            return Check(self.operand(s.cond), s.code)
        return s


def used(stmts: Iterable[Stmt]) -> set[str]:
    """The scalars that statements read, and the accumulators that they read or change."""
    out: set[str] = set()
    for s in statements(list(stmts)):
        out.update(x for x in operands(s) if isinstance(x, str))
        out.update(n for i in indices(s) for n in index_names(i))
        if isinstance(s, (GetAcc, SetAcc)):
            out.add(s.acc)
        elif isinstance(s, (Reduce, Mma, WarpgroupMma, WarpgroupWait)):
            out.update(s.accs)
    return out


def defined(stmts: Iterable[Stmt]) -> set[str]:
    """The scalars and scratch that statements define, and their accumulators."""
    out: set[str] = set()
    for s in statements(list(stmts)):
        if isinstance(s, (Load, Let, IndexValue, GetAcc, Shuffle)):
            out.add(s.dst)
        elif isinstance(s, LoadMatrix):
            out.update(s.dsts)
        elif isinstance(s, (Acc, Alloc)):
            out.add(s.name)
    return out
