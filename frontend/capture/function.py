"""A compiled function: its entries, one per signature and state of the world that it was called in, and which of them serves a call."""

from __future__ import annotations

import functools
import inspect
import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ingot.capture.argnames import leaf_names
from ingot.capture.call import CompiledCall
from ingot.capture.errors import CaptureError
from ingot.capture.fastcall import MISS, fast_call
from ingot.capture.guards import Guards
from ingot.capture.pytree import flatten
from ingot.capture.signature import Statics, difference, signature
from ingot.capture.traced import Traced
from ingot.capture.tracing import trace_function
from ingot.ir.struct import frozen, struct
from ingot.runtime import log, switches
from ingot.runtime.frozen import FrozenError, frozen_by_default
from ingot.runtime.recorder import here

__all__ = ["CompiledFunction", "RECOMPILES"]

_LIMIT = 64  # entries of one function, and reasons that it counts; of entries the oldest goes
RECOMPILES: Counter[str] = Counter()  # of this process, by function
_TORCH_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
_ENTERING = threading.Lock()  # while a table of entries changes
os.register_at_fork(before=_ENTERING.acquire, after_in_parent=_ENTERING.release, after_in_child=_ENTERING.release)


@frozen
@struct
class _Entry:
    """Code for one signature, and what must hold for it to serve."""

    call: CompiledCall
    guards: Guards

    def unfit(self, leaves: Sequence[Any]) -> str | None:
        """Why it does not serve a call with these argument leaves; None if it does."""
        return self.guards.failed() or self.guards.aliased(leaves)


def _miss(*args: Any) -> Any:
    return MISS


class CompiledFunction:
    """A function that is traced once per signature and then runs as native code. Made by `ingot.compile`.

    `stats` counts calls by what they did: {"calls": ..., "traces": ..., "recompiles": ...}; `recompiles` counts the latter
    by reason.
    """

    def __init__(self, fn: Callable, mode: str | None = None, static: Sequence[str] = (), name: str | None = None):
        if not callable(fn):
            raise TypeError(f"ingot.compile takes a function or a Module, not {type(fn).__name__}")
        if inspect.iscoroutinefunction(fn) or inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
            raise TypeError(f"ingot.compile cannot compile {getattr(fn, '__name__', fn)}: generators and coroutines have no single result")
        if mode not in (None, "frozen", *_TORCH_MODES):
            raise ValueError(f"mode is None or 'frozen' (or one of torch's, {', '.join(_TORCH_MODES)}, which change nothing), not {mode!r}")
        functools.update_wrapper(self, fn, updated=())
        self.__wrapped__ = fn
        self.mode = mode
        self.name: str = name or getattr(fn, "__name__", None) or type(fn).__name__
        self.stats = {"calls": 0, "traces": 0, "recompiles": 0}
        self.recompiles: Counter[str] = Counter()
        self._statics = Statics(fn, static)
        self._entries: dict[Any, tuple[_Entry, ...]] = {}
        self._latest: _Entry | None = None  # the one that `_fast` serves
        self._fast: tuple[int, Callable[..., Any]] = -1, _miss  # how many positional arguments it takes, and itself

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        return functools.partial(self, instance)

    def __repr__(self) -> str:
        return f"<compiled {self.name}: {sum(map(len, self._entries.values()))} specialisations>"

    # ---- a call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not kwargs:
            n, fast = self._fast
            if len(args) == n:
                result = fast(*args)
                if result is not MISS:
                    return result
        return self._long(args, kwargs)

    def _long(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        """The call, with everything looked at."""
        rec = here.recorder
        if rec.tracing or not switches.get("INGOT_COMPILE"):
            return self.__wrapped__(*args, **kwargs)  # inlined into what is being compiled
        rec.cut()
        structure, leaves, numbers, key = self._signature(args, kwargs)
        self.stats["calls"] += 1
        reason = None
        for entry in self._entries.get(key, ()):
            unfit = entry.unfit(leaves)
            if unfit is None:
                if "capture" in switches.get("INGOT_CHECK"):
                    self._check(entry, structure, leaves, numbers)
                elif self._latest is not entry:
                    self._prepare(entry, args, kwargs, leaves, numbers)
                return entry.call.call(leaves)
            reason = reason or unfit
        return self._enter(key, structure, leaves, numbers, reason).call.call(leaves)

    def _signature(self, args: tuple, kwargs: dict[str, Any]) -> tuple[Any, list[Any], tuple[int, ...], Any]:
        """Structure and leaves of the arguments, which of them are run-time numbers, and the key."""
        leaves: list[Any] = []
        structure = flatten((args, kwargs), leaves)
        numbers, key = signature(self.name, self.__wrapped__, self._statics, structure, leaves, here.recorder)
        return structure, leaves, numbers, key

    def _prepare(self, entry: _Entry, args: tuple, kwargs: dict, leaves: list, numbers: Sequence[int]) -> None:
        """From the second call of an entry on, calls like it go the short way."""
        self._latest, self._fast = entry, (-1, _miss)
        if kwargs or len(args) != len(leaves):
            return
        fast = fast_call(entry.call, entry.guards, args, numbers, here.recorder.grad_enabled, self.stats)
        if fast is not None:
            self._fast = len(args), fast

    # ---- a new entry

    def _trace(self, args: tuple, kwargs: dict[str, Any]) -> tuple[Traced, list[Any]]:
        """See `ingot.capture.trace_call`."""
        structure, leaves, numbers, _ = self._signature(args, kwargs)
        names = leaf_names(self.__wrapped__, structure)
        traced, _, undo = trace_function(self.name, self.__wrapped__, structure, leaves, numbers, names=names)
        undo()
        return traced, leaves

    def _enter(self, key: Any, structure: Any, leaves: list[Any], numbers: Sequence[int], reason: str | None) -> _Entry:
        """Make the entry for a call, or find that another thread has made the same meanwhile."""
        known, again = self._entries.get(key, ()), bool(self._entries)
        names = leaf_names(self.__wrapped__, structure)
        if again:
            reason = reason or difference(key, list(self._entries)[-1], names)
        try:
            with frozen_by_default(self.mode == "frozen" and again):
                traced, guards, undo = trace_function(self.name, self.__wrapped__, structure, leaves, numbers, names=names)
                try:
                    made = _Entry(CompiledCall(traced), guards)
                except BaseException:
                    undo()
                    raise
        except FrozenError as e:
            raise FrozenError(f"{self.name}: {reason}; {e}" if again else str(e), e.key) from None
        self.stats["traces"] += 1
        with _ENTERING:
            present = self._entries.get(key, ())
            for other in present:
                if other not in known and other.call.traced.graph.text == traced.graph.text and other.unfit(leaves) is None:
                    return other
            self._entries[key] = made, *present
            if sum(map(len, self._entries.values())) > _LIMIT:
                oldest = next(iter(self._entries))
                self._entries[oldest] = self._entries[oldest][:-1]
                if not self._entries[oldest]:
                    del self._entries[oldest]
        if again:
            self._count(str(reason))
        return made

    def _count(self, reason: str) -> None:
        """Count and tell a recompile by its reason; beyond a number of reasons, as one of the others."""
        self.stats["recompiles"] += 1
        RECOMPILES[self.name] += 1
        log.log("recompiles", "%s is compiled again: %s", self.name, reason)
        if reason not in self.recompiles and len(self.recompiles) >= _LIMIT:
            reason = "other reasons"
        self.recompiles[reason] += 1

    def _check(self, entry: _Entry, structure: Any, leaves: list[Any], numbers: Sequence[int]) -> None:
        """INGOT_CHECK=capture: trace again, and compare."""
        again, _, undo = trace_function(self.name, self.__wrapped__, structure, leaves, numbers)
        undo()
        if again.graph.text != entry.call.traced.graph.text:
            raise CaptureError(
                f"{self.name}: the function does something else than when it was compiled, and nothing that is watched has changed "
                "(INGOT_CHECK=capture). Pass what it depends on as an argument"
            )
