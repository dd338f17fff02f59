"""Memory: where in the arena each intermediate value lives, by liveness over the steps."""

from __future__ import annotations

import bisect

__all__ = ["Arena"]

ALIGN = 64


class Arena:
    """First-fit placement of blocks with a first and a last step. `place` in order of the first step."""

    def __init__(self) -> None:
        self.free: list[tuple[int, int]] = []  # (offset, size), sorted, not touching
        self.live: list[tuple[int, int, int]] = []  # (last step, offset, size), sorted
        self.size = 0

    def place(self, first: int, last: int, nbytes: int) -> int:
        """The offset of a block that is in use from step `first` to step `last`, inclusive."""
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
