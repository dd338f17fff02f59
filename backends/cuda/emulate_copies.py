"""Copies on their way, where they are emulated: each is kept, and lands as late as it may, when its group is waited for; or at once.

For each copy in the code of a thread there are arrays of where it goes, where it comes from, and the group it is of, with a place for each
thread, each round of the loops around it, and each group that can be on its way. One number counts the groups of a block: all of its
threads commit together.
"""

from __future__ import annotations

from math import prod

from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.ir import Alloc, Commit, Const, CopyAsync, For, If, IndexValue, Kernel, Let, Load, Operand, Stmt, Store, Wait
from ingot.ir.loop.walk import statements
from ingot.ir.struct import replace

__all__ = ["Copies", "landed"]

_COUNT = "copies.groups"
_NONE, _ZEROS = -1, -1  # no group; no source: zeros


def landed(s: CopyAsync, to: DType, of: DType, kind: str = "serial") -> list[Stmt]:
    """A copy as a loop of loads and stores."""
    i, name = ix.var(f"copied.{s.dst}"), f"%copied.{s.dst}"
    each = to.itemsize // of.itemsize
    body: list[Stmt] = []
    for e in range(each):
        at = ix.add(s.at, ix.add(ix.mul(i, each), ix.const(e)))
        body.append(Load(f"{name}.{e}", s.src, at, s.mask))
    value = f"{name}.0"
    if of is not to:
        bits = {1: dtypes.u8, 2: dtypes.u16, 4: dtypes.u32}[of.itemsize]
        for e in range(each):
            it = f"{name}.{e}"
            body += [Let(f"{it}.bits", "bitcast", (it,), bits), Let(f"{it}.word", "cast", (f"{it}.bits",), to)]
            value = f"{it}.word"
            if e:
                body.append(Let(f"{it}.up", "shl", (value, Const(8 * of.itemsize * e, to)), to))
                body.append(Let(f"{it}.all", "or", (f"{it}.up", f"{name}.{e - 1}.{'all' if e > 1 else 'word'}"), to))
                value = f"{it}.all"
    body.append(Store(s.dst, ix.add(s.to, i), value))
    return [For(i.terms[0][0].name, ix.const(s.nbytes // to.itemsize), kind, body)]  # type: ignore[union-attr]


class Copies:
    """The copies of a kernel. `at_once`: they land where they are sent for, the earliest that there is."""

    def __init__(self, kernel: Kernel, block: For, at_once: bool):
        self.threads, self.me = int(block.extent.const), ix.var(block.var)  # type: ignore[arg-type]
        self.dtypes = {b.name: b.dtype for b in kernel.buffers}
        self.dtypes |= {s.name: s.dtype for s in statements(kernel.body) if isinstance(s, Alloc)}
        self.at_once = at_once
        self.arrays: list[Alloc] = []
        self.kept: list[tuple[CopyAsync, int]] = []  # with places for a group
        waits = [s.groups for s in statements(block.body) if isinstance(s, Wait)]
        self.groups = max(waits, default=0) + _commits(block.body, kernel.name) + 1  # that can be on their way

    def body(self, stmts: list[Stmt], around: tuple[For, ...] = ()) -> list[Stmt]:
        """Statements of a thread with copies that are kept."""
        out: list[Stmt] = []
        for s in stmts:
            if isinstance(s, CopyAsync):
                out += landed(s, self.dtypes[s.dst], self.dtypes[s.src]) if self.at_once else self.keep(s, around)
            elif isinstance(s, For):
                many = any(isinstance(x, Commit) for x in statements(s.body))
                out.append(replace(s, body=self.body(s.body, () if many else (*around, s))))
            else:
                out.append(replace(s, body=self.body(s.body, around)) if isinstance(s, If) else s)
        return out

    def keep(self, s: CopyAsync, around: tuple[For, ...]) -> list[Stmt]:
        """Note a copy."""
        n, k, extents = len(self.kept), f"copy{len(self.kept)}", [loop.extent.const for loop in around]
        if any(loop.extent.terms or not isinstance(loop.extent.const, int) for loop in around):
            raise ValueError(f"{s} stands in a loop of which nobody knows how often it runs")
        each = prod(extents)  # type: ignore[arg-type]
        self.kept.append((s, each))
        if not self.arrays:
            self.arrays.append(Alloc(_COUNT, dtypes.i64, 1, "worker"))
        self.arrays += [Alloc(f"{k}.{what}", dtypes.i64, self.groups * each * self.threads, "worker") for what in ("to", "at", "group")]
        place = ix.mod(ix.dyn(f"%{k}.group"), self.groups)
        for loop in around:
            place = ix.add(ix.mul(place, int(loop.extent.const)), ix.var(loop.var))  # type: ignore[arg-type]
        place = ix.add(ix.mul(place, self.threads), self.me)
        at: Operand = f"%{k}.at"
        body: list[Stmt] = [Load(f"%{k}.group", _COUNT, ix.const(0)), IndexValue(f"%{k}.to", s.to), IndexValue(f"%{k}.at", s.at)]
        if s.mask is not None:
            at = f"%{k}.from"
            body.append(Let(at, "select", (s.mask, f"%{k}.at", Const(_ZEROS, dtypes.i64)), dtypes.i64))
        body += [Store(f"copy{n}.{what}", place, x) for what, x in (("to", f"%{k}.to"), ("at", at), ("group", f"%{k}.group"))]
        return body

    def begin(self) -> list[Stmt]:
        """At the beginning of a block nothing is on its way."""
        if not self.kept:
            return []
        i = ix.var("copies.i")
        none = [
            For("copies.i", ix.const(a.size), "serial", [Store(a.name, i, Const(_NONE, dtypes.i64))])
            for a in self.arrays if a.name.endswith(".group")
        ]  # fmt: skip
        return [Store(_COUNT, ix.const(0), Const(0, dtypes.i64)), *none]

    def commit(self) -> list[Stmt]:
        """A group ends."""
        if not self.kept:
            return []
        one = Let("%copies.next", "add", ("%copies.now", Const(1, dtypes.i64)), dtypes.i64)
        return [Load("%copies.now", _COUNT, ix.const(0)), one, Store(_COUNT, ix.const(0), "%copies.next")]

    def wait(self, s: Wait) -> list[Stmt]:
        """All groups but the last land."""
        if not self.kept:
            return []
        i64 = dtypes.i64
        out: list[Stmt] = [Load("%copies.now", _COUNT, ix.const(0)), Let("%copies.end", "sub", ("%copies.now", Const(s.groups, i64)), i64)]
        for n, (copy, each) in enumerate(self.kept):
            i, k = ix.var(f"copies.i{n}"), f"%landing{n}"
            source = replace(copy, to=ix.dyn(f"{k}.to"), at=_at(k), mask=f"{k}.some")
            land: list[Stmt] = [
                Load(f"{k}.to", f"copy{n}.to", i), Load(f"{k}.at", f"copy{n}.at", i),
                Let(f"{k}.some", "ge", (f"{k}.at", Const(0, i64)), dtypes.bool_),
                *landed(source, self.dtypes[copy.dst], self.dtypes[copy.src]), Store(f"copy{n}.group", i, Const(_NONE, i64)),
            ]  # fmt: skip
            body: list[Stmt] = [
                Load(f"{k}.group", f"copy{n}.group", i), Let(f"{k}.is", "ne", (f"{k}.group", Const(_NONE, i64)), dtypes.bool_),
                Let(f"{k}.due", "lt", (f"{k}.group", "%copies.end"), dtypes.bool_),
                Let(f"{k}.now", "and", (f"{k}.is", f"{k}.due"), dtypes.bool_),
                If(f"{k}.now", land),
            ]  # fmt: skip
            out.append(For(f"copies.i{n}", ix.const(self.groups * each * self.threads), "serial", body))
        return out


def _at(k: str) -> Index:
    return ix.dyn(f"{k}.at")


def _commits(stmts: list[Stmt], name: str) -> int:
    """How many groups at most begin before the next wait, once around."""
    total = 0
    for s in stmts:
        if isinstance(s, Commit):
            total += 1
        elif isinstance(s, If):
            total += _commits(s.body, name)
        elif isinstance(s, For):
            inside = _commits(s.body, name)
            if inside and not any(isinstance(x, Wait) for x in statements(s.body)):
                if s.extent.terms or not isinstance(s.extent.const, int):
                    raise ValueError(f"kernel {name}: loop {s.var} sends for copies and waits for none")
                inside *= s.extent.const
            total += inside
    return total
