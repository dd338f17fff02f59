"""A compiled function: its entries, one per signature and state of the world that it was called in, and which of them serves a call."""

from __future__ import annotations

import functools
import inspect
import os
import re
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ingot.capture.argnames import leaf_names, parameter_names
from ingot.capture.arguments import shared_leaves
from ingot.capture.attached import attached
from ingot.capture.call import CompiledCall, Unsized
from ingot.capture.declared import Declared
from ingot.capture.dynamic import Dynamic, History
from ingot.capture.errors import CaptureError
from ingot.capture.fastcall import MISS, fast_call
from ingot.capture.guards import Guards
from ingot.capture.places import Elsewhere
from ingot.capture.pytree import flatten
from ingot.capture.shapes import Shapes
from ingot.capture.signature import Statics, difference, loose, signature
from ingot.capture.stages import Late
from ingot.capture.traced import Traced
from ingot.capture.tracing import trace_function
from ingot.ir.struct import frozen, struct
from ingot.runtime import log, switches
from ingot.runtime.collector import paused
from ingot.runtime.frozen import FrozenError, frozen_by_default
from ingot.runtime.recorder import here, ours

__all__ = ["CompiledFunction", "RECOMPILES"]

_MANY = 8  # compilations of one function after which it warns
_PARTS = r"'?-?\b\d+(\.\d+)?(e-?\d+)?'?"  # numbers in a reason
_LIMIT = 64  # entries of one function, and reasons that it counts; of entries the oldest goes
RECOMPILES: Counter[str] = Counter()  # of this process, by function
_TORCH_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
_ENTERING = threading.Lock()  # while a table of entries changes
os.register_at_fork(before=_ENTERING.acquire, after_in_parent=_ENTERING.release, after_in_child=_ENTERING.release)


@frozen
@struct
class _Entry:
    """Code for one signature, and what must hold for it to serve. shapes, exchanged: what its trace took to be run-time numbers."""

    call: CompiledCall
    guards: Guards
    shapes: Shapes | None
    exchanged: Sequence[Elsewhere]

    def unfit(self, leaves: Sequence[Any]) -> str | None:
        """Why it does not serve a call with these argument leaves; None if it does."""
        fit = self.call.traced.fit
        return (None if fit is None else fit.unfit(leaves)) or self.guards.failed() or self.guards.aliased(leaves) or self._shared(leaves)

    def _shared(self, leaves: Sequence[Any]) -> str | None:
        if self.call.traced.distinct:
            for i in shared_leaves(leaves):
                if i not in self.guards.by_reference:
                    return f"argument {self.guards.names[i]} shares memory with another one, and the function writes to arguments"
        return None


def _inner_frames() -> int:
    """How many frames of Ingot's own lie between the caller and the user's code."""
    n, frame = 0, sys._getframe(1)
    while frame is not None and ours(frame.f_code.co_filename):
        n, frame = n + 1, frame.f_back  # type: ignore[assignment]
    return n


def _sized_key(key: Any, history: History | None, leaves: Sequence[Any]) -> Any:
    """The key of entries that serve many numbers."""
    return loose(key), () if history is None else history.key(leaves)


def _miss(*args: Any) -> Any:
    return MISS


class CompiledFunction:
    """A function that is traced once per signature and then runs as native code. Made by `ingot.compile`.

    `stats` counts calls by what they did: {"calls": ..., "traces": ..., "recompiles": ...}; `recompiles` counts the latter
    by reason.
    """

    def __init__(
        self, fn: Callable, mode: str | None = None, static: Sequence[str] = (), name: str | None = None, dynamic: Any = None
    ):
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
        spec = None if dynamic is None or isinstance(dynamic, bool) else Declared(dynamic, *parameter_names(fn))
        self._dynamic = Dynamic(dynamic if isinstance(dynamic, bool) else None, spec)
        self._entries: dict[Any, tuple[_Entry, ...]] = {}
        self._last: Any = None  # the signature of the call that the last entry was made for
        self._signed = False  # whether integers that it asks of tensors may be negative
        self._by_sizes = 0  # how many long calls code for all numbers has served, one after the other
        # the entries that have served the last calls, and their short ways: how many positional arguments each takes, and itself
        self._latest: tuple[_Entry | None, _Entry | None] = None, None
        self._fast: tuple[int, Callable[..., Any]] = -1, _miss
        self._other: tuple[int, Callable[..., Any]] = -1, _miss

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
            n, fast = self._other
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
        history: History | None = None
        keys, looked = [key], self._by_sizes > 1
        if looked:
            history, sized = self._sized_keys(key, leaves)
            keys += sized
        while keys:
            asked = keys.pop()
            entries = self._entries.get(asked, ())
            for entry in entries:
                unfit = entry.unfit(leaves)
                if unfit is None:
                    self._by_sizes = 0 if asked == key else self._by_sizes + 1
                    entry.guards.serve()
                    if entry is not entries[0]:
                        self._first(asked, entry)
                    if "capture" in switches.get("INGOT_CHECK"):
                        self._check(entry, structure, leaves, numbers)
                    elif entry not in self._latest:
                        self._prepare(entry, args, kwargs, structure, leaves, numbers)
                    try:
                        return entry.call.call(leaves)
                    except Late as late:
                        unfit, self._signed = str(late), True
                reason = reason or unfit
            if not looked:  # no code for just these numbers
                looked = True
                history, keys = self._sized_keys(key, leaves)
        try:
            return self._enter(key, structure, leaves, numbers, reason, history).call.first(leaves)
        except Late as late:  # an integer is negative that was taken not to be
            self._signed = True
            return self._enter(key, structure, leaves, numbers, str(late), history).call.first(leaves)

    def _sized_keys(self, key: Any, leaves: list[Any]) -> tuple[History | None, list[Any]]:
        """The history of calls like this, and the key of code for all numbers, where there may be such."""
        history = self._dynamic.history(loose(key), leaves)
        moves = (history is not None and history.moving) or self._dynamic.moves_outside
        return history, [_sized_key(key, history, leaves)] if moves else []

    def _first(self, key: Any, entry: _Entry) -> None:
        """Have an entry be the first to be asked of those with this key: what has served is likely to serve again."""
        with _ENTERING:
            entries = self._entries.get(key, ())
            if entry in entries:
                self._entries[key] = entry, *(e for e in entries if e is not entry)

    def _signature(self, args: tuple, kwargs: dict[str, Any]) -> tuple[Any, list[Any], tuple[int, ...], Any]:
        """Structure and leaves of the arguments and of their tensors' attributes, which of them are run-time numbers, and the key."""
        leaves: list[Any] = []
        structure = flatten((args, kwargs), leaves)
        given = len(leaves)
        structure = attached(structure, leaves)
        numbers, key = signature(self.name, self.__wrapped__, self._statics, structure, leaves, given, here.recorder)
        return structure, leaves, numbers, key

    def _prepare(self, entry: _Entry, args: tuple, kwargs: dict, structure: Any, leaves: list, numbers: Sequence[int]) -> None:
        """From the second call of an entry on, calls like it go the short way."""
        self._latest, self._other, self._fast = (entry, self._latest[0]), self._fast, (-1, _miss)
        if kwargs:
            return
        fast = fast_call(entry.call, entry.guards, structure, leaves, numbers, here.recorder.grad_enabled, self.stats)
        if fast is not None:
            self._fast = len(args), fast

    # ---- a new entry

    def _trace(self, args: tuple, kwargs: dict[str, Any]) -> tuple[Traced, list[Any]]:
        """See `ingot.capture.trace_call`."""
        structure, leaves, numbers, key = self._signature(args, kwargs)
        names = leaf_names(self.__wrapped__, structure)
        dynamic = Dynamic(self._dynamic.mode, self._dynamic.declared)  # nothing is remembered
        history = dynamic.history(loose(key), leaves)
        if history is not None:
            dynamic.see(history, structure, leaves, names, self._statics.leaves(structure))
        shapes = dynamic.shapes(history, leaves, names)
        traced, _, undo = trace_function(self.name, self.__wrapped__, structure, leaves, numbers, names=names, shapes=shapes)
        undo()
        return traced, leaves

    def _enter(
        self, key: Any, structure: Any, leaves: list[Any], numbers: Sequence[int], reason: str | None, history: History | None
    ) -> _Entry:
        """Make the entry for a call, or find that another thread has made the same meanwhile."""
        full, again = key, bool(self._entries)
        names = leaf_names(self.__wrapped__, structure)
        moved, shapes = "", None
        if history is not None:
            moved = self._dynamic.see(history, structure, leaves, names, self._statics.leaves(structure))
        known = self._entries.get(key, ()) + self._entries.get(_sized_key(key, history, leaves), ())
        alike = [e for k, entries in self._entries.items() if k[0] == loose(key) or loose(k) == loose(key) for e in entries]
        if self._dynamic.changed([p for e in alike for p in e.guards.moving()]):
            reason = f"{reason}: read at each call from now on"
        shapes = self._dynamic.shapes(history, leaves, names)
        if again:
            reason = moved or reason or difference(key, self._last, names)
        try:
            with frozen_by_default(self.mode == "frozen" and again), paused():
                made = None
                if shapes is not None:
                    made = self._sized(history, shapes, structure, leaves, numbers, names)
                    if made is not None and made.call.traced.fit is not None:
                        key = _sized_key(key, history, leaves)
                if made is None:
                    if again and history is not None and history.static:
                        reason = difference(key, self._last, names)
                    try:
                        made = self._made(structure, leaves, numbers, names, None, {})
                    except Unsized as e:
                        raise CaptureError(
                            f"{self.name}: {e}, and the function computes it: do this part outside of the compiled function"
                        ) from None
                    except FrozenError:
                        made = self._guessed(history, structure, leaves, numbers, names)
                        if made is None:
                            raise
                        key = _sized_key(key, history, leaves)
        except FrozenError as e:
            raise FrozenError(f"{self.name}: {reason}; {e}" if again else str(e), e.key) from None
        self.stats["traces"] += 1
        self._last = full
        with _ENTERING:
            present = self._entries.get(key, ())
            for other in present:
                if other not in known and other.call.traced.graph.text == made.call.traced.graph.text and other.unfit(leaves) is None:
                    return other
            self._entries[key] = made, *present
            if sum(map(len, self._entries.values())) > _LIMIT:
                oldest = next(iter(self._entries))
                self._entries[oldest] = self._entries[oldest][:-1]
                if not self._entries[oldest]:
                    del self._entries[oldest]
        if again:
            self._count(str(reason))
            if self.stats["traces"] == _MANY:
                self._warn(names)
        return made

    def _made(
        self, structure: Any, leaves: list[Any], numbers: Sequence[int], names: Sequence[str], shapes: Shapes | None, pinned: dict[str, str]
    ) -> _Entry:
        exchanged = self._dynamic.read_anew
        traced, guards, undo = trace_function(
            self.name, self.__wrapped__, structure, leaves, numbers, names=names, shapes=shapes, pinned=pinned, exchanged=exchanged,
            signed=self._signed,
        )  # fmt: skip
        try:
            return _Entry(CompiledCall(traced), guards, shapes, exchanged)
        except BaseException:
            undo()
            raise

    def _sized(
        self, history: History | None, shapes: Shapes, structure: Any, leaves: list[Any], numbers: Sequence[int], names: Sequence[str]
    ) -> _Entry | None:
        """The entry for all numbers; None where none can be made, and calls are compiled for theirs."""
        pinned: dict[str, str] = {}
        try:
            made = self._made(structure, leaves, numbers, names, shapes, pinned)
        except FrozenError:  # it may be that the code for just these sizes is there
            return None
        except Unsized as error:
            self._dynamic.refuse(history, str(error))
            log.log("recompiles", "%s is compiled for each size: %s", self.name, error)
            return None
        self._dynamic.found(history, shapes, pinned)
        return made

    def _guessed(
        self, history: History | None, structure: Any, leaves: list[Any], numbers: Sequence[int], names: Sequence[str]
    ) -> _Entry | None:
        """Where nothing may be compiled, and no code is there for just these sizes: the code for all of them, where that is there."""
        for _ in self._dynamic.guesses(history, leaves):
            shapes = self._dynamic.shapes(history, leaves, names)
            made = None if shapes is None else self._sized(history, shapes, structure, leaves, numbers, names)
            if made is not None and made.call.traced.fit is not None:
                return made
        return None

    def _warn(self, names: Sequence[str]) -> None:
        """Say once what has the function compiled again and again."""
        common = Counter(re.sub(_PARTS, "…", r) for r in self.recompiles.elements())
        what, n = common.most_common(1)[0]
        fixed = self._dynamic.fixed_because()
        warnings.warn(
            f"{self.name} was compiled {_MANY} times, {n} of them because {what}{f' ({fixed})' if fixed else ''}. Pass as a tensor what "
            "changes at each call, keep Python from needing it as a number (range, a list's length, a look-up), or leave it out of the "
            "compiled function; INGOT_LOG=recompiles tells each reason",
            stacklevel=1 + _inner_frames(),
        )

    def _count(self, reason: str) -> None:
        """Count and tell a recompile by its reason; beyond a number of reasons, as one of the others."""
        self.stats["recompiles"] += 1
        RECOMPILES[self.name] += 1
        log.log("recompiles", "%s is compiled again: %s", self.name, reason)
        if reason not in self.recompiles and len(self.recompiles) >= _LIMIT:
            reason = "other reasons"
        self.recompiles[reason] += 1

    def _check(self, entry: _Entry, structure: Any, leaves: list[Any], numbers: Sequence[int]) -> None:
        """INGOT_CHECK=capture: trace again, and compare. Not where the sizes that it computes tell only later whether the entry serves."""
        if entry.call.traced.late:
            return
        shapes = None if entry.shapes is None or entry.call.traced.fit is None else entry.shapes.now(leaves)
        again, _, undo = trace_function(
            self.name, self.__wrapped__, structure, leaves, numbers, names=leaf_names(self.__wrapped__, structure), shapes=shapes,
            exchanged=entry.exchanged,
        )  # fmt: skip
        undo()
        if again.graph.text != entry.call.traced.graph.text:
            raise CaptureError(
                f"{self.name}: the function does something else than when it was compiled, and nothing that is watched has changed "
                "(INGOT_CHECK=capture). Pass what it depends on as an argument"
            )
