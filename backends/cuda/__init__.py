"""PTX for NVIDIA GPUs, from the loop IR that the CPU's code comes from too. Building needs no GPU and no CUDA.

    from ingot.backends.cuda import TARGETS, geometry, ptx, schedule
    program = schedule(lower(graph, TARGETS["sm_90"].machine))      # kernels of blocks and threads
    text = ptx(program, "sm_90")                                    # one module; `geometry` says how to launch each kernel
"""

from __future__ import annotations

from ingot.backends.cuda.emulate import emulate
from ingot.backends.cuda.ptx import TARGETS, ptx
from ingot.backends.cuda.schedule import UnsupportedKernel, geometry, schedule

__all__ = ["TARGETS", "UnsupportedKernel", "emulate", "geometry", "ptx", "schedule"]
