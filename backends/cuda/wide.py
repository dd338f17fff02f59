"""Loads and stores of neighbours in memory become one, of up to 16 bytes, where the first is known to be aligned.

They are found among the statements of a body between two that fence: a load moves up to the first of its neighbours, a store down to
the last, past nothing that touches the same buffer otherwise. Shared memory is aligned. Buffers mostly are: where a kernel has such
accesses to them, it is there twice, and its beginning finds by the addresses which one runs.
"""

from __future__ import annotations

from typing import Any

from ingot.backends.llvm.function import FunctionEmitter
from ingot.backends.llvm.memory import memory_type
from ingot.backends.llvm.values import Value
from ingot.backends.llvm.writer import Module
from ingot.ir.loop.expression import Index, Mod, Var
from ingot.ir.loop.ir import (
    Alloc,
    Check,
    CopyAsync,
    For,
    GetAcc,
    If,
    IndexValue,
    Kernel,
    Let,
    Load,
    Reduce,
    SetAcc,
    Stmt,
    Store,
    Table,
)
from ingot.ir.loop.walk import statements

__all__ = ["WideAccesses"]

BYTES = 16
_PURE = (Let, IndexValue, GetAcc, SetAcc, Reduce, Check)  # touch no memory

Run = list[Any]  # neighbours, all loads or all stores, in the order of memory


class WideAccesses(FunctionEmitter):
    """A writer that joins loads and stores. `aligned`: the buffers that begin at a multiple of 16 bytes."""

    def __init__(self, module: Module, kernel: Kernel):
        super().__init__(module, kernel)
        self.aligned: set[str] = set()
        self.looked: dict[int, list[Stmt]] = {}  # bodies that were looked through; kept, so that their ids stay their own
        self.runs: dict[int, Run] = {}  # a load or store, by its id -> the run that it belongs to
        self.last: dict[int, int] = {}  # a run's stores -> the last of them in the program
        self.itemsize = {b.name: b.dtype.itemsize for b in kernel.buffers}
        self.itemsize |= {s.name: s.dtype.itemsize for s in statements(kernel.body) if isinstance(s, (Alloc, Table))}
        self.loaded: set[int] = set()  # loads whose results are there already

    def kernel_body(self) -> None:
        """The whole kernel; twice, where addresses decide."""
        asked = [b.name for b in self.kernel.buffers if b.name in self._wanted(self.kernel.body)]
        if not asked:
            self.body(self.kernel.body)
            return
        bits = [self.new(f"ptrtoint ptr {self.buffer(name)[0]} to i64") for name in asked]
        every = bits[0]
        for other in bits[1:]:
            every = self.new(f"or i64 {every}, {other}")
        low = self.new(f"and i64 {every}, {BYTES - 1}")
        for condition, aligned in (("eq", asked), ("ne", [])):
            branch = self.branch_where(self.new(f"icmp {condition} i64 {low}, 0"))
            self.aligned.update(aligned)
            self.body(self.kernel.body)
            self.aligned.difference_update(aligned)
            self.join(branch)

    def _wanted(self, stmts: list[Stmt]) -> set[str]:
        """The buffers that are worth the question."""
        self._look(stmts)
        out = set()
        for s in stmts:
            if isinstance(s, (For, If)):
                out |= self._wanted(s.body)
            if isinstance(s, CopyAsync):
                out.add(s.src)
            run = self.runs.get(id(s), ())
            if run and all(_divides(c, len(run)) or isinstance(a, Var) for a, c in run[0].index.terms):
                out.add(run[0].buf)
        return out

    def body(self, stmts: list[Stmt]) -> None:
        """Emit statements, one after the other."""
        self._look(stmts)
        super().body(stmts)

    # -- runs --------------------------------------------------------------------------------------------------------

    def _look(self, stmts: list[Stmt]) -> None:
        if id(stmts) in self.looked:
            return
        self.looked[id(stmts)] = stmts
        loads: dict[tuple[str, Index], dict[int, Any]] = {}  # by buffer and what is variable: constant -> access
        stores: dict[tuple[str, Index], dict[int, Any]] = {}
        order = {id(s): k for k, s in enumerate(stmts)}

        def flush(found: dict, buf: str | None = None) -> None:
            for key in [k for k in found if buf is None or k[0] == buf]:
                self._join(found.pop(key), order)

        for s in stmts:
            if isinstance(s, (Load, Store)):
                mine, others = (loads, stores) if isinstance(s, Load) else (stores, loads)
                flush(others, s.buf)
                const = s.index.const
                if s.mask is not None or not isinstance(const, int):
                    flush(mine, s.buf)
                    continue
                group = mine.setdefault((s.buf, _variable_part(s.index)), {})
                if const in group:  # stored twice
                    flush(mine, s.buf)
                    group = mine.setdefault((s.buf, _variable_part(s.index)), {})
                group[const] = s
            elif not isinstance(s, _PURE):
                flush(loads)
                flush(stores)
        flush(loads)
        flush(stores)

    def _join(self, group: dict[int, Any], order: dict[int, int]) -> None:
        """Runs of a group of accesses, which differ by constants: of powers of two, beginning at multiples of them."""
        consts = sorted(group)
        if len(consts) < 2:
            return
        most = BYTES // self.itemsize[group[consts[0]].buf]
        k = 0
        while k < len(consts):
            n = most
            while n > 1 and (consts[k] % n or k + n > len(consts) or consts[k + n - 1] != consts[k] + n - 1):
                n //= 2
            if n > 1:
                run = [group[c] for c in consts[k : k + n]]
                for s in run:
                    self.runs[id(s)] = run
                self.last[id(run)] = max((id(s) for s in run), key=order.__getitem__)
            k += max(n, 1)

    # -- accesses ----------------------------------------------------------------------------------------------------

    def load(self, s: Load) -> None:
        """Load an element, and its neighbours with it."""
        if id(s) in self.loaded:
            self.loaded.discard(id(s))
            return
        run = self.runs.get(id(s))
        if run is None or not self._together(run):
            super().load(s)
            return
        first = run[0]
        base, dtype = self.buffer(first.buf)
        mem = memory_type(dtype)
        whole = f"<{len(run)} x {mem}>"
        text = self.new(f"load {whole}, ptr {self.place(base, mem, first.index).pointer}, align {len(run) * dtype.itemsize}")
        for k, one in enumerate(run):
            x = self.new(f"extractelement {whole} {text}, i32 {k}")
            if dtype.kind == "b":
                x = self.new(f"icmp ne i8 {x}, 0")
            self.names[one.dst] = Value(x, dtype, 0, self.depth)
        self.loaded.update(id(one) for one in run if one is not s)

    def store(self, s: Store) -> None:
        """Store an element, or, where it is the last of its neighbours, all of them."""
        run = self.runs.get(id(s))
        if run is None or not self._together(run):
            super().store(s)
            return
        if self.last[id(run)] != id(s):
            return
        first = run[0]
        base, dtype = self.buffer(first.buf)
        mem = memory_type(dtype)
        whole, text = f"<{len(run)} x {mem}>", "poison"
        for k, one in enumerate(run):
            x = self.operand(one.src).text
            if dtype.kind == "b":
                x = self.new(f"zext i1 {x} to i8")
            text = self.new(f"insertelement {whole} {text}, {mem} {x}, i32 {k}")
        self.line(f"store {whole} {text}, ptr {self.place(base, mem, first.index).pointer}, align {len(run) * dtype.itemsize}")

    def _together(self, run: Run) -> bool:
        """Whether a run is one access: where it begins is known to be a multiple of its length."""
        return self.begins(run[0].buf, run[0].index, len(run))

    def begins(self, buf: str, index: Index, n: int) -> bool:
        """Whether an index into a buffer that begins at a multiple of 16 bytes is known to be a multiple of n."""
        if buf not in self.aligned or self.lanes:
            return False
        total = index.const
        for atom, c in index.terms:
            if isinstance(atom, Var) and isinstance(value := self.variable(atom.name), int) and isinstance(c, int):
                total += c * value
            elif not _divides(c, n) and not (isinstance(atom, Mod) and c == 1 and _multiple(atom, n)):
                return False
        return isinstance(total, int) and total % n == 0


def _divides(c: object, n: int) -> bool:
    return isinstance(c, int) and c % n == 0


def _multiple(atom: Mod, n: int) -> bool:
    """Whether a remainder is a multiple of n."""
    return _divides(atom.den, n) and all(_divides(c, n) for _, c in atom.num.terms) and _divides(atom.num.const, n)


def _variable_part(index: Index) -> Index:
    """The index without its constant."""
    return Index(0, index.terms)
