"""Fourier transforms as kernels of their own, of kind "fourier": passes of small transforms over blocks of columns, one to a lane.

The pass `parts` makes of the op a call of a graph of products (`ir/ops/spectra.py`), which is what it means on every target. A target
that has kernels of this kind does not inline it.

    routines.py      the names, and which graphs have kernels
    plan.py          lengths as products of small ones, roots of unity
    butterflies.py   transforms of a few numbers in registers
    columns.py       transforms of columns side by side in memory
    real.py          real numbers as half as many complex ones
    kind.py          schedules, and the kernel of a batch
"""
