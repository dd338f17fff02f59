"""From a program to a shared object: the code of its kernels, each made once, the driver, and the table that it walks.

A kernel's code depends on nothing but its loops and the level: it is made of a module of its own, and known by `identity`.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence

from ingot.backends.built import Built, Keep, Part, make, manifest_of, told
from ingot.backends.cpu import driver, elf, elf_piece, prebuilt, table
from ingot.backends.cpu.driver import ENTRY, SIZES
from ingot.backends.cpu.kernels import KERNEL, Scratch, emit_kernel
from ingot.backends.llvm import codegen
from ingot.backends.llvm.level import Level
from ingot.backends.llvm.workers import side_by_side
from ingot.ir.loop.ir import Kernel
from ingot.ir.loop.program import Copy, Program, Step, launches, nested
from ingot.ir.loop.text import print_kernel
from ingot.ir.size import Dim, bounds, larger

__all__ = ["build", "build_kernel", "identity", "kernel_name", "llvm_texts", "part_of"]


COPY = hashlib.sha256(b"copy").digest()  # what copies are found by, among the kernels
DRIVER = hashlib.sha256(b"driver").digest()  # and the driver,
SIZED_DRIVER = hashlib.sha256(b"driver of sizes").digest()  # also that of programs with symbols
TINY = 16 << 10  # bytes that a call touches


def build(program: Program, level: Level, keep: Keep = make, quick: bool = False) -> Built:
    """The shared object of a program: one exported entry. `quick`: of kernels that are made soon, and are not as fast."""
    sized = bool(program.symbols)
    ready = functools.partial(driver.is_ready, level.arch)
    parts = [Part(SIZED_DRIVER if sized else DRIVER, "", lambda: driver.build(level.arch, sized), ready)]
    parts += [part_of(k, level, quick) for k in program.kernels.values()]
    if _copies(program.steps):
        parts.append(Part(COPY, "", lambda: driver.build_copy(level.arch), ready))
    pieces = [elf_piece.read(code) for code in keep(parts, _made)]
    walker, kernels = pieces[0], pieces[1 : 1 + len(program.kernels)]
    own_bytes = _rounded(program.arena_bytes)
    arena_bytes, worker_bytes = _scratch(program, dict(zip(program.kernels, kernels)))
    manifest = manifest_of(program, own_bytes + arena_bytes, table.refusals(program))
    nbytes = own_bytes + arena_bytes
    for t in (*program.in_types, *program.out_types):
        nbytes = nbytes + t.nbytes
    manifest["entry"] = ENTRY
    manifest["scratch_bytes"] = told(worker_bytes)
    manifest["tiny"] = bounds(nbytes)[1] <= TINY and not any(map(nested, program.steps))
    objects = [walker.object(), *(k.object({KERNEL: f"kernel.{i}"}) for i, k in enumerate(pieces[1:]))]

    def note() -> bytes:
        return elf_piece.section([(part.name, p, o.sections[1].address or 0) for part, p, o in zip(parts, pieces, objects)])

    steps = table.object_of(program, walker.machine, own_bytes, arena_bytes, worker_bytes)
    return Built(elf.link_all([*objects, steps], [ENTRY, SIZES] if sized else [ENTRY], (elf_piece.SECTION, note)), manifest)


def _made(parts: Sequence[Part], workers: int) -> list[bytes]:
    return side_by_side([p.make for p in parts], workers) if len(parts) > 1 < workers else [p.make() for p in parts]


def _scratch(program: Program, kernels: Mapping[str, elf_piece.Piece]) -> tuple[Dim, Dim]:
    """The scratch that is enough for every launch: of a call, and of each worker."""
    most: list[Dim] = [0, 0]
    for kernel, params in dict.fromkeys((s.kernel, s.params) for s in launches(program.steps)):
        for k, need in enumerate((kernels[kernel].arena, kernels[kernel].worker)):
            nbytes: Dim = need.nbytes
            for param, itemsize in need.counted:
                nbytes = nbytes + _rounded(params[param] * itemsize)
            most[k] = larger(most[k], nbytes)
    return most[0], most[1]


def _rounded(nbytes: Dim) -> Dim:
    return (nbytes + 63) // 64 * 64


def _copies(steps: Sequence[Step]) -> bool:
    return any(isinstance(s, Copy) or any(map(_copies, nested(s))) for s in steps)


def identity(kernel: Kernel) -> str:
    """The text that decides a kernel's code: its loops, without its name and that of its schedule."""
    return print_kernel(kernel, named=False)


def kernel_name(identity: str, quick: bool = False) -> bytes:
    """What a kernel's code is found by, among code for one level by one compiler."""
    return hashlib.sha256((b"quick kernel\n" if quick else b"kernel\n") + identity.encode()).digest()


def build_kernel(kernel: Kernel, level: Level, quick: bool = False) -> bytes:
    """The piece of code of one kernel: the same bytes each time, whatever else was built."""
    return part_of(kernel, level, quick).make()


def part_of(kernel: Kernel, level: Level, quick: bool) -> Part:
    """A kernel as a part of a program's code."""

    @functools.cache
    def emitted() -> tuple[str, Scratch, Scratch]:
        return emit_kernel(level, kernel)

    @functools.cache
    def kept() -> bytes | None:
        return prebuilt.kernel_object(emitted()[0], level) if quick else None

    def made() -> bytes:
        text, arena, worker = emitted()
        number = {name: k for k, name in enumerate(kernel.params)}
        needs = (elf_piece.Need(s.nbytes, tuple((number[p], size) for p, size in s.counted)) for s in (arena, worker))
        return elf_piece.piece(kept() or codegen.object_code(text, level, quick=quick), *needs)

    text = identity(kernel)
    return Part(kernel_name(text, quick), text, made, lambda: kept() is not None)


def llvm_texts(program: Program, level: Level) -> dict[str, str]:
    """The LLVM IR of a program's kernels, by name."""
    return {name: emit_kernel(level, k)[0] for name, k in program.kernels.items()}
