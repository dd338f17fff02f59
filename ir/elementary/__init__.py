"""Elementary functions as straight-line scalar code over `ir/instructions.Emitter`: the `scalar=` of the elementwise ops.

Every function is `f(e, x)` (or `f(e, x, y)`) for scalars of f32 or f64, branch-free, right at zeros, infinities, NaN
and denormals, and within 2 ulp unless its docstring says otherwise (`tests/ir/test_elementary.py` measures all of
them). No instruction beyond the closed list is used, so that every target computes the same bits.
"""

from ingot.ir.elementary.error import erf, erfc
from ingot.ir.elementary.exponential import cosh, exp, exp2, expm1, sigmoid, sinh, tanh
from ingot.ir.elementary.gamma import digamma, lgamma
from ingot.ir.elementary.logarithmic import acosh, asinh, atanh, log, log1p, log2, log10, pow, rsqrt
from ingot.ir.elementary.trigonometric import acos, asin, atan, atan2, cos, sin, tan

__all__ = [
    "exp", "exp2", "expm1", "sigmoid", "tanh", "sinh", "cosh",
    "log", "log2", "log10", "log1p", "asinh", "acosh", "atanh", "pow", "rsqrt",
    "sin", "cos", "tan", "asin", "acos", "atan", "atan2",
    "erf", "erfc", "lgamma", "digamma",
]  # fmt: skip
