"""The schedule of a depthwise convolution, and where its windows stand."""

from __future__ import annotations

from ingot.ir.loop import index as ix
from ingot.ir.loop.points import ZERO
from ingot.ir.lower.group import Group
from ingot.ir.lower.schedule import Schedule, ScheduleError, at_least_one, lanes
from ingot.ir.ops.form import Form, form_of
from ingot.ir.size import at_most
from ingot.ir.struct import struct, value_type

__all__ = ["Depthwise", "Stage", "steps"]


@value_type
class Depthwise(Schedule):
    """Tiles of windows.

    width     lanes of a vector
    channels  lanes run over channels; else along the last spatial dim
    tile      results of a tile, along the last spatial dim that has no lanes
    chunk     lines of such tiles in a parallel chunk; with a band, bands
    unroll    dims of the window, counted from the last, whose taps are written one after the other; with a band, those of a column are
    pack      elements of the weight in a parallel chunk of what brings it into the order of the taps
    band      results along the dim of tiles whose input is set among its zeros first; 0: the input is read where it lies
    """

    width: int
    channels: bool
    tile: int
    chunk: int
    unroll: int
    pack: int
    band: int = 0

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        lanes(self.width)
        at_least_one(tile=self.tile, chunk=self.chunk, pack=self.pack)
        f = form_of(group.nodes[0])
        if not 0 <= self.unroll < len(f.k):
            raise ScheduleError(f"{self}: taps of dims that there are not ({group})")
        if self.tile > 1 and (not self.channels and len(f.m) < 2 or not at_most(self.tile, f.m[self.along(group)])):
            raise ScheduleError(f"{self}: a tile larger than the result ({group})")
        if self.band and (self.channels or not can_stage(f) or not self.tile <= self.band <= rows(f) or not at_most(self.width, f.m[-1])):
            raise ScheduleError(f"{self}: a band that cannot be, or is no band of tiles ({group})")

    def along(self, group: Group) -> int:
        """The dim of m that tiles run along; -1: none, there is but the dim of the lanes."""
        return len(form_of(group.nodes[0]).m) - (1 if self.channels else 2)


def can_stage(f: Form) -> bool:
    """Whether the sizes by which an input is set among its zeros are known, and there are results."""
    return all(isinstance(d, int) and d > 0 for d in (*f.m, *f.left.type.shape[2:]))


def rows(f: Form) -> int:
    """Results along the dim of tiles."""
    d = f.m[-2] if len(f.m) > 1 else 1
    assert isinstance(d, int)
    return d


def steps(f: Form) -> list[tuple[int, int]]:
    """For each spatial dim how far apart windows stand, and the taps of one."""
    n = len(f.m)
    m, k = tuple(ix.var(f"m{j}") for j in range(n)), tuple(ix.var(f"k{j}") for j in range(n))
    out = []
    for j, i in enumerate(f.at_left((ZERO, ZERO), m, (*k, ZERO))[2:]):
        stride, apart = ix.coefficient(i, f"m{j}"), ix.coefficient(i, f"k{j}")
        assert isinstance(stride, int) and isinstance(apart, int)
        out.append((stride, apart))
    return out


@struct
class Stage:
    """The part of a channel's input that a band of results reads, among its zeros: for each tap of the dims in front of the last two a
    plane, of `rows` rows. The columns of a row that are `stride` apart lie next to each other, in so many `phases` of `pitch` columns,
    of which results read `columns`."""

    taps: tuple[int, ...]
    rows: int
    phases: int
    columns: int
    pitch: int

    @classmethod
    def of(cls, f: Form, band: int, width: int) -> Stage:
        """What `band` rows of results read, by vectors of `width` columns."""
        every, k = steps(f), [int(d) for d in f.k[:-1]]  # type: ignore[arg-type]
        (stride, apart), last = every[-1], int(f.m[-1])  # type: ignore[arg-type]
        columns = last + (k[-1] - 1) * apart // stride
        pitch = -(-last // width) * width + (k[-1] - 1) * apart // stride
        lines = (band - 1) * every[-2][0] + (k[-2] - 1) * every[-2][1] + 1 if len(k) > 1 else 1
        return cls(tuple(k[:-2]), lines, stride, columns, pitch)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the scratch: planes, rows, phases, columns."""
        return (*self.taps, self.rows, self.phases, self.pitch)
