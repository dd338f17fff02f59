"""Schur's form of real matrices in real numbers: QR steps with two shifts at once, as scans. Blocks of 2 x 2 on the diagonal are pairs of
conjugate eigenvalues, in the form that LAPACK gives them.

Source: Golub and Van Loan, Matrix Computations, 7.5 (Francis' steps); Bai and Demmel, On swapping diagonal blocks in real Schur form,
Linear Algebra and its Applications 186 (1993), for the form of the blocks.
"""

from __future__ import annotations

from ingot._tensor import Tensor
from ingot._tensor.composites import composite
from ingot.functions.common import apply, cast, dtypes, scalar
from ingot.functions.eigen_scans import steps
from ingot.functions.matmul import matmul
from ingot.functions.matrix_scans import loop, pick, places, reflector, where
from ingot.functions.reduce import reduced

__all__: list[str] = []

EPS = {dtypes.f32: 2.0**-23, dtypes.f64: 2.0**-52}
TINY = {dtypes.f32: 2.0**-126, dtypes.f64: 2.0**-1022}


def _both(a: Tensor, b: Tensor) -> Tensor:
    return apply("logical_and", a, b)


def _turned(x: Tensor) -> Tensor:
    return apply("transpose", x, attrs=((0, 2, 1),))


def _entry(h: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """h[row, column] of each matrix (b, 1, 1), zero outside."""
    return reduced("reduce_sum", where(_both(places(h, 1) == row, places(h, 2) == column), h, 0.0), (1, 2), True)


def _coupled(h: Tensor) -> Tensor:
    """Where the subdiagonal is not zero: (b, n, 1), by row."""
    below = _both(apply("eq", places(h, 1), places(h, 2) + 1), h != 0)
    return reduced("reduce_max", cast(below, dtypes.i64), (2,), True)


def _moved(x: Tensor, by: int) -> Tensor:
    """x (b, n, 1) of the row before or behind, zero where there is none."""
    low, high = (1, 0) if by > 0 else (0, 1)
    wide = apply("pad", x, scalar(0, x.dtype), attrs=((0, low, 0), (0, high, 0), (0, 0, 0)))
    b, n, _ = wide.shape
    return apply("slice", wide, attrs=((0, 0, 0), (b, n - 1, 1), (1, 1, 1)) if by > 0 else ((0, 1, 0), (b, n, 1), (1, 1, 1)))


def _window(h: Tensor) -> tuple[Tensor, Tensor]:
    """(first, last) row of the last block of more than two rows; last is 0 where there is none."""
    on = _coupled(h)
    row = places(on, 1)
    alone = _both(_moved(on, 1) == 0, _moved(on, -1) == 0)
    last = reduced("reduce_max", where(_both(on != 0, apply("logical_not", alone)), row, 0), (1,), True)
    first = reduced("reduce_max", where(_both(on == 0, row <= last), row, 0), (1,), True)
    return first, last


def _small(h: Tensor, floor: Tensor) -> Tensor:
    """h with zeros where the subdiagonal is nothing beside the diagonal."""
    on = places(h, 1) == places(h, 2)
    d = reduced("reduce_sum", where(on, apply("abs", h), 0.0), (1,), True)
    near = apply("abs", h) <= (d + _turned(d)) * EPS[h.dtype] + floor
    return where(_both(near, apply("eq", places(h, 1), places(h, 2) + 1)), 0.0, h)


def _start(h: Tensor, first: Tensor, last: Tensor, tries: Tensor) -> Tensor:
    """The first column (b, n, 1) of what two steps multiply by, with the eigenvalues of the last 2 x 2 block as shifts; now and then
    others, against circles."""
    total = _entry(h, last - 1, last - 1) + _entry(h, last, last)
    product = _entry(h, last - 1, last - 1) * _entry(h, last, last) - _entry(h, last - 1, last) * _entry(h, last, last - 1)
    odd = apply("abs", _entry(h, last, last - 1)) + apply("abs", _entry(h, last - 1, last - 2))
    usual = apply("remainder", tries, scalar(10, dtypes.i64)) != 9
    total, product = where(usual, total, odd * 1.5), where(usual, product, odd * odd)
    a, c = _entry(h, first, first), _entry(h, first + 1, first)
    x = a * a + _entry(h, first, first + 1) * c - total * a + product
    y, z = c * (a + _entry(h, first + 1, first + 1) - total), c * _entry(h, first + 2, first + 1)
    row = places(_coupled(h), 1) - first
    return where(row == 0, x, where(row == 1, y, where(row == 2, z, 0.0)))


def _split(h: Tensor, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """The block of rows k and k + 1 turned: triangular where its eigenvalues are real, with one diagonal number where they are not."""
    a, b = _entry(h, k, k), _entry(h, k, k + 1)
    c, d = _entry(h, k + 1, k), _entry(h, k + 1, k + 1)
    half, total = (a - d) * 0.5, b + c
    inner = half * half + b * c
    root = apply("sqrt", where(inner > 0, inner, 0.0))
    x = half + where(half < 0, -root, root)
    long = apply("sqrt", x * x + c * c)
    size = apply("sqrt", total * total + half * half * 4.0)
    even = size == 0
    cosine = apply("sqrt", (apply("abs", total) / where(even, 1.0, size) + 1.0) * 0.5)
    sine = where(total < 0, half, -half) / (where(even, 1.0, size) * cosine)
    real, length = inner >= 0, where(long == 0, 1.0, long)
    cosine, sine = where(real, x / length, where(even, 1.0, cosine)), where(real, c / length, sine)
    none = apply("logical_or", c == 0, _both(real, long == 0))
    cosine, sine = where(none, 1.0, cosine), where(none, 0.0, sine)

    def rotated(x: Tensor, axis: int) -> Tensor:
        one, two = pick(x, axis, k), pick(x, axis, k + 1)
        at = places(x, axis)
        return where(at == k, cosine * one + sine * two, where(at == k + 1, cosine * two - sine * one, x))

    h = rotated(rotated(h, 1), 2)
    gone = _both(_both(places(h, 1) == k + 1, places(h, 2) == k), real)
    return where(gone, 0.0, h), rotated(q, 2)


@composite
def real_schur(h: Tensor, q: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """T with A = Q T Q^T, Q, both parts (b, n) of the eigenvalues, and whether the steps came to an end (b), of a Hessenberg matrix."""
    b, n, _ = h.shape
    size = reduced("reduce_max", apply("abs", h), (1, 2), True)
    floor = where(size == 0, TINY[h.dtype], size) * (EPS[h.dtype] * EPS[h.dtype])

    def step(floor: Tensor, h: Tensor, q: Tensor, before: Tensor, tries: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        h = _small(h, floor)
        first, last = _window(h)
        tries = where(last == before, tries + 1, 0)

        def chase(begin: Tensor, first: Tensor, last: Tensor, h: Tensor, q: Tensor, k: Tensor) -> tuple[Tensor, ...]:
            column = pick(h, 2, where(k > 0, k - 1, k))
            row = places(column, 1)
            inside = _both(_both(row >= k, row <= k + 2), row <= last)
            v, tau = reflector(where(inside, where(first == k, begin, column), 0.0), k)
            tau = where(_both(first <= k, k < last), tau, 0.0)
            h = h - v * matmul(_turned(v), h) * tau
            return h - matmul(h, v) * _turned(v) * tau, q - matmul(q, v) * _turned(v) * tau

        h, q = loop(chase, (_start(h, first, last, tries), first, last), (h, q), n - 1)
        return where(places(h, 1) > places(h, 2) + 1, 0.0, h), q, last, tries

    if n > 2:
        zero = apply("broadcast", scalar(0, dtypes.i64), attrs=((b, 1, 1),))
        h, q, _, _ = loop(step, (floor,), (h, q, zero, zero), steps(n))
    h = _small(h, floor)
    done = apply("reshape", _window(h)[1] == 0, attrs=((b,),))
    if n > 1:
        h, q = loop(_split, (), (h, q), n - 1)
    above, below = (where(apply("eq", places(h, 1) + i, places(h, 2) + j), apply("abs", h), 0.0) for i, j in ((1, 0), (0, 1)))
    above, below = reduced("reduce_sum", above, (2,), True), _turned(reduced("reduce_sum", below, (1,), True))
    first = apply("sqrt", above) * apply("sqrt", below)
    on = places(h, 1) == places(h, 2)
    parts = reduced("reduce_sum", where(on, h, 0.0), (2,), True), first - _moved(first, 1)
    re, im = (apply("reshape", x, attrs=((b, n),)) for x in parts)
    return h, q, re, im, done
