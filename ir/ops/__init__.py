"""Every primitive op, by family. Importing this package fills `ingot.ir.op.OPS`.

An op is declared in one place, with all its rules; the families (`family.py`) supply what their members share.
"""

from ingot.ir.op import OPS
from ingot.ir.ops import (
    branch,
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
    while_loop,
    window,
)

__all__ = [
    "OPS", "branch", "complex", "contraction", "control", "convolution", "creation", "cumulative", "elementwise", "indexing", "logical",
    "movement", "reduction", "sort", "spectral", "transcendental", "while_loop", "window",
]  # fmt: skip
