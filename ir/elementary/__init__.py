"""Elementary functions as straight-line scalar code over `ir/instructions.Emitter`: the `scalar=` of the elementwise ops.

Every function is `f(e, x)` (or `f(e, x, y)`) for scalars of f32 or f64, branch-free, right at zeros, infinities, NaN
and denormals, and within 2 ulp unless its docstring says otherwise (`tests/ir/test_elementary.py` measures all of
them). No instruction beyond the closed list is used, so that every target computes the same bits.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    name: module
    for module, names in dict(
        exponential="exp exp2 expm1 sigmoid tanh sinh cosh",
        logarithmic="log log2 log10 log1p asinh acosh atanh pow rsqrt",
        trigonometric="sin cos tan asin acos atan atan2",
        error="erf erfc",
        gamma="lgamma digamma",
    ).items()
    for name in names.split()
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)  # most code needs one or two of them
