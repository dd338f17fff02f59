"""PTX for NVIDIA GPUs, from the loop IR that the CPU's code comes from too. Building needs no GPU and no CUDA."""

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
from ingot.backends.cuda.levels import LEVELS

if TYPE_CHECKING:
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
        import ingot.backends.cuda.kinds
        import ingot.backends.cuda.ptx  # noqa: F401

    def lower(self, graph: Graph, level: Level, watch: Watcher | None = None) -> Program:
        """The program of a graph, in kernels of blocks and threads. UnsupportedKernel (a RuntimeError) names what has none yet."""
        from ingot.backends.built import numbered
        from ingot.ir.lower import lower

        return lower(numbered(graph), self.target(level), watch)

    def build(self, program: Program, level: Level, keep: Keep | None = None) -> Built:
        """The PTX of a program's kernels, all of them made anew. Its manifest tells how each is launched, see ptx.build."""
        from ingot.backends.cuda import ptx

        return ptx.build(program, level)

    def llvm(self, program: Program, level: Level) -> dict[str, str]:
        """The LLVM IR of a program's kernels, one module by the program's name, for people."""
        from ingot.backends.cuda import ptx

        return {program.name: ptx.llvm_text(program, level)}

    def assembly(self, llvm: str, level: Level) -> str:
        """The PTX that LLVM IR becomes. RuntimeError where the IR is not well formed."""
        from ingot.backends.llvm import codegen

        return codegen.assembly(llvm, level)


BACKEND = Cuda()
