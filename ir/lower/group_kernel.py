"""A kernel of a group while it is written: its writer, the elements of values in it, and the values behind its buffers."""

from __future__ import annotations

from collections.abc import Callable

from ingot.ir.graph import Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.ir import Kernel
from ingot.ir.loop.points import ZERO, Point
from ingot.ir.lower.elements import Elements
from ingot.ir.lower.group import Group
from ingot.ir.lower.schedule import Schedule, print_schedule
from ingot.ir.lower.writer import KernelWriter, Scalar
from ingot.ir.struct import frozen, replace, struct
from ingot.ir.types import Shape

__all__ = ["GroupKernel", "Written", "no_code"]


@frozen
@struct
class Written:
    """A kernel of a group, and the values behind its buffers; a value that is none of the graph's lies between its kernels.

    twice: some elements are computed twice, so no result may take the memory of what is read
    fixed: its sizes belong into the instructions, as the offsets of a tile's rows do: they are no parameters, as far as they are known
    """

    kernel: Kernel
    values: tuple[Value, ...]
    twice: bool = False
    fixed: bool = False


class GroupKernel:
    """Begins a kernel of a group. `check`: the code under which a failed check of a node is reported."""

    def __init__(self, group: Group, name: str, check: Callable[[Node], int]):
        self.group = group
        self.check = check
        self.w = KernelWriter(name)
        self.names: dict[Value, str] = {}

    def buffer(self, v: Value, access: str, noalias: bool = False) -> str:
        """The buffer of a value, to read it ("r"), to write it ("w") or both ("rw")."""
        name = self.names.get(v)
        if name is None:
            name = self.names[v] = f"b{len(self.names)}"
        return self.w.buffer(name, v.type.dtype, access, noalias)

    def source(self, v: Value) -> str | None:
        """The buffer that a value is read from; None where it has none, or the kernel makes it."""
        if v in self.group.maps or v not in self.group.in_memory:
            return None
        name = self.names.get(v)
        return self.buffer(v, "r") if name is None else name

    def point(self, name: str, dims: Shape, ones: bool = False) -> Point:
        """A variable for each dim, `name` and its number; 0 for a dim of extent 1, unless `ones`. For kernels that are only looked at."""
        for j, d in enumerate(dims):
            self.w.ranges[f"{name}{j}"] = d
        return tuple(ZERO if d == 1 and not ones else ix.var(f"{name}{j}") for j, d in enumerate(dims))

    def elements(self) -> Elements:
        """The elements of values, by code in this kernel."""
        return Elements(self.group, self.w, self.source, self.check)

    def store(self, x: Scalar, point: Point, mask: Scalar | None = None) -> None:
        """Store what the group gives at a point, where its first node gives x."""
        group, elements = self.group, self.elements()
        elements.known[group.nodes[0].outputs[0]] = lambda idx: x
        for v in group.outputs:
            name = self.buffer(v, "w")
            idx = tuple(ZERO if a is None else point[a] for a in group.maps[v])
            self.w.store(name, group.offset(v, idx), elements.at(v, idx, mask), mask)

    def finish(self, schedule: Schedule, twice: bool = False, fixed: bool = False) -> Written:
        """The kernel, with the schedule that it was written by."""
        kernel = replace(self.w.finish(), schedule=print_schedule(schedule))
        return Written(kernel, tuple(self.names), twice, fixed)


def no_code(node: Node) -> int:
    """The code of every check, where a kernel is written only to look at it."""
    return 1
