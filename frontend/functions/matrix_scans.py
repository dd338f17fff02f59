"""Matrix decompositions as scans: LU, Cholesky, QR by Householder's reflections, the singular values by Jacobi's rotations.

Those with a routine's name are that to targets that have kernels of it (`ir/lower/matrices/`), and scans to all others.

All work on batches (b, n, m) of real or complex numbers. They have no derivatives of their own: `ingot.linalg` gives them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ingot._tensor import Tensor
from ingot._tensor.composites import CompositeTrace, routine
from ingot.functions.common import apply, cast, dtypes, record, safe_root, scalar
from ingot.functions.matmul import matmul
from ingot.functions.matrices import conj, magnitude, real
from ingot.functions.reduce import reduced
from ingot.ir.graph import Graph
from ingot.ir.op import OPS
from ingot.runtime.recorder import here

__all__: list[str] = []

F = TypeVar("F", bound=Callable)

# sweeps over all pairs of columns: convergence is quadratic, the last ones only polish
SWEEPS = {dtypes.f32: 10, dtypes.f64: 14, dtypes.c64: 10, dtypes.c128: 14}


def _traced(fn: Callable[..., tuple[Tensor, ...]], name: str, likes: tuple[Tensor, ...]) -> Graph:
    trace = CompositeTrace(name)
    outer = here.recorder
    here.recorder = trace
    try:
        live = tuple(t._now().value for t in fn(*[trace.placeholder(t) for t in likes]))
    finally:
        here.recorder = outer
    return trace.whole_graph(live, name)


def loop(
    fn: Callable[..., tuple[Tensor, ...]], consts: tuple, carries: tuple, n: int, reverse: bool = False, xs: tuple = ()
) -> tuple[Tensor, ...]:
    """carries, ys = fn(*consts, *carries, *slices of xs, k) for k in 0 … n - 1 (or back): the last carries, then stacked ys."""
    k = scalar(0, dtypes.i64)
    firsts = [apply("slice", x, attrs=((0,) * x.ndim, (1, *x.shape[1:]), (1,) * x.ndim)) for x in xs]
    slices = [apply("reshape", x, attrs=(tuple(x.shape[1:]),)) for x in firsts]
    body = _traced(fn, fn.__name__, (*consts, *carries, *slices, k))
    steps = apply("iota", attrs=(dtypes.i64, (n,), 0))
    out = record(OPS["scan"], (*consts, *carries, *xs, steps), (body, len(consts), len(carries), n, reverse))
    return out if isinstance(out, tuple) else (out,)


def places(x: Tensor, axis: int) -> Tensor:
    return apply("iota", attrs=(dtypes.i64, tuple(x.shape), axis))


def pick(x: Tensor, axis: int, k: Tensor) -> Tensor:
    """The slice k along `axis`, which stays with extent 1."""
    return apply("index_get", x, apply("reshape", k, attrs=((1,),)), attrs=((axis,),))


def where(c: Tensor, a: Tensor | float, b: Tensor | float) -> Tensor:
    like = a if isinstance(a, Tensor) else b
    assert isinstance(like, Tensor)
    sides = [s if isinstance(s, Tensor) else scalar(s, like.dtype) for s in (a, b)]
    return apply("select", c, *sides)


def pivot_size(x: Tensor) -> Tensor:
    """By what a pivot is chosen: of complex numbers, as in LAPACK, the sum of both parts' magnitudes."""
    if x.dtype.kind != "c":
        return apply("abs", x)
    return apply("abs", apply("real", x)) + apply("abs", apply("imag", x))


def _adjoint(x: Tensor) -> Tensor:
    return conj(apply("transpose", x, attrs=((0, 2, 1),)))


@routine("linalg.lu")
def lu(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(b, m, n) -> L below and U above the diagonal in one matrix, the permutation (b, m) of the rows, its sign (b)."""
    b, m, n = a.shape
    perm = apply("iota", attrs=(dtypes.i64, (b, m), 1))
    sign = apply("broadcast", scalar(1, a.dtype), attrs=((b,),))

    def eliminate(a: Tensor, perm: Tensor, sign: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        rows = places(perm, 1)
        size = where(rows >= k, pivot_size(apply("reshape", pick(a, 2, k), attrs=((b, m),))), -1.0)
        p = apply("reshape", apply("argmax", size, attrs=(1,)), attrs=((b, 1),))
        order = where(rows == k, p, where(rows == p, k, rows))
        sign = where(apply("reshape", p, attrs=((b,),)) == k, sign, -sign)
        wide = apply("broadcast", apply("reshape", order, attrs=((b, m, 1),)), attrs=((b, m, n),))
        a, perm = apply("gather", a, wide, attrs=(1,)), apply("gather", perm, order, attrs=(1,))
        row, column = pick(a, 1, k), pick(a, 2, k)
        pivot = pick(row, 2, k)
        below, right = places(a, 1) > k, places(a, 2) > k
        factor = where(below, column / where(pivot == 0, 1.0, pivot), 0.0)
        a = where(apply("logical_and", below, places(a, 2) == k), factor, a - factor * where(right, row, 0.0))
        return a, perm, sign

    if not m or not n:
        return apply("reshape", a, attrs=((b, m, n),)), perm, sign
    a, perm, sign = loop(eliminate, (), (a, perm, sign), min(m, n))
    return a, perm, sign


def triangular(a: Tensor, x: Tensor, upper: bool, unit: bool) -> Tensor:
    """X with A X = B for triangular A (b, n, n): forward or back substitution, row by row."""
    return _TRIANGULAR[upper, unit](a, x)


def _substituted(a: Tensor, x: Tensor, upper: bool, unit: bool) -> Tensor:
    n = a.shape[1]

    def substitute(a: Tensor, x: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        row = pick(a, 1, k)
        place = places(row, 2)
        known = where(place > k if upper else place < k, row, 0.0)
        value = pick(x, 1, k) - matmul(known, x)
        if not unit:
            value = value / pick(row, 2, k)
        return (where(places(x, 1) == k, value, x),)

    if not n or not x.shape[2]:
        return apply("reshape", x, attrs=(tuple(x.shape),))
    return loop(substitute, (a,), (x,), n, upper)[0]


def _triangular(upper: bool, unit: bool) -> Callable[[Tensor, Tensor], Tensor]:
    def solved(a: Tensor, x: Tensor) -> Tensor:
        return _substituted(a, x, upper, unit)

    return routine(f"linalg.triangular.{'upper' if upper else 'lower'}{'.unit' if unit else ''}")(solved)


_TRIANGULAR = {(upper, unit): _triangular(upper, unit) for upper in (False, True) for unit in (False, True)}


@routine("linalg.cholesky")
def cholesky(a: Tensor) -> Tensor:
    """Lower L with A = L L^H, column by column; NaN from the first column that is not positive."""
    n = a.shape[1]

    def column(a: Tensor, low: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        rest = pick(a, 2, k) - matmul(low, _adjoint(pick(low, 1, k)))
        pivot = apply("sqrt", real(pick(rest, 1, k)))
        made = where(places(rest, 1) >= k, rest / pivot, 0.0)
        if made.dtype.kind == "c":  # the diagonal is real
            made = where(places(rest, 1) == k, cast(pivot, made.dtype), made)
        return (where(places(low, 2) == k, made, low),)

    if not n:
        return apply("reshape", a, attrs=(tuple(a.shape),))
    return loop(column, (a,), (a * 0.0,), n)[0]


def reflector(x: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """v (b, m, 1) and tau (b, 1, 1) of LAPACK's reflection I - tau v v^H, whose adjoint turns all of x (b, m, 1) from place k on
    into one real number there. v is 1 at k, and 0 before."""
    place = places(x, 1)
    head = where(place == k, x, 0.0)
    rest = reduced("reduce_sum", where(place > k, _square(x), 0.0), (1,), True)
    head = reduced("reduce_sum", head, (1,), True)
    length = safe_root(rest + _square(head))
    plain = rest == 0
    if x.dtype.kind == "c":
        plain = apply("logical_and", plain, apply("imag", head) == 0)
    beta = where(real(head) > 0, -length, length)
    beta = where(apply("logical_or", plain, beta == 0), 1.0, beta)
    tau = where(plain, 0.0, (beta - head) / beta)
    v = where(place > k, x / where(plain, 1.0, head - beta), cast(place == k, x.dtype))
    return v, tau


def _square(x: Tensor) -> Tensor:
    """|x|**2, real."""
    if x.dtype.kind != "c":
        return x * x
    re, im = apply("real", x), apply("imag", x)
    return re * re + im * im


@routine("linalg.qr")
def qr(a: Tensor, columns: int) -> tuple[Tensor, Tensor]:
    """Q (b, m, columns) and R (b, columns, n) with A = Q R, by reflections; signs are LAPACK's, R's diagonal is real."""
    b, m, n = a.shape
    count = min(m, n)

    def reflect(a: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        v, tau = reflector(pick(a, 2, k), k)
        a = a - v * matmul(_adjoint(v), a) * conj(tau)
        return a, apply("reshape", v, attrs=((b, m),)), apply("reshape", tau, attrs=((b,),))

    eye = cast(apply("eq", apply("iota", attrs=(dtypes.i64, (m, columns), 0)), apply("iota", attrs=(dtypes.i64, (m, columns), 1))), a.dtype)
    q = apply("broadcast", eye, attrs=((b, m, columns),))
    if not count:
        return q, apply("broadcast", scalar(0, a.dtype), attrs=((b, columns, n),))
    r, vectors, taus = loop(reflect, (), (a,), count)
    r = where(places(r, 1) > places(r, 2), 0.0, r)

    def apply_back(vectors: Tensor, taus: Tensor, q: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        v, tau = (apply("reshape", pick(x, 0, k), attrs=((b, n, 1),)) for x, n in ((vectors, m), (taus, 1)))
        return (q - v * matmul(_adjoint(v), q) * tau,)

    (q,) = loop(apply_back, (vectors, taus), (q,), count, True)
    return q, apply("slice", r, attrs=((0, 0, 0), (b, columns, n), (1, 1, 1)))


@routine("linalg.rotations")
def rotations(a: Tensor) -> tuple[Tensor, Tensor]:
    """A V with orthogonal columns, and V (b, n, n), for A (b, m, n): one-sided Jacobi rotations of n / 2 pairs at a time.

    The columns sit around a table, as in a tournament: column 0 stays, the others move on by one after every round, and each
    faces each once in a sweep.
    """
    b, m, n = a.shape
    even = n + n % 2
    v = cast(apply("eq", apply("iota", attrs=(dtypes.i64, (even, even), 0)), apply("iota", attrs=(dtypes.i64, (even, even), 1))), a.dtype)
    if even != n:
        a = apply("pad", a, scalar(0, a.dtype), attrs=((0, 0, 0), (0, 0, 1), (0, 0, 0)))
    both = apply("concatenate", a, apply("broadcast", v, attrs=((b, even, even),)), attrs=(1,))  # V turns with A
    half, rows = even // 2, m + even

    def turn(x: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        left = apply("slice", x, attrs=((0, 0, 0), (b, rows, half), (1, 1, 1)))
        right = apply("reverse", apply("slice", x, attrs=((0, 0, half), (b, rows, even), (1, 1, 1))), attrs=((2,),))
        p, q = (apply("slice", s, attrs=((0, 0, 0), (b, m, half), (1, 1, 1))) for s in (left, right))
        alpha, beta, gamma = (reduced("reduce_sum", u, (1,), True) for u in (_square(p), _square(q), conj(p) * q))
        if a.dtype.kind == "c":  # turned so that gamma is real
            phase, gamma = gamma, apply("magnitude", gamma)
            right = right * where(gamma == 0, 1.0, apply("conj", phase) / where(gamma == 0, 1.0, gamma))
        still = gamma == 0
        zeta = (beta - alpha) / (where(still, 1.0, gamma) * 2.0)
        t = where(zeta < 0, -1.0, 1.0 + zeta * 0.0) / (apply("abs", zeta) + apply("sqrt", zeta * zeta + 1.0))
        t = where(still, 0.0, t)
        c = apply("rsqrt", t * t + 1.0)
        s = c * t
        left, right = c * left - s * right, s * left + c * right
        right = apply("reverse", right, attrs=((2,),))
        if even == 2:
            return (apply("concatenate", left, right, attrs=(2,)),)
        first = apply("slice", left, attrs=((0, 0, 0), (b, rows, 1), (1, 1, 1)))
        last = apply("slice", right, attrs=((0, 0, half - 1), (b, rows, half), (1, 1, 1)))
        left = apply("slice", left, attrs=((0, 0, 1), (b, rows, half), (1, 1, 1)))
        right = apply("slice", right, attrs=((0, 0, 0), (b, rows, half - 1), (1, 1, 1)))
        return (apply("concatenate", first, last, left, right, attrs=(2,)),)

    if n > 1:
        (both,) = loop(turn, (), (both,), SWEEPS[a.dtype] * max(even - 1, 1))
    found = apply("slice", both, attrs=((0, 0, 0), (b, m, even), (1, 1, 1)))
    v = apply("slice", both, attrs=((0, m, 0), (b, m + n, even), (1, 1, 1)))
    if even == n:
        return found, v
    # the column that was added is the one whose V has its last row set: it is moved to the end
    extra = apply("slice", both, attrs=((0, m + n, 0), (b, m + even, even), (1, 1, 1)))
    order = apply("sort", magnitude(apply("reshape", extra, attrs=((b, even),))), attrs=(1, False))[1]
    order = apply("slice", order, attrs=((0, 0), (b, n), (1, 1)))

    def take(x: Tensor) -> Tensor:
        rows = x.shape[1]
        return apply("gather", x, apply("broadcast", apply("reshape", order, attrs=((b, 1, n),)), attrs=((b, rows, n),)), attrs=(2,))

    return take(found), take(v)
