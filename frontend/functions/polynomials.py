"""The classical orthogonal polynomials by their recurrences (DLMF 18.9). `ingot.special` gives them torch's names.

As in torch they have no derivatives. Whether two orders share a graph goes by the largest of them alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingot._tensor.composites import composite
from ingot.functions.binary import _sides
from ingot.functions.common import Tensor, apply, cast, cast_out, common_dtype, dtypes, float_dtype, operands, refuse, scalar
from ingot.functions.matrix_scans import loop
from ingot.runtime.recorder import here

__all__: list[str] = []

UNROLLED = 16  # up to this order the steps are written out, and beyond they are a loop

# the family -> (P1 = a x + b, and P[k + 1] = (c + d x) P[k] - e P[k - 1]); c, d, e are numbers or functions of k
FAMILIES: dict[str, tuple[float, float, Any, Any, Any]] = {
    "chebyshev_polynomial_t": (1, 0, 0, 2, 1),
    "chebyshev_polynomial_u": (2, 0, 0, 2, 1),
    "chebyshev_polynomial_v": (2, -1, 0, 2, 1),
    "chebyshev_polynomial_w": (2, 1, 0, 2, 1),
    "shifted_chebyshev_polynomial_t": (2, -1, -2, 4, 1),
    "shifted_chebyshev_polynomial_u": (4, -2, -2, 4, 1),
    "shifted_chebyshev_polynomial_v": (4, -3, -2, 4, 1),
    "shifted_chebyshev_polynomial_w": (4, -1, -2, 4, 1),
    "hermite_polynomial_h": (2, 0, 0, 2, lambda k: k * 2),
    "hermite_polynomial_he": (1, 0, 0, 1, lambda k: k),
    "laguerre_polynomial_l": (-1, 1, lambda k: (k * 2 + 1) / (k + 1), lambda k: -1 / (k + 1), lambda k: k / (k + 1)),
    "legendre_polynomial_p": (1, 0, 0, lambda k: (k * 2 + 1) / (k + 1), lambda k: k / (k + 1)),
}


def _step(name: str, x: Tensor, p: Tensor, q: Tensor, k: Any) -> Tensor:
    """P[k + 1] of p = P[k - 1] and q = P[k]."""
    c, d, e = (part(k) if callable(part) else float(part) for part in FAMILIES[name][2:])
    return (x * d + c) * q - p * e


@composite
def _polynomial(x: Tensor, n: Tensor, name: str, largest: int) -> Tensor:
    return _values(x, n, name, largest)


def _values(x: Tensor, n: Tensor, name: str, largest: int | None) -> Tensor:
    a, b, *_ = FAMILIES[name]
    shape = tuple((x * apply("abs", cast(n, x.dtype))).shape)
    x, n = (apply("broadcast", t, attrs=(shape,)) for t in (x, n))
    one = apply("broadcast", scalar(1, x.dtype), attrs=(shape,))
    p, q = one, x * float(a) + float(b)
    low = apply("select", n < 0, scalar(0, x.dtype), one)
    found = apply("select", n >= 1, q, low)

    def up(x: Tensor, n: Tensor, p: Tensor, q: Tensor, found: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        after = _step(name, x, p, q, cast(k, x.dtype) + 1.0)
        return q, after, apply("select", n >= k + 2, after, found)

    if largest is None:  # known when it runs
        from ingot.control import while_loop

        def more(k: Tensor, x: Tensor, n: Tensor, *rest: Tensor) -> Tensor:
            return (n >= k + 2).any()

        def further(k: Tensor, x: Tensor, n: Tensor, p: Tensor, q: Tensor, found: Tensor) -> tuple[Tensor, ...]:
            return k + 1, x, n, *up(x, n, p, q, found, k)

        return while_loop(more, further, (scalar(0, dtypes.i64), x, n, p, q, found))[5]
    if largest <= UNROLLED:
        for k in range(1, largest):
            p, q = q, _step(name, x, p, q, float(k))
            found = apply("select", n >= k + 1, q, found)
        return found
    return loop(up, (x, n), (p, q, found), largest - 1)[2]


def _make(name: str, doc: str, shown: str) -> Callable[..., Tensor]:
    def function(input: Any, n: Any, *, out: Tensor | None = None) -> Tensor:
        _sides(name, input, n, "one")
        dtype = float_dtype(common_dtype(input, n))
        if dtype in dtypes.Half:
            raise refuse(f"{name}_cpu", dtype)
        (x,) = operands(name, input, dtype=dtype)
        order = cast(n.detach(), dtypes.i64) if isinstance(n, Tensor) else scalar(int(n), dtypes.i64)
        rec = here.recorder
        if isinstance(n, Tensor) and (rec.level or (rec.tracing and not rec.knows(order._array))):
            return cast_out(_values(x.detach(), order, name, None), out)
        largest = (int(order.max()) if order.numel() else 0) if isinstance(n, Tensor) else int(n)
        return cast_out(_polynomial(x.detach(), order, name, max(largest, 0)), out)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"{doc}, of the orders `n` (an int, or a tensor of them), elementwise with broadcasting.\n\n"
        "    0 for a negative order. Without a derivative; integers give the default float dtype. RuntimeError for half dtypes.\n\n"
        f"        >>> ingot.special.{name}(ingot.tensor([0.5, 2.0]), 2)\n        tensor([{shown}])\n    "
    )
    return function


chebyshev_polynomial_t = _make("chebyshev_polynomial_t", "Chebyshev's polynomials of the first kind, T", "-0.5000,  7.0000")
chebyshev_polynomial_u = _make("chebyshev_polynomial_u", "Chebyshev's polynomials of the second kind, U", " 0., 15.")
chebyshev_polynomial_v = _make("chebyshev_polynomial_v", "Chebyshev's polynomials of the third kind, V", "-1., 11.")
chebyshev_polynomial_w = _make("chebyshev_polynomial_w", "Chebyshev's polynomials of the fourth kind, W", " 1., 19.")
shifted_chebyshev_polynomial_t = _make("shifted_chebyshev_polynomial_t", "T(2 x - 1) of Chebyshev's polynomials", "-1., 17.")
shifted_chebyshev_polynomial_u = _make("shifted_chebyshev_polynomial_u", "U(2 x - 1) of Chebyshev's polynomials", "-1., 35.")
shifted_chebyshev_polynomial_v = _make("shifted_chebyshev_polynomial_v", "V(2 x - 1) of Chebyshev's polynomials", "-1., 29.")
shifted_chebyshev_polynomial_w = _make("shifted_chebyshev_polynomial_w", "W(2 x - 1) of Chebyshev's polynomials", "-1., 41.")
hermite_polynomial_h = _make("hermite_polynomial_h", "Hermite's polynomials of physics, H", "-1., 14.")
hermite_polynomial_he = _make("hermite_polynomial_he", "Hermite's polynomials of probability, He", "-0.7500,  3.0000")
laguerre_polynomial_l = _make("laguerre_polynomial_l", "Laguerre's polynomials, L", " 0.1250, -1.0000")
legendre_polynomial_p = _make("legendre_polynomial_p", "Legendre's polynomials, P", "-0.1250,  5.5000")
