"""What tests of convolutions share: the geometry of a pointwise one, a graph's schedules, and calling compiled code twice."""

from __future__ import annotations

import numpy as np

from ingot.ir.graph import Graph
from ingot.ir.lower import STAGES, run
from ingot.ir.lower.cpu import cpu
from ingot.ir.machine import Machine
from ingot.runtime import compiler, memory

__all__ = ["POINT", "schedules", "twice"]

POINT = dict(stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1)


def schedules(g: Graph, machine: Machine) -> list[object]:
    """The schedules of a graph's groups on a CPU."""
    stop = [s.name for s in STAGES].index("schedule") + 1
    return list(run(g, cpu(machine), STAGES[:stop]).schedules)


def twice(g: Graph, arrays) -> list[list[np.ndarray]]:
    """The outputs of the first call and of the second one, compiled."""
    exe = compiler.executable(g)
    kept = [memory.unfilled(exe.manifest["kept"])] if g.steady else []
    buffers = [memory.from_numpy(np.ascontiguousarray(a)) for a in arrays]
    found = []
    for _ in range(2):
        outs = [memory.allocate(v.type.nbytes) for v in g.outputs]
        exe.run(*(b.address for b in (*buffers, *outs, *kept)))
        found.append([b.array(v.type.dtype.numpy, v.type.shape).copy() for b, v in zip(outs, g.outputs)])
    return found
