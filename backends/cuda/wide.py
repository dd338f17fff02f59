"""Loads of neighbours in shared memory become one, of up to 16 bytes: where they stand side by side, and the first is known to be
aligned."""

from __future__ import annotations

from ingot.backends.llvm.function import FunctionEmitter
from ingot.backends.llvm.memory import memory_type
from ingot.backends.llvm.values import Value
from ingot.backends.llvm.writer import Module
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index, Var
from ingot.ir.loop.ir import Kernel, Load, Stmt

__all__ = ["WideLoads"]

BYTES = 16


class WideLoads(FunctionEmitter):
    """A writer that joins loads. `aligned`: the buffers that begin at a multiple of 16 bytes."""

    def __init__(self, module: Module, kernel: Kernel):
        super().__init__(module, kernel)
        self.aligned: set[str] = set()
        self.joined: dict[int, list[Stmt]] = {}  # bodies that were looked through; kept, so that their ids stay their own
        self.runs: dict[int, list[Load]] = {}  # a load, by its id -> it and its neighbours
        self.loaded: set[int] = set()  # loads whose results are there already

    def body(self, stmts: list[Stmt]) -> None:
        """Emit statements, one after the other."""
        if id(stmts) not in self.joined:
            self.joined[id(stmts)] = stmts
            self._find(stmts)
        super().body(stmts)

    def _find(self, stmts: list[Stmt]) -> None:
        k = 0
        while k < len(stmts):
            first = stmts[k]
            k += 1
            if not isinstance(first, Load) or first.mask is not None or first.buf not in self.aligned:
                continue
            run = [first]
            while k < len(stmts):
                s = stmts[k]
                follows = isinstance(s, Load) and s.buf == first.buf and s.mask is None
                if not follows or ix.sub(s.index, first.index) != ix.const(len(run)):  # type: ignore[union-attr]
                    break
                run.append(s)  # type: ignore[arg-type]
                k += 1
            most = BYTES // self.buffer(first.buf)[1].itemsize
            while len(run) > 1:
                n = min(most, 1 << (len(run).bit_length() - 1))
                if n > 1:
                    self.runs[id(run[0])] = run[:n]
                run = run[n:]

    def load(self, s: Load) -> None:
        """Load an element, and its neighbours with it."""
        if id(s) in self.loaded:
            self.loaded.discard(id(s))
            return
        run = self.runs.get(id(s))
        if run is None or self.lanes or not self._multiple(s.index, len(run)):
            super().load(s)
            return
        base, dtype = self.buffer(s.buf)
        mem = memory_type(dtype)
        pointer = self.place(base, mem, s.index).pointer
        whole = f"<{len(run)} x {mem}>"
        text = self.new(f"load {whole}, ptr {pointer}, align {len(run) * dtype.itemsize}")
        for k, one in enumerate(run):
            x = self.new(f"extractelement {whole} {text}, i32 {k}")
            if dtype.kind == "b":
                x = self.new(f"icmp ne i8 {x}, 0")
            self.names[one.dst] = Value(x, dtype, 0, self.depth)
        self.loaded.update(id(one) for one in run[1:])

    def _multiple(self, index: Index, of: int) -> bool:
        """Whether an index is known to be a multiple of a power of two."""
        total = index.const
        if not isinstance(total, int):
            return False
        for atom, c in index.terms:
            if not isinstance(c, int):
                return False
            if isinstance(atom, Var) and isinstance(value := self.variable(atom.name), int):
                total += c * value
            elif c % of:
                return False
        return total % of == 0
