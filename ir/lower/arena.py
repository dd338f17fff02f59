"""Memory: where in the arena each intermediate value lives, by liveness over the steps.

Blocks of known size are placed first-fit. Where sizes have symbols, what fits where cannot be known: those blocks have places behind
all others, side by side, which never fall apart. A block takes a free place of the very same size, or else the last freed one that is
surely as large; where there is none, a free one that is surely smaller grows to its size; else it has a new one.
"""

from __future__ import annotations

import bisect

from ingot.ir.size import Size, at_most, ceil_div
from ingot.ir.types import Dim

__all__ = ["Arena", "aligned"]

ALIGN = 64


def aligned(nbytes: Dim) -> Dim:
    """A number of bytes, rounded up to whole lines of memory."""
    return ceil_div(nbytes, ALIGN) * ALIGN


class Arena:
    """Placement of blocks with a first and a last step. `place` in order of the first step.

    Places of sized blocks have their offsets once all blocks are placed: those that `place` gives are right where `planned` is an arena
    in which the same blocks were placed before. `size`: bytes of the blocks of known size.
    """

    def __init__(self, planned: Arena | None = None) -> None:
        self.free: list[tuple[int, int]] = []  # (offset, size), sorted, not touching
        self.live: list[tuple[int, int, int]] = []  # (last step, offset, size), sorted
        self.size = 0
        self.planned = planned
        self.places: list[Dim] = []  # of sized blocks: how large each is
        self.idle: list[int] = []  # those that are free, the last freed last
        self.busy: list[tuple[int, int]] = []  # (last step, place), sorted
        self.taken: list[int] = []  # the place of each sized block, in the order of placing

    @property
    def nbytes(self) -> Dim:
        """How large the arena is."""
        return self.size + sum(self.places)

    def place(self, first: int, last: int, nbytes: Dim) -> Dim:
        """The offset of a block that is in use from step `first` to step `last`, inclusive."""
        if isinstance(nbytes, Size):
            return self._place_sized(first, last, aligned(nbytes))
        while self.live and self.live[0][0] < first:
            _, offset, size = self.live.pop(0)
            self._release(offset, size)
        size = -(-nbytes // ALIGN) * ALIGN
        if size == 0:
            return 0
        best = min((k for k, (_, n) in enumerate(self.free) if n >= size), key=lambda k: self.free[k][1], default=None)
        if best is not None:
            offset, n = self.free.pop(best)
            if n > size:
                bisect.insort(self.free, (offset + size, n - size))
        else:
            offset = self.size
            if self.free and self.free[-1][0] + self.free[-1][1] == self.size:
                offset = self.free.pop()[0]
            self.size = offset + size
        bisect.insort(self.live, (last, offset, size))
        return offset

    def _release(self, offset: int, size: int) -> None:
        k = bisect.bisect(self.free, (offset, 0))
        if k < len(self.free) and offset + size == self.free[k][0]:
            size += self.free.pop(k)[1]
        if k and self.free[k - 1][0] + self.free[k - 1][1] == offset:
            offset, n = self.free.pop(k - 1)
            size += n
            k -= 1
        self.free.insert(k, (offset, size))

    # -- sized blocks --------------------------------------------------------------------------------------------------

    def _place_sized(self, first: int, last: int, size: Dim) -> Dim:
        while self.busy and self.busy[0][0] < first:
            self.idle.append(self.busy.pop(0)[1])
        place = self._choose(size)
        bisect.insort(self.busy, (last, place))
        self.taken.append(place)
        if self.planned is None:
            return 0
        place = self.planned.taken[len(self.taken) - 1]
        return self.planned.size + sum(self.planned.places[:place])

    def _choose(self, size: Dim) -> int:
        """A place for a block, taken from those that are free."""
        places, last = self.places, self.idle[::-1]
        found = next((p for p in last if places[p] == size), None)
        if found is None:
            found = next((p for p in last if at_most(size, places[p])), None)
        if found is None:
            found = next((p for p in last if at_most(places[p], size)), None)
        if found is None:
            places.append(size)
            return len(places) - 1
        if not at_most(size, places[found]):
            places[found] = size
        self.idle.remove(found)
        return found
