"""What containers, entries and variables held before a function ran, and putting it back."""

from __future__ import annotations

from array import array
from collections.abc import MutableMapping
from operator import is_
from typing import Any

import numpy as np

from ingot.capture.describe import held_in
from ingot.capture.places import Elsewhere, InCell, InTable
from ingot.capture.watch import MISSING

__all__ = ["copied", "is_same_content", "put_back", "put_content", "put_entry", "restore"]


def put_back(place: Elsewhere, old: Any) -> None:
    """Have an entry or a variable hold what it held."""
    if isinstance(place, InTable):
        put_entry(place.table, place.name, old)
    elif isinstance(place, InCell):
        put_content(place.cell, old)


def put_entry(table: MutableMapping, name: Any, value: Any) -> None:
    """Have an entry hold a value; MISSING deletes it."""
    if value is MISSING:
        del table[name]
    else:
        table[name] = value


def put_content(cell: Any, value: Any) -> None:
    """Have a variable hold a value; MISSING empties it."""
    if value is MISSING:
        del cell.cell_contents
    else:
        cell.cell_contents = value


def copied(x: Any) -> Any:
    """What a list, dict, set, deque or array holds now."""
    if isinstance(x, np.ndarray):
        return x.copy() if x.flags.writeable else x
    if isinstance(x, (bytearray, array)):
        return x[:]
    return dict(x) if isinstance(x, MutableMapping) else set(x) if isinstance(x, set) else list(x)


def is_same_content(a: Any, b: Any) -> bool:
    """Whether two results of `copied` hold the same."""
    if isinstance(a, list):
        return len(a) == len(b) and all(map(is_, a, b))
    if isinstance(a, MutableMapping):
        return list(a) == list(b) and all(map(is_, a.values(), b.values()))
    return a is b or bool(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b)


def restore(x: Any, before: Any) -> None:
    """Have it hold what `copied` gave, if it holds something else."""
    if isinstance(x, np.ndarray):
        if x is not before:
            x[...] = before
    elif isinstance(x, (bytearray, array)):
        x[:] = before  # type: ignore[assignment]
    elif isinstance(x, MutableMapping):
        if not isinstance(x, dict) or list(x) == list(before):
            for key in [k for k in x if k not in before]:
                del x[key]
            for key, value in before.items():
                if x.get(key, MISSING) is not value:
                    x[key] = value
        else:
            x.clear()
            x.update(before)
    elif isinstance(x, set):
        if x != before:
            x.clear()
            x.update(before)
    elif len(held_in(x)) != len(before) or any(a is not b for a, b in zip(held_in(x), before)):
        x.clear()
        x.extend(before)
