"""Attributes and dict entries that a traced function assigns: what each call assigns to them, and how they were before.

While a function is traced they hold what it has assigned, so that it reads its own. Afterwards tensors are taken out again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ingot._tensor import Tensor
from ingot.capture.describe import PLAIN
from ingot.capture.roots import Roots
from ingot.capture.sources import Attribute
from ingot.capture.trace import Trace
from ingot.capture.writes import AttributeWrite, NewState, PlainWrite, Write

if TYPE_CHECKING:
    from ingot.capture.assembly import Assembly

__all__ = ["Tables"]


class Tables:
    """The tables that a function can reach, as they are before it is traced."""

    def __init__(self, roots: Roots):
        owned = [(table, m) for m in roots.modules for table in (vars(m), m._buffers, m._parameters)]
        owned += [(vars(o), o) for o in roots.objects] + [(d, d) for d in roots.dicts]
        owned += [(state, state) for o in roots.optimizers for state in o.state.values()]
        self._before = [(table, dict(table), owner) for table, owner in owned]
        self._optimizers = [(o, set(o.state)) for o in roots.optimizers]
        self._tensors = roots.tensors

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
                if value is not old and isinstance(value, PLAIN) and isinstance(old, PLAIN) and key in before:
                    found.append(PlainWrite(table, key, value))
                if value is old or not isinstance(value, Tensor) or not _of(trace, value):
                    continue
                found.append(AttributeWrite(table, key, assembly.recipe(value)))
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
                    made = ((k, assembly.recipe(v) if isinstance(v, Tensor) and _of(trace, v) else v) for k, v in state.items())
                    found.append(NewState(o.state, p, type(state), tuple(made)))
        return found, rebound

    def put_back(self, trace: Trace) -> None:
        """Take out what the trace has made. Numbers and the like stay as the function has assigned them."""
        for o, known in self._optimizers:
            for p in [p for p in o.state if p not in known]:
                del o.state[p]
        for table, before, _ in self._before:
            for key, value in list(table.items()):
                if isinstance(value, Tensor) and value is not before.get(key) and _of(trace, value):
                    if key in before:
                        table[key] = before[key]
                    else:
                        del table[key]


def _of(trace: Trace, t: Tensor) -> bool:
    """Whether a tensor was made by a trace, or shares memory with one that it has captured."""
    return t._array.source is trace or t._storage in trace.captured
