"""One phase of a kernel on blocks of threads.

    grid g in 0..G { alloc shared …; block t in 0..T { … } }

The independent loops that a phase begins with (chunks, items, and a vector loop that nothing is folded across) make up
its *items*. Where the code of an item has no vector loop, every thread takes one item. Else every block takes one:

- what stands outside vector loops all threads compute alike, and thread 0 stores it;
- the iterations of a vector loop are shared out: thread t takes t, t + T, t + 2T …;
- each thread folds into accumulators of its own; after the loop they are combined in shared memory in one fixed tree
  (thread i with i + T/2, then with i + T/4, …): the same bits on every run. Where serial loops stand around the vector
  loop and do not look at the accumulator, that happens once, after the outermost of them.
- rows of scratch lie in shared memory, or, where they are long, in global memory, a row for each block in flight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from ingot.backends.cuda.rewrite import Rewrite, used
from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.loop import index as ix
from ingot.ir.loop.folds import FOLDS
from ingot.ir.loop.ir import (
    Acc,
    Alloc,
    Barrier,
    Check,
    Const,
    Dyn,
    For,
    GetAcc,
    If,
    Index,
    IndexValue,
    Let,
    Load,
    Reduce,
    SetAcc,
    Stmt,
    Store,
)  # fmt: skip
from ingot.ir.loop.walk import statements

__all__ = ["Phase", "UnsupportedKernel"]

THREADS = 256  # of a block, at most
WARP = 32
SHARED_ROWS = 40 << 10  # bytes of scratch rows in shared memory: a block has 48 KiB without asking for more
SCRATCH_BLOCKS = 264  # blocks in flight where rows are in global memory: two for each multiprocessor of a large GPU
MAX_BLOCKS = 2**31 - 1

G, T = ix.var("g"), ix.var("t")


class UnsupportedKernel(RuntimeError):
    """A kernel that has no schedule of blocks and threads yet; the message names the op."""


class Phase:
    """Schedules the statements of one phase. `refused` makes the error for what cannot be."""

    def __init__(self, stmts: list[Stmt], refused: Callable[[str], UnsupportedKernel]):
        self.stmts = stmts
        self.refused = refused
        self.schedule = ""  # its text
        self.global_rows: list[Alloc] = []
        self.lets = {s.dst: s for s in statements(stmts) if isinstance(s, Let)}
        self.acc_dtypes = {s.name: s.dtype for s in statements(stmts) if isinstance(s, Acc)}
        self.rows = {s.name: s for s in statements(stmts) if isinstance(s, Alloc)}
        self.threads = 1
        self.ranges: dict[str, int] = {}
        self.vars: dict[str, Index] = {}  # loop variables of the items, by block and thread
        self.partial: dict[str, str] = {}  # accumulator -> the thread's own
        self.shared: dict[str, Alloc] = {}
        self.count = 0

    def run(self) -> list[Stmt] | None:
        """The body of the phase's kernel; None where it has no effect."""
        chain, core = self.peel()
        if not any(isinstance(s, (Store, Check)) for s in statements([*core, *(s for pre, _, _ in chain for s in pre)])):
            return None
        widths = [self.bound(s.extent) for s in statements(core) if isinstance(s, For) and s.kind == "vector"]
        items = math.prod(n for _, _, n in chain)
        if widths:
            longest = max(THREADS if n is None else n for n in widths)
            self.threads = min(THREADS, max(WARP, 1 << (longest - 1).bit_length() if longest else 0))
            body, blocks = self.blocks(chain, core, items)
        else:
            if self.rows:
                raise self.refused("each thread would need scratch of its own")
            body, blocks = self.lanes(chain, core, items)
        if blocks > MAX_BLOCKS:
            raise self.refused(f"it would take {blocks} blocks")
        self.schedule = f"Blocks(items={items}, item={'block' if widths else 'thread'!r}, blocks={blocks}, threads={self.threads})"
        block = For("t", ix.const(self.threads), "block", body)
        return [For("g", ix.const(blocks), "grid", [*self.shared.values(), block])]

    # -- items -------------------------------------------------------------------------------------------------------

    def peel(self) -> tuple[list[tuple[list[Stmt], For, int]], list[Stmt]]:
        """The nested loops around all effects, each with what stands beside it and its largest extent; and their body."""
        chain: list[tuple[list[Stmt], For, int]] = []
        stmts = self.stmts
        while True:
            effects = [s for s in stmts if not isinstance(s, (Load, Let, IndexValue, Check))]
            if len(effects) != 1 or not isinstance(effects[0], For) or effects[0].kind == "unroll":
                return chain, stmts
            loop = effects[0]
            n = self.bound(loop.extent)
            if n is None or n > 1 and not self.writes_apart(loop):
                return chain, stmts
            beside = [s for s in stmts if s is not loop]
            if n == 0:
                return chain, beside
            chain.append((beside, loop, n))
            stmts = loop.body

    def writes_apart(self, loop: For) -> bool:
        """Whether where a loop's body stores depends on the iteration, always."""
        names = {loop.var}
        for s in statements(loop.body):
            if isinstance(s, Store) and s.buf not in self.rows and not ix.depends_on(s.index, names):
                return False
            if isinstance(s, (Load, IndexValue)) and ix.depends_on(s.index, names) or isinstance(s, (Load, Let)) and used([s]) & names:
                names.add(s.dst)
        return True

    def bound(self, extent: Index) -> int | None:
        """The largest value of a loop's extent: a constant, or the constant of `min(constant, …)`."""
        if not extent.terms:
            return int(extent.const)  # type: ignore[arg-type]
        if extent.const == 0 and len(extent.terms) == 1 and isinstance(extent.terms[0][0], Dyn) and extent.terms[0][1] == 1:
            made = self.lets.get(extent.terms[0][0].name)
            if made is not None and made.op == "min":
                return next((int(a.value) for a in made.args if isinstance(a, Const)), None)
        return None

    def place(self, chain: list[tuple[list[Stmt], For, int]], item: Index) -> None:
        """Express the loops' variables by the number of the item."""
        for k in range(len(chain) - 1, -1, -1):
            _, loop, n = chain[k]
            self.vars[loop.var] = ix.mod(item, n, self.ranges) if k else item
            item = ix.div(item, n, self.ranges)

    def inside(self, chain: list[tuple[list[Stmt], For, int]], core: Callable[[], list[Stmt]]) -> list[Stmt]:
        """The code of an item: what stands beside the loops, and `core` where all loops come that far."""
        if not chain:
            return core()
        beside, loop, _ = chain[0]
        out = self.copy(beside)
        rest = self.inside(chain[1:], core)
        if not loop.extent.terms:
            return out + rest
        return out + self.where(ix.sub(self.rewrite().index(loop.extent), self.vars[loop.var]), rest)

    def lanes(self, chain: list[tuple[list[Stmt], For, int]], core: list[Stmt], items: int) -> tuple[list[Stmt], int]:
        """An item for every thread."""
        self.threads = min(THREADS, max(WARP, 1 << (items - 1).bit_length())) if items > 1 else 1
        if chain and (last := chain[-1][2]) >= self.threads:  # blocks do not cross the last loop's ends: nothing is divided
            across = -(-last // self.threads)
            blocks = items // last * across
            self.ranges |= {"g": blocks, "t": self.threads}
            at = ix.add(ix.mul(ix.mod(G, across, self.ranges), self.threads), T)
            self.place(chain[:-1], ix.div(G, across, self.ranges))
            self.vars[chain[-1][1].var] = at
            exact, left = last % self.threads == 0, ix.sub(ix.const(last), at)
        else:
            blocks = -(-items // self.threads)
            self.ranges |= {"g": blocks, "t": self.threads}
            item = ix.add(ix.mul(G, self.threads), T)
            self.place(chain, item)
            exact, left = items % self.threads == 0, ix.sub(ix.const(items), item)
        body = self.inside(chain, lambda: self.copy(core))
        return (body if exact else self.where(left, body)), blocks

    def blocks(self, chain: list[tuple[list[Stmt], For, int]], core: list[Stmt], items: int) -> tuple[list[Stmt], int]:
        """An item for every block."""
        blocks, item = items, G
        self.ranges |= {"t": self.threads}
        shift: dict[str, Index] = {}
        if sum(a.size * a.dtype.itemsize for a in self.rows.values()) <= SHARED_ROWS:
            self.shared.update((a.name, Alloc(a.name, a.dtype, a.size, "shared")) for a in self.rows.values())
        else:
            blocks = min(items, SCRATCH_BLOCKS)
            self.global_rows = [Alloc(a.name, a.dtype, a.size * blocks, "kernel") for a in self.rows.values()]
            shift = {a.name: ix.mul(G, a.size) for a in self.rows.values()}
        self.ranges["g"] = blocks
        if blocks < items:
            turns = -(-items // blocks)
            self.ranges["k"] = turns
            item = ix.add(ix.mul(ix.var("k"), blocks), G)
        self.place(chain, item)
        body = self.inside(chain, lambda: self.uniform(core))
        if blocks < items:
            if items % blocks:
                body = self.where(ix.sub(ix.const(items), item), body)
            body = [For("k", ix.const(turns), "serial", body)]
        body = [IndexValue("%tid", T), *body]
        return (Rewrite(shift=shift).body(body) if shift else body), blocks

    # -- small things --------------------------------------------------------------------------------------------------

    def fresh(self, prefix: str = "%t") -> str:
        """A name that nothing has yet."""
        self.count += 1
        return f"{prefix}{self.count}"

    def rewrite(self) -> Rewrite:
        """Loop variables replaced by block and thread, in all that is copied."""
        return Rewrite(vars=self.vars, ranges=self.ranges)

    def copy(self, stmts: Iterable[Stmt]) -> list[Stmt]:
        """Statements as they are, for every thread."""
        return self.rewrite().body(stmts)

    def where(self, left: Index, body: list[Stmt]) -> list[Stmt]:
        """`body` where left > 0."""
        n, cond = self.fresh(), self.fresh()
        return [IndexValue(n, left), Let(cond, "gt", (n, Const(0, dtypes.i64)), dtypes.bool_), If(cond, body)]

    def threads_below(self, n: int, body: list[Stmt]) -> list[Stmt]:
        """`body` in the threads 0 to n - 1."""
        cond = self.fresh()
        return [Let(cond, "lt", ("%tid", Const(n, dtypes.i64)), dtypes.bool_), If(cond, body)]

    # -- the code of a block -------------------------------------------------------------------------------------------

    def uniform(self, stmts: list[Stmt]) -> list[Stmt]:
        """Statements outside vector loops: every thread runs them, with the same values."""
        out: list[Stmt] = []
        for s in stmts:
            if isinstance(s, Alloc):
                continue
            if isinstance(s, For):
                out += self.unrolled(s) if s.kind == "unroll" else self.folding(s)
            elif isinstance(s, If):
                out.append(If(s.cond, self.uniform(s.body)))
            elif isinstance(s, Store):
                if s.buf in self.rows:
                    raise self.refused("one thread would write scratch that all read")
                out += self.threads_below(1, self.copy([s]))
            else:
                out += self.copy([s])
        return out

    def unrolled(self, s: For) -> list[Stmt]:
        """An unrolled loop without threads in it."""
        if any(isinstance(x, For) and x.kind == "vector" for x in statements(s.body)):
            raise self.refused("it unrolls a loop around its threads")
        return [For(s.var, s.extent, s.kind, self.uniform(s.body))]

    def folding(self, s: For) -> list[Stmt]:
        """A serial or vector loop, with what its threads fold, each for itself, combined after it."""
        groups = self.folded(s)
        out: list[Stmt] = []
        for accs, kind in groups.items():
            for a, value in zip(accs, FOLDS[kind].neutral(self.acc_dtypes[accs[0]])):
                d = self.acc_dtypes[a]
                self.partial[a] = f"{a}.t"
                out.append(Acc(f"{a}.t", d, Const(value, d)))
        if s.kind == "vector":
            out += self.vector(s)
        else:
            r = self.rewrite()
            out.append(For(s.var, r.index(s.extent), "serial", self.uniform(s.body)))
        for accs, kind in groups.items():
            out += self.combine(accs, kind)
            for a in accs:
                del self.partial[a]
        return out

    def folded(self, s: For) -> dict[tuple[str, ...], str]:
        """Accumulators from outside a loop that only the vector loops in it touch, by folding into them."""
        own = {x.name for x in statements(s.body) if isinstance(x, Acc)}
        groups: dict[tuple[str, ...], str] = {}
        seen: set[str] = set()

        def look(stmts: Iterable[Stmt], vector: bool) -> None:
            for x in stmts:
                if isinstance(x, (For, If)):
                    look(x.body, vector or isinstance(x, For) and x.kind == "vector")
                elif isinstance(x, Reduce) and vector:
                    kind = FOLDS[x.kind].across.name
                    if x.at or groups.setdefault(x.accs, kind) != kind:
                        raise self.refused("its threads fold into an array of accumulators")
                elif isinstance(x, Reduce):
                    seen.update(x.accs)
                elif isinstance(x, (GetAcc, SetAcc)):
                    seen.add(x.acc)

        look([s], False)
        return {g: kind for g, kind in groups.items() if not set(g) & (own | seen | set(self.partial))}

    def vector(self, s: For) -> list[Stmt]:
        """The iterations of a vector loop, shared out among the threads."""
        if not self.writes_apart(s):
            raise self.refused("its threads would write the same element")
        own = {x.name for x in statements(s.body) if isinstance(x, Acc)}
        for x in statements(s.body):
            if isinstance(x, For) and x.kind == "vector":
                raise self.refused("its vector loops are nested")
            if isinstance(x, (Reduce, SetAcc)):
                changed = set(x.accs if isinstance(x, Reduce) else (x.acc,)) - own
                if changed - set(self.partial) or changed and isinstance(x, SetAcc):
                    raise self.refused("its threads would change a value that they share")
        extent = self.rewrite().index(s.extent)
        n = self.threads
        if not extent.terms and int(extent.const) % n == 0:  # type: ignore[arg-type]
            turns = ix.const(int(extent.const) // n)  # type: ignore[arg-type]
        else:
            turns = ix.div(ix.sub(ix.add(extent, ix.const(n - 1)), T), n, self.ranges)
        k = self.fresh("k")
        at = ix.add(ix.mul(ix.var(k), n), T)
        r = Rewrite(vars={**self.vars, s.var: at}, accs=self.partial, ranges=self.ranges)
        out: list[Stmt] = [For(k, turns, "serial", r.body(s.body))]
        if any(isinstance(x, (Load, Store)) and x.buf in self.rows for x in statements(s.body)):
            out.append(Barrier())
        return out

    def combine(self, accs: tuple[str, ...], kind: str) -> list[Stmt]:
        """Fold the threads' own accumulators together, and the result into those that all threads share."""
        types = [self.acc_dtypes[a] for a in accs]
        buffers = [self.exchange(d, k) for k, d in enumerate(types)]
        zero = ix.const(0)
        out: list[Stmt] = []

        def load(at: Index, to: list[Stmt]) -> tuple[str, ...]:
            names = tuple(self.fresh() for _ in accs)
            to.extend(Load(n, b, at) for n, b in zip(names, buffers))
            return names

        for a, b in zip(accs, buffers):
            v = self.fresh()
            out += [GetAcc(v, f"{a}.t"), Store(b, T, v)]
        out.append(Barrier())
        half = self.threads // 2
        while half:
            step: list[Stmt] = []
            low, high = load(T, step), load(ix.add(T, ix.const(half)), step)
            both = tuple(self.fresh("acc.t") for _ in accs)
            step += [Acc(x, d, v) for x, d, v in zip(both, types, low)]
            step.append(Reduce(both, kind, high))
            for x, b in zip(both, buffers):
                v = self.fresh()
                step += [GetAcc(v, x), Store(b, T, v)]
            out += self.threads_below(half, step)
            out.append(Barrier())
            half //= 2
        values = load(zero, out)
        out += [Barrier(), Reduce(accs, kind, values)]  # the barrier: before the next use of the same memory
        return out

    def exchange(self, dtype: DType, k: int) -> str:
        """Shared memory of one element for each thread."""
        name = f"threads_{dtype.name}_{k}"
        self.shared.setdefault(name, Alloc(name, dtype, self.threads, "shared"))
        return name
