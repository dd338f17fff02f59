"""Every primitive op, by family. Importing this package fills `ingot.ir.op.OPS`.

An op is declared in one place, with all its rules; the families (`family.py`) supply what their members share.
"""

from ingot.ir.op import OPS
from ingot.ir.ops import (
    complex,
    contraction,
    control,
    convolution,
    creation,
    cumulative,
    elementwise,
    indexing,
    logical,
    movement,
    reduction,
    sort,
    spectral,
    transcendental,
    window,
)

__all__ = [
    "OPS", "complex", "contraction", "control", "convolution", "creation", "cumulative", "elementwise", "indexing", "logical", "movement",
    "reduction", "sort", "spectral", "transcendental", "window",
]  # fmt: skip
