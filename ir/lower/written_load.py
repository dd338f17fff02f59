"""An element of a contraction's factor, written once to see how it is loaded. Nothing is kept of its code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from ingot.ir.graph import Value
from ingot.ir.loop.ir import Let, Load, Stmt
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, no_code
from ingot.ir.lower.writer import Scalar
from ingot.ir.types import Shape

__all__ = ["WrittenLoad", "written_load"]


class WrittenLoad(NamedTuple):
    """The element, the load that it begins with (without a mask), the statements behind it, and the values that are read."""

    element: Scalar
    load: Load
    rest: tuple[Stmt, ...]
    values: tuple[Value, ...]

    @property
    def cast(self) -> bool:
        """Whether nothing but casts follows the load."""
        return all(isinstance(s, Let) and s.op == "cast" for s in self.rest)


def written_load(group: Group, dims: Mapping[str, Shape], element: Callable[..., Scalar], ones: bool = False) -> WrittenLoad | None:
    """`element` of elements and of points, one for each name of `dims`, of variables q0, q1, …; None where it is no load first.

    ones: dims of one element have variables, too, instead of 0
    """
    k = GroupKernel(group, "trial", no_code)
    out = element(k.elements(), *(k.point(name, extents, ones) for name, extents in dims.items()))
    body = k.w.finish().body
    load = body[0] if body else None
    return WrittenLoad(out, load, tuple(body[1:]), tuple(k.names)) if isinstance(load, Load) and load.mask is None else None
