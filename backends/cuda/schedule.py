"""From kernels of parallel chunks and vector loops (`ir.lower`) to kernels of thread blocks.

A kernel falls into phases: its parallel loops, and what stands between them. Each is a launch of its own (phase.py),
and what the phases share, scratch, is memory. Parameters become constants: sizes decide the schedule.

What would not be right this way is refused with UnsupportedKernel.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ingot.backends.cuda.phase import Phase, UnsupportedKernel
from ingot.backends.cuda.rewrite import Rewrite, defined, used
from ingot.ir.loop import index as ix
from ingot.ir.loop.ir import Alloc, Buffer, Dyn, For, GetAcc, IndexValue, Kernel, Let, Load, Stmt, Store
from ingot.ir.loop.program import Launch, Program, Ref, Repeat, Step
from ingot.ir.loop.walk import statements

__all__ = ["schedule", "geometry", "UnsupportedKernel"]

ALIGN = 256  # of scratch in global memory


def schedule(program: Program) -> Program:
    """The program with kernels of blocks and threads. Scratch that kernels need is added to the arena.

    No output may be given an input's buffer: threads may still read what others have written.
    """
    s = _Scheduler(program)
    steps = s.steps(program.steps)
    return replace(program, kernels=s.kernels, steps=steps, arena_bytes=s.base + s.scratch_bytes, aliases={})


def geometry(kernel: Kernel) -> tuple[int, int]:
    """(blocks, threads of a block) to launch a scheduled kernel with."""
    (grid,) = kernel.body
    assert isinstance(grid, For) and isinstance(grid.body[-1], For)
    return int(grid.extent.const), int(grid.body[-1].extent.const)  # type: ignore[arg-type]


class _Scheduler:
    def __init__(self, program: Program):
        self.program = program
        self.base = -(-program.arena_bytes // ALIGN) * ALIGN
        self.scratch_bytes = 0  # of the kernel that needs most: launches follow each other
        self.kernels: dict[str, Kernel] = {}
        self.names: dict[str, str] = {}
        self.made: dict[tuple[str, tuple[int, ...]], list[tuple[str, tuple[int, ...]]]] = {}

    def steps(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        out: list[Step] = []
        for s in steps:
            if isinstance(s, Launch):
                for name, slots in self.launches(s):
                    out.append(Launch(name, tuple(s.bufs[k] if k >= 0 else Ref(None, self.base + ~k) for k in slots), ()))
            elif isinstance(s, Repeat):
                out.append(Repeat(s.var, s.count, self.steps(s.steps)))
            else:
                out.append(s)
        return tuple(out)

    def launches(self, launch: Launch) -> list[tuple[str, tuple[int, ...]]]:
        """The kernels to launch for one: each with its buffers, as positions in the launch's or as ~offset of scratch."""
        key = (launch.kernel, launch.params)
        found = self.made.get(key)
        if found is None:
            k = _Phases(self.program.kernels[launch.kernel], launch.params)
            found = self.made[key] = [(self.enter(kernel), slots) for kernel, slots in k.run()]
            self.scratch_bytes = max(self.scratch_bytes, k.scratch_bytes)
        return found

    def enter(self, kernel: Kernel) -> str:
        text = repr((kernel.buffers, kernel.body))
        name = self.names.get(text)
        if name is None:
            name = re.sub(r"\W", "_", kernel.name)
            if name in self.kernels:
                name += f"_{len(self.kernels)}"
            self.names[text] = name
            self.kernels[name] = replace(kernel, name=name)
        return name


class _Phases:
    """Takes one kernel, for one set of sizes, apart into phases."""

    def __init__(self, kernel: Kernel, params: tuple[int, ...]):
        self.kernel = kernel
        self.body = Rewrite(params=dict(zip(kernel.params, params))).body(kernel.body)
        self.scratch_bytes = 0
        if kernel.schedule.startswith("Tiles("):
            raise self.refused("products in tiles need a schedule of their own")
        if any(b.access == "rw" for b in kernel.buffers):
            raise self.refused("it updates its result in the order of its indices")

    def refused(self, why: str) -> UnsupportedKernel:
        what = re.sub(r"^k\d+_", "", self.kernel.name)
        return UnsupportedKernel(f"cuda: {what} is not supported on this device yet: {why} (kernel {self.kernel.name})")

    def place(self, nbytes: int) -> int:
        """Scratch in global memory: its slot."""
        at = self.scratch_bytes
        self.scratch_bytes += -(-nbytes // ALIGN) * ALIGN
        return ~at

    def run(self) -> list[tuple[Kernel, tuple[int, ...]]]:
        buffers = {b.name: b for b in self.kernel.buffers}
        slots = {b.name: k for k, b in enumerate(self.kernel.buffers)}
        written = {s.buf for s in statements(self.body) if isinstance(s, Store)}
        pure: list[Stmt] = []
        known: set[str] = set()
        phases: list[list[Stmt]] = []
        plain: list[Stmt] | None = None
        for s in self.body:
            if isinstance(s, Alloc) and s.scope == "kernel":
                buffers[s.name] = Buffer(s.name, s.dtype, "rw")
                slots[s.name] = self.place(s.size * s.dtype.itemsize)
            elif isinstance(s, (Let, IndexValue, Load)) and used([s]) <= known and not (isinstance(s, Load) and s.buf in written):
                pure.append(s)
                known.add(s.dst)
            elif isinstance(s, For) and s.kind == "parallel":
                phases.append([s])
                plain = None
            else:
                if plain is None:
                    plain = []
                    phases.append(plain)
                plain.append(s)
        out = []
        for k, phase in enumerate(phases):
            before: list[Stmt] = []
            need = used(phase)
            for s in reversed(pure):
                if s.dst in need:  # type: ignore[union-attr]
                    before.insert(0, s)
                    need |= used([s])
            if missing := need - known - defined(phase):
                raise self.refused(f"a phase reads {', '.join(sorted(missing))}, which another has computed")
            self.check_memory(phase, pure)
            p = Phase(before + phase, self.refused)
            body = p.run()
            if body is None:
                continue
            for a in p.global_rows:
                buffers[a.name] = Buffer(a.name, a.dtype, "rw")
                slots[a.name] = self.place(a.size * a.dtype.itemsize)
            touched = {s.buf for s in statements(body) if isinstance(s, (Load, Store))}
            mine = [replace(buffers[b], access=_access(body, b)) for b in buffers if b in touched]
            name = self.kernel.name if len(phases) == 1 else f"{self.kernel.name}_{k}"
            out.append((Kernel(name, tuple(mine), (), body, p.schedule), tuple(slots[b.name] for b in mine)))
        return out

    def check_memory(self, phase: list[Stmt], pure: list[Stmt]) -> None:
        """Items of a phase must be independent: they read nothing that the phase writes, and write where no loaded
        value decides."""
        own = {s.name for s in statements(phase) if isinstance(s, Alloc)}
        loaded = {s.buf for s in statements(phase) if isinstance(s, Load)}
        data: set[str] = set()
        for s in statements([*pure, *phase]):
            if isinstance(s, (Load, GetAcc)) or isinstance(s, (Let, IndexValue)) and used([s]) & data:
                data.add(s.dst)
            elif isinstance(s, Store) and s.buf not in own:
                if s.buf in loaded:
                    raise self.refused("it reads what it writes")
                if any(isinstance(a, Dyn) and a.name in data for a in ix.atoms(s.index)):
                    raise self.refused("where it writes is known only from its data")


def _access(body: list[Stmt], buf: str) -> str:
    r = any(isinstance(s, Load) and s.buf == buf for s in statements(body))
    w = any(isinstance(s, Store) and s.buf == buf for s in statements(body))
    return "rw" if r and w else "w" if w else "r"
