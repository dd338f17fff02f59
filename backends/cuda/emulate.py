"""Kernels of blocks and threads as kernels for the CPU, to run them where there is no GPU.

Blocks become parallel chunks. Between two barriers the threads of a block run one after the other, as a serial loop;
a loop or branch with a barrier in it is the same for all threads and moves outside that loop. Shared memory is the
chunk's scratch. What a thread keeps across a barrier (scalars and accumulators) lies in arrays of one element per thread. The
matrices of a warp are put together from such arrays, multiplied, and their sums taken apart again (fragments.py of the loop IR).
Copies on their way are kept until they are waited for (emulate_copies.py).
"""

from __future__ import annotations

from ingot.backends.cuda.emulate_copies import Copies
from ingot.backends.cuda.emulate_mma import matrices, products, shuffled, turned
from ingot.backends.cuda.emulate_warpgroup import WarpgroupProducts
from ingot.backends.cuda.rewrite import Rewrite, defined, used
from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.ir import (
    Acc,
    Alloc,
    Barrier,
    Commit,
    Const,
    For,
    GetAcc,
    If,
    IndexValue,
    Kernel,
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
    Table,
    Wait,
    WarpgroupMma,
    WarpgroupWait,
)
from ingot.ir.loop.program import Program
from ingot.ir.loop.walk import index_names, statements
from ingot.ir.struct import replace

__all__ = ["emulate"]

_JOINED = (Barrier, Commit, LoadMatrix, Mma, Shuffle, Wait, WarpgroupMma, WarpgroupWait)  # what threads do together


def emulate(program: Program, backwards: bool = False) -> Program:
    """The same program with kernels that backends.cpu compiles.

    `backwards`: the threads run from the last to the first; copies land at once, and not as late as they may; products of warpgroups
    are made when they are waited for, and not at once. Where that changes a result, a barrier or a wait is missing.
    """
    return replace(program, kernels={name: _kernel(k, backwards) for name, k in program.kernels.items()})


def _kernel(kernel: Kernel, backwards: bool) -> Kernel:
    (grid,) = kernel.body
    assert isinstance(grid, For) and grid.kind == "grid"
    *shared, block = grid.body
    assert isinstance(block, For) and block.kind == "block"
    copies = Copies(kernel, block, at_once=backwards)
    tables = [s for s in block.body if isinstance(s, Table)]  # the parts between barriers are loops of their own
    block = replace(block, body=copies.body([s for s in block.body if not isinstance(s, Table)]))
    b = _Block(kernel, block, copies, backwards)
    inside = b.body(block.body)
    body = [*copies.begin(), *b.products.start(), *inside]
    scratch = [Alloc(s.name, s.dtype, s.size, "worker") for s in (*shared, *copies.arrays, *b.products.arrays) if isinstance(s, Alloc)]
    return replace(kernel, body=[For(grid.var, grid.extent, "parallel", [*tables, *scratch, *b.kept.values(), *body])])


class _Block:
    def __init__(self, kernel: Kernel, block: For, copies: Copies, backwards: bool):
        self.block, self.copies = block, copies
        self.products = WarpgroupProducts(block, late=backwards)
        self.backwards = backwards
        self.threads = int(block.extent.const)  # type: ignore[arg-type]
        self.me = ix.var(block.var)
        self.dtypes: dict[str, DType] = {b.name: b.dtype for b in kernel.buffers}
        self.dtypes |= {s.name: s.dtype for s in (*statements(kernel.body), *copies.arrays) if isinstance(s, (Acc, Alloc, Table))}
        self.dtypes |= {s.dst: s.dtype for s in statements(block.body) if isinstance(s, Let)}
        self.dtypes |= {s.dst: dtypes.i64 for s in statements(block.body) if isinstance(s, IndexValue)}
        self.dtypes |= {s.dst: self.dtypes[s.buf] for s in statements(block.body) if isinstance(s, Load)}
        self.dtypes |= {s.dst: self.dtypes[s.acc] for s in statements(block.body) if isinstance(s, GetAcc)}
        for s in statements(block.body):
            if isinstance(s, LoadMatrix):
                self.dtypes.update(dict.fromkeys(s.dsts, dtypes.u32))
            if isinstance(s, Shuffle):
                self.dtypes[s.dst] = self._dtype(s.src)
        self.accs = {s.name for s in statements(block.body) if isinstance(s, Acc)}
        self.kept: dict[str, Alloc] = {}  # name -> its array
        self.count = 0
        self.crossing = self._crossing(block.body)

    def _crossing(self, body: list[Stmt]) -> set[str]:
        """Names that one region between barriers defines and another reads."""
        home: dict[str, int] = {}
        out: set[str] = set()
        region = 0

        def visit(stmts: list[Stmt]) -> None:
            nonlocal region
            for s in stmts:
                if _splits(s):
                    region += 1
                    if isinstance(s, (LoadMatrix, Mma, Shuffle, WarpgroupMma)):
                        out.update(used([s]), defined([s]))
                        home.update(dict.fromkeys(defined([s]), region))
                    if isinstance(s, (For, If)):
                        out.update(used([replace(s, body=[])]))
                        visit(s.body)
                        region += 1
                    continue
                home.update(dict.fromkeys(defined([s]), region))
                out.update(n for n in used([s]) if home[n] != region)

        visit(body)
        return out

    def body(self, stmts: list[Stmt]) -> list[Stmt]:
        """Statements outside the loop over threads."""
        out: list[Stmt] = []
        region: list[Stmt] = []
        for s in stmts:
            if not _splits(s):
                region.append(s)
                continue
            out += self.region(region)
            region = []
            if isinstance(s, For):
                r, loads = self.restored(sorted(set(index_names(s.extent))), ix.const(0))
                out += [*loads, For(s.var, r.index(s.extent), s.kind, self.body(s.body))]
            elif isinstance(s, If):
                r, loads = self.restored([s.cond] if isinstance(s.cond, str) else [], ix.const(0))
                out += [*loads, If(r.operand(s.cond), self.body(s.body))]
            elif isinstance(s, Mma):
                out += products(s, self.threads, self.array)
            elif isinstance(s, LoadMatrix):
                out += (turned if s.turned else matrices)(s, self.threads, self.array)
            elif isinstance(s, WarpgroupMma):
                out += self.products.begin(s, self.array)
            elif isinstance(s, WarpgroupWait):
                out += self.products.wait(s, self.array)
            elif isinstance(s, Commit):
                out += self.copies.commit()
            elif isinstance(s, Wait):
                out += self.copies.wait(s)
            elif isinstance(s, Shuffle):
                out += shuffled(s, self.threads, self.array)
        return out + self.region(region)

    def region(self, stmts: list[Stmt]) -> list[Stmt]:
        """A loop of the threads over statements without a barrier."""
        if not stmts:
            return []
        here = defined(stmts)
        r, before = self.restored(sorted(used(stmts) - here), self.me)
        body = r.body(stmts)
        changed = {a for s in statements(stmts) for a in ([s.acc] if isinstance(s, SetAcc) else s.accs if isinstance(s, Reduce) else ())}
        after: list[Stmt] = []
        for name in sorted((here | changed) & self.crossing):
            src = name
            if name in self.accs:
                src = self.fresh()
                after.append(GetAcc(src, r.acc(name)))
            after.append(Store(self.array(name), self.me, src))
        every = [*before, *body, *after]
        if self.backwards:
            me = self.fresh()
            turned = IndexValue(me, ix.sub(ix.const(self.threads - 1), ix.var("turned")))
            return [For("turned", ix.const(self.threads), "serial", [turned, *Rewrite(vars={self.block.var: me}).body(every)])]
        return [For(self.block.var, ix.const(self.threads), "serial", every)]

    def restored(self, names: list[str], at: Index) -> tuple[Rewrite, list[Stmt]]:
        """Loads of what other regions have left, and the rewriting that uses them."""
        loads: list[Stmt] = []
        scalars: dict[str, str] = {}
        accs: dict[str, str] = {}
        for name in names:
            value = self.fresh()
            loads.append(Load(value, self.array(name), at))
            if name in self.accs:
                accs[name] = self.fresh("acc.e")
                loads.append(Acc(accs[name], self.dtypes[name], value))
            else:
                scalars[name] = value
        return Rewrite(names=scalars, accs=accs), loads

    def array(self, name: str) -> str:
        """The array of a name's values, one for each thread."""
        return self.kept.setdefault(name, Alloc(f"kept_{len(self.kept)}", self.dtypes[name], self.threads, "worker")).name

    def _dtype(self, x: Operand) -> DType:
        return x.dtype if isinstance(x, Const) else self.dtypes[x]

    def fresh(self, prefix: str = "%e") -> str:
        self.count += 1
        return f"{prefix}{self.count}"


def _splits(s: Stmt) -> bool:
    return isinstance(s, _JOINED) or isinstance(s, (For, If)) and any(isinstance(x, _JOINED) for x in statements(s.body))
