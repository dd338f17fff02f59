"""What a compilation shows to people and checks on request: `INGOT_DUMP`, `INGOT_VERIFY`, `INGOT_LOG=passes,fusion`, `INGOT_CHECK=nan`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from ingot.runtime import log, switches
from ingot.runtime.executable import CheckError

if TYPE_CHECKING:
    from ingot.ir.graph import Graph
    from ingot.ir.loop.program import Program

__all__ = ["NanCheck", "after_lowering", "before_lowering", "dump", "program_text"]


def before_lowering(graph: Graph) -> dict[str, str]:
    """Run the passes one by one for those who watch: verified, logged, their graphs as text by stage for the dump.

    What is compiled does not come from here: watching changes nothing.
    """
    verifying, dumping = switches.get("INGOT_VERIFY"), switches.get("INGOT_DUMP")
    texts: dict[str, str] = {}
    if verifying:
        from ingot.ir.verify import verify

        verify(graph)
    if not (verifying or dumping or log.enabled("passes")):
        return texts
    from ingot.ir.passes import SIMPLIFY

    for i, p in enumerate(SIMPLIFY):
        before = len(graph.nodes)
        graph = p(graph)
        if verifying:
            verify(graph)
        log.log("passes", "%s: %d nodes -> %d", p.__name__, before, len(graph.nodes))
        if dumping:
            texts[f"pass{i}_{p.__name__}"] = str(graph)
    return texts


def after_lowering(program: Program) -> None:
    """Verify the program's kernels where that is asked for, and tell what was fused."""
    if switches.get("INGOT_VERIFY"):
        from ingot.ir.loop.verify import verify_program

        verify_program(program)
    if log.enabled("fusion"):
        log.log("fusion", "%s: %d kernels, arena %d bytes", program.name, len(program.kernels), program.arena_bytes)
        for k in program.kernels.values():
            log.log("fusion", "  %s%s: %s", k.name, tuple(b.name for b in k.buffers), dict(k.schedule))


def program_text(program: Program) -> str:
    """The program as text, for people."""
    from ingot.ir.loop.text import print_program

    return print_program(program)


_SUFFIX = {"program": "loop", "llvm": "ll"}


def dump(key: str, name: str, texts: dict[str, str], so: bytes) -> None:
    """Write the stages of one compilation under INGOT_DUMP: a folder per graph, numbered files, the shared object last."""
    folder = os.path.join(switches.get("INGOT_DUMP"), f"{name}-{key[:12]}")
    try:
        os.makedirs(folder, exist_ok=True)
        for i, (stage, text) in enumerate(texts.items()):
            with open(os.path.join(folder, f"{i:02d}_{stage}.{_SUFFIX.get(stage, 'ir')}"), "w", encoding="utf-8") as f:
                f.write(text)
        with open(os.path.join(folder, f"{len(texts):02d}_code.so"), "wb") as b:
            b.write(so)
    except OSError as e:
        log.warn_once("dump", f"INGOT_DUMP: {e}")


class NanCheck:
    """An executable whose floating-point outputs are looked at after each call: CheckError where one holds a NaN."""

    def __init__(self, executable: Any, graph: Graph):
        self.executable = executable
        self.manifest = executable.manifest
        self.graph = graph

    def __getattr__(self, name: str) -> Any:
        return getattr(self.executable, name)

    def run(self, *slots: int | float) -> None:
        """Run, then look."""
        from ingot.runtime.memory import Buffer

        self.executable.run(*slots)
        outputs = zip(self.graph.outputs, slots[len(self.graph.inputs) :])
        for i, (v, address) in enumerate(outputs):
            t = v.type
            if not t.dtype.is_floating_point or not t.nbytes:
                continue
            array = Buffer(int(address), t.nbytes, None).array(t.dtype.numpy, t.shape)
            bad = int(np.count_nonzero(np.isnan(array)))
            if bad:
                what = f"{self.graph.name}: {bad} of {array.size} values of output {i} ({t}) are NaN (INGOT_CHECK=nan)"
                raise CheckError(-1, what, self._where(v))

    def _where(self, v: Any) -> str | None:
        from ingot.ir.location import describe

        node = self.graph.producers.get(v)
        return None if node is None or node.loc is None else describe(node.loc)
