"""Weights that a file holds as its code reads them: packed into panels, transposed. What the plain ones are is told by the code itself.

The code of a target makes what it keeps of its weights (`executable.kept`) before anything else, the same bytes whenever the weights are
the same. So it is run on weights whose elements are numbers, 1 for the first element of the first weight and so on: where a number comes
out, the element with that number lies. Numbers that do not fit into an element are moved a digit at a time. `export` stores nothing of
which it has not read back every bit in this way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from ingot.runtime import memory

__all__ = ["Code", "plain", "prepare"]

_HEAD = 64  # bytes of what is kept that come before all values (ir/lower/prologue.py)
_ROOM = 1 / 64  # by how much a file may grow where panels are filled up
_PAGE = 4096


class Code:
    """A target's code, to be run for what it keeps. types: dtypes and shapes of inputs and outputs;  extents: values of the symbols."""

    def __init__(
        self, run: Callable[..., None], slots: Sequence[str], feed: Sequence[tuple[str, int | str]],
        types: Sequence[tuple[np.dtype, tuple[int, ...]]], extents: Sequence[int], nbytes: int,
    ):  # fmt: skip
        self.run, self.slots, self.feed, self.types, self.extents, self.nbytes = run, slots, feed, types, extents, nbytes

    def kept(self, weights: Mapping[str, np.ndarray]) -> np.ndarray:
        """The bytes that it keeps of these weights. All else that it is given is 0."""
        given, slots = list[memory.Buffer](), list[Any]()
        for i, (dtype, shape) in enumerate(self.types):
            kind, which = self.feed[i] if i < len(self.feed) else ("output", 0)
            array = weights[str(which)] if kind == "weight" else np.zeros(shape, dtype)
            given.append(memory.from_numpy(array))
            slots.append(given[-1].address if self.slots[i] == "address" else array.item())
        kept = memory.allocate(self.nbytes).array(np.dtype(np.uint8), (self.nbytes,))
        kept[...] = 0
        kept[1] = 1
        self.run(*slots, kept.ctypes.data, *self.extents)
        return kept


def prepare(code: Code, weights: Mapping[str, np.ndarray], once: Collection[int]) -> tuple[np.ndarray, list[str]] | None:
    """What to store in the place of weights, and which. None where it would not take their place, or the file would grow.

    once: the inputs that the code reads for what it keeps, and for nothing else.
    """
    again = {which for i, (_, which) in enumerate(code.feed) if i not in once}
    names = sorted({str(code.feed[i][1]) for i in once if code.feed[i][1] not in again})
    nbytes = sum(weights[n].nbytes for n in names)
    if not names or code.nbytes > nbytes * (1 + _ROOM) + _PAGE:
        return None
    kept = code.kept(weights)
    found = plain(kept, names, code, weights)
    if found is None or any(found[n].tobytes() != weights[n].tobytes() for n in names):
        return None
    return kept, names


def plain(kept: np.ndarray, names: Collection[str], code: Code, others: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """The weights of which `kept` was made. None where it has not every element of them. others: those that are known."""
    specs = {str(w): code.types[i] for i, (kind, w) in enumerate(code.feed) if kind == "weight" and w in names}
    if any(dtype.itemsize > 8 for dtype, _ in specs.values()):
        return None
    first, count = dict[str, int](), 1
    for name, (_, shape) in specs.items():
        first[name], count = count, count + math.prod(shape)
    word = np.uint32 if count < 1 << 32 else np.uint64
    sizes = {dtype.itemsize for dtype, _ in specs.values()}
    digit = 8 * min(sizes)  # bits of the numbers that are moved at a time
    seen = {s: np.zeros((kept.nbytes - _HEAD) // s, word) for s in sizes}  # by size of elements: which number came out where
    for at in range(0, count.bit_length(), digit):
        numbered = {
            name: (np.arange(first[name], first[name] + math.prod(shape), dtype=np.uint64) >> np.uint64(at) & np.uint64((1 << digit) - 1))
            .astype(f"u{dtype.itemsize}").view(dtype).reshape(shape)
            for name, (dtype, shape) in specs.items()
        }  # fmt: skip
        found = code.kept({**others, **numbered})
        for s, numbers in seen.items():
            numbers |= _elements(found, s).astype(word) << word(at)
    return _gathered(kept, specs, first, seen)


def _gathered(kept: np.ndarray, specs: Mapping[str, Any], first: Mapping[str, int], seen: Mapping[int, np.ndarray]) -> dict | None:
    """The elements where their numbers were seen."""
    out = dict[str, np.ndarray]()
    for name, (dtype, shape) in specs.items():
        n, numbers = math.prod(shape), seen[dtype.itemsize]
        places = np.flatnonzero((numbers >= first[name]) & (numbers < first[name] + n))
        values, there = np.empty(n, f"u{dtype.itemsize}"), np.zeros(n, np.bool_)
        which = numbers[places].astype(np.intp) - first[name]
        values[which], there[which] = _elements(kept, dtype.itemsize)[places], True
        if not there.all():
            return None
        values.flags.writeable = False
        out[name] = values.view(dtype).reshape(shape)
    return out


def _elements(kept: np.ndarray, size: int) -> np.ndarray:
    """What is kept, as whole numbers of `size` bytes."""
    values = kept[_HEAD:]
    return values[: values.nbytes // size * size].view(f"u{size}")
