"""What a compilation shows to people and checks on request: `INGOT_DUMP`, `INGOT_VERIFY`, `INGOT_LOG=passes,fusion`, `INGOT_CHECK=nan`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ingot.runtime import log, switches
from ingot.runtime.executable import NAN, CheckError

if TYPE_CHECKING:
    from ingot.ir.graph import Graph
    from ingot.ir.loop.program import Program
    from ingot.ir.lower import Stage

__all__ = ["NanCheck", "Watch", "dump", "tell_fusion", "watch"]


class Watch:
    """Sees what every stage of a lowering gives, for those who asked: verified, logged, kept as text for the dump.

    Watching changes nothing. `graph`: as it was recorded, with the locations that are printed. `texts`: (file name, text).
    """

    def __init__(self, graph: Graph):
        self.graph = graph
        self.verifying, self.dumping = switches.get("INGOT_VERIFY"), switches.get("INGOT_DUMP")
        self.texts: list[tuple[str, str]] = [("graph.ir", str(graph))]
        self.nodes = len(graph.nodes)
        if self.verifying:
            from ingot.ir.verify import verify

            verify(graph)

    def __call__(self, stage: Stage, value: Any) -> None:
        from ingot.ir.graph import Graph

        if self.verifying:
            stage.verify(value)
        if isinstance(value, Graph):
            log.log("passes", "%s: %d nodes -> %d", stage.name, self.nodes, len(value.nodes))
            self.nodes = len(value.nodes)
            if self.dumping:
                self.texts.append((f"{stage.name}.ir", str(_located(value, self.graph))))
        elif self.dumping:
            self.texts.append((f"{stage.name}.loop", stage.text(value)))


def _located(graph: Graph, recorded: Graph) -> Graph:
    """`graph` with the locations of `recorded` instead of numbers of its nodes."""
    from ingot.ir.graph import Node

    def where(loc: Any) -> Any:
        return recorded.nodes[loc[0]].loc if loc is not None and len(loc) == 1 else loc

    return graph.replace(nodes=tuple(Node(n.op, n.inputs, n.attrs, n.outputs, where(n.loc)) for n in graph.nodes))


def watch(graph: Graph) -> Watch | None:
    """What watches the lowering of `graph`; None where nobody asked for it."""
    if switches.get("INGOT_VERIFY") or switches.get("INGOT_DUMP") or log.enabled("passes"):
        return Watch(graph)
    return None


def tell_fusion(program: Program) -> None:
    """Tell what was fused: the kernels, their buffers and schedules."""
    if log.enabled("fusion"):
        log.log("fusion", "%s: %d kernels, arena %d bytes", program.name, len(program.kernels), program.arena_bytes)
        for k in program.kernels.values():
            log.log("fusion", "  %s%s: %s", k.name, tuple(b.name for b in k.buffers), k.schedule)


def dump(key: str, name: str, watch: Watch, llvm: Mapping[str, str], so: bytes) -> None:
    """Write the stages of one compilation under INGOT_DUMP: a folder per graph, numbered files, the shared object last.

    llvm: LLVM IR by the names of kernels
    """
    folder = os.path.join(switches.get("INGOT_DUMP"), f"{name}-{key[:12]}")
    try:
        os.makedirs(folder, exist_ok=True)
        files = [*watch.texts, *((f"llvm-{kernel}.ll", text) for kernel, text in llvm.items())]
        for i, (stage, text) in enumerate(files):
            with open(os.path.join(folder, f"{i:02d}_{stage}"), "w", encoding="utf-8") as f:
                f.write(text)
        with open(os.path.join(folder, f"{len(files):02d}_code.so"), "wb") as b:
            b.write(so)
    except OSError as e:
        log.warn_once("dump", f"INGOT_DUMP: {e}")


class NanCheck:
    """An executable whose floating-point outputs are looked at after each call: CheckError where one holds a NaN."""

    def __init__(self, executable: Any, graph: Graph):
        self.executable = executable
        self.manifest = {**executable.manifest, "aliases": {}}  # what is captured must be there still when a NaN is found
        self.graph = graph

    def __getattr__(self, name: str) -> Any:
        return getattr(self.executable, name)

    def run(self, *slots: int | float, **explain: Any) -> None:
        """Run, then look. explain: see runtime/cuda/executable.py."""
        from ingot.runtime.failures import of_sizes
        from ingot.runtime.memory import Buffer

        self.executable.run(*slots, **explain)
        gpu = getattr(self.executable, "gpu", None)
        graph = of_sizes(self.graph, slots) if self.graph.symbols else self.graph
        outputs = zip(graph.outputs, slots[len(graph.inputs) :])
        for i, (v, address) in enumerate(outputs):
            t = v.type
            if not t.dtype.is_floating_point or not t.nbytes:
                continue
            if gpu is None:
                array = Buffer(int(address), t.nbytes, None).array(t.dtype.numpy, t.shape)
            else:
                from ingot.runtime.cuda.allocator import DeviceBuffer

                array = DeviceBuffer(int(address), t.nbytes, t.nbytes, None, gpu.stream()).array(t.dtype.numpy, t.shape)
            bad = int(np.count_nonzero(np.isnan(array)))
            if bad:
                what = f"{self.graph.name}: {bad} of {array.size} values of output {i} ({t}) are NaN (INGOT_CHECK=nan)"
                raise CheckError(NAN, what)
