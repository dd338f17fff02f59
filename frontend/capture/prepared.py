"""Prepared: what follows from the captured tensors of a compiled function alone, kept until one of them changes.

The code says how many bytes of it there are (`kept` in the manifest), and fills them where their first byte is 0 (ir/lower/prologue.py).
Here is what decides when that must be: memory that was filled belongs to the generations (runtime/storage.py) of the Storages it came from.
A write to one of them, in place or not, gives it another generation; memory that is shared with the outside has none that equals itself,
so that nothing is kept of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ingot.runtime import memory
from ingot.runtime.storage import NEVER, Storage

__all__ = ["Prepared"]


class Prepared:
    """Runs code that keeps something. `steady`: input slot -> the Storage that it is of;  at: the slot of what is kept."""

    def __init__(self, run: Callable[..., None], nbytes: int, steady: dict[int, Storage], at: int):
        self._run = run
        self._nbytes = nbytes
        self._steady = steady
        self._storages = tuple(steady.values())
        self._at = at
        # the generations that the memory belongs to, read and replaced together
        self._held: tuple[list[float], memory.Buffer | None] = [], None

    def run(self, *slots: int | float) -> None:
        """As the code's own `run`, without the slot of what is kept."""
        now = [s.generation for s in self._storages]
        generations, buffer = self._held
        if generations != now or buffer is None or NEVER in now:
            buffer = self._renewed(slots)
        at = self._at
        self._run(*slots[:at], buffer.address, *slots[at:])

    def _renewed(self, slots: Sequence[Any]) -> memory.Buffer:
        """Memory that is not filled yet. It is kept where the inputs given are those that the Storages hold."""
        self._held = [], None  # so that its memory may be had again
        now = [s.shared_or_generation() for s in self._storages]
        buffer = memory.unfilled(self._nbytes)
        held = [s.base.buffer for s in self._storages]
        given = [slots[k] for k in self._steady]
        if NEVER not in now and all([b is not None and b.address == a for a, b in zip(given, held)]):
            self._held = now, buffer
        return buffer
