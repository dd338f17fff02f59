"""Sizes and numbers that a compiled function takes as they come, by torch's names: what code written for both asks of them.

While a function is traced for every size, an extent is a `SymInt` and what is calculated with it stays one; a float may be a `SymFloat`.
A comparison of them is a bool, which the compiled function watches.
"""

from __future__ import annotations

import builtins
import math
from typing import Any

from ingot._refused import refused_class
from ingot._tensor.extents import Extent as SymInt
from ingot._tensor.reals import Real as SymFloat

__all__ = [
    "SymBool", "SymFloat", "SymInt", "sym_float", "sym_int", "sym_ite", "sym_max", "sym_min", "sym_not", "sym_sqrt", "sym_sum",
]  # fmt: skip

SymBool = refused_class("SymBool", "a comparison of sizes is a bool, which the compiled function watches")


def sym_int(a: Any) -> Any:
    """The integer of a number, towards zero; a size stays what it is.

    >>> ingot.sym_int(2.7)
    2
    """
    return a if type(a) is SymInt else math.trunc(a) if type(a) is SymFloat else builtins.int(a)


def sym_float(a: Any) -> Any:
    """The float of a number; that of a size remembers it.

    >>> ingot.sym_float(2)
    2.0
    """
    return a if type(a) is SymFloat else a * 1.0 if type(a) is SymInt else builtins.float(a)


def _with_type(chosen: Any, a: Any, b: Any) -> Any:
    return sym_float(chosen) if isinstance(a, float) or isinstance(b, float) else chosen


def sym_max(a: Any, b: Any) -> Any:
    """The larger of two numbers, a float if either is.

    >>> ingot.sym_max(3, 2.0)
    3.0
    """
    return _with_type(a if a >= b else b, a, b)


def sym_min(a: Any, b: Any) -> Any:
    """The smaller of two numbers, a float if either is.

    >>> ingot.sym_min(3, 2)
    2
    """
    return _with_type(a if a <= b else b, a, b)


def sym_not(a: Any) -> bool:
    """`not a`.

    >>> ingot.sym_not(3 > 2)
    False
    """
    return not a


def sym_ite(b: Any, t: Any, f: Any) -> Any:
    """`t if b else f`.

    >>> ingot.sym_ite(3 > 2, "a", "b")
    'a'
    """
    return t if b else f


def sym_sqrt(a: Any) -> Any:
    """The square root of a number.

    >>> ingot.sym_sqrt(9)
    3.0
    """
    return sym_float(a) ** 0.5 if type(a) in (SymInt, SymFloat) else math.sqrt(a)


def sym_sum(*args: Any) -> Any:
    """The sum of numbers, or of a list of them.

    >>> ingot.sym_sum([1, 2, 3])
    6
    """
    return sum(args[0] if len(args) == 1 and isinstance(args[0], (list, tuple)) else args)
