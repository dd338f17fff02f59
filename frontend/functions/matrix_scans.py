"""Matrix decompositions as scans: LU, Cholesky, QR by Householder's reflections, the singular values by Jacobi's rotations.

All work on batches (b, n, m) in float32 or float64. They have no derivatives of their own: `ingot.linalg` gives them.
"""

from __future__ import annotations

from collections.abc import Callable

from ingot._tensor import Tensor
from ingot._tensor.composites import CompositeTrace, composite
from ingot.functions.common import apply, cast, dtypes, record, safe_root, scalar
from ingot.functions.matmul import matmul
from ingot.functions.reduce import reduced
from ingot.ir.graph import Graph
from ingot.ir.op import OPS
from ingot.runtime.recorder import here

__all__: list[str] = []

# sweeps over all pairs of columns: convergence is quadratic, the last ones only polish
SWEEPS = {dtypes.f32: 10, dtypes.f64: 14}


def _traced(fn: Callable[..., tuple[Tensor, ...]], name: str, likes: tuple[Tensor, ...]) -> Graph:
    trace = CompositeTrace(name)
    outer = here.recorder
    here.recorder = trace
    try:
        live = tuple(t._now().value for t in fn(*[trace.placeholder(t) for t in likes]))
    finally:
        here.recorder = outer
    return trace.whole_graph(live, name)


def loop(fn: Callable[..., tuple[Tensor, ...]], consts: tuple, carries: tuple, n: int, reverse: bool = False) -> tuple[Tensor, ...]:
    """carries, ys = fn(*consts, *carries, k) for k in 0 … n - 1 (or back), as one scan: the last carries, then the stacked ys."""
    k = scalar(0, dtypes.i64)
    body = _traced(fn, fn.__name__, (*consts, *carries, k))
    steps = apply("iota", attrs=(dtypes.i64, (n,), 0))
    out = record(OPS["scan"], (*consts, *carries, steps), (body, len(consts), len(carries), n, reverse))
    return out if isinstance(out, tuple) else (out,)


def _places(x: Tensor, axis: int) -> Tensor:
    return apply("iota", attrs=(dtypes.i64, tuple(x.shape), axis))


def _pick(x: Tensor, axis: int, k: Tensor) -> Tensor:
    """The slice k along `axis`, which stays with extent 1."""
    return apply("index_get", x, apply("reshape", k, attrs=((1,),)), attrs=((axis,),))


def _where(c: Tensor, a: Tensor | float, b: Tensor | float) -> Tensor:
    like = a if isinstance(a, Tensor) else b
    assert isinstance(like, Tensor)
    sides = [s if isinstance(s, Tensor) else scalar(s, like.dtype) for s in (a, b)]
    return apply("select", c, *sides)


@composite
def lu(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(b, m, n) -> L below and U above the diagonal in one matrix, the permutation (b, m) of the rows, its sign (b)."""
    b, m, n = a.shape
    perm = apply("iota", attrs=(dtypes.i64, (b, m), 1))
    sign = apply("broadcast", scalar(1, a.dtype), attrs=((b,),))

    def eliminate(a: Tensor, perm: Tensor, sign: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        rows = _places(perm, 1)
        size = _where(rows >= k, apply("abs", apply("reshape", _pick(a, 2, k), attrs=((b, m),))), -1.0)
        p = apply("reshape", apply("argmax", size, attrs=(1,)), attrs=((b, 1),))
        order = _where(rows == k, p, _where(rows == p, k, rows))
        sign = _where(apply("reshape", p, attrs=((b,),)) == k, sign, -sign)
        wide = apply("broadcast", apply("reshape", order, attrs=((b, m, 1),)), attrs=((b, m, n),))
        a, perm = apply("gather", a, wide, attrs=(1,)), apply("gather", perm, order, attrs=(1,))
        row, column = _pick(a, 1, k), _pick(a, 2, k)
        pivot = _pick(row, 2, k)
        below, right = _places(a, 1) > k, _places(a, 2) > k
        factor = _where(below, column / _where(pivot == 0, 1.0, pivot), 0.0)
        a = _where(apply("logical_and", below, _places(a, 2) == k), factor, a - factor * _where(right, row, 0.0))
        return a, perm, sign

    if not m or not n:
        return apply("reshape", a, attrs=((b, m, n),)), perm, sign
    a, perm, sign = loop(eliminate, (), (a, perm, sign), min(m, n))
    return a, perm, sign


@composite
def triangular(a: Tensor, x: Tensor, upper: bool, unit: bool) -> Tensor:
    """X with A X = B for triangular A (b, n, n): forward or back substitution, row by row."""
    n = a.shape[1]

    def substitute(a: Tensor, x: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        row = _pick(a, 1, k)
        place = _places(row, 2)
        known = _where(place > k if upper else place < k, row, 0.0)
        value = _pick(x, 1, k) - matmul(known, x)
        if not unit:
            value = value / _pick(row, 2, k)
        return (_where(_places(x, 1) == k, value, x),)

    if not n or not x.shape[2]:
        return apply("reshape", x, attrs=(tuple(x.shape),))
    return loop(substitute, (a,), (x,), n, upper)[0]


@composite
def cholesky(a: Tensor) -> Tensor:
    """Lower L with A = L L^T, column by column; NaN from the first column that is not positive."""
    n = a.shape[1]

    def column(a: Tensor, low: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        rest = _pick(a, 2, k) - matmul(low, apply("transpose", _pick(low, 1, k), attrs=((0, 2, 1),)))
        pivot = apply("sqrt", _pick(rest, 1, k))
        made = _where(_places(rest, 1) >= k, rest / pivot, 0.0)
        return (_where(_places(low, 2) == k, made, low),)

    if not n:
        return apply("reshape", a, attrs=(tuple(a.shape),))
    return loop(column, (a,), (a * 0.0,), n)[0]


@composite
def qr(a: Tensor, columns: int) -> tuple[Tensor, Tensor]:
    """Q (b, m, columns) and R (b, columns, n) with A = Q R, by reflections; signs are LAPACK's."""
    b, m, n = a.shape
    count = min(m, n)

    def reflect(a: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        x = _pick(a, 2, k)
        place = _places(x, 1)
        x = _where(place >= k, x, 0.0)
        head = _pick(x, 1, k)
        rest = reduced("reduce_sum", _where(place > k, x * x, 0.0), (1,), True)
        length = safe_root(rest + head * head)
        beta = _where(head > 0, -length, length)
        plain = rest == 0
        v = _where(place == k, head - beta, x)
        square = reduced("reduce_sum", v * v, (1,), True)
        v = _where(plain, 0.0, v / safe_root(_where(square == 0, 1.0, square)))
        a = a - v * matmul(apply("transpose", v, attrs=((0, 2, 1),)), a) * 2.0
        return a, apply("reshape", v, attrs=((b, m),))

    eye = cast(apply("eq", apply("iota", attrs=(dtypes.i64, (m, columns), 0)), apply("iota", attrs=(dtypes.i64, (m, columns), 1))), a.dtype)
    q = apply("broadcast", eye, attrs=((b, m, columns),))
    if not count:
        return q, apply("broadcast", scalar(0, a.dtype), attrs=((b, columns, n),))
    r, vectors = loop(reflect, (), (a,), count)
    r = _where(_places(r, 1) > _places(r, 2), 0.0, r)

    def apply_back(vectors: Tensor, q: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        v = apply("reshape", _pick(vectors, 0, k), attrs=((b, m, 1),))
        return (q - v * matmul(apply("transpose", v, attrs=((0, 2, 1),)), q) * 2.0,)

    (q,) = loop(apply_back, (vectors,), (q,), count, True)
    return q, apply("slice", r, attrs=((0, 0, 0), (b, columns, n), (1, 1, 1)))


@composite
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
        alpha, beta, gamma = (reduced("reduce_sum", u, (1,), True) for u in (p * p, q * q, p * q))
        still = gamma == 0
        zeta = (beta - alpha) / (_where(still, 1.0, gamma) * 2.0)
        t = _where(zeta < 0, -1.0, 1.0 + zeta * 0.0) / (apply("abs", zeta) + apply("sqrt", zeta * zeta + 1.0))
        t = _where(still, 0.0, t)
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
    order = apply("sort", apply("abs", apply("reshape", extra, attrs=((b, even),))), attrs=(1, False))[1]
    order = apply("slice", order, attrs=((0, 0), (b, n), (1, 1)))

    def take(x: Tensor) -> Tensor:
        rows = x.shape[1]
        return apply("gather", x, apply("broadcast", apply("reshape", order, attrs=((b, 1, n),)), attrs=((b, rows, n),)), attrs=(2,))

    return take(found), take(v)
