"""A specialisation: one traced signature of a compiled function, and what a call of it does.

Inputs are gathered from where `Source`s say, one executable runs, and its outputs are put where the function would have
put them: results, Storages written in place, gradient slots, attributes. Nothing is written before the run has succeeded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ingot.capture.trace import Source, Trace, run_traced
from ingot.ir.graph import Graph
from ingot.ir.types import TensorType
from ingot.runtime import memory
from ingot.runtime.array import Array, host, ready
from ingot.runtime.epoch import bump
from ingot.runtime.numbers import wrap_i64
from ingot.runtime.recorder import translate
from ingot.runtime.storage import Storage
from ingot.runtime.tape import RELEASED, Edge, Leaf, Node, Pair, Version, backpropagate, emit_graph, frontend, zeros

__all__ = ["Specialization", "Backward", "CompiledNode", "Recipe", "Write", "derive_backward"]


class Recipe(NamedTuple):
    """How a result Tensor is made at each call.

    kind "argument": leaf `out` itself; "object": `of`; "value": output `out`, a leaf of its own if `leaf`;
    "view": of storage `of` (a Storage, ("argument", i) or ("fresh", n)) by `steps`
    """

    kind: str
    out: int = 0
    of: Any = None
    steps: tuple = ()
    cls: Any = None
    leaf: bool = False


class Write(NamedTuple):
    """Something that a call overwrites with output `out`.

    kind "storage", "argument" (leaf index), "slot" (assign .grad), "slot_value" (in place), "slot_none", "attribute" ((table, name)),
        "requires" ((weak reference to a tensor, flag)),
        "plain" ((table, name, value): the guards held, so the trace would assign the same again)
    history: "keep" what it had, "clear" it, or "new": the call's node
    """

    kind: str
    of: Any
    out: int
    history: str = "keep"
    recipe: Recipe | None = None


class Backward(NamedTuple):
    """The backward of a compiled call.

    graph: inputs are the values in `reads` (("in", k): input k of the forward; ("out", k): its output k), then one
    cotangent per entry of `roots`; outputs are the gradients of `edges[i]` for i in `grads`
    """

    graph: Graph
    reads: tuple[tuple[str, int], ...]
    roots: tuple[int, ...]  # the forward's outputs that can have cotangents
    edges: tuple[Any, ...]  # where gradients go: ("argument", i), a Storage, or a Leaf
    grads: tuple[int, ...]


class CompiledNode(Node):
    """The tape's node of one call of a compiled function."""

    __slots__ = ("back", "saved", "label")

    def __init__(self, label: str, back: Backward, edges: tuple[Edge | None, ...], saved: list[Array], out_types: tuple):
        super().__init__(edges, out_types)
        self.label = label
        self.back = back
        self.saved: list[Array] | None = saved

    def name(self) -> str:
        return f"{self.label}Backward"

    def check(self) -> None:
        if self.saved is None:
            raise RuntimeError(RELEASED)

    def release(self) -> None:
        self.saved = None

    def apply(self, grads: list[Pair | None], create_graph: bool) -> Sequence[Pair | None]:
        if create_graph:
            raise RuntimeError(
                f"{self.label}: a compiled call cannot be differentiated twice (create_graph=True); take the first gradient inside the "
                "compiled function, or call the function that was compiled, `__wrapped__`"
            )
        back = self.back
        assert self.saved is not None
        cts = [zeros(t) if g is None else g for g, t in zip(grads, self.out_types)]
        results = emit_graph(back.graph, [(a, None) for a in self.saved] + cts, None)
        out: list[Pair | None] = [None] * len(self.edges)
        for i, r in zip(back.grads, results):
            out[i] = r
        return out


def _references() -> int:
    """How many references `sys.getrefcount` counts of an object that one local variable holds."""
    x = object()
    return sys.getrefcount(x)


_LOCAL = _references()


def _own(s: Storage, tensors: list[Any]) -> memory.Buffer | None:
    """The memory of a Storage, if nothing holds it but the Storage, the `tensors` (weakly) that cache it, and one caller."""
    a = s.base
    b = a.buffer
    if s.exposed is not None or b is None or sys.getrefcount(b) > _LOCAL + 1:
        return None
    n = _LOCAL + 2
    n += sum([t is not None and t._array is a for t in [r() for r in tensors]])
    return b if sys.getrefcount(a) <= n else None


def shared_memory(t: Any) -> Array | None:
    """The memory that a tensor shares with the outside, where the tensor is all of it; None for any other tensor."""
    s = t._storage
    if s is None or s.exposed is None or t._steps or s.base.buffer is None:
        return None
    return s.base


class Specialization:
    """See the module. Built by `ingot.capture.specialize`."""

    def __init__(self, name: str, graph: Graph, sources: Sequence[Source]):
        self.name = name
        self.graph = graph
        self.sources = list(sources)
        self.in_types = graph.in_types
        self.by_value = [i in graph.scalars for i in range(len(graph.inputs))]
        from ingot.runtime import compiler

        executable = compiler.executable(graph)
        self.run = executable.run
        manifest = getattr(executable, "manifest", {})
        self.aliases = {int(out): tuple(ins) for out, ins in manifest.get("aliases", {}).items()}
        self.donations: dict[int, tuple[Storage, list[Any]]] = {}  # outputs that may be written over what a Storage holds
        self.out_types: tuple[TensorType, ...] = graph.out_types
        self.nbytes = [t.nbytes for t in self.out_types]
        self.recipes: list[Recipe] = []
        self.rebuild: Callable[[list[Any]], Any] = list
        self.writes: list[Write] = []
        self.fresh: list[tuple[int, str]] = []  # storages made by the call: output, history
        self.generators: list[tuple[Any, int]] = []
        self.refresh: list[tuple[Any, Storage]] = []  # tensors (weakly) whose cached value follows a written storage
        self.slot_of: dict[Any, int] = {}  # stand-in slots of arguments -> leaf
        self.backward: Backward | None = None
        self.fixed: dict[int, Edge] = {}  # outputs whose graph was freed inside
        self.epoch = -1
        self.calls = 0

    # ---- a call

    def gather(self, leaves: Sequence[Any]) -> list[Array]:
        """The values of the inputs."""
        found: list[Array] = []
        for source, t in zip(self.sources, self.in_types):
            kind, of = source.kind, source.of
            if kind == "arg":
                # memory that others see needs no snapshot where the call reads it at once and keeps nothing
                found.append((shared_memory(leaves[of]) if self.backward is None else None) or leaves[of]._now())
            elif kind == "storage":
                found.append(of.base)
            elif kind == "number":
                found.append(host(t, float(leaves[of])))
            elif kind == "cell":
                container, key, index = of
                found.append(host(t, float(container[key] if index is None else container[key][index])))
            elif kind == "seed":
                found.append(host(t, wrap_i64(of.initial_seed())))
            elif kind == "offset":
                found.append(host(t, wrap_i64(of.offset)))
            elif kind == "attribute":
                table, name = of
                found.append(table[name]._now())
                if found[-1].type is not t and found[-1].type != t:
                    raise RuntimeError(f"{self.name}: {name!r} is {found[-1].type} now, it was {t} when the function was compiled")
            else:
                found.append(self._slot(of, leaves).grad._now())
        return found

    def _slot(self, slot: Any, leaves: Sequence[Any]) -> Any:
        i = self.slot_of.get(slot)
        return slot if i is None else leaves[i]._grad_slot()

    def call(self, leaves: Sequence[Any]) -> Any:
        """Run with the given argument leaves (Tensors and numbers)."""
        keep = self.gather(leaves)
        slots: list[Any] = [a.value if by_value else ready(a).address for a, by_value in zip(keep, self.by_value)]
        buffers = self.buffers()
        slots += [b.address for b in buffers]
        try:
            self.run(*slots)
        except Exception as error:
            raise translate(error) from None
        self.calls += 1
        return self.finish(leaves, keep, buffers)

    def settle(self) -> None:
        """Find the outputs that can be written in place. Called when all else is known."""
        saved = {k for where, k in self.backward.reads if where == "in"} if self.backward is not None else set()
        used = {r.out for r in self.recipes} | {out for out, _ in self.fresh}
        if self.backward is not None:
            used |= {k for where, k in self.backward.reads if where == "out"}
        taken: set[int] = set()
        for w in self.writes:
            if w.kind != "storage" or w.history != "keep" or w.out in used:
                continue
            for k in self.aliases.get(w.out, ()):
                if self.sources[k].kind == "storage" and self.sources[k].of is w.of and k not in saved | taken:
                    taken.add(k)
                    self.donations[w.out] = (w.of, [r for r, s in self.refresh if s is w.of])
                    break

    def buffers(self) -> list[memory.Buffer]:
        """Memory for the outputs: what is replaced is written over where nobody else can see it. The caller holds each input once."""
        if not self.donations:
            return [memory.allocate(n) for n in self.nbytes]
        found = []
        for out, n in enumerate(self.nbytes):
            donation = self.donations.get(out)
            found.append(_own(*donation) if donation is not None else None)
            if found[-1] is None:
                found[-1] = memory.allocate(n)
        return found  # type: ignore[return-value]

    def finish(self, leaves: Sequence[Any], keep: list[Array], buffers: list[memory.Buffer]) -> Any:
        """Put the outputs where they belong."""
        outs = [Array(t, b, None, None) for t, b in zip(self.out_types, buffers)]
        node = None
        at: dict[int, int] = {}
        if self.backward is not None:
            node = self._node(leaves, keep, outs)
            at = {out: i for i, out in enumerate(self.backward.roots)}

        def edge(out: int) -> Edge | None:
            return self.fixed.get(out) if node is None or out not in at else (node, at[out])

        for g, blocks in self.generators:
            g.offset = (g.offset + blocks) & (1 << 64) - 1
        fresh = []
        for out, history in self.fresh:
            fresh.append(Storage(outs[out], edge(out) if history == "new" else None, None))
        made: dict[int, Any] = {}  # by the id of the recipe

        def result(r: Recipe) -> Any:
            found = made.get(id(r))
            if found is None:
                found = made[id(r)] = self._result(r, leaves, outs, fresh, edge)
            return found

        results = [result(r) for r in self.recipes]
        for w in self.writes:
            self._write(w, leaves, outs, result, edge)
        for r, s in self.refresh:
            t = r()
            if t is not None and t._storage is s and s.exposed is None:
                t._array = s.base
                t._generation = s.generation
        return self.rebuild(results)

    def _result(self, r: Recipe, leaves: Sequence[Any], outs: list[Array], fresh: list[Storage], edge: Callable[[int], Edge | None]) -> Any:
        if r.kind == "argument":
            return leaves[r.out]
        if r.kind == "object":
            return r.of
        if r.kind == "value":
            t = frontend.wrap((outs[r.out], edge(r.out)))
            return t.requires_grad_() if r.leaf else t
        if isinstance(r.of, Storage):
            s, steps = r.of, r.steps
        elif r.of[0] == "fresh":
            s, steps = fresh[r.of[1]], r.steps
        else:
            t = leaves[r.of[1]]
            s, steps = t._share(), t._steps + r.steps
        pair, generation = s.read(steps)
        out = frontend.wrap(pair)
        out._storage, out._steps, out._generation, out._version_cell = s, steps, generation, s.version
        return out

    def _write(
        self, w: Write, leaves: Sequence[Any], outs: list[Array], result: Callable[[Recipe], Any], edge: Callable[[int], Edge | None]
    ) -> None:
        if w.kind == "storage":
            s = w.of
            if w.out in self.donations and s.base.buffer is outs[w.out].buffer:  # written in place
                s.version.n += 1
                s.renew()
                return
            s.commit(outs[w.out], s.edge if w.history == "keep" else edge(w.out))
        elif w.kind == "argument":
            t = leaves[w.of]
            if t._storage is not None:
                t._now()
                t._storage.write(t._steps, (outs[w.out], edge(w.out)), w.history != "keep")
            else:
                t._array = outs[w.out]
                if w.history != "keep":
                    t._edge = edge(w.out)
                if t._version_cell is None:
                    t._version_cell = Version()
                t._version_cell.n += 1
        elif w.kind == "slot_none":
            self._slot(w.of, leaves).grad = None
        elif w.kind == "slot":
            assert w.recipe is not None
            self._slot(w.of, leaves).grad = result(w.recipe)
        elif w.kind == "slot_value":
            held = self._slot(w.of, leaves).grad
            if held._storage is not None:
                held._now()
                held._storage.write(held._steps, (outs[w.out], None), False)
            else:
                held._array = outs[w.out]
        elif w.kind == "requires":
            t = w.of[0]()
            if t is not None:
                t.requires_grad_(w.of[1])
        elif w.kind == "plain":
            table, name, value = w.of
            if table[name] is not value:
                table[name] = value
                bump()
        else:
            assert w.recipe is not None
            table, name = w.of
            old, new = table.get(name), result(w.recipe)
            table[name] = new
            if type(old) is not type(new) or old._array.type != new._array.type or old.requires_grad is not new.requires_grad:
                bump()  # another specialisation serves the next call

    def _node(self, leaves: Sequence[Any], keep: list[Array], outs: list[Array]) -> CompiledNode:
        back = self.backward
        assert back is not None
        edges: list[Edge | None] = []
        for e in back.edges:
            if isinstance(e, Leaf):
                edges.append((e, 0))
            elif isinstance(e, Storage):
                edges.append(e.edge)
            else:
                edges.append(leaves[e[1]]._pair()[1])
        saved = [keep[k] if where == "in" else outs[k] for where, k in back.reads]
        out_types = tuple(self.out_types[i] for i in back.roots)
        return CompiledNode(self.name, back, tuple(edges), saved, out_types)


class Derived(NamedTuple):
    """The backward of a trace, in the trace's numbers."""

    grads: list[int]
    cotangents: list[int]
    which: tuple[int, ...]
    edges: tuple[Any, ...]
    saved: list[int]


def derive_backward(trace: Trace, roots: Sequence[tuple[int, Edge]], where: dict[Leaf, Any]) -> Derived | None:
    """Trace the backward of what `trace` recorded; None if no gradient leaves the function.

    roots: value numbers of outputs, with their edges. where: what the stand-in Leafs of inputs stand for; other leaves
    are themselves.
    """
    leaves = _leaves([e for _, e in roots])
    mark, made = len(trace.nodes), len(trace.types)
    cts = [trace.placeholder(trace.type_of(i), Source("cotangent", n)) for n, (i, _) in enumerate(roots)]

    def backward() -> list[Pair | None]:
        starts: list[tuple[Edge, Pair]] = [(e, (ct, None)) for (_, e), ct in zip(roots, cts)]
        return backpropagate(starts, retain_graph=True, create_graph=False, targets=[(n, 0) for n in leaves], leaf_hooks=False)

    found = run_traced(trace, backward)
    which = tuple(i for i, g in enumerate(found) if g is not None)
    if not which:
        return None
    grads = [g[0].value for g in found if g is not None]
    edges = tuple(where.get(n, n) for n in leaves)
    ct_ids = [c.value for c in cts]
    return Derived(grads, ct_ids, which, edges, _boundary(trace, grads, mark, made, set(ct_ids)))


def _boundary(trace: Trace, grads: Sequence[int], mark: int, made: int, cotangents: set[int]) -> list[int]:
    """The values of the forward that the backward reads. What is made of nothing (constants) is made again instead."""
    first = trace._first_outputs()
    maker = {i: n for n in range(len(trace.nodes)) for i in range(first[n], first[n + 1])}
    free: dict[int, bool] = {}

    def is_free(i: int) -> bool:
        if i < 0:
            return False
        if i not in free:
            free[i] = all(is_free(j) for j in trace.nodes[maker[i]][2]) and trace.types[i].nbytes <= 1 << 16 or (
                trace.nodes[maker[i]][0].name in ("constant", "iota", "broadcast") and all(is_free(j) for j in trace.nodes[maker[i]][2])
            )
        return free[i]

    saved: dict[int, None] = {}
    seen: set[int] = set()
    stack = list(grads)
    while stack:
        i = stack.pop()
        if i in seen or i in cotangents:
            continue
        seen.add(i)
        if i < 0 or (i < made and not is_free(i)):
            saved[i] = None
        else:
            stack += trace.nodes[maker[i]][2]
    return list(saved)


def usable(edge: Edge) -> bool:
    """Whether a backward from `edge` is possible: its graph was not freed inside the function."""
    seen: set[Node] = set()
    stack = [edge[0]]
    while stack:
        n = stack.pop()
        if n in seen:
            continue
        seen.add(n)
        try:
            n.check()
        except RuntimeError:
            return False
        stack += [e[0] for e in n.edges if e is not None]
    return True


class Released(Node):
    """The history of a result whose graph was freed inside the compiled function."""

    __slots__ = ()

    def name(self) -> str:
        return "CompiledBackward"

    def check(self) -> None:
        raise RuntimeError(RELEASED)


def _leaves(edges: Sequence[Edge]) -> list[Leaf]:
    """The Leafs that gradients from `edges` reach, in a fixed order."""
    seen: set[Node] = set()
    found: dict[Leaf, None] = {}
    stack = [e[0] for e in reversed(edges)]
    while stack:
        n = stack.pop()
        if n in seen:
            continue
        seen.add(n)
        if isinstance(n, Leaf):
            found[n] = None
        stack += [e[0] for e in reversed(n.edges) if e is not None]
    return list(found)
