"""Attributes and dict entries that a traced function assigns: what each call assigns to them, and how they were before.

While a function is traced they hold what it has assigned, so that it reads its own. Afterwards tensors are taken out again; everything is
put back where the function is to run once more.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ingot._tensor import Tensor
from ingot._tensor.extents import Extent, Extents, plain_dim
from ingot._tensor.reals import Real
from ingot.capture.describe import PLAIN
from ingot.capture.places import Elsewhere, InTable
from ingot.capture.recipes import Object
from ingot.capture.roots import Roots
from ingot.capture.shapes import Shapes, valued
from ingot.capture.sources import Attribute
from ingot.capture.trace import Trace
from ingot.capture.watch import MISSING, content
from ingot.capture.writes import AttributeWrite, NewState, PlainWrite, Write
from ingot.runtime.epoch import bump

if TYPE_CHECKING:
    from ingot.capture.assembly import Assembly

__all__ = ["Tables"]


class Tables:
    """The tables that a function can reach, as they are before it is traced."""

    def __init__(self, roots: Roots):
        owned = [(table, m) for m in roots.modules for table in (vars(m), m._buffers, m._parameters)]
        owned += [(table, o) for o, table in roots.objects] + [(d, d) for d in roots.dicts]
        owned += [(vars(t), t) for t in {id(t): t for t in roots.tensors}.values()]
        owned += [(state, state) for o in roots.optimizers for state in o.state.values()]
        self._before = [(table, dict(table), owner) for table, owner in owned]
        self._optimizers = [(o, set(o.state)) for o in roots.optimizers]
        self._others = [(x, _copy(x)) for x in (*map(vars, roots.optimizers), *roots.containers)]
        self._names = [(space, name, space.get(name, MISSING)) for space, name, _ in roots.names]
        self._cells = [(cell, content(cell)) for cell, _ in roots.cells]
        self._tensors = roots.tensors
        self._held: list[tuple[Elsewhere, Any, Any]] = []  # places of run-time numbers, what they held, and what they hold meanwhile

    def hold(self, shapes: Shapes | None, extents: Extents | None) -> None:
        """Have the places outside that hold run-time numbers hold what remembers them, until `put_back`."""
        if shapes is not None and extents is not None:
            for p in shapes.dims:
                if isinstance(p, Elsewhere):
                    given = shapes.given(p, extents)
                    if type(given) in (Extent, Real):
                        self._held.append((p, p.read(), given))
                        p.put(given)

    def check(self) -> None:
        """Trace again with the numbers of those places that the function assigns, and that calls do not."""
        owned = {id(table) for table, _, _ in self._before}
        for p, _, given in self._held:
            if p.read() is not given and not (isinstance(p, InTable) and id(p.table) in owned):
                given.known.pin_names(given.known.names_of(given), "the function assigns it")

    def writes(self, name: str, assembly: Assembly, leaves: Sequence[Any]) -> tuple[list[Write], dict[int, set[str]]]:
        """What calls of the function `name` assign, and the names that calls themselves assign, by the id of their owner.

        What such a name held before is no captured tensor any more, but whatever is there.
        """
        trace = assembly.trace
        found: list[Write] = []
        rebound: dict[int, set[str]] = {}
        places = Counter(id(t._storage) for t in (*self._tensors, *leaves) if isinstance(t, Tensor) and t._storage is not None)
        for table, before, owner in self._before:
            for key, value in list(table.items()):
                old = before.get(key)
                if type(value) in (Extent, Real) and any(value is given for _, _, given in self._held):
                    continue
                if isinstance(value, PLAIN) and (key not in before or (value is not old and isinstance(old, PLAIN))):
                    found.append(PlainWrite(table, key, plain_dim(value)))
                if value is old or not isinstance(value, Tensor) or not _of(trace, value):
                    continue
                recipe = assembly.recipe(value)
                found.append(AttributeWrite(table, key, recipe))
                if isinstance(recipe, Object):  # this very tensor: it must be the same one that is there at each call
                    continue
                captured = trace.captured.get(old._storage) if isinstance(old, Tensor) and old._storage is not None else None
                if captured is None:
                    rebound.setdefault(id(owner), set()).add(key)
                elif places[id(old._storage)] == 1:  # type: ignore[union-attr]
                    rebound.setdefault(id(owner), set()).add(key)
                    trace.sources[-1 - captured.placeholder.value] = Attribute(table, key, name)
                # else its memory is somebody else's too: this holds for one call, then the tensor there is another one
        for o, known in self._optimizers:
            for p, state in o.state.items():
                if p not in known:
                    made = ((k, assembly.recipe(v) if isinstance(v, Tensor) and _of(trace, v) else plain_dim(v)) for k, v in state.items())
                    found.append(NewState(o.state, p, type(state), tuple(made)))
        return found, rebound

    def put_back(self, trace: Trace) -> None:
        """Take out what the trace has made. Numbers and the like stay as the function has assigned them, but those that each call reads."""
        for o, known in self._optimizers:
            for p in [p for p in o.state if p not in known]:
                del o.state[p]
        for table, before, _ in self._before:
            for key, value in list(table.items()):
                if type(value) in (Extent, Real):
                    table[key] = valued(plain_dim(value), value.known.values)
                elif isinstance(value, Tensor) and value is not before.get(key) and _of(trace, value):
                    if key in before:
                        table[key] = before[key]
                    else:
                        del table[key]
        for p, value, _ in self._held:
            p.put(value)
        self._held = []

    def undo(self) -> None:
        """Make all of it as it was: the function will run again, or no call follows. Errors of its own undo nothing, as in Python."""
        for o, known in self._optimizers:
            for p in [p for p in o.state if p not in known]:
                del o.state[p]
        for x, before in (*((table, before) for table, before, _ in self._before), *self._others):
            _restore(x, before)
        for space, name, value in self._names:
            if space.get(name, MISSING) is not value:
                if value is MISSING:
                    del space[name]
                else:
                    space[name] = value
        for cell, value in self._cells:
            if content(cell) is not value:
                if value is MISSING:
                    del cell.cell_contents
                else:
                    cell.cell_contents = value
        bump()


def _copy(x: Any) -> Any:
    """What a list, dict, set, deque or array holds now."""
    if isinstance(x, np.ndarray):
        return x.copy() if x.flags.writeable else x
    if isinstance(x, (bytearray, array)):
        return x[:]
    return dict(x) if isinstance(x, MutableMapping) else set(x) if isinstance(x, set) else list(x)


def _restore(x: Any, before: Any) -> None:
    """Have it hold what `_copy` gave, if it holds something else."""
    if isinstance(x, np.ndarray):
        if x is not before:
            x[...] = before
    elif isinstance(x, (bytearray, array)):
        x[:] = before  # type: ignore[assignment]
    elif isinstance(x, MutableMapping):
        if list(x) == list(before):
            for key, value in before.items():
                if x[key] is not value:
                    x[key] = value
        else:
            x.clear()
            x.update(before)
    elif isinstance(x, set):
        if x != before:
            x.clear()
            x.update(before)
    elif len(x) != len(before) or any(a is not b for a, b in zip(x, before)):
        x.clear()
        x.extend(before)


def _of(trace: Trace, t: Tensor) -> bool:
    """Whether a tensor was made by a trace, or shares memory with one that it has captured."""
    return t._array.source is trace or t._storage in trace.captured
