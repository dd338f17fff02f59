"""What values an integer scalar of a kernel can have, by interval arithmetic over the statements that make it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ingot.ir.dtypes import DType
from ingot.ir.loop.ir import Const, Kernel, Let, Load, Operand
from ingot.ir.loop.walk import statements

__all__ = ["Interval", "interval"]

Interval = tuple[int, int]  # the least and the greatest value


def _of(dtype: DType) -> Interval | None:
    """All values of a dtype; None where it is none of integers or bools."""
    if dtype.kind == "b":
        return 0, 1
    if dtype.kind not in "iu":
        return None
    return (0, 2**dtype.bits - 1) if dtype.kind == "u" else (-(2 ** (dtype.bits - 1)), 2 ** (dtype.bits - 1) - 1)


def _hull(values: Iterable[int]) -> Interval:
    found = list(values)
    return min(found), max(found)


_RULES: dict[str, Callable[..., Interval]] = {
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "sub": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "mul": lambda a, b: _hull(x * y for x in a for y in b),
    "neg": lambda a: (-a[1], -a[0]),
    "abs": lambda a: (0 if a[0] <= 0 <= a[1] else min(map(abs, a)), max(map(abs, a))),
    "min": lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
    "max": lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
    "cast": lambda a: a,
}


def interval(kernel: Kernel, result: Operand, dtype: DType) -> Interval | None:
    """The values that a scalar of `dtype` in a kernel can have; None for floats. What is not understood may be anything."""
    dtypes = {b.name: b.dtype for b in kernel.buffers}
    made: dict[str, Interval | None] = {}

    def known(x: Operand) -> Interval | None:
        if isinstance(x, Const):
            return (int(x.value), int(x.value)) if x.dtype.kind in "iub" else None
        return made.get(x)

    for s in statements(kernel.body):
        if isinstance(s, Load):
            found = _of(s.word or dtypes[s.buf]) if s.buf in dtypes else None
            made[s.dst] = found if found is None or s.mask is None else _hull((*found, 0))
        elif isinstance(s, Let):
            whole = _of(s.dtype)
            args = [known(a) for a in (s.args[1:] if s.op == "select" else s.args)]
            out = None
            if whole is not None and None not in args:
                rule = _RULES.get(s.op)
                out = _hull(x for a in args for x in a or ()) if s.op == "select" else rule(*args) if rule is not None else whole
            made[s.dst] = whole if out is None or whole is None or out[0] < whole[0] or out[1] > whole[1] else out
    found = known(result)
    return _of(dtype) if found is None else found
