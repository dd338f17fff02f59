"""Code for NVIDIA GPUs, from the loop IR that the CPU's comes from too. Building needs no GPU and no CUDA.

What is built is a shared object for the host, which launches, and holds the image of the kernels: PTX for `sm_80` and `sm_90a`, and
code of the host's own processor for `emulated`, which runs where there is no GPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingot.backends.cuda.flags import (
    cudnn_sdp_enabled,
    cufft_plan_cache,
    enable_cudnn_sdp,
    enable_flash_sdp,
    enable_math_sdp,
    enable_mem_efficient_sdp,
    flash_sdp_enabled,
    is_built,
    math_sdp_enabled,
    matmul,
    mem_efficient_sdp_enabled,
    sdp_kernel,
)  # fmt: skip
from ingot.backends.cuda.levels import EMULATED, LEVELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ingot.backends.built import Built, Keep
    from ingot.backends.llvm.level import Level
    from ingot.ir.graph import Graph
    from ingot.ir.loop.program import Program
    from ingot.ir.lower import Watcher
    from ingot.ir.lower.target import Target

__all__ = [
    "BACKEND", "Cuda", "cudnn_sdp_enabled", "cufft_plan_cache", "enable_cudnn_sdp", "enable_flash_sdp", "enable_math_sdp",
    "enable_mem_efficient_sdp", "flash_sdp_enabled", "is_built", "math_sdp_enabled", "matmul", "mem_efficient_sdp_enabled", "sdp_kernel",
]  # fmt: skip


class Cuda:
    """The backend of NVIDIA GPUs (see `ingot.backends.Backend`)."""

    name = "cuda"
    levels = LEVELS

    def target(self, level: Level) -> Target:
        """What the lowering is told: the level's machine, and how each kind of group is scheduled and written for it."""
        from ingot.backends.cuda.kinds import KINDS
        from ingot.ir.lower.target import Target

        return Target(level.machine, KINDS)

    def load(self) -> None:
        """Import what `lower` and `build` need."""
        import ingot.backends.built
        import ingot.backends.cuda.emulated
        import ingot.backends.cuda.host_entry
        import ingot.backends.cuda.kinds
        import ingot.backends.cuda.ptx  # noqa: F401

    def lower(self, graph: Graph, level: Level, watch: Watcher | None = None) -> Program:
        """The program of a graph, in kernels of blocks and threads. UnsupportedKernel (a RuntimeError) names what has none yet."""
        from ingot.backends.built import numbered
        from ingot.ir.lower import lower

        return lower(numbered(graph), self.target(level), watch)

    def image(self, program: Program, level: Level, keep: Keep | None = None) -> bytes:
        """The kernels of a program as a module that the driver takes: PTX, or what the emulation maps."""
        from ingot.backends.built import make
        from ingot.backends.cuda import emulated, host_entry, numbers, ptx

        program = numbers.told_apart(program)
        ptx.verify_parameters(program)
        if level.name == EMULATED:
            return emulated.build(program, host_entry.host(), keep or make)
        return ptx.build(program, level).encode() + b"\0"

    def assembled(self, image: bytes, level: Level) -> tuple[bytes, str] | None:
        """A module's PTX as machine code, and who made it; None where nobody here does, and the driver will."""
        from ingot.backends.cuda.cubin import cubin

        return None if level.name == EMULATED else cubin(image, level.name)

    def build(self, program: Program, level: Level, keep: Keep | None = None) -> Built:
        """The shared object of a program, for this machine's processor: the entry, which launches, and the image of the kernels.

        In the manifest, `kernels` has the names of the kernels in the image, in the order in which the entry knows them; `image` says
        how many bytes that has, `shared` how much shared memory kernels must be allowed, and `device` that slots are addresses of a GPU.
        `launches`: how many a call makes, None where that depends.
        """
        from ingot.backends.built import Built, manifest_of
        from ingot.backends.cpu import driver, table
        from ingot.backends.cuda import host_entry, numbers

        program = numbers.told_apart(program)
        image = self.image(program, level, keep)
        arch = host_entry.host()
        manifest = manifest_of(program, program.arena_bytes, table.refusals(program))
        manifest.update(
            entry=driver.ENTRY, scratch_bytes=0, tiny=False, device="cuda", target=level.name, host=arch, image=len(image),
            kernels=list(program.kernels), launches=host_entry.straight(program), shared=host_entry.shared(program),
        )  # fmt: skip
        return Built(host_entry.link(program, image, arch), manifest)

    def choices(self, graph: Graph, level: Level) -> tuple[str, Iterator[tuple[str, Program]]]:
        """What a product may be made by: see `tuning.choices`."""
        from ingot.backends.cuda.tuning import choices

        return choices(graph, self.target(level))

    def tuned(self, found: Mapping[str, Mapping[str, str]]) -> tuple[dict[str, dict[str, str]], str]:
        """The choices that were measured, with those that were `found` now, and their table as the text of a file."""
        from ingot.backends.cuda.tuned import TUNED
        from ingot.backends.cuda.tuning import table_text

        every = {g: {**TUNED.get(g, {}), **found.get(g, {})} for g in sorted({*TUNED, *found})}
        return every, table_text(every)

    def llvm(self, program: Program, level: Level) -> dict[str, str]:
        """The LLVM IR of a program's kernels, one module by the program's name, for people."""
        from ingot.backends.cuda import numbers, ptx

        return {program.name: ptx.llvm_text(numbers.told_apart(program), _shown(level))}

    def assembly(self, llvm: str, level: Level) -> str:
        """The PTX that LLVM IR becomes. RuntimeError where the IR is not well formed."""
        from ingot.backends.llvm import codegen

        return codegen.assembly(llvm, _shown(level))


def _shown(level: Level) -> Level:
    """The level whose code people are shown: what is emulated, too, is a GPU's."""
    return LEVELS["sm_90a"] if level.name == EMULATED else level


BACKEND = Cuda()
