"""A target of the lowering: its machine, and how each kind of group is scheduled and written for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ingot.ir.graph import Graph, Node
from ingot.ir.loop.ir import Kernel
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import Written
from ingot.ir.machine import Machine
from ingot.ir.struct import value_type

__all__ = ["Kind", "Target", "UnsupportedKernel"]


class UnsupportedKernel(RuntimeError):
    """A group that a target has no kernels for; the message names the op."""


class Kind(NamedTuple):
    """How groups of one kind become kernels.

    choose(group, machine) -> schedule              decides all there is to decide
    emit(group, schedule, check) -> kernels         writes the loops; check(node): the code under which a failed check is reported,
                                                    0 where none is needed
    takes(body, machine) -> bool                    of graphs that may be called: whether it has kernels of one
    """

    choose: Callable[[Group, Machine], Any]
    emit: Callable[[Group, Any, Callable[[Node], int]], list[Written]]
    takes: Callable[[Graph, Machine], bool] = lambda body, machine: True


@value_type
class Target:
    """What the stages know of where code will run. `kinds`: by `Group.kind`; loops of steps ("loop") are the same everywhere.
    layouts: its kernels read and write values in whatever order they lie.
    written(kernel): called with each kernel of a program as soon as it is written, before others are.
    """

    machine: Machine
    kinds: Mapping[str, Kind]
    layouts: bool = False
    written: Callable[[Kernel], None] = lambda kernel: None

    def kind(self, group: Group) -> Kind:
        """How a group becomes kernels. UnsupportedKernel where the target has none of its kind."""
        found = self.kinds.get(group.kind)
        if found is None:
            names = ", ".join(dict.fromkeys(n.op.name for n in group.nodes))
            raise UnsupportedKernel(f"{names} is not supported on this device yet: it has no kernels of kind {group.kind!r}")
        return found
