"""`ingot.special`: the special functions of mathematics under torch's names. All are elementwise unless they say otherwise.

Integers become the default float dtype.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ingot._tensor import Tensor
from ingot._tensor.composites import composite
from ingot.functions import binary as _binary
from ingot.functions import exponentials as _exponentials
from ingot.functions import gamma as _gamma
from ingot.functions import unary as _unary
from ingot.functions.bessel import (
    airy_ai,
    bessel_j0,
    bessel_j1,
    bessel_y0,
    bessel_y1,
    modified_bessel_i0,
    modified_bessel_i1,
    modified_bessel_k0,
    modified_bessel_k1,
    scaled_modified_bessel_k0,
    scaled_modified_bessel_k1,
    spherical_bessel_j0,
)
from ingot.functions.common import apply, cast, cast_out, check_tensor, dtypes, float_dtype, inside, scalar, upcast
from ingot.functions.gamma import polygamma
from ingot.functions.incomplete_gamma import igamma as gammainc
from ingot.functions.incomplete_gamma import igammac as gammaincc
from ingot.functions.incomplete_gamma import zeta
from ingot.functions.numpy_names import install as _numpy_names
from ingot.functions.polynomials import (
    chebyshev_polynomial_t,
    chebyshev_polynomial_u,
    chebyshev_polynomial_v,
    chebyshev_polynomial_w,
    hermite_polynomial_h,
    hermite_polynomial_he,
    laguerre_polynomial_l,
    legendre_polynomial_p,
    shifted_chebyshev_polynomial_t,
    shifted_chebyshev_polynomial_u,
    shifted_chebyshev_polynomial_v,
    shifted_chebyshev_polynomial_w,
)
from ingot.functions.unary import logit, round, sinc

__all__ = [
    "airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "chebyshev_polynomial_t", "chebyshev_polynomial_u",
    "chebyshev_polynomial_v", "chebyshev_polynomial_w", "digamma", "entr", "erf", "erfc", "erfcx", "erfinv", "exp2", "expit", "expm1",
    "gammainc", "gammaincc", "gammaln", "hermite_polynomial_h", "hermite_polynomial_he", "i0", "i0e", "i1", "i1e", "laguerre_polynomial_l",
    "legendre_polynomial_p", "log1p", "log_ndtr", "log_softmax", "logit", "logsumexp", "modified_bessel_i0", "modified_bessel_i1",
    "modified_bessel_k0", "modified_bessel_k1", "multigammaln", "ndtr", "ndtri", "polygamma", "psi", "round", "scaled_modified_bessel_k0",
    "scaled_modified_bessel_k1", "shifted_chebyshev_polynomial_t", "shifted_chebyshev_polynomial_u", "shifted_chebyshev_polynomial_v",
    "shifted_chebyshev_polynomial_w", "sinc", "softmax", "spherical_bessel_j0", "xlog1py", "xlogy", "zeta",
]  # fmt: skip

digamma, erf, erfc, erfinv, exp2, expm1, log1p = (
    getattr(_unary, n) for n in ("digamma", "erf", "erfc", "erfinv", "exp2", "expm1", "log1p")
)
expit, gammaln, psi = _unary.sigmoid, _unary.lgamma, _unary.digamma  # type: ignore[attr-defined]
multigammaln, xlogy, i0 = _gamma.mvlgamma, _binary.xlogy, _gamma.i0
logsumexp = _exponentials.logsumexp

_ROOT_HALF = math.sqrt(0.5)


def softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """exp(x) / sum(exp(x)) along `dim`: `ingot.softmax`."""
    return _exponentials.softmax(input, dim, dtype=dtype)


def log_softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """log(softmax(x)) along `dim`: `ingot.log_softmax`."""
    return _exponentials.log_softmax(input, dim, dtype=dtype)


def _function(rule: Callable[[Tensor], Tensor], name: str, doc: str, shown: str) -> Callable[..., Tensor]:
    """The public function of `rule`, which is traced on float32 or float64 (halves are widened and rounded once).

    shown: its values at 0.25 and 0.5, for the example.
    """

    @composite
    def compute(x: Tensor) -> Tensor:
        return cast(rule(upcast(x)), x.dtype)

    def function(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        check_tensor(name, input)
        return cast_out(compute(cast(input, float_dtype(input.dtype))), out)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{doc}\n\n        >>> ingot.special.{name}(ingot.tensor([0.25, 0.5]))\n        tensor([{shown}])\n    "
    return function


def _entr(x: Tensor) -> Tensor:
    safe = apply("select", x > 0, x, scalar(1, x.dtype))
    root = apply("sqrt", apply("select", x == 0, x + 0.0, scalar(1, x.dtype)))  # 0 at 0, with an infinite derivative
    inside = apply("select", x > 0, -x * apply("log", safe), apply("select", x == 0, root, x * 0.0))
    return apply("select", x < 0, scalar(-math.inf, x.dtype), apply("select", x != x, x, inside))


def _ndtr(x: Tensor) -> Tensor:
    return apply("erfc", x * -_ROOT_HALF) * 0.5


def _erfcx(x: Tensor) -> Tensor:
    """In float64: exp(x**2) multiplies the relative error of its argument. Far out by the asymptotic series."""
    y = cast(x, dtypes.f64)
    far, deep, infinite = y > 8.0, y < -6.0, y == math.inf  # of each branch no other's infinities reach the gradient
    near = apply("select", apply("logical_or", far, deep), scalar(0.0, y.dtype), y)
    low = apply("exp", near * near) * apply("erfc", near)
    left = apply("select", deep, y, scalar(0.0, y.dtype))
    low = apply("select", deep, apply("exp", left * left) * 2.0, low)
    z = apply("select", apply("logical_and", far, apply("logical_not", infinite)), y, scalar(8.0, y.dtype))
    v = 1 / (z * z * 2.0)
    total = scalar(1.0, y.dtype)
    for k in range(20, 0, -1):  # 1 - v (1 - 3 v (1 - 5 v (...)))
        total = 1 - v * (2 * k - 1) * total
    right = apply("select", infinite, scalar(0.0, y.dtype), total / (z * math.sqrt(math.pi)))
    return cast(apply("select", far, right, low), x.dtype)


def _log_ndtr(x: Tensor) -> Tensor:
    low = x < -1.0
    left = apply("select", low, x, scalar(-1.0, x.dtype))
    right = apply("select", low, scalar(0.0, x.dtype), x)
    tail = apply("log", _erfcx(left * -_ROOT_HALF) * 0.5) - left * left * 0.5
    return apply("select", low, tail, apply("log1p", apply("erfc", right * _ROOT_HALF) * -0.5))


def _ndtri(p: Tensor) -> Tensor:
    """In the tails by Newton's method on log(ndtr), elsewhere by erfinv."""
    return cast(inside(cast(p, dtypes.f64), 0, 1, _ndtri_inside), p.dtype)


def _ndtri_inside(q: Tensor) -> Tensor:
    upper = q > 0.5
    tail = apply("select", upper, 1 - q, q)
    deep = tail < 0.1
    goal = apply("log", apply("select", deep, tail, scalar(0.05, q.dtype)))
    x = -apply("sqrt", goal * -2.0)
    for _ in range(6):
        value = _log_ndtr(x)
        x = x - (value - goal) * apply("exp", value + x * x * 0.5) * math.sqrt(2 * math.pi)
    x = apply("select", upper, -x, x)
    middle = _unary.erfinv(apply("select", deep, scalar(0.0, q.dtype), q * 2.0 - 1.0)) * math.sqrt(2.0)
    return apply("select", deep, x, middle)


entr = _function(_entr, "entr", "-x log(x): 0 at 0, -infinity below.", "0.3466, 0.3466")
ndtr = _function(_ndtr, "ndtr", "The area under the standard normal density left of x.", "0.5987, 0.6915")
erfcx = _function(_erfcx, "erfcx", "exp(x**2) erfc(x), without underflow.", "0.7703, 0.6157")
log_ndtr = _function(_log_ndtr, "log_ndtr", "log(ndtr(x)), without underflow.", "-0.5130, -0.3689")
ndtri = _function(_ndtri, "ndtri", "The inverse of `ndtr`; NaN outside [0, 1].", "-0.6745,  0.0000")
i0e = _function(lambda x: _gamma.bessel(x, 0, True), "i0e", "exp(-|x|) i0(x).", "0.7910, 0.6450")
i1 = _function(lambda x: _gamma.bessel(x, 1, False), "i1", "The modified Bessel function of order 1.", "0.1260, 0.2579")
i1e = _function(lambda x: _gamma.bessel(x, 1, True), "i1e", "exp(-|x|) i1(x).", "0.0981, 0.1564")


def xlog1py(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input * log1p(other), and 0 where input is 0 (unless other is NaN); with broadcasting.

    >>> ingot.special.xlog1py(ingot.tensor([0.0, 2.0]), ingot.tensor([-1.0, 3.0]))
    tensor([0.0000, 2.7726])
    """
    _binary._sides("xlog1py", input, other, "one")
    dtype = float_dtype(_binary.common_dtype(input, other))
    return cast_out(_xlog1py(*_binary.operands("xlog1py", input, other, dtype=dtype)), out)


@composite
def _xlog1py(a: Tensor, b: Tensor) -> Tensor:
    x, y = upcast(a), upcast(b)
    zero = apply("logical_and", x == 0, apply("logical_or", y <= -1, y == math.inf))
    safe = apply("select", zero, scalar(0, x.dtype), y)
    return cast(apply("select", zero, scalar(0, x.dtype), x * apply("log1p", safe)), a.dtype)


_numpy_names(globals(), __all__)
