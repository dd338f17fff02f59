"""From a function and the arguments of one call to a Specialization."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ingot._tensor import Tensor, wrap
from ingot.capture.describe import PLAIN
from ingot.capture.effects import Effects
from ingot.capture.errors import CaptureError, LeakedTensorError
from ingot.capture.guards import Guards
from ingot.capture.pytree import flatten, unflatten
from ingot.capture.reads import Reads
from ingot.capture.roots import Roots, find_roots
from ingot.capture.specialization import Backward, Recipe, Released, Specialization, Write, derive_backward, usable
from ingot.capture.trace import TRACING, AliasedArgument, Source, Trace, is_leaf, run_traced
from ingot.ir.dtypes import f64
from ingot.runtime.numbers import rank0
from ingot.runtime.recorder import here
from ingot.runtime.storage import LeafStep, Storage
from ingot.runtime.tape import Edge, GradSlot, Leaf

__all__ = ["specialize"]


class _Builder:
    """One trace on its way to a Specialization."""

    def __init__(
        self,
        name: str,
        roots: Roots,
        leaves: Sequence[Any],
        numbers: Sequence[int],
        by_reference: frozenset[int],
        names: Sequence[str] | None,
    ):
        self.name = name
        self.names = names or [f"argument {i}" for i in range(len(leaves))]
        self.roots = roots
        self.leaves = leaves
        self.trace = Trace(here.recorder)
        self.stand_ins: list[tuple[Tensor, int]] = []
        self.where: dict[Leaf, Any] = {}  # stand-in leaves -> what they stand for
        self.slot_of: dict[GradSlot, int] = {}
        self.outs: dict[int, int] = {}  # value number -> output
        self.edges: dict[int, Edge] = {}  # output -> edge
        self.fresh: dict[Storage, int] = {}
        self.recipes: dict[int, Recipe] = {}  # by the id of what they make
        self.keep: list[Tensor] = []
        owned = [(table, m) for m in roots.modules for table in (vars(m), m._buffers, m._parameters)]
        owned += [(vars(o), o) for o in roots.objects] + [(d, d) for d in roots.dicts]
        owned += [(state, state) for o in roots.optimizers for state in o.state.values()]
        self.before = [(table, dict(table), owner) for table, owner in owned]
        self.states = [(o, set(o.state)) for o in roots.optimizers]
        self.by_reference = by_reference  # argument tensors that are captured rather than stood in for
        self.given = self._stand_in(numbers)

    # ---- arguments

    def _stand_in(self, numbers: Sequence[int]) -> list[Any]:
        given: list[Any] = []
        seen: dict[int, Tensor] = {}
        for i, leaf in enumerate(self.leaves):
            if i in numbers:
                a = self.trace.placeholder(rank0(f64), Source("number", i), scalar=True)
                t = wrap((a, None))
                t._weak = True
                self.stand_ins.append((t, i))
                given.append(t)
            elif not isinstance(leaf, Tensor):
                given.append(leaf)
            elif id(leaf) in seen:
                given.append(seen[id(leaf)])
            elif i in self.by_reference:
                given.append(leaf)
                seen[id(leaf)] = leaf
            else:
                leaf._now()
                if leaf._storage is not None and self._shared(leaf):
                    given.append(leaf)  # it shares memory with another argument: by reference
                    seen[id(leaf)] = leaf
                    continue
                t = seen[id(leaf)] = self._argument(leaf, i)
                given.append(t)
        return given

    def _shared(self, t: Tensor) -> bool:
        return sum(1 for x in {id(x): x for x in self.leaves if isinstance(x, Tensor)}.values() if x._storage is t._storage) > 1

    def _argument(self, leaf: Tensor, i: int) -> Tensor:
        t = wrap((self.trace.placeholder(leaf._array.type, Source("arg", i)), None), type(leaf))
        self.stand_ins.append((t, i))
        self.trace.arguments[id(leaf)] = i
        if leaf._storage is not None:
            self.trace.arguments[leaf._storage] = i
        if leaf._edge is not None:
            slot = t._grad_slot()
            slot.grad = None if leaf._slot is None else leaf._slot.grad
            stand_in = Leaf(slot)
            t._edge = (stand_in, 0)
            self.where[stand_in] = ("argument", i)
            self.slot_of[slot] = i
        elif leaf._slot is not None:
            slot = t._grad_slot()
            slot.grad = leaf._slot.grad
            self.slot_of[slot] = i
        return t

    def input_names(self, sources: Sequence[Source]) -> tuple[str, ...]:
        """What the inputs of the graph are called: arguments, parameters and buffers by their names, the rest by its kind."""
        captured: dict[int, str] = {}
        inner: set[int] = set()
        for m in self.roots.modules:  # a module comes before those inside it
            if id(m) in inner:
                continue
            inner.update(map(id, m.modules()))
            for name, t in (*m.named_parameters(), *m.named_buffers()):
                if t._storage is not None:
                    captured.setdefault(id(t._storage), name)

        for o in self.roots.optimizers:
            for p, state in o.state.items():
                of = captured.get(id(p._storage), "state")
                for k, t in state.items():
                    if isinstance(t, Tensor) and t._storage is not None:
                        captured.setdefault(id(t._storage), f"{of}.{k}")

        def called(i: int, s: Source) -> str:
            if s.kind in ("arg", "number"):
                return self.names[s.of]
            if s.kind == "cell":
                _, key, index = s.of
                return str(key) if index is None else f"{key}[{index}]"
            return captured.get(id(s.of), f"captured{i}") if s.kind == "storage" else f"{s.kind}{i}"

        return tuple(called(i, s) for i, s in enumerate(sources))

    # ---- results

    def out(self, a: Any) -> int:
        """The output that carries the value `a`."""
        return self.outs.setdefault(a.value, len(self.outs))

    def rooted(self, out: int, edge: Edge | None) -> str:
        """Note an output's edge: how its history is described."""
        if edge is None:
            return "clear"
        self.edges.setdefault(out, edge)
        return "new"

    def recipe(self, t: Tensor) -> Recipe:
        """How a result is made. One recipe for one tensor: what is returned and kept as well is one object after each call, too."""
        found = self.recipes.get(id(t))
        if found is None:
            found = self.recipes[id(t)] = self._recipe(t)
            self.keep.append(t)
        return found

    def _recipe(self, t: Tensor) -> Recipe:
        for stand_in, i in self.stand_ins:
            if t is stand_in:
                return Recipe("argument", i)
        for i, leaf in enumerate(self.leaves):
            if t is leaf:
                return Recipe("argument", i)
        inner = t._present()
        s = inner._storage
        if s is not None:
            origin = self.trace.origins.get(s)
            if origin is not None:
                last = inner._steps[-1] if inner._steps else None
                if isinstance(last, LeafStep) and last.leaf.slot.owner is not None and last.leaf.slot.owner() is t:
                    return Recipe("object", of=t)
                return Recipe("view", of=origin, steps=inner._steps)
            for arg, i in self.stand_ins:
                if arg._storage is s:
                    return Recipe("view", of=("argument", i), steps=inner._steps[len(arg._steps) :])
            if not is_leaf(inner):
                return Recipe("view", of=("fresh", self._fresh(s)), steps=inner._steps)
        out = self.out(inner._array)
        edge = inner._edge
        if edge is not None and isinstance(edge[0], Leaf) and edge[0] not in self.where:
            return Recipe("value", out, leaf=True)
        self.rooted(out, edge)
        return Recipe("value", out)

    def _fresh(self, s: Storage) -> int:
        if s not in self.fresh:
            self.fresh[s] = len(self.fresh)
            self.rooted(self.out(s.base), s.edge)
        return self.fresh[s]

    def writes(self) -> list[Write]:
        """What the function wrote."""
        found: list[Write] = []
        for s, c in self.trace.captured.items():
            base, edge = c.storage.base, c.storage.edge
            if base is c.placeholder and edge == c.edge:
                continue
            out = self.out(base)
            found.append(Write("storage", s, out, "keep" if edge == c.edge else self.rooted(out, edge)))
        for t, i in self.stand_ins:
            if t._weak:
                continue
            a = t._now() if t._storage is None else t._storage.base
            edge = t._edge if t._storage is None else t._storage.edge
            if a.value < 0 and self.trace.sources[-1 - a.value].of == i and self.trace.sources[-1 - a.value].kind == "arg":
                continue
            if t._storage is not None and any(not isinstance(p, LeafStep) for p in t._steps):
                raise CaptureError(f"{self.name}: argument {self.names[i]} was given another memory inside the compiled function")
            out = self.out(a)
            keeps = edge is None if t._edge is None or t._storage is not None else edge[0] in self.where  # type: ignore[index,operator]
            found.append(Write("argument", i, out, "keep" if keeps else self.rooted(out, edge)))
        for slot, state in self.trace.slots.items():
            held = state.held
            if slot in self.trace.inner_slots and slot not in self.slot_of:
                continue
            if held is None:
                if state.was_none is not True:
                    found.append(Write("slot_none", slot, 0))
            elif held is state.given:
                a = held._now() if held._storage is None else held._storage.base
                if a.value >= 0 or self.trace.sources[-1 - a.value].kind != "slot":
                    found.append(Write("slot_value", slot, self.out(a)))
            else:
                found.append(Write("slot", slot, 0, recipe=self.recipe(held)))
        return found

    def attributes(self) -> tuple[list[Write], dict[int, set[str]]]:
        """Attributes of modules that were assigned tensors made here; they get their old values back for now."""
        found: list[Write] = []
        rebound: dict[int, set[str]] = {}
        self.before += [(s, {}, s) for o, known in self.states for p, s in o.state.items() if p not in known]  # made by the trace
        held = Counter(id(t._storage) for t in (*self.roots.tensors, *self.leaves) if isinstance(t, Tensor) and t._storage is not None)
        for table, before, owner in self.before:
            for name, value in list(table.items()):
                old = before.get(name)
                if value is not old and isinstance(value, PLAIN) and isinstance(old, PLAIN) and name in before:
                    found.append(Write("plain", (table, name, value), 0))
                if value is old or not isinstance(value, Tensor) or not self._made_here(value):
                    continue
                found.append(Write("attribute", (table, name), 0, recipe=self.recipe(value)))
                captured = self.trace.captured.get(old._storage) if isinstance(old, Tensor) and old._storage is not None else None
                if captured is None:
                    rebound.setdefault(id(owner), set()).add(name)
                elif held[id(old._storage)] == 1:  # type: ignore[union-attr]
                    rebound.setdefault(id(owner), set()).add(name)
                    self.trace.sources[-1 - captured.placeholder.value] = Source("attribute", (table, name))
                # else its memory is somebody else's too: this holds for one call, then the tensor there is another one
                if name in before:
                    table[name] = old
                else:
                    del table[name]
        return found, rebound

    def _made_here(self, t: Tensor) -> bool:
        return t._array.source is self.trace or t._storage in self.trace.captured

    def undo(self, failed: bool) -> None:
        """Put everything back as it was before the trace."""
        for o, known in self.states if failed else ():
            for p in [p for p in o.state if p not in known]:
                del o.state[p]
        for table, before, _ in self.before:
            for name, value in list(table.items()):
                if isinstance(value, Tensor) and value is not before.get(name) and self._made_here(value):
                    if name in before:
                        table[name] = before[name]
                    else:
                        del table[name]


def specialize(
    name: str,
    fn: Callable,
    structure: Any,
    leaves: Sequence[Any],
    numbers: Sequence[int],
    roots: Roots | None = None,
    names: Sequence[str] | None = None,
) -> tuple[Specialization, Guards]:
    """Trace `fn` on the arguments whose `structure` and `leaves` are given; `numbers` are the leaves that are run-time numbers.

    names: what the leaves are called.

    What the function did to the world is undone: the caller runs the Specialization next, which does it.
    """
    if roots is None:
        roots = find_roots(fn, [x for x in leaves if not isinstance(x, Tensor)])
    for o in roots.optimizers:
        ready_state = getattr(o, "initialize_state", None)
        if ready_state is not None:
            ready_state()
    with TRACING:
        by_reference: frozenset[int] = frozenset()
        while True:
            try:
                spec, guards, trace = _traced(_Builder(name, roots, leaves, numbers, by_reference, names), fn, structure)
                break
            except AliasedArgument as found:
                by_reference |= {found.index}
        trace.forget()
        _check_leaks(name, trace)
    return spec, guards


def _traced(b: _Builder, fn: Callable, structure: Any) -> tuple[Specialization, Guards, Trace]:
    """Run `fn` on stand-ins. When this returns, nothing of the trace should be alive but the trace."""
    guards = Guards(b.roots)
    try:
        args, kwargs = unflatten(structure, b.given)
        effects = Effects(b.name, b.roots)
        with Reads([*b.roots.modules, *b.roots.objects]) as reads, effects:
            result = run_traced(b.trace, lambda: fn(*args, **kwargs))
        effects.check()
        _check_arguments(b, structure, args, kwargs)
        guards.narrow(reads)
        spec = run_traced(b.trace, lambda: _assemble(b, result, guards))
    except BaseException:
        b.undo(failed=True)
        raise
    b.undo(failed=False)
    return spec, guards, b.trace


def _check_arguments(b: _Builder, structure: Any, args: Any, kwargs: Any) -> None:
    """CaptureError if a list, dict or dataclass that was passed holds something else now: the caller's own does not change."""
    now: list[Any] = []
    if flatten((args, kwargs), now) != structure:
        raise CaptureError(f"{b.name}: a compiled function cannot add to or take from a list or dict that it is given; return a new one")
    for x, given, name in zip(now, b.given, b.names):
        if x is not given and (isinstance(x, Tensor) or isinstance(given, Tensor) or x != given):
            raise CaptureError(f"{b.name}: a compiled function cannot assign {name}, a part of what it is given; return a new one")


def _assemble(b: _Builder, result: Any, guards: Guards) -> Specialization:
    trace = b.trace
    flat: list[Any] = []
    shape = flatten(result, flat)
    recipes = [b.recipe(x) for x in flat if isinstance(x, Tensor)]
    attribute_writes, rebound = b.attributes()
    writes = b.writes() + attribute_writes
    for t, was in trace.requires:
        leaf = is_leaf(trace.stand_in(t))
        if leaf is not was:
            writes.append(Write("requires", (weakref.ref(t), leaf), 0))
    live = list(b.outs)
    b.where.update((c.edge[0], s) for s, c in trace.captured.items() if c.edge is not None)  # type: ignore[misc]
    freed: dict[int, Edge] = {
        out: (Released((), (trace.type_of(live[out]),)), 0) for out, edge in b.edges.items() if not usable(edge)
    }
    for out in freed:
        del b.edges[out]
    roots = [(live[out], edge) for out, edge in b.edges.items()]
    derived = derive_backward(trace, roots, b.where) if roots else None
    if derived is not None:
        for i in derived.saved:
            if i >= 0 and i not in b.outs:
                b.outs[i] = len(b.outs)
        live = list(b.outs)
    needed = _reads(trace, live)
    if derived is not None:
        needed |= {i for i in derived.saved if i < 0}
    inputs = sorted(needed, reverse=True)
    sources = [trace.sources[-1 - i] for i in inputs]
    graph = trace.subgraph(inputs, live, b.name).replace(input_names=b.input_names(sources))
    spec = Specialization(b.name, graph, sources)
    if derived is not None:
        at = {i: ("in", k) for k, i in enumerate(inputs)}
        reads = tuple(at[i] if i < 0 else ("out", b.outs[i]) for i in derived.saved)
        back = trace.subgraph(derived.saved + derived.cotangents, derived.grads, f"{b.name}_backward").replace(scalars=frozenset())
        spec.backward = Backward(back, reads, tuple(b.edges), derived.edges, derived.which)
    spec.fixed = freed
    spec.recipes = recipes
    spec.writes = writes
    spec.fresh = [(b.outs[s.base.value], "new" if b.outs[s.base.value] in (*b.edges, *freed) else "clear") for s in b.fresh]
    spec.generators = [(g, state[2]) for g, state in trace.generators.items()]
    spec.slot_of = dict(b.slot_of)
    written = {w.of for w in writes if w.kind == "storage"}
    for t, _ in trace.stand_ins.values():
        if t._storage in written and all(isinstance(p, LeafStep) for p in t._steps):
            spec.refresh.append((weakref.ref(t), t._storage))
    spec.rebuild = _rebuilder(shape, flat)
    spec.settle()
    guards.leaf_names = b.names
    guards.captured = {s: None for s in trace.captured}
    guards.by_reference = {i: b.leaves[i] for i in b.by_reference}
    guards.rebound = rebound
    inner = trace.inner_slots | set(b.slot_of)
    guards.slots = [(slot, state.was_none) for slot, state in trace.slots.items() if state.was_none is not None and slot not in inner]
    guards.requires = [(weakref.ref(t), was) for t, was in trace.requires]
    guards.types = [(weakref.ref(t), f"{t.dtype.torch_name}{list(t.shape)}", t._storage, "") for t, _ in trace.requires]
    return spec


def _reads(trace: Trace, live: Sequence[int]) -> set[int]:
    """The inputs (negative numbers) that the values `live` need."""
    first = trace._first_outputs()
    needed = set(live)
    for n in range(len(trace.nodes) - 1, -1, -1):
        if any(i in needed for i in range(first[n], first[n + 1])):
            needed.update(trace.nodes[n][2])
    return {i for i in needed if i < 0}


def _rebuilder(shape: Any, flat: list[Any]) -> Callable[[list[Any]], Any]:
    """Puts result Tensors between what else the function returned."""
    if len(flat) == 1 and shape == "*" and isinstance(flat[0], Tensor):
        return _only
    if type(shape) is tuple and shape[0] is tuple and all(s == "*" for s in shape[1:]) and all(isinstance(x, Tensor) for x in flat):
        return _all
    fixed = [None if isinstance(x, Tensor) else x for x in flat]
    tensors = [i for i, x in enumerate(flat) if isinstance(x, Tensor)]

    def rebuild(results: list[Any]) -> Any:
        values = list(fixed)
        for i, r in zip(tensors, results):
            values[i] = r
        return unflatten(shape, values)

    return rebuild


def _only(results: list[Any]) -> Any:
    return results[0]


def _all(results: list[Any]) -> Any:
    return tuple(results)


def _check_leaks(name: str, trace: Trace) -> None:
    """LeakedTensorError if a value of the trace is still held somewhere."""
    if not any(r() is not None for r in trace.handles):
        return
    gc.collect()
    first = trace._first_outputs()
    for n, loc in enumerate(trace.locs):
        for i in range(first[n], first[n + 1]):
            a = trace.handles[i]()
            if a is not None:
                del a
                trace.clear()
                raise LeakedTensorError(
                    f"{name}: a tensor that was made while the function was compiled is kept after it ({trace_text(loc)}). Compiled code "
                    "cannot put it there at each call: return it, or keep it in a Module's attribute or buffer"
                )


def trace_text(loc: Any) -> str:
    """Where a leaked tensor was made."""
    from ingot.ir.location import describe

    return describe(loc).strip() or "its line is not known"
