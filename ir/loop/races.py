"""Races: elements that one thread writes and another reads or writes, with no barrier between. The interpreter reports what is touched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["Race", "Races"]


class Race(ValueError):
    """Two threads touch an element, one of them to write it, and nothing says which comes first."""


class Races:
    """What the threads of a launch have touched. Raises Race at the second of two accesses of which nothing says which comes first.

    own: the buffers that each block has for itself
    """

    def __init__(self, kernel: str, own: frozenset[str]):
        self.kernel, self.own = kernel, own
        self.block, self.thread = -1, 0
        self.since: dict[tuple[str, int], tuple[set[int], set[int]]] = {}  # the last barrier: who has read, who has written
        self.ever: dict[tuple[str, int], tuple[set[int], set[int]]] = {}  # which blocks have
        self.products: list[list[tuple[int, str, Sequence[int]]]] = []  # that are not waited for: what they read
        self.underway: list[tuple[int, str, Sequence[int]]] = []  # copies: they may land at any time until they are waited for

    def begin(self) -> None:
        """Another block begins."""
        self.block += 1
        self.since.clear()
        self.underway.clear()
        self.products.clear()

    def barrier(self) -> None:
        """All threads of the block have arrived."""
        self.since.clear()
        arrived = self.thread
        for write, every in ((True, self.underway), *((False, reads) for reads in self.products)):
            for self.thread, buf, places in every:  # noqa: B020
                self.touch(buf, places, write)
        self.thread = arrived

    def begin_products(self, reads: list[tuple[int, str, Sequence[int]]]) -> None:
        """Warpgroups, by their first threads, read elements from now on, until they are waited for."""
        self.products.append(reads)
        for self.thread, buf, places in reads:  # noqa: B020
            self.touch(buf, places, False)

    def settle(self, groups: int) -> None:
        """All products are done but for the last `groups`."""
        del self.products[: max(len(self.products) - groups, 0)]

    def begin_copy(self, buf: str, places: Sequence[int]) -> None:
        """The thread has sent for elements."""
        self.touch(buf, places, True)
        self.underway.append((self.thread, buf, places))

    def end_copy(self, buf: str, places: Sequence[int]) -> None:
        """They have landed."""
        self.underway.remove((self.thread, buf, places))

    def touch(self, buf: str, places: Iterable[int], write: bool) -> None:
        """The thread reads or writes elements of a buffer."""
        if self.block < 0:
            return
        for at in places:
            self._note(self.since, (buf, at), self.thread, write, "threads")
            if buf not in self.own:
                self._note(self.ever, (buf, at), self.block, write, "blocks")

    def _note(self, seen: dict[tuple[str, int], tuple[set[int], set[int]]], at: tuple[str, int], who: int, write: bool, whose: str) -> None:
        read, written = seen.setdefault(at, (set(), set()))
        others = (written | read if write else written) - {who}
        if others:
            raise Race(
                f"kernel {self.kernel}: {whose} {who} and {min(others)} touch element {at[1]} of {at[0]}, one of them to write it, "
                f"with no barrier between (block {self.block}, thread {self.thread})"
            )
        (written if write else read).add(who)
