"""From a function and the arguments of one call to a traced value and its guards.

The function runs once, on stand-ins, with a `Trace` as the recorder. What it did to tensors is undone: whoever runs the traced
value does it. Nothing is compiled here, and only one thread traces at a time.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from ingot._tensor import Tensor
from ingot._tensor.extents import Again, Extents
from ingot.capture.added import Grown
from ingot.capture.arguments import Arguments
from ingot.capture.assembly import Assembly
from ingot.capture.attached import attributes, holders, put_attributes, seen_in
from ingot.capture.effects import Effects
from ingot.capture.errors import CaptureError, LeakedTensorError
from ingot.capture.guards import Guards, Seen
from ingot.capture.places import Elsewhere, place_text
from ingot.capture.pytree import flatten, unflatten
from ingot.capture.roots import Roots, find_roots
from ingot.capture.shapes import Shapes
from ingot.capture.stand_ins import Namespaces, measured
from ingot.capture.tables import Tables
from ingot.capture.trace import TRACING, Aliased, Measures, Trace, run_traced
from ingot.capture.traced import Traced
from ingot.capture.watch import MISSING
from ingot.capture.witness import Witness
from ingot.ir.location import describe
from ingot.ir.size import Dim
from ingot.runtime import log
from ingot.runtime.recorder import here, ours

__all__ = ["trace_function"]


def trace_function(
    name: str,
    fn: Callable,
    structure: Any,
    leaves: Sequence[Any],
    numbers: Sequence[int],
    *,
    roots: Roots | None = None,
    names: Sequence[str] | None = None,
    shapes: Shapes | None = None,
    pinned: dict[str, str] | None = None,
    sizes_within: bool = False,
    exchanged: Sequence[Elsewhere] = (),
    signed: bool = False,
) -> tuple[Traced, Guards, Callable[[], None]]:
    """Trace `fn` on the arguments whose `structure` and `leaves` are given; `numbers` are the leaves that are run-time numbers.

    roots: what `fn` can reach, if that is known; names: what the leaves are called. shapes: which sizes are symbols; those that the
    function needs as plain numbers are constants, and come into `pinned`, by their names with the reason. sizes_within: values of
    sizes are computed by the graph, which has no inputs for them. exchanged: places outside whose tensors each call reads anew.
    signed: integers that the function asks of tensors may be negative.

    Python's state is left as `fn` has made it, for a call that follows. The third result puts it back as it was, where none does.

    CaptureError for what cannot be compiled, and nothing has changed; what `fn` raises comes through.
    """
    if roots is None:
        roots = find_roots(fn, seen_in(leaves))
        for x in leaves:
            if isinstance(x, Tensor):
                roots.hooks(x)
    for o in roots.optimizers:
        ready_state = getattr(o, "initialize_state", None)
        if ready_state is not None:
            ready_state()
    with TRACING:
        by_reference: set[Any] = set()  # argument leaves, and slots of gradients
        tables = Tables(roots, exchanged)
        shapes = None if shapes is None else shapes.at(tables.standing.reachable, tables.standing.found)
        names = names or [f"argument {i}" for i in range(len(leaves))]
        measures = False  # whether there are sizes that the function computes
        same: dict[str, Dim] = {}  # those of them that equal others
        try:
            while True:
                values = {} if shapes is None else shapes.values
                extents = Extents(values, not sizes_within) if values or measures else None
                trace = Trace(here.recorder, by_reference, extents, sizes_within, same, signed)
                trace.leaves = leaves
                captured = {i for i in by_reference if isinstance(i, int)}
                arguments = Arguments(trace, leaves, numbers, captured, holders(structure), shapes)
                assembly = Assembly(trace, arguments, name, names)
                try:
                    traced, guards = _traced(fn, structure, assembly, roots, tables)
                    break
                except Aliased as alias:
                    tables.undo()
                    by_reference.add(alias.by)
                except Grown:
                    tables.undo()
                except Measures:
                    tables.undo()
                    measures = True
                except Again as again:
                    tables.undo()
                    if not again.values.keys().isdisjoint(trace.measured):
                        same.update(again.values)
                        continue
                    assert shapes is not None
                    shapes = _specialised(name, shapes, again, names, {} if pinned is None else pinned)
                finally:
                    if extents is not None:
                        extents.close()
            del assembly, arguments
            trace.forget()
            _check_leaks(name, trace)
        except CaptureError:
            tables.undo()
            raise
    return traced, guards, tables.undo


def _specialised(name: str, shapes: Shapes, again: Again, names: Sequence[str], pinned: dict[str, str]) -> Shapes:
    """What the next trace takes the leaves to be. CaptureError where that is not what the user has declared."""
    where = f" ({again.where})" if again.where else ""
    for n, dim in again.values.items():
        places = [place_text(p, names) for p in shapes.places(n)]
        text = f"{', '.join(places)} is {dim} for good: {again.why}{where}"
        if n in shapes.declared and isinstance(dim, int):
            raise CaptureError(f"{name}: {places[0]} was declared to be dynamic ({n}), but {text}")
        if again.number:
            pinned[n] = text
            log.log("recompiles", "%s: %s", name, text)
    return shapes.again(again)


def _traced(fn: Callable, structure: Any, assembly: Assembly, roots: Roots, tables: Tables) -> tuple[Traced, Guards]:
    """Run `fn` on stand-ins. When this returns, nothing of the trace should be alive but what `assembly` holds."""
    trace, arguments = assembly.trace, assembly.arguments
    witness = Witness(assembly.name, fn, seen_in(arguments.leaves), roots.tensors, tables.aside)
    try:
        args, kwargs, *held = unflatten(structure, arguments.given)
        for by_leaf in held:
            arguments.attach(by_leaf)
        effects = Effects(assembly.name, roots)
        tables.hold(arguments.shapes, trace, arguments.leaves)
        seen = Seen(roots, witness)
        with effects, witness, contextlib.nullcontext() if trace.extents is None else measured():
            if trace.extents is not None:
                witness.namespaces = Namespaces()
            result = run_traced(trace, lambda: fn(*args, **kwargs))
        tables.check(trace, assembly.name, witness.followed)
        witness.check()
        effects.check()
        _check_arguments(assembly, structure, (args, kwargs, *held))
        _check_captured(assembly, roots)
        traced, exchanges, stay = run_traced(trace, lambda: assembly.traced(result, tables, roots))
        guards = seen.guards(exchanges, stay, trace, arguments.by_reference, assembly.names)
        guards.inline += tuple(tables.owners(traced, guards))
        return traced, guards
    finally:
        if witness.namespaces is not None:
            witness.namespaces.leave()
        tables.put_back(trace)
        witness.forget()


def _check_arguments(assembly: Assembly, structure: Any, given: tuple) -> None:
    """CaptureError if a list, dict or dataclass that was passed holds something else now: the caller's own does not change."""
    name, now = assembly.name, list[Any]()
    if flatten(given, now) != structure:
        raise CaptureError(f"{name}: a compiled function cannot add to or take from a list or dict that it is given; return a new one")
    for x, given, leaf in zip(now, assembly.arguments.given, assembly.names):
        if x is not given and (isinstance(x, Tensor) or isinstance(given, Tensor) or x != given):
            raise CaptureError(f"{name}: a compiled function cannot assign {leaf}, a part of what it is given; return a new one")


def _check_captured(assembly: Assembly, roots: Roots) -> None:
    """CaptureError if an argument that is captured, and known as nothing else, has other attributes now, which no call would repeat."""
    own = assembly.arguments
    known = set(map(id, roots.tensors))
    for i, x in own.by_reference.items():
        if id(x) not in known:
            was, now = own.before[i], attributes(x)
            other = next((n for n in {**was, **now} if was.get(n, MISSING) is not now.get(n, MISSING)), None)
            if other is not None:
                put_attributes(x, was, now.keys() - was.keys())
                raise CaptureError(
                    f"{assembly.name}: a compiled function assigns the attribute {other} of argument {assembly.names[i]}, which shares "
                    "memory with another tensor that it writes; assign it outside"
                )


def _clear_debuggers() -> None:
    """Have the debuggers of a `breakpoint()` let go of the locals that they have shown last."""
    bdb = sys.modules.get("bdb")
    if bdb is not None:
        at, running = sys._getframe(1), set[Any]()
        while at is not None:
            running.add(at)
            at = at.f_back  # type: ignore[assignment]
        for x in gc.get_objects():
            if issubclass(type(x), bdb.Bdb):  # no look at x itself: it may be a proxy
                _forget_frames(vars(x), running)
            elif type(x) is FrameType and x not in running and ours(x.f_code.co_filename):
                with contextlib.suppress(RuntimeError):  # a generator's, that goes on
                    x.clear()  # from Python 3.13 on, what a debugger has shown of a frame keeps it
        _ = sys._getframe(2).f_locals  # makes anew what a debugger has seen of them, in which the trace's own were alive


def _forget_frames(held: dict[str, Any], running: set[Any]) -> None:
    """Let go of the frames that a debugger holds and that have ended, and of what it has shown of them."""
    held["curframe_locals"], held["stack"] = {}, []
    for name, value in held.items():
        if isinstance(value, FrameType) and value not in running:
            held[name] = None
        elif isinstance(value, dict):
            for key in [k for k in value if isinstance(k, FrameType) and k not in running]:
                del value[key]


def _check_leaks(name: str, trace: Trace) -> None:
    """LeakedTensorError if a value of the trace is still held somewhere."""
    if not any(r() is not None for r in trace.handles):
        return
    _clear_debuggers()
    gc.collect()
    for i, r in enumerate(trace.handles):
        if r() is not None:
            loc = trace.locs[trace.maker(i)]
            trace.clear()
            raise LeakedTensorError(
                f"{name}: a tensor that was made while the function was compiled is kept after it "
                f"({describe(loc).strip() or 'its line is not known'}). Compiled code cannot put it there at each call: return it, "
                "or keep it in a Module's attribute or buffer"
            )
