"""A compiled call: what compiles a traced value for this machine, and runs it.

Inputs are gathered from their sources, one executable runs, and its outputs are put where the function would have put them:
results, Storages written in place, gradients, attributes. Nothing is written before the run has succeeded.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from ingot.capture.node import CompiledNode
from ingot.capture.prepared import Prepared
from ingot.capture.recipes import Recipe, Value
from ingot.capture.settle import unsettled
from ingot.capture.sized import SizedBackward, allocator, sized_steps, types_of
from ingot.capture.sources import Captured
from ingot.capture.stages import Late, Stages, number_in
from ingot.capture.traced import Fresh, Traced
from ingot.capture.writes import ArgumentWrite, History, ListAdd, StorageWrite
from ingot.ir.types import TensorType
from ingot.runtime import memory
from ingot.runtime.array import Array, ready
from ingot.runtime.frozen import FrozenError
from ingot.runtime.recorder import here
from ingot.runtime.storage import Storage
from ingot.runtime.tape import Edge, Version
from ingot.runtime.views import Step, renewed

__all__ = ["CompiledCall", "Done", "Unsized"]


class Unsized(Exception):
    """A graph with symbols that cannot be compiled as it is."""


class Done:
    """A call whose code has run: what recipes and writes put in place."""

    __slots__ = ("leaves", "sizes", "outs", "fresh", "_node", "_roots", "_freed", "_made")

    def __init__(self, traced: Traced, leaves: Sequence[Any], outs: list[Array], roots: dict[int, int], sizes: Mapping[str, int]):
        self.leaves = leaves
        self.sizes = sizes
        self.outs = outs
        self._node: CompiledNode | None = None
        self._roots, self._freed = roots, traced.freed
        self._made: dict[Recipe, Any] = {}

    def follow(self, node: CompiledNode | None, fresh: Sequence[Fresh]) -> None:
        """Give the outputs their history, and those that results share a Storage."""
        self._node = node
        self.fresh = [Storage(self.outs[f.out], self.history(f.out, f.history), None) for f in fresh]

    def sized(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """A view's steps, with the sizes of the call."""
        return renewed(sized_steps(steps, self.sizes) if self.sizes else steps)

    def edge(self, out: int) -> Edge | None:
        """The history of an output."""
        root = self._roots.get(out)
        return self._freed.get(out) if root is None else (self._node, root)  # type: ignore[return-value]

    def history(self, out: int, history: History) -> Edge | None:
        """The history of what an output overwrites or becomes."""
        return self.edge(out) if history == "new" else None

    def result(self, recipe: Recipe) -> Any:
        """The tensor of a recipe: one, however often it is asked for."""
        found = self._made.get(recipe)
        if found is None:
            found = self._made[recipe] = recipe.make(self)
        return found


class CompiledCall:
    """See the module. What compiling raises comes through: FrozenError, or RuntimeError where llvmlite is needed and missing."""

    def __init__(self, traced: Traced):
        self.traced = traced
        graph = traced.graph
        self.device = device = traced.device
        self.allocate = allocator(device)
        self.in_types = traced.in_types
        self.out_types = tuple([t.on(device) for t in graph.out_types])  # as the code leaves them
        self.types = types_of(self.out_types)
        self.there = [i for i, d in enumerate(traced.in_devices) if d != device and i not in graph.scalars]  # inputs to be copied there
        self.back = [i for i, d in enumerate(traced.out_devices) if d != device]  # and outputs, to be copied back
        self.symbols = [s.name for s in graph.symbols]
        from ingot.runtime import compiler  # not before something is compiled: it brings the cache along

        back = traced.backward
        self.stages: Stages | None = None
        open_dim = unsettled(graph, *(() if back is None else (back.graph,))) if graph.symbols else None
        if open_dim is not None:
            raise Unsized(f"no bounds keep the extent {open_dim} from being less than 0")
        executable: Any = None
        staged = _staged(traced)
        self.told = {} if staged else {name: k for name, (k, _) in traced.measured.items()}  # floats that are read when it has run
        try:
            steady = _steady(traced) if device is None else {}
            if staged:
                self.stages = Stages(graph, traced.measured, traced.late, device, steady)
            elif device is not None:
                executable = compiler.executable(graph, device=device)
            else:
                executable = compiler.executable(graph.replace(steady=frozenset(steady)) if steady else graph)
        except FrozenError:
            raise
        except Exception as error:
            if not graph.symbols:
                raise
            raise Unsized(f"its code cannot be for all sizes: {type(error).__name__}: {error}") from error
        aliases: Mapping[str, Any] = {}
        if executable is not None:
            self.run: Any = executable.run
            kept = executable.manifest.get("kept", 0)
            if kept:
                self.run = Prepared(executable.run, kept, steady, len(graph.inputs) + len(graph.outputs)).run
            if device is not None and executable.exe.can_fail:
                self.run = partial(executable.run, explain=lambda error: self.explained(error))
            aliases = executable.manifest.get("aliases", {})
        self.donations = _donations(traced, {int(out): tuple(ins) for out, ins in aliases.items()})
        self._by_value = [i in graph.scalars for i in range(len(graph.inputs))]
        self._roots = {} if traced.backward is None else {out: i for i, out in enumerate(traced.backward.roots)}
        reads = () if traced.backward is None else traced.backward.reads
        self._back = SizedBackward(back.graph, device) if back is not None and back.graph.symbols else None
        self._saved_inputs = [(traced.sources[k], self.in_types[k]) for where, k in reads if where == "in"]
        self._outputs_read = {k for where, k in reads if where == "out"}
        self._build = traced.result.builder()

    def call(self, leaves: Sequence[Any]) -> Any:
        """Run with the given argument leaves (Tensors and numbers)."""
        fit = self.traced.fit
        sizes = {} if fit is None else fit.bind(leaves)
        if self.stages is not None:
            return self._staged(self.stages, leaves, sizes)
        types = self.types(sizes)
        keep = self.traced.gather(leaves, sizes)
        for i in self.there:
            keep[i] = here.recorder.moved(keep[i], self.device)
        slots: list[Any] = [a.value if by_value else ready(a).address for a, by_value in zip(keep, self._by_value)]
        buffers = self.buffers(types)
        slots += [b.address for b in buffers]
        slots += [sizes[n] for n in self.symbols]
        try:
            self.run(*slots)
        except Exception as error:
            raise self.explained(error, *slots) from None
        return self.finish(leaves, keep, buffers, types, sizes)

    def first(self, leaves: Sequence[Any]) -> Any:
        """The call that the function was traced for: where it fails, what that has done to Python's state stays."""
        try:
            return self.call(leaves)
        except Late:
            raise
        except Exception:
            done = Done(self.traced, leaves, [], {}, {} if self.traced.fit is None else self.traced.fit.bind(leaves))
            for w in self.traced.writes:
                if isinstance(w, ListAdd) and w.known:
                    w.apply(done)
            raise

    def _staged(self, stages: Stages, leaves: Sequence[Any], sizes: dict[str, Any]) -> Any:
        """The call of a graph that computes some of its sizes, in stages. Random numbers are used up when it is known how many."""
        sources = list(zip(self.traced.sources, self.in_types))
        while True:
            keep = seen = [s.seen(leaves, t, sizes) for s, t in sources]
            if self.there:
                keep = [here.recorder.moved(a, self.device) if i in self.there else a for i, a in enumerate(seen)]
            try:
                buffers = stages.run(keep, sizes)
            except Late:
                raise
            except Exception:
                stages.decide(keep, sizes)  # what failed may be what another branch would not do
                raise
            if all([s.used(a, sizes) for (s, _), a in zip(sources, seen)]):
                return self.finish(leaves, keep, buffers, self.types(sizes), sizes)

    def explained(self, error: Exception, *slots: Any) -> Exception:
        """The error that users expect where a run on `slots` raised `error`."""
        from ingot.runtime.failures import explained

        return explained(error, self.traced.graph, slots if self.device is None else None)

    def buffers(self, types: Sequence[TensorType], holds: int = 0) -> list[memory.Buffer]:
        """Memory for the outputs: what is replaced is written over where nobody else can see it.

        The caller holds each input once, and its memory `holds` times beside.
        """
        if not self.donations:
            return [self.allocate(t.nbytes) for t in types]
        found = []
        for out, t in enumerate(types):
            donation = self.donations.get(out)
            found.append(_own(*donation, holds) if donation is not None else None)
            if found[-1] is None:
                found[-1] = self.allocate(t.nbytes)
        return found  # type: ignore[return-value]

    def finish(
        self, leaves: Sequence[Any], keep: list[Array], buffers: list[memory.Buffer], types: Sequence[TensorType], sizes: Mapping[str, int]
    ) -> Any:
        """Put the outputs where they belong."""
        traced = self.traced
        outs = [Array(t, b, None, None) for t, b in zip(types, buffers)]
        for i in self.back:
            outs[i] = here.recorder.moved(outs[i], None)
        if self.told:
            sizes = {**sizes, **{name: number_in(outs[k]) for name, k in self.told.items()}}
        done = Done(traced, leaves, outs, self._roots, sizes)
        node = None if traced.backward is None else self._node(done, keep)
        done.follow(node, traced.fresh)
        read = [] if node is None else [(s.version(leaves), t) for s, t in self._saved_inputs]
        results = [done.result(r) for r in traced.recipes]
        for r in traced.early:
            done.result(r)
        for w in traced.writes:
            w.apply(done)
        for t_ref, s in traced.refresh:
            t = t_ref()
            if t is not None and t._storage is s and s.exposed is None:
                t._array = s.base
                t._generation = s.generation
        if node is not None:  # from here on nothing of this may be written in place before the backward
            node.versions = [(v, v.n, t) for v, t in (*read, *self._saved_outputs(done)) if v is not None]
        return self._build(results, sizes)

    def _saved_outputs(self, done: Done) -> Iterator[tuple[Version, TensorType]]:
        """What counts the writes to those outputs that the backward reads, and that somebody else sees."""
        saved = self._outputs_read
        if not saved:
            return
        for recipe, t in done._made.items():
            if type(recipe) is Value and recipe.out in saved:
                yield t._writes(), done.outs[recipe.out].type
        for f, s in zip(self.traced.fresh, done.fresh):
            if f.out in saved:
                yield s.version, done.outs[f.out].type
        for w in self.traced.writes:
            if isinstance(w, StorageWrite) and w.out in saved:
                yield w.storage.version, done.outs[w.out].type
            elif isinstance(w, ArgumentWrite) and w.out in saved:
                yield done.leaves[w.index]._writes(), done.outs[w.out].type

    def _node(self, done: Done, keep: list[Array]) -> CompiledNode:
        back = self.traced.backward
        assert back is not None
        edges = tuple([e.edge(done) for e in back.edges])
        saved = [keep[k] if where == "in" else done.outs[k] for where, k in back.reads]
        if self.device is not None:
            saved = [here.recorder.moved(a, self.device) for a in saved]
        out_types = tuple([done.outs[i].type for i in back.roots])
        return CompiledNode(self.traced.name, back, edges, saved, out_types, self._back, done.sizes)


def _staged(traced: Traced) -> bool:
    """Whether numbers that the graph computes decide something before it has run to its end."""
    inside = {s.name for s in traced.graph.symbols}
    return bool(traced.late) or any(
        name in inside or said is not None or traced.graph.outputs[k].type.dtype.kind == "i" for name, (k, said) in traced.measured.items()
    )


def _steady(traced: Traced) -> dict[int, Storage]:
    """The inputs that a call without gradients reads and does not write: those that are captured, with their Storages."""
    if traced.backward is not None:
        return {}
    written = {id(w.storage) for w in traced.writes if isinstance(w, StorageWrite)}
    found = {k: s.storage for k, s in enumerate(traced.sources) if type(s) is Captured and id(s.storage) not in written}
    return {k: s for k, s in found.items() if k not in traced.graph.scalars}


# ---- writing in place


def _donations(traced: Traced, aliases: dict[int, tuple[int, ...]]) -> dict[int, tuple[Storage, list[Any]]]:
    """Outputs that may be written over what a Storage holds: it, and the tensors (weakly) that cache that.

    aliases: of an output, the inputs whose memory the code may write it to.
    """
    used = {out for r in traced.recipes for out in r.outputs} | {f.out for f in traced.fresh}
    saved: set[int] = set()
    if traced.backward is not None:
        used |= {k for where, k in traced.backward.reads if where == "out"}
        saved = {k for where, k in traced.backward.reads if where == "in"}
    caching: dict[int, list[Any]] = {}  # by the Storage's id
    for r, s in traced.refresh:
        caching.setdefault(id(s), []).append(r)
    found: dict[int, tuple[Storage, list[Any]]] = {}
    taken: set[int] = set()
    for w in traced.writes:
        if not isinstance(w, StorageWrite) or w.history != "keep" or w.out in used:
            continue
        for k in aliases.get(w.out, ()):
            source = traced.sources[k]
            if isinstance(source, Captured) and source.storage is w.storage and k not in saved and k not in taken:
                taken.add(k)
                found[w.out] = w.storage, caching.get(id(w.storage), [])
                break
    return found


def _references() -> int:
    """How many references `sys.getrefcount` counts of an object that one local variable holds."""
    x = object()
    return sys.getrefcount(x)


_LOCAL = _references()


def _own(s: Storage, tensors: list[Any], holds: int) -> memory.Buffer | None:
    """The memory of a Storage, if nothing holds it but the Storage, the `tensors` (weakly) that cache it, and one caller."""
    a = s.base
    b = a.buffer
    if s.exposed is not None or b is None or sys.getrefcount(b) > _LOCAL + 1 + holds:
        return None
    n = _LOCAL + 2
    n += sum([t is not None and t._array is a for t in [r() for r in tensors]])
    return b if sys.getrefcount(a) <= n else None
