"""Walking loop IR: the statements of a body, and what each of them reads."""

from __future__ import annotations

from collections.abc import Iterator

from ingot.ir.loop.expression import Div, Dyn, Index, Mod
from ingot.ir.loop.ir import (
    Acc,
    Check,
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
    Transpose,
    WarpgroupMma,
)

__all__ = ["statements", "operands", "indices", "index_names"]


def statements(body: list[Stmt]) -> Iterator[Stmt]:
    """Every statement, in order, loops before what is inside them."""
    for s in body:
        yield s
        if isinstance(s, (For, If)):
            yield from statements(s.body)


def operands(s: Stmt) -> tuple[Operand, ...]:
    """The scalars that a statement itself reads (not those in its indices or its body)."""
    if isinstance(s, Let):
        return s.args
    if isinstance(s, (Load, CopyAsync)):
        return () if s.mask is None else (s.mask,)
    if isinstance(s, Store):
        return (s.src,) if s.mask is None else (s.src, s.mask)
    if isinstance(s, Acc):
        return (s.init,)
    if isinstance(s, Reduce):
        return s.values
    if isinstance(s, SetAcc):
        return (s.value,)
    if isinstance(s, (If, Check)):
        return (s.cond,)
    if isinstance(s, Mma):
        return (*s.left, *s.right)
    if isinstance(s, Shuffle):
        return (s.src,)
    if isinstance(s, LoadMatrix):
        return (s.at,)
    if isinstance(s, WarpgroupMma):
        return (s.left_at, s.right_at)
    return ()


def indices(s: Stmt) -> tuple[Index, ...]:
    """The index expressions of a statement."""
    if isinstance(s, (Load, Store, IndexValue)):
        return (s.index,)
    if isinstance(s, (Transpose, CopyAsync)):
        return (s.to, s.at)
    if isinstance(s, For):
        return (s.extent,)
    if isinstance(s, (Reduce, SetAcc, GetAcc)):
        return s.at
    return ()


def index_names(i: Index) -> Iterator[str]:
    """The computed scalars that an index reads."""
    for atom, _ in i.terms:
        if isinstance(atom, Dyn):
            yield atom.name
        elif isinstance(atom, (Div, Mod)):
            yield from index_names(atom.num)
