"""Eigenvalues and eigenvectors of general matrices as scans: balancing, Hessenberg's form, QR with shifts, back substitution.

Sources: Golub and Van Loan, Matrix Computations, 7.4 to 7.6; the shifts are those of EISPACK's comqr and LAPACK's zlahqr. Balancing:
Parlett and Reinsch, Balancing a matrix for calculation of eigenvalues and eigenvectors, Numerische Mathematik 13 (1969).
"""

from __future__ import annotations

from ingot._tensor import Tensor
from ingot._tensor.composites import composite
from ingot.functions.common import apply, cast, dtypes, scalar
from ingot.functions.matmul import matmul
from ingot.functions.matrices import conj, magnitude, real
from ingot.functions.matrix_scans import loop, pick, places, reflector, where
from ingot.functions.reduce import reduced

__all__: list[str] = []

EPS = {dtypes.c64: 2.0**-23, dtypes.c128: 2.0**-52}
TINY = {dtypes.c64: 2.0**-126, dtypes.c128: 2.0**-1022}


def steps(n: int) -> int:
    """How many QR steps an n x n matrix gets: about 3 for each eigenvalue are needed, and as many again are kept for hard ones."""
    return 6 * n + 30


@composite
def balance(a: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix with the same eigenvalues whose rows and columns have about the same norms, and the scales d (b, n, 1): D^-1 A D, and D.

    Scales are powers of 2, so nothing is rounded. Each row and its column in turn, where that makes both smaller together.
    """
    b, n, _ = a.shape
    off = where(places(a, 1) == places(a, 2), 0.0, magnitude(a))
    limit = 40.0 if off.dtype is dtypes.f32 else 400.0  # far from the bounds of what can be represented

    def scaled(off: Tensor, e: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        mine = pick(e, 1, k)
        row = reduced("reduce_sum", pick(off, 1, k) * apply("transpose", apply("exp2", e - mine), attrs=((0, 2, 1),)), (2,), True)
        column = reduced("reduce_sum", pick(off, 2, k) * apply("exp2", mine - e), (1,), True)
        none = apply("logical_or", row * column == 0, apply("logical_not", apply("isfinite", row * column)))
        by = apply("round", apply("log2", where(none, 1.0, row / where(none, 1.0, column))) * 0.5)
        worth = column * apply("exp2", by) + row * apply("exp2", -by) < (row + column) * 0.95
        to = where(apply("logical_and", worth, apply("abs", mine + by) <= limit), mine + by, mine)
        return (where(apply("eq", apply("iota", attrs=(dtypes.i64, (b, n, 1), 1)), k), to, e),)

    def sweep(off: Tensor, e: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        return loop(scaled, (off,), (e,), n)

    (e,) = loop(sweep, (off,), (apply("broadcast", scalar(0, off.dtype), attrs=((b, n, 1),)),), 8)
    d = apply("exp2", e)
    return a * cast(apply("exp2", apply("transpose", e, attrs=((0, 2, 1),)) - e), a.dtype), d


@composite
def hessenberg(a: Tensor) -> tuple[Tensor, Tensor]:
    """H (b, n, n), zero below its first subdiagonal, and unitary Q with A = Q H Q^H."""
    b, n, _ = a.shape
    q = cast(apply("eq", places(a, 1), places(a, 2)), a.dtype)
    if n < 3:
        return apply("reshape", a, attrs=((b, n, n),)), q

    def reduce(a: Tensor, q: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        v, tau = reflector(pick(a, 2, k), k + 1)
        adjoint = conj(apply("transpose", v, attrs=((0, 2, 1),)))
        a = a - v * matmul(adjoint, a) * conj(tau)
        return a - matmul(a, v) * adjoint * tau, q - matmul(q, v) * adjoint * tau

    h, q = loop(reduce, (), (a, q), n - 2)
    return where(places(h, 1) > places(h, 2) + 1, 0.0, h), q


def _entry(h: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """h[row, column] of each matrix (b), zero outside."""
    found = apply("logical_and", places(h, 1) == row, places(h, 2) == column)
    return reduced("reduce_sum", where(found, h, 0.0), (1, 2), True)


def _shift(h: Tensor, last: Tensor, tries: Tensor) -> Tensor:
    """Wilkinson's: the eigenvalue of the last 2 x 2 block that is nearer to its corner; now and then another, against circles."""
    a, b = _entry(h, last - 1, last - 1), _entry(h, last - 1, last)
    c, d = _entry(h, last, last - 1), _entry(h, last, last)
    half = (a - d) * 0.5
    root = apply("sqrt", half * half + b * c)
    along = real(half) * real(root) + apply("imag", half) * apply("imag", root)
    below = half + where(along < 0, -root, root)
    none = below == 0
    usual = d - where(none, 0.0, b * c / where(none, 1.0, below))
    odd = d + cast(magnitude(c) * 0.75, h.dtype)
    return where(apply("remainder", tries, scalar(10, dtypes.i64)) == 9, odd, usual)


@composite
def schur(h: Tensor, q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Upper triangular T with A = Q T Q^H, Q, and whether all of T's subdiagonal vanished (b): QR steps on a Hessenberg matrix."""
    b, n, _ = h.shape
    eps = EPS[h.dtype]
    size = reduced("reduce_max", magnitude(h), (1, 2), True)
    floor = where(size == 0, TINY[h.dtype], size) * (eps * eps)

    def negligible(h: Tensor, floor: Tensor) -> Tensor:
        """Where the subdiagonal is nothing beside the diagonal."""
        on = places(h, 1) == places(h, 2)
        d = reduced("reduce_sum", where(on, magnitude(h), 0.0), (1,), True)
        above = apply("transpose", d, attrs=((0, 2, 1),))
        near = where(apply("eq", places(h, 1), places(h, 2) + 1), magnitude(h), 0.0) <= (d + above) * eps + floor
        return apply("logical_and", near, apply("eq", places(h, 1), places(h, 2) + 1))

    def last_active(h: Tensor) -> Tensor:
        below = apply("logical_and", apply("eq", places(h, 1), places(h, 2) + 1), h != 0)
        return reduced("reduce_max", where(below, places(h, 1), 0), (1, 2), True)

    def step(floor: Tensor, h: Tensor, q: Tensor, before: Tensor, tries: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        h = where(negligible(h, floor), 0.0, h)
        last = last_active(h)
        tries = where(last == before, tries + 1, 0)
        shift = where(last > 0, _shift(h, last, tries), 0.0)
        part = apply("logical_and", places(h, 1) == places(h, 2), places(h, 1) <= last)
        shift = where(part, shift, 0.0)
        h = h - shift

        def rotate(last: Tensor, row: Tensor, below: Tensor, k: Tensor) -> tuple[Tensor, ...]:
            f, g = (pick(x, 1, k) for x in (row, below))
            length = apply("magnitude", apply("complex", magnitude(f), magnitude(g)))
            still = apply("logical_or", length == 0, k >= apply("reshape", last, attrs=((b, 1),)))
            c = where(still, 1.0, f / where(still, 1.0, length))
            s = where(still, 0.0, g / where(still, 1.0, length))
            return c * below - s * row, apply("conj", c) * row + apply("conj", s) * below, c, s

        def columns(left: Tensor, right: Tensor, c: Tensor, s: Tensor, k: Tensor) -> tuple[Tensor, ...]:
            return apply("conj", c) * right - apply("conj", s) * left, c * left + s * right

        rows = apply("transpose", h, attrs=((1, 0, 2),))
        first, others = _ends(rows, n)
        final, made, c, s = loop(rotate, (last,), (first,), n - 1, xs=(others,))
        r = apply("concatenate", made, apply("reshape", final, attrs=((1, b, n),)), attrs=(0,))
        both = apply("concatenate", apply("transpose", r, attrs=((2, 1, 0),)), apply("transpose", q, attrs=((2, 0, 1),)), attrs=(2,))
        first, others = _ends(both, n)
        final, made = loop(columns, (), (first,), n - 1, xs=(others, c, s))
        both = apply("concatenate", made, apply("reshape", final, attrs=((1, b, 2 * n),)), attrs=(0,))
        turned = apply("transpose", both, attrs=((1, 2, 0),))
        h = apply("slice", turned, attrs=((0, 0, 0), (b, n, n), (1, 1, 1)))
        q = apply("slice", turned, attrs=((0, n, 0), (b, 2 * n, n), (1, 1, 1)))
        h = where(places(h, 1) > places(h, 2) + 1, 0.0, h)
        return h + shift, q, last, tries

    if n < 2:
        return h, q, apply("broadcast", scalar(True, dtypes.bool_), attrs=((b,),))
    zero = apply("broadcast", scalar(0, dtypes.i64), attrs=((b, 1, 1),))
    h, q, _, _ = loop(step, (floor,), (h, q, zero, zero), steps(n))
    h = where(negligible(h, floor), 0.0, h)
    done = apply("reshape", last_active(h) == 0, attrs=((b,),))
    return where(places(h, 1) > places(h, 2), 0.0, h), q, done


def _ends(x: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The first slice along axis 0, and the others."""
    _, b, m = x.shape
    first = apply("slice", x, attrs=((0, 0, 0), (1, b, m), (1, 1, 1)))
    return apply("reshape", first, attrs=((b, m),)), apply("slice", x, attrs=((1, 0, 0), (n, b, m), (1, 1, 1)))


@composite
def triangular_vectors(t: Tensor, q: Tensor) -> Tensor:
    """The eigenvectors of Q T Q^H as columns, of length 1, their largest number real: back substitution for all at once."""
    b, n, _ = t.shape
    on = places(t, 1) == places(t, 2)
    values = reduced("reduce_sum", where(on, t, 0.0), (1,), True)  # (b, 1, n)
    size = reduced("reduce_max", magnitude(t), (1, 2), True)
    least = where(size * EPS[t.dtype] > TINY[t.dtype], size * EPS[t.dtype], TINY[t.dtype])

    def row(t: Tensor, values: Tensor, least: Tensor, x: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        across = pick(t, 1, k)
        right = where(places(across, 2) > k, across, 0.0)
        gap = values - pick(across, 2, k)
        gap = where(magnitude(gap) < least, cast(least, t.dtype), gap)
        made = matmul(right, x) / gap
        column = places(made, 2)
        made = where(column > k, made, cast(apply("eq", column, k), t.dtype))
        return (where(places(x, 1) == k, made, x),)

    (x,) = loop(row, (t, values, least), (t * 0.0,), n, True)
    v = matmul(q, x)
    scale = reduced("reduce_max", magnitude(v), (1,), True)
    v = v / where(scale == 0, 1.0, scale)
    re, im = apply("real", v), apply("imag", v)
    v = v / apply("sqrt", reduced("reduce_sum", re * re + im * im, (1,), True))
    best = apply("argmax", magnitude(v), attrs=(1,))
    head = apply("gather", v, apply("reshape", best, attrs=((b, 1, n),)), attrs=(1,))
    return v * (apply("conj", head) / magnitude(head))
