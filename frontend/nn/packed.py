"""PackedSequence: sequences of different lengths in one tensor, as recurrent modules take and give them."""

from __future__ import annotations

from typing import NamedTuple

import ingot
from ingot._tensor import Tensor

__all__ = ["PackedSequence"]


class PackedSequence(NamedTuple):
    """Sequences laid end to end by step: first all first elements, then all second ones, and so on.

    `data` is (elements, *), `batch_sizes` (int64, on the CPU) says how many sequences reach each step; the sequences are
    sorted by length, and the two index tensors say how (None when they came sorted).

    >>> packed = nn.utils.rnn.pack_sequence([ingot.tensor([1, 2, 3]), ingot.tensor([4, 5])])
    >>> packed.data, packed.batch_sizes
    (tensor([1, 4, 2, 5, 3]), tensor([2, 2, 1]))
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None

    def _positions(self) -> tuple[list[int], list[int], int, int]:
        """For each packed element its step and its row; the number of steps and of rows."""
        sizes = self.batch_sizes.tolist()
        steps = [t for t, n in enumerate(sizes) for _ in range(n)]
        rows = [r for n in sizes for r in range(n)]
        return steps, rows, len(sizes), sizes[0]

    def _padded(self) -> tuple[Tensor, Tensor]:
        """(steps, rows, *) with zeros after each end, and a bool mask (steps, rows, 1) of what is live."""
        steps, rows, t, n = self._positions()
        at = [-1] * (t * n)
        for k, (s, r) in enumerate(zip(steps, rows)):
            at[s * n + r] = k
        live = ingot.tensor([k >= 0 for k in at]).reshape((t, n, 1))
        rest = tuple(self.data.shape[1:])
        taken = self.data.index_select(0, ingot.tensor([max(k, 0) for k in at])).reshape((t, n, *rest))
        mask = live.reshape((t, n) + (1,) * len(rest))
        return ingot.where(mask, taken, ingot.zeros((), dtype=taken.dtype)), live

    def _repacked(self, padded: Tensor) -> PackedSequence:
        """The packed form of (steps, rows, *) with this one's lengths."""
        steps, rows, t, n = self._positions()
        flat = padded.reshape((t * n, *padded.shape[2:]))
        data = flat.index_select(0, ingot.tensor([s * n + r for s, r in zip(steps, rows)]))
        return PackedSequence(data, self.batch_sizes, self.sorted_indices, self.unsorted_indices)
