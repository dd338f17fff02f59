"""From a trace that has ended to the traced value: which values are outputs, and what becomes of each."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ingot._tensor import Tensor
from ingot._tensor.extents import Guard, plain_dim
from ingot._tensor.gradients import places
from ingot._tensor.reals import Formula
from ingot._tensor.state import view
from ingot.capture.arguments import Arguments
from ingot.capture.backward import AttributeEdge, Derived, Destination, NewLeafEdge, ResultEdge, StorageEdge, derive_backward
from ingot.capture.errors import CaptureError
from ingot.capture.exchanged import Exchanges
from ingot.capture.node import ancestors, refusal
from ingot.capture.pytree import flatten
from ingot.capture.recipes import Given, Gradient, Object, Placed, Recipe, Result, Value, ViewOfArgument, ViewOfCaptured, ViewOfFresh
from ingot.capture.roots import Roots
from ingot.capture.settle import settled
from ingot.capture.shapes import Fit
from ingot.capture.sources import Argument, Attribute, BriefArgument, Grad, Source
from ingot.capture.tables import Tables
from ingot.capture.tagged import tagged
from ingot.capture.trace import Aliased, Outside, Trace, hooks, is_leaf, leaf_of
from ingot.capture.traced import Backward, Fresh, Traced
from ingot.capture.watch import Watch
from ingot.capture.writes import (
    ArgumentDetach,
    ArgumentRequiresGrad,
    ArgumentView,
    ArgumentWrite,
    DataAssign,
    GradAssign,
    GradNone,
    GradWrite,
    History,
    PlacedWrite,
    Print,
    RequiresGrad,
    ResultGrad,
    RetainGrad,
    StorageWrite,
    Write,
)
from ingot.ir.struct import replace
from ingot.runtime.array import Array
from ingot.runtime.storage import Storage
from ingot.runtime.tape import Edge, GradSlot, Leaf, Node, Refusing
from ingot.runtime.views import Detach, LeafStep, Movement, Step

__all__ = ["Assembly"]


def _settled(traced: Traced) -> Traced:
    """A trace whose graphs have the symbols that its guards leave."""
    fit, back = traced.fit, traced.backward
    if fit is None and not traced.late:
        return traced
    graphs = [traced.graph, *(() if back is None else (back.graph,))]
    guards = [g for g, _ in (*(() if fit is None else fit.guards), *traced.late) if not isinstance(g, Formula)]
    graphs, defined = settled(graphs, guards, traced.measured)
    made = None if back is None else replace(back, graph=graphs[1])
    return replace(traced, graph=graphs[0], backward=made, fit=None if fit is None else replace(fit, defined=defined))


class Assembly:
    """The outputs of one trace, as they are found to be needed. `name` and the leaves' `names` are for people."""

    def __init__(self, trace: Trace, arguments: Arguments, name: str, names: Sequence[str]):
        self.trace = trace
        self.arguments = arguments
        self.name = name
        self.names = names
        self.live: list[int] = []  # the outputs' value numbers
        self.devices: list[int | None] = []  # where each of them shall be
        self._outs: dict[tuple[int, int | None], int] = {}  # value number, and where it shall be -> output
        self._others: dict[tuple[int, int | None, Edge], int] = {}  # the same value with another history -> output
        self._edges: dict[int, Edge] = {}  # output -> history
        self._fresh: dict[Storage, tuple[int, Fresh]] = {}
        self._recipes: dict[int, tuple[Tensor, Recipe]] = {}  # by the id of what they make
        self._where: dict[Node, Destination] = dict(arguments.edges)  # what the ends of histories stand for
        self._exchanges = Exchanges({})

    # ---- outputs

    def out(self, a: Array) -> int:
        """The output that carries a value."""
        found = self._outs.get((a.value, a.type.device))
        if found is None:
            found = self._outs[a.value, a.type.device] = self._output(a.value, a.type.device)
        return found

    def _output(self, i: int, device: int | None) -> int:
        self.live.append(i)
        self.devices.append(device)
        return len(self.live) - 1

    def rooted(self, a: Array, edge: Edge | None) -> tuple[int, History]:
        """The output that carries a value with this history, and how the history is described."""
        out = self.out(a)
        if edge is None:
            return out, "clear"
        if self._edges.setdefault(out, edge) != edge:
            found = self._others.get((a.value, a.type.device, edge))
            if found is None:
                found = self._others[a.value, a.type.device, edge] = self._output(a.value, a.type.device)
                self._edges[found] = edge
            out = found
        return out, "new"

    # ---- results

    def recipe(self, t: Tensor, alone: bool = False) -> Recipe:
        """How a tensor is made at each call. One recipe for one tensor. alone: no other shares memory with it that the call makes."""
        found = self._recipes.get(id(t))
        if found is None and alone:
            inner = t._present()
            s = inner._storage
            given = s is None or s in self.trace.origins or any(m is s for m, _, _ in self._argument_memory())
            if not given and not is_leaf(inner) and self._gradient(t) is None:
                out, history = self.rooted(inner._array, inner._edge)
                found = self._recipes[id(t)] = t, Value(out, type(t), rooted=history == "new")
        if found is None:
            found = self._recipes[id(t)] = t, self._recipe(t)
        return found[1]

    def made(self) -> list[Tensor]:
        """The tensors that stand for arguments, and those that calls make."""
        kept = [*self.arguments.stand_ins, *self._recipes.values()]
        return [t for t, _ in kept if t._array.source is self.trace and not t._weak]

    def _gradient(self, t: Tensor) -> Gradient | None:
        """Where a tensor is a gradient that was there before the call, or a view of one."""
        inner = t._present()
        for slot, state in self.trace.slots.items():
            if state.given is not None and slot not in self.trace.inner_slots and slot not in self.trace.fixed:
                if t is state.given:
                    return Gradient(self.trace.place(slot))
                if inner._storage is not None and inner._storage is state.given._storage and inner._edge is None:
                    return Gradient(self.trace.place(slot), inner._steps, type(t))
        return None

    def _recipe(self, t: Tensor) -> Recipe:
        for stand_in, i in self.arguments.stand_ins:
            if t is stand_in:
                return Given(i)
        for i, leaf in enumerate(self.arguments.leaves):
            if t is leaf:
                return Given(i)
        inner = t._present()
        s = inner._storage
        gradient = self._gradient(t)
        if gradient is not None:
            return gradient
        for x, stand_in, _ in self.trace.rebound.values():
            if t is x or t is stand_in:
                place = self._exchanges.places.get(id(x))
                return Object(x) if place is None else Placed(place)
        if s is not None and not any(isinstance(p, Detach) and p.history is not None for p in inner._steps):
            origin = self.trace.origins.get(s)
            if origin is not None:
                outside = [x for x, stand_in, _, _ in self.trace.seen if t is x or t is stand_in]
                held = [self._exchanges.places.get(id(x)) for x, _, _, _ in self.trace.seen if x._storage is origin]
                place = next(filter(None, held), None)
                if place is not None:
                    return Placed(place) if outside else Placed(place, inner._steps, type(t))
                return Object(outside[0]) if outside else ViewOfCaptured(origin, inner._steps, type(t))
            for memory, first, i in self._argument_memory():
                if memory is s:
                    return ViewOfArgument(i, inner._steps[len(first) :], type(t))
            if inner._edge is None:  # behind a leaf it may have been on the way
                return ViewOfFresh(self._number_of(s), tuple([p for p in inner._steps if not isinstance(p, LeafStep)]), type(t))
            if not is_leaf(inner):
                return ViewOfFresh(self._number_of(s), inner._steps, type(t))
        edge = inner._edge
        if edge is not None and isinstance(edge[0], Leaf) and edge[0] not in self._where:
            found = Value(self.out(inner._array), type(t), rooted=False, leaf=True)
            self._where[edge[0]] = ResultEdge(found)
            return found
        out, history = self.rooted(inner._array, edge)
        return Value(out, type(t), rooted=history == "new")

    def _argument_memory(self) -> Iterator[tuple[Storage, tuple[Step, ...], int]]:
        """The memory that argument leaves have at the start of a call, where there is a Storage of it, and what they show of it."""
        for t, i in self.arguments.stand_ins:
            if id(t) in self.trace.rebound:
                leaf = leaf_of(t)
                yield self.trace.rebound[id(t)][2], () if leaf is None else (LeafStep(leaf),), i
            elif t._storage is not None:
                yield t._storage, self._first_steps(t), i

    def _first_steps(self, argument: Tensor) -> tuple[Step, ...]:
        """The steps that an argument began with, where it has turned into a view of itself."""
        return self.trace.became.get(id(argument), (None, argument._steps))[1]

    def _number_of(self, s: Storage) -> int:
        if s not in self._fresh:
            self._fresh[s] = len(self._fresh), Fresh(*self.rooted(s.base, s.edge))
        return self._fresh[s][0]

    # ---- what was written

    def writes(self) -> list[Write]:
        """The writes of tensors that are no attributes."""
        return [*self._storages(), *self._arguments(), *self._gradients()]

    def _storages(self) -> list[Write]:
        found: list[Write] = []
        for _, t, _, _ in self.trace.seen:
            if any(isinstance(p, Detach) and p.history is not None for p in t._steps):
                raise CaptureError(
                    f"{self.name}: a compiled function writes values with a history to a detached tensor from outside; clone() it first"
                )
        for s, c in self.trace.captured.items():
            base, edge = c.storage.base, c.storage.edge
            if edge == c.edge and base is c.placeholder:
                continue
            written: tuple[int, History] = (self.out(base), "keep") if edge == c.edge else self.rooted(base, edge)
            place = self._exchanges.memories.get(s)
            found.append(StorageWrite(s, *written) if place is None else PlacedWrite(place, *written))
        return found

    def _arguments(self) -> list[Write]:
        found: list[Write] = []
        for t, i in self.arguments.stand_ins:
            if t._weak:
                continue
            if hooks(leaf_of(t)) != hooks(leaf_of(self.arguments.leaves[i])):
                raise CaptureError(f"{self.name}: a compiled function cannot register hooks on argument {self.names[i]}; do it outside")
            s = self.trace.rebound[id(t)][2] if id(t) in self.trace.rebound else t._storage
            a = t._now() if s is None else s.base
            edge = t._edge if s is None else s.edge
            source = self.trace.sources[-1 - a.value] if a.value < 0 else None
            now = t._present()._edge
            if now is not None and isinstance(now[0], Leaf) and now[0] not in self._where:
                self._where[now[0]] = NewLeafEdge(i)
                found.append(ArgumentRequiresGrad(i))
            if isinstance(source, Argument) and source.index == i:
                if now is None and any(e.index == i for e in self.arguments.edges.values()):
                    found.append(ArgumentDetach(i))
                continue
            if s is t._storage is not None and any(not isinstance(p, LeafStep) for p in self._first_steps(t)):
                raise CaptureError(f"{self.name}: argument {self.names[i]} was given another memory inside the compiled function")
            keeps = edge is None if t._edge is None or s is not None else edge[0] in self._where  # type: ignore[index,operator]
            found.append(ArgumentWrite(i, self.out(a), "keep") if keeps else ArgumentWrite(i, *self.rooted(a, edge)))
        return found

    def _views(self) -> list[Write]:
        """Of arguments that turn into views of themselves."""
        found: list[Write] = []
        for t, i in self.arguments.stand_ins:
            if id(t) in self.trace.became:
                steps = t._steps[len(self._first_steps(t)) :]
                if not all(isinstance(p, Movement) for p in steps):
                    raise CaptureError(
                        f"{self.name}: a compiled function cannot have argument {self.names[i]} require gradients, or forget its history, "
                        "once it has turned it into a view in place; use the operation without the underscore"
                    )
                found.append(ArgumentView(i, steps))
        return found

    def _data(self, shared: Counter[int]) -> list[DataAssign]:
        """Of tensors that are given the memory of others. shared: how many of what calls make or assign show a Storage, by its id."""
        found: list[DataAssign] = []
        for t, stand_in, before in self.trace.rebound.values():
            s = stand_in._storage
            if s is not before or places(stand_in):
                own = view(s, tuple(places(stand_in)))
                found.append(DataAssign(self.recipe(t), self.recipe(own, s.edge is not None and shared[id(s)] == 0)))
        return found

    def _prints(self) -> list[Write]:
        """Of what is shown at each call."""
        return [
            Print(
                tuple(self.recipe(x) if isinstance(x, Tensor) else plain_dim(x) for x in values),
                frozenset(i for i, x in enumerate(values) if isinstance(x, Tensor) and x._weak),
                show,
            )
            for values, show in self.trace.prints
        ]

    def _gradients(self) -> list[Write]:
        """What gradients that were there have become, whoever has them now; then which tensors are gradients now."""
        values: list[Write] = []
        places: list[Write] = []
        trace = self.trace
        for slot, state in trace.slots.items():
            held, given = state.held, state.given
            if slot in trace.inner_slots:
                continue
            if given is not None and slot not in trace.fixed:  # else written as what it is: a captured tensor
                a = given._now() if given._storage is None else given._storage.base
                if a.value >= 0 or not isinstance(trace.sources[-1 - a.value], Grad):
                    values.append(GradWrite(trace.place(slot), self.out(a)))
            if held is None:
                if state.was_none is not True:
                    places.append(GradNone(trace.place(slot)))
            elif held is not given:
                places.append(GradAssign(trace.place(slot), self.recipe(held)))
        return [*values, *places]

    def _requires(self, value: bool) -> list[Write]:
        """Of the tensors that have become leaves that require gradients, or are none any more."""
        leaves = [(t, leaf_of(t) is not None, leaf_of(stand_in) is not None) for t, stand_in, _, _ in self.trace.seen]
        return [RequiresGrad(weakref.ref(t), value) for t, was, now in leaves if now is value and was is not value]

    def _result_gradients(self) -> list[Write]:
        """Of the results, those gradients that they have already."""
        found: dict[GradSlot, Write] = {}
        before = -1
        while before < len(found):  # a gradient may be a result of its own, with a gradient
            before = len(found)
            for slot, state in self.trace.slots.items():
                made = self._recipes.get(id(slot.owner())) if slot in self.trace.inner_slots and state.held is not None else None
                if made is not None and slot not in found:
                    found[slot] = ResultGrad(made[1], self.recipe(state.held))
        return list(found.values())

    def _retained(self) -> list[Write]:
        """Of arguments, captured tensors and results, those whose gradient is kept from now on."""
        tensors = [t for t, _ in self.arguments.stand_ins] + [t for t, _, _, _ in self.trace.seen] + [t for t, _ in self._recipes.values()]
        found: dict[int, Write] = {}
        for t in tensors:
            edge = t._present()._edge
            if edge is not None and edge[0].retained is not None and edge[0].retained.get(edge[1]) is t._slot is not None:
                if not isinstance(edge[0], Outside) and any(edge[0] in ancestors(e) for e in self._edges.values() if e[0] is not edge[0]):
                    raise CaptureError(
                        f"{self.name}: the gradient of a result is retained, and other results are computed from it: a backward outside "
                        "runs through all of the compiled function at once. Call backward() inside, or split the function there"
                    )
                found[id(t)] = RetainGrad(self.recipe(t))
        return list(found.values())

    # ---- the whole

    def traced(self, result: Any, tables: Tables, roots: Roots) -> tuple[Traced, Exchanges, list[Watch]]:
        """The traced value of a function that returned `result`, what is exchanged between calls, and lists and dicts that stay."""
        trace = self.trace
        ended = trace.checks.copy()
        self._exchanges = tables.exchanges(trace, self.arguments.leaves, self.name)
        flat: list[Any] = []
        structure = flatten(result, flat)
        recipes = tuple([self.recipe(x) for x in flat if isinstance(x, Tensor)])
        assigned, stay = tables.writes(self, flat, self._exchanges)
        tensors = self.writes()
        after = (*self._requires(True), *self._result_gradients(), *self._retained(), *self._views(), *self._prints())
        tags = list(tagged(self, tables))
        stay += [w for w in tags if isinstance(w, Watch)]
        data = self._data(tables.shared)
        writes = (*self._requires(False), *tensors, *assigned, *after, *(w for w in tags if isinstance(w, Write)), *data)
        freed: dict[int, Edge] = {
            out: (Refusing("CompiledBackward", why, (), (trace.type_of(self.live[out]),)), 0)
            for out, edge in self._edges.items()
            if (why := refusal(edge)) is not None
        }
        rooted = {out: edge for out, edge in self._edges.items() if out not in freed}
        ends = [(s, c.edge[0], trace.sources[-1 - c.placeholder.value]) for s, c in trace.captured.items() if c.edge is not None]
        self._where.update({n: AttributeEdge(x.place) if isinstance(x, Attribute) else StorageEdge(s) for s, n, x in ends})
        placed = [(leaf_of(x), self._exchanges.places.get(id(t))) for t, x, _, _ in trace.seen]
        self._where.update({leaf: AttributeEdge(p) for leaf, p in placed if leaf is not None and p is not None})
        derived = derive_backward(trace, [(self.live[out], edge) for out, edge in rooted.items()], self._where) if rooted else None
        trace.checks = ended  # before its backward was derived
        if any(w.distinct for w in writes) and (shared := self.arguments.shared()) is not None:
            raise Aliased(shared)  # what is written to one shows in the other
        measured = {name: (self.out(count), said) for name, (count, said) in trace.measured.items()}
        inputs = self._inputs(derived)
        sources = [trace.sources[-1 - i] for i in inputs]
        if derived is None:
            sources = [BriefArgument(s.index) if type(s) is Argument else s for s in sources]
        graph = trace.subgraph(inputs, self.live, self.name)
        graph = graph.replace(input_names=self._input_names(sources, roots))  # type: ignore[arg-type]
        written = {w.storage for w in writes if isinstance(w, StorageWrite) and w.history == "keep"}
        shown = [t for t, _ in trace.stand_ins.values() if t._storage in written and all(isinstance(p, LeafStep) for p in t._steps)]
        made = Traced(
            name=self.name,
            graph=graph,
            sources=tuple(sources),  # type: ignore[arg-type]
            recipes=recipes,
            result=Result.of(structure, flat),
            fresh=tuple(f for _, f in self._fresh.values()),
            early=(*(r for _, r in self._recipes.values() if isinstance(r, (Gradient, Placed))), *(w.data for w in data)),
            writes=writes,
            refresh=tuple((weakref.ref(t), t._storage) for t in shown),
            freed=freed,
            backward=None if derived is None else self._backward(derived, inputs, rooted),
            fit=self._fit(),
            measured=measured,
            late=self._late(),
            device=self._device(),
            in_devices=tuple(trace.type_of(i).device for i in inputs),
            out_devices=tuple(self.devices),
        )
        return _settled(made), self._exchanges, stay

    def _device(self) -> int | None:
        """The GPU that runs it. CaptureError where there are two."""
        found = list(self.trace.devices)
        if len(found) > 1:
            names = ", ".join(f"cuda:{d}" for d in found)
            raise CaptureError(f"{self.name}: a compiled function computes on one device, and this one on {names}: compile its parts")
        return found[0] if found else None

    def _fit(self) -> Fit | None:
        shapes, extents = self.arguments.shapes, self.trace.extents
        if shapes is None or extents is None:
            return None
        return Fit.of(shapes, self.arguments.leaves, extents, self.names)

    def _late(self) -> list[tuple[Guard | Formula, str]]:
        """What the trace depends on, and only a run can tell."""
        extents = self.trace.extents
        if extents is None or not extents.measured:
            return []
        return [(g, where) for g, where in {**extents.guards, **extents.conditions}.items() if extents.measures(g)]

    def _inputs(self, derived: Derived | None) -> list[int]:
        """The inputs that forward and backward read; what the backward reads beside them becomes an output.

        So do values that nobody wants, and whose computation may fail.
        """
        for i in () if derived is None else derived.saved:
            device = self.trace.type_of(i).device
            if i >= 0 and (i, device) not in self._outs:
                self._outs[i, device] = self._output(i, device)
        needed = self.trace.needed(self.live)[1]
        dropped = self.trace.dropped(self.live)
        if dropped:
            for i in dropped:
                self._output(i, self.trace.type_of(i).device)
            needed = self.trace.needed(self.live)[1]
        if derived is not None:
            needed.update(derived.saved)
        needed.update(offset.value for _, offset, _ in self.trace.generators.values())  # what a function draws is used up
        return sorted((i for i in needed if i < 0), reverse=True)

    def _backward(self, derived: Derived, inputs: Sequence[int], rooted: Mapping[int, Edge]) -> Backward:
        at = {i: ("in", k) for k, i in enumerate(inputs)}
        reads = tuple(at[i] if i < 0 else ("out", self._outs[i, self.trace.type_of(i).device]) for i in derived.saved)
        graph = self.trace.subgraph(derived.saved + derived.cotangents, derived.grads, f"{self.name}_backward")
        histories = [ancestors(edge) for edge in rooted.values()]
        number = {n: k for k, n in enumerate({n: None for nodes in histories for n in nodes if n.saves()})}
        through = tuple([frozenset([number[n] for n in nodes if n in number]) for nodes in histories])
        ends = tuple([frozenset([i for i, n in enumerate(derived.ends) if n in nodes]) for nodes in histories])
        return Backward(graph.replace(scalars=frozenset()), reads, tuple(rooted), derived.edges, derived.which, through, ends)

    def _input_names(self, sources: Sequence[Source], roots: Roots) -> tuple[str, ...]:
        storages = roots.storage_names()
        return tuple(s.called(k, self.names, storages) for k, s in enumerate(sources))
