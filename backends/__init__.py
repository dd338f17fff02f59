"""From a graph to machine code: a room per kind of target, and one door to all of them.

    b = backend("cpu")                     # or backend("x86-64-v3"), by one of its levels
    level = b.levels["x86-64-v3"]
    program = b.lower(graph, level)        # ir.loop.program.Program
    built = b.build(program, level)        # the code, and the manifest that says how to call it

Outside of this room nothing but the door is imported. What stands behind it is imported when it is first needed: a process that
finds its code in the cache reads the tables of levels, and no more. What maps code and calls it is the runtime's
(`runtime/executable.py`): a process that serves an artifact has no backend.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

if __name__ != "ingot.backends":
    raise ImportError(f"import this package as ingot.backends, not as {__name__}: run from outside the repository root")

if TYPE_CHECKING:
    from ingot.backends.built import Built
    from ingot.backends.built import Keep as Keep
    from ingot.backends.built import Make as Make
    from ingot.backends.built import Part as Part
    from ingot.backends.cpu import Cpu
    from ingot.backends.llvm.level import Level
    from ingot.ir.graph import Graph
    from ingot.ir.loop.program import Program
    from ingot.ir.lower import Watcher
    from ingot.ir.lower.target import Target

__all__ = ["NAMES", "Backend", "backend"]

NAMES = ("cpu", "cuda")
_SWITCHES = ("cudnn", "mkl", "mkldnn", "mps", "openmp", "opt_einsum", "xnnpack")  # torch's, of libraries that are not used


def __getattr__(name: str) -> Any:
    if name not in (*NAMES, *_SWITCHES):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")


class Backend(Protocol):
    """What every backend does."""

    @property
    def name(self) -> str:
        """Of NAMES."""

    @property
    def levels(self) -> Mapping[str, Level]:
        """The levels by name, ascending within an architecture."""

    def target(self, level: Level) -> Target:
        """What the lowering is told: the level's machine, and how each kind of group is scheduled and written."""

    def load(self) -> None:
        """Import what `lower` and `build` need, which they do otherwise when they are first called."""

    def lower(self, graph: Graph, level: Level, watch: Watcher | None = None) -> Program:
        """The program of a graph, as this kind of target runs it. UnsupportedKernel (a RuntimeError) names what it does not run."""

    def build(self, program: Program, level: Level, keep: Keep | None = None) -> Built:
        """The machine code of a program. The same program and level give the same bytes, whatever was built before.

        keep: where parts of it are found, or kept, that other programs may have as well (see `built.Keep`).
        """

    def llvm(self, program: Program, level: Level) -> dict[str, str]:
        """The LLVM IR of a program's parts, by name, for people."""

    def assembly(self, llvm: str, level: Level) -> str:
        """The machine code that LLVM IR becomes, as text for people. RuntimeError where the IR is not well formed."""


@overload
def backend(target: Literal["cpu"]) -> Cpu: ...
@overload
def backend(target: str) -> Backend: ...
@functools.cache
def backend(target: str) -> Backend:
    """The backend of a target: by its own name, or by the name of one of its levels. ValueError where there is none.

    backend("sm_90a").name      # "cuda"
    """
    if target in NAMES:
        return importlib.import_module(f"ingot.backends.{target}").BACKEND
    found = next((b for b in map(backend, NAMES) if target in b.levels), None)  # those behind it are not imported
    if found is None:
        known = ", ".join(name for b in map(backend, NAMES) for name in (b.name, *b.levels))
        raise ValueError(f"there is no target {target!r}: targets are {known}")
    return found
