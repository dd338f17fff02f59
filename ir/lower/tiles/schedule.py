"""The schedule of a tiled contraction."""

from __future__ import annotations

import math

from ingot.ir.lower.group import Group
from ingot.ir.lower.schedule import Schedule, ScheduleError, at_least_one, lanes
from ingot.ir.lower.tiles.phases import least, phases
from ingot.ir.lower.tiles.shape import apart, right_of, shape_of
from ingot.ir.ops.form import form_of
from ingot.ir.size import Size, at_most, ceil_div, exactly, larger, smaller
from ingot.ir.struct import value_type
from ingot.ir.types import Dim

__all__ = ["SQUARES", "Tiles", "Lines", "Pack", "Squares"]

SQUARES = 16  # of a panel, one behind the other, that are packed as a line


@value_type
class Lines(Schedule):
    """Lines by vectors of `width` lanes, `chunk` of them to a parallel chunk."""

    width: int
    chunk: int

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        lanes(self.width)
        at_least_one(chunk=self.chunk)


@value_type
class Squares(Schedule):
    """A value whose channels lie apart, copied with its channels last by squares that are transposed.

    side   of a square, in elements
    chunk  lines of the last dim to a parallel chunk
    gap    elements behind the channels of each place, so that neighbouring places do not meet in the same sets of the first cache
    """

    side: int
    chunk: int
    gap: int = 0

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        lanes(self.side)
        at_least_one(chunk=self.chunk)
        found = apart(group)
        channels = form_of(group.nodes[0]).left.type.shape[1]
        if found is None or self.gap < 0 or self.side > found.sizes[-1] or at_most(self.side, channels) is not True:
            raise ScheduleError(f"{self}: no squares of channels that lie apart ({group})")


@value_type
class Pack(Schedule):
    """B in panels of `columns` columns; `chunk` times all but the first dim of k of a panel, or SQUARES squares, to a parallel chunk.

    direct  a panel is columns of B where it lies; the last one begins early, and overlaps its neighbour
    depth   steps of k that each item packs at a time, of its own panels; 0: a kernel of its own packs all of B
    turn    side of the squares by which panels are made of a B whose columns lie apart, and their elements together; 0: by columns
    """

    columns: int
    chunk: int = 1
    direct: bool = False
    turn: int = 0
    depth: int = 0

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        lanes(self.columns)
        at_least_one(chunk=self.chunk)
        if self.depth < 0 or self.depth and (self.direct or self.turn or len(form_of(group.nodes[0]).k) != 1):
            raise ScheduleError(f"{self}: panels that items do not pack by steps of one dim of k ({group})")
        f, right = form_of(group.nodes[0]), right_of(group)
        if self.direct and not (right and right.columns == 1 and at_most(self.columns, math.prod(f.n))):
            raise ScheduleError(f"{self}: columns of B that do not lie next to each other, or are too few ({group})")
        lanes(self.turn or 1)
        lies = right and right.steps == 1 and right.columns != 0
        whole = self.turn and lies and self.columns % self.turn == 0 and at_most(self.turn, math.prod(f.k))
        if self.turn and (self.direct or not whole):
            raise ScheduleError(f"{self}: no squares of B ({group})")


@value_type
class Tiles(Schedule):
    """Register tiles over packed panels.

    pack      how B becomes panels; the columns of a tile are those of a panel
    tile      the rows of a tile, for each dim of m
    flat      tiles are of rows one after the other, whatever dims of m they are in; `tile` has one number then
    turn      side of the squares by which the results of some flat tiles are transposed before they are stored, where it is rows that lie
              together in memory; 0: each row is stored by columns
    block     panels that an item passes over with each of its tiles
    group     tiles of an item, one after the other
    parallel  items are chunks
    step      of the first dim of k in one part; as long as that dim, or longer: one part
    copy      A is copied to a scratch of its own first; None: it is read where it lies
    run       steps of k that are added up in registers, where a sum is a cascade of such runs; 0: all are one run
    gather    the rows of a tile are copied next to each other first
    combine   how the sums of several parts are added up
    into      parts of the first dim of k, of one length, where that dim is known only at run time
    near      elements of a block's packed columns, where k is known only at run time: as many panels as fit, instead of `block`
    tail      rows of the tiles that take what whole tiles leave of a dim of m whose extent is known only at run time; 0: the last tile
              overlaps its neighbour
    """

    pack: Pack
    tile: tuple[int, ...]
    block: int
    group: int
    parallel: bool
    step: int
    run: int = 0
    copy: Lines | Squares | None = None
    gather: bool = False
    combine: Lines | None = None
    into: int = 1
    near: int = 0
    tail: int = 0
    flat: bool = False
    turn: int = 0

    @property
    def together(self) -> int:
        """Tiles whose results are transposed together: whole squares of rows."""
        return math.lcm(self.tile[0], self.turn) // self.tile[0] if self.turn else 1

    def panels(self, panels: Dim, k: Dim) -> Dim:
        """How many of so many panels are a block."""
        return self.block if not self.near else larger(1, smaller(panels, self.near // larger(1, k * self.pack.columns)))

    def tail_dim(self, group: Group) -> int | None:
        """The dim of m that has tiles of `tail` rows; None where none has."""
        if not self.tail or self.flat:
            return None
        m = form_of(group.nodes[0]).m
        return next((j for j in reversed(range(len(m))) if self.tail < self.tile[j] and exactly(m[j], self.tile[j]) is None), None)

    def parts(self, group: Group) -> int:
        """How many parts k falls into."""
        k = form_of(group.nodes[0]).k
        return -(-k[0] // self.step) if k and isinstance(k[0], int) else self.into

    def part(self, group: Group) -> Dim:
        """How much of the first dim of k is a part."""
        k = form_of(group.nodes[0]).k
        return self.step if self.into == 1 else larger(1, ceil_div(k[0], self.into))

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""

        def need(ok: bool, what: str) -> None:
            if not ok:
                raise ScheduleError(f"{self}: {what} ({group})")

        f, n = form_of(group.nodes[0]), shape_of(group.nodes[0])
        self.pack.verify(group)
        at_least_one(block=self.block, group=self.group, step=self.step, into=self.into)
        need(self.into == 1 or not isinstance(f.k[0], int), "two ways of cutting k into parts")
        need(self.run >= 0, "runs of less than nothing")
        rows, _ = least(f)
        m = (math.prod(rows),) if self.flat else rows
        fits = len(self.tile) == len(m) and all(1 <= t and at_most(t, d) is not False for t, d in zip(self.tile, m))
        need(fits, "a tile of other dims, or larger than they")
        need(len(phases(f)) == 1 or self.parts(group) == 1 and not self.gather, "parts of phases, or their rows gathered")
        need(not self.gather or (self.copy is None and math.prod(self.tile[:-1]) == 1), "rows in several dims, or copied already")
        own = not (self.gather or self.turn or self.tail or self.near) and f.zeros is None and self.parts(group) == 1 == len(phases(f))
        own = own and isinstance(n.batch * n.n * n.k, int) and all(isinstance(d, int) for d in m)
        own = own and self.group >= math.prod(-(-d // t) for d, t in zip(m, self.tile))  # type: ignore[operator]
        need(not self.pack.depth or own, "items that do not have all rows, or cannot pack their own panels")
        need(not self.gather or isinstance(f.m[-1], int), "rows that there may not be")
        need(not self.flat or not self.gather and isinstance(m[0], int), "rows in a row that are gathered, or of no known number")
        at = self.tail_dim(group)
        need(self.tail >= 0 and (not self.tail or at is not None and isinstance(f.m[at], Size)), "tails of nothing")
        lanes(self.turn or 1)
        turns = len(self.tile) == 1 and self.parts(group) == 1 == len(phases(f)) and self.pack.columns % (self.turn or 1) == 0
        need(not self.turn or turns and self.tile[0] * self.together <= math.prod(rows), "no whole squares of rows and columns")  # type: ignore
        need((self.combine is not None) == (self.parts(group) > 1), "parts that are not combined, or nothing to combine")
        for lines in (self.copy, self.combine):
            if lines is not None:
                lines.verify(group)
