"""Factorizations of matrices as kernels of their own, of kind "matrices".

The frontend writes each as a loop over columns (`frontend/functions/matrix_scans.py`), which is what it means on every target and to
every transform. Such a graph has a name of `ROUTINES`; a target that has kernels of this kind does not inline it, and works by blocks.

    routines.py      the names, and which graphs have kernels
    vectors.py       rows in memory
    blocks.py        panels that are turned, products of blocks that are taken off, systems of a block's triangle
    factors.py       LU, Cholesky
    substitution.py  triangular systems
    reflections.py   QR
    rotations.py     columns made orthogonal, for singular values and eigenvalues
    kind.py          schedules, and the kernel around each routine
"""
