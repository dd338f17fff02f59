"""Machine code for CPUs: ELF shared objects for x86-64 and AArch64, and the worker pool that their kernels run on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ingot.backends.cpu.levels import LEVELS, at_most, host_level
from ingot.backends.llvm.level import QUICK

if TYPE_CHECKING:
    from ingot.backends.built import Built, Keep, Part
    from ingot.backends.llvm.level import Level
    from ingot.ir.graph import Graph
    from ingot.ir.loop.ir import Kernel
    from ingot.ir.loop.program import Program
    from ingot.ir.lower import Watcher
    from ingot.ir.lower.target import Target

__all__ = ["BACKEND", "Cpu"]


class Cpu:
    """The backend of CPUs (see `ingot.backends.Backend`). The host's own code, the worker pool's, is made here as well."""

    name = "cpu"
    levels = LEVELS
    architectures = tuple(dict.fromkeys(level.arch for level in LEVELS.values()))  # as `uname -m` says them

    def target(self, level: Level) -> Target:
        """What the lowering is told: the level's machine, and how each kind of group is scheduled and written."""
        from ingot.ir.lower.cpu import cpu

        return cpu(level.machine)

    def load(self) -> None:
        """Import what `lower` and `build` need."""
        import ingot.backends.built
        import ingot.backends.cpu.module
        import ingot.ir.lower.cpu  # noqa: F401

    def lower(
        self, graph: Graph, level: Level, watch: Watcher | None = None, begin: Callable[[Part], None] | None = None, quick: bool = False
    ) -> Program:
        """The program of a graph; its extents may be known only at run time.

        begin: called with each part that `build` will ask for, with the same `quick`, as soon as it is known
        """
        from ingot.backends.built import numbered
        from ingot.backends.cpu import module
        from ingot.ir.lower import lower
        from ingot.ir.struct import replace

        target = self.target(level)
        if begin is not None:
            target = replace(target, written=lambda kernel: begin(module.part_of(kernel, level, quick)))
        return lower(numbered(graph), target, watch)

    def has_quick(self, level: Level) -> bool:
        """Whether `build` has a quick way for a level."""
        return level.arch in QUICK

    def llvm_of(self, llvmlite: str) -> str | None:
        """The version of the LLVM in a version of llvmlite, without importing it: that which objects were made with that come along."""
        from ingot.backends.cpu import prebuilt_objects

        return prebuilt_objects.LLVM if llvmlite == prebuilt_objects.LLVMLITE else None

    def prebuild(self, kernels: Iterable[tuple[Kernel, Level]]) -> None:
        """Write the objects that come with the package: these kernels', made the quick way, and those that are always the same."""
        from ingot.backends.cpu import prebuild

        prebuild.write(prebuild.kernels(kernels))

    def build(self, program: Program, level: Level, keep: Keep | None = None, quick: bool = False) -> Built:
        """The shared object of a program, with one exported entry. `keep`: where the code of its kernels is found, or kept.

        quick: LLVM takes a third of the time; the code computes the same bits and takes a few times as long.
        """
        from ingot.backends.built import make
        from ingot.backends.cpu import module

        return module.build(program, level, keep or make, quick)

    def pieces(self, code: bytes | memoryview) -> dict[bytes, bytes]:
        """The parts of a shared object that others may be put together from, as `keep` is asked for them.

        ValueError where it is malformed.
        """
        from ingot.backends.cpu import elf_piece

        try:
            return elf_piece.pieces_of(code)
        except RuntimeError as e:
            raise ValueError(str(e)) from None

    def llvm(self, program: Program, level: Level) -> dict[str, str]:
        """The LLVM IR of a program's kernels, by name, for people."""
        from ingot.backends.cpu import module

        return module.llvm_texts(program, level)

    def assembly(self, llvm: str, level: Level, quick: bool = False) -> str:
        """The machine code that LLVM IR becomes, as text. RuntimeError where the IR is not well formed."""
        from ingot.backends.llvm import codegen

        return codegen.assembly(llvm, level, quick=quick)

    def runs(self, level: Level, host: Level) -> bool:
        """Whether code for `level` runs on a machine whose best level is `host`."""
        return at_most(level, host)

    def host_level(self, limit: str | None = None) -> Level:
        """The highest level this machine runs; `limit` names one not to go above (the switch INGOT_CPU_LEVEL).

        ValueError where `limit` is no level of this architecture; RuntimeError where the machine runs none.
        """
        return host_level(limit)

    def pool_is_ready(self, arch: str) -> bool:
        """Whether `build_pool` needs no compiler."""
        from ingot.backends.cpu import pool

        return pool.is_ready(arch)

    def build_pool(self, arch: str) -> Built:
        """The worker pool of an architecture; its manifest is empty. RuntimeError where it is none of `architectures`."""
        from ingot.backends.cpu import pool

        return pool.build(arch)

    def driver_assembly(self, arch: str, symbols: bool = False) -> str:
        """The driver's machine code as text, with or without what programs with symbols need.

        RuntimeError where `arch` is none of `architectures`.
        """
        from ingot.backends.cpu import driver

        return driver.assembly(arch, symbols)

    def pool_assembly(self, arch: str) -> str:
        """The worker pool's machine code as text. RuntimeError where `arch` is none of `architectures`."""
        from ingot.backends.cpu import pool

        return pool.assembly(arch)

    def check(self, code: bytes | memoryview, arch: str, entry: str | None, symbols: bool = False) -> None:
        """Check that bytes are a shared object as it is built here, without mapping them. ValueError says what is wrong.

        entry: what it exports; None for the worker pool. symbols: and what the code of a program with symbols exports besides.
        """
        from ingot.backends.cpu import driver, elf_check, elf_piece, pool

        elf_check.check(code, arch, pool.EXPORTS if entry is None else (entry, driver.SIZES) if symbols else (entry,))
        for piece in self.pieces(code).values():
            try:
                elf_piece.read(piece)
            except RuntimeError as e:
                raise ValueError(str(e)) from None

    def section_at(self, code: bytes | memoryview, offset: int) -> str:
        """The name of the section that a byte of a shared object belongs to; empty where none does."""
        from ingot.backends.cpu import elf_check

        return elf_check.section_at(code, offset)


BACKEND = Cpu()
