"""`python -m benchmarks tune 'kernel_matmul_*'`: faster schedules for the contractions of workloads, as `ir/lower/tiles/tuned.py`.

Each contraction of a workload's graphs runs on its own, as it lies there, on one thread and on all. From what the rules choose, and from
other kinds of schedules that fit, the search takes the best step (a number halved, doubled, or changed by one; a decision reversed) until
none is faster. What gives other numbers is left out. The compiler never measures: it reads the table.
"""

from __future__ import annotations

import functools
import math
import os
import re
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ingot.backends import backend
from ingot.ir.graph import Graph
from ingot.ir.lower import STAGES, run
from ingot.ir.lower.few_rows import choose as few_rows
from ingot.ir.lower.group import Fused, Group
from ingot.ir.lower.schedule import Schedule, ScheduleError, print_schedule
from ingot.ir.lower.scheduling import Scheduled
from ingot.ir.lower.tiles import tuned as table
from ingot.ir.lower.tiles.choose import choose as tiles
from ingot.ir.lower.tiles.kind import by_rule
from ingot.ir.lower.tiles.schedule import Pack, Tiles
from ingot.ir.lower.tiles.tuned import case_of
from ingot.ir.machine import Machine
from ingot.ir.struct import fields, replace
from ingot.runtime import compiler, memory, threads
from ingot.runtime.executable import Executable

__all__ = ["Found", "graphs_of", "neighbours", "text_of", "tune"]

_AT = {s.name: i for i, s in enumerate(STAGES)}
KEPT = {"run", "parallel", "near", "tail", "into", "combine"}  # how exact sums are, and what sizes that are known later need
GAIN = 0.96  # of the time: what is not faster by more may be noise
PANELS, STEPS = 4, 384  # of items that pack their own
ROUNDS, SECONDS = 5, 0.004
NEAR = {"float32": 1e-4, "float64": 1e-9}  # how far results may be from the first ones, of the largest; halves farther

Call = Callable[[], None]
Clock = Callable[[Call], float]


class Found(NamedTuple):
    """What a search found for a contraction: the schedule that the rules choose, the fastest, and their times in seconds."""

    usual: Schedule
    best: Schedule
    before: float
    after: float


def graphs_of(call: Callable[[], Any]) -> list[Graph]:
    """The graphs that are compiled, or found in the cache, while `call` runs."""
    found: list[Graph] = []
    real = compiler.executable

    def noted(graph: Graph, *args: Any, **kwargs: Any) -> Executable:
        found.append(graph)
        return real(graph, *args, **kwargs)

    compiler.executable = noted
    try:
        call()
    finally:
        compiler.executable = real
    return found


def tune(graphs: Iterable[Graph], seconds: float, clock: Clock | None = None) -> dict[str, Found]:
    """For about so long: the fastest schedules of the contractions in graphs, by case, as far as they are not those of the table."""
    began, found, level = time.monotonic(), {}, compiler.host_level()
    target = backend("cpu").target(level)
    for graph in graphs:
        laid = run(graph, target, STAGES[: _AT["schedule"]])
        for g in laid.groups:
            if g.kind != "tiles" or (case := case_of(g)) in found or graph.symbols:
                continue
            if time.monotonic() - began > seconds:
                print(f"no time is left for {case}")
                continue
            lone = _alone(laid, g)
            search = None if lone is None else _Search(*lone, target, level, clock or seconds_of)
            if search is not None and (best := search.run()) is not None:
                found[case] = best
                print(f"{case}\n  {best.after / best.before:.2f} of {best.before * 1e6:.0f} us: {best.best}", flush=True)
    return {case: f for case, f in found.items() if f.best != f.usual}


def text_of(found: Mapping[str, Found], generation: str) -> str:
    """The text of tuned.py with what was found, and what it held."""
    with open(table.__file__, encoding="utf-8") as f:
        head = re.split(r"(?m)^TUNED\b", f.read())[0]
    every = {g: dict(rows) for g, rows in table.TUNED.items()}
    every.setdefault(generation, {}).update({case: print_schedule(f.best) for case, f in found.items()})
    lines = ["TUNED: Mapping[str, Mapping[str, str]] = {"]
    for name, rows in sorted(every.items()):
        lines += [f'    "{name}": {{', *(f"        {case!r}:\n            {text!r}," for case, text in sorted(rows.items())), "    },"]
    return head + "\n".join([*lines, "}", ""])


def neighbours(s: Schedule) -> Iterator[Schedule]:
    """A schedule with one of its decisions changed by a step."""
    for name in fields(s):
        if name not in KEPT:
            for other in _others(getattr(s, name)):
                yield replace(s, **{name: other})


def _others(value: Any) -> Iterator[Any]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (n for n in dict.fromkeys((2 * value, value // 2, value + 1, value - 1)) if n > 0 and n != value)
    elif isinstance(value, tuple):
        for i, v in enumerate(value):
            yield from ((*value[:i], other, *value[i + 1 :]) for other in _others(v))
    elif isinstance(value, Schedule):
        yield from neighbours(value)


def _starts(group: Group, machine: Machine) -> Iterator[Schedule]:
    """What the rules of several kinds choose for a contraction, and what takes more than one step from there."""
    usual = by_rule(group, machine)
    every = [usual]
    if group.nodes[0].outputs[0].type.dtype.kind == "f":
        every += [s for s in (few_rows(group, machine), tiles(group, machine)) if s is not None and s not in every]
    yield from every
    for s in every:
        if isinstance(s, Tiles):
            yield replace(s, pack=Pack(s.pack.columns, 1, True))
            yield replace(s, pack=Pack(s.pack.columns, depth=STEPS), block=PANELS, group=1 << 20, gather=False, turn=0)


def _alone(laid: Fused, group: Group) -> tuple[Fused, Group] | None:
    """A group as a graph of its own, whose values lie as they do in the whole; None where it is in parts there."""
    graph, inside = laid.graph, {*group.nodes, *group.inside()}
    nodes = tuple(n for n in graph.nodes if n in inside)
    made = {v for n in nodes for v in n.outputs}
    read = tuple(dict.fromkeys(v for n in nodes for v in n.inputs if v not in made))
    steady = {graph.inputs[i] for i in graph.steady}
    for n in graph.nodes:
        if n.inputs and all(v in steady for v in n.inputs):
            steady.update(n.outputs)
    own = graph.replace(
        inputs=read, nodes=nodes, outputs=group.outputs, input_names=None, scalars=frozenset(),
        steady=frozenset(i for i, v in enumerate(read) if v in steady),
    )  # fmt: skip
    fused = run(own, None, STAGES[_AT["fuse"] : _AT["fuse"] + 1])
    orders = {v: order for v, order in laid.orders.items() if v in made or v in read}
    groups = tuple(replace(g, orders=group.orders if g.nodes[0] is group.nodes[0] else orders) for g in fused.groups)
    fused = replace(fused, groups=groups, orders=orders)
    found = next((g for g in groups if g.nodes[0] is group.nodes[0]), None)
    return None if found is None or case_of(found) != case_of(group) else (fused, found)


class _Search:
    def __init__(self, fused: Fused, group: Group, target: Any, level: Any, clock: Clock):
        self.scheduled: Scheduled = run(fused, target, STAGES[_AT["schedule"] : _AT["emit"]])
        self.at = fused.groups.index(group)
        self.group, self.target, self.level, self.clock = group, target, level, clock
        rng = np.random.default_rng(0)
        self.inputs = [_buffer(v.type, rng) for v in fused.graph.inputs]
        self.outputs = [_buffer(v.type, None) for v in fused.graph.outputs]
        self.held: list[memory.Buffer] = []
        self.want: list[np.ndarray] | None = None
        self.calls: dict[str, Call | None] = {}

    def run(self) -> Found | None:
        """The fastest of what one step after the other leads to; None where not even what the rules choose runs."""
        usual, *more = _starts(self.group, self.target.machine)
        first = self.call(usual)
        if first is None:
            return None
        best, call = self.better(usual, first, more)
        while True:
            found, call = self.better(best, call, neighbours(best))
            if found == best:
                break
            best = found
        times = [(self.clock(first), self.clock(call)) for _ in range(ROUNDS)]
        before, after = (statistics.median(t[i] for t in times) for i in (0, 1))
        return Found(usual, best, before, after) if after < GAIN * before else Found(usual, usual, before, before)

    def better(self, best: Schedule, call: Call, others: Iterable[Schedule]) -> tuple[Schedule, Call]:
        """The fastest of a schedule and others, each of which must be faster twice."""
        least = self.clock(call)
        for s in others:
            other = self.call(s)
            if other is None or other is call or self.clock(other) > GAIN * least:
                continue
            again, there = statistics.median(self.clock(call) for _ in range(3)), statistics.median(self.clock(other) for _ in range(3))
            if there < GAIN * again:
                best, call, least = s, other, there
        return best, call

    def call(self, s: Schedule) -> Call | None:
        """A call of the contraction under a schedule; None where that does not fit, or gives other numbers."""
        text = print_schedule(s)
        if text not in self.calls:
            self.calls[text] = self.built(s)
        return self.calls[text]

    def built(self, s: Schedule) -> Call | None:
        schedules = list(self.scheduled.schedules)
        schedules[self.at] = s
        try:
            s.verify(self.group)
            program = run(replace(self.scheduled, schedules=tuple(schedules)), self.target, STAGES[_AT["emit"] :])
        except (ScheduleError, ValueError, RuntimeError, AssertionError):  # what cannot be written is no candidate
            return None
        made = backend("cpu").build(program, self.level)
        exe = Executable(made.code, made.manifest)
        kept = [memory.unfilled(exe.manifest["kept"])] if "kept" in exe.manifest else []
        self.held += kept
        slots = [b.address for b in (*(b for b, _ in (*self.inputs, *self.outputs)), *kept)]
        call = functools.partial(exe.run, *slots)
        call()
        got = [array.astype(np.float64) for _, array in self.outputs]
        if self.want is None:
            self.want = got
        for g, w, (_, array) in zip(got, self.want, self.outputs):
            if not np.allclose(g, w, rtol=0, atol=NEAR.get(array.dtype.name, 2e-2) * (float(np.abs(w).max(initial=0)) or 1)):
                print(f"{s} gives other numbers")
                return None
        return call


def _buffer(t: Any, rng: np.random.Generator | None) -> tuple[memory.Buffer, np.ndarray]:
    buffer = memory.allocate(max(1, t.nbytes))
    array = buffer.array(t.dtype.numpy, t.shape)
    if rng is not None:
        array[...] = rng.integers(-8, 8, t.shape) if t.dtype.kind in "iu" else rng.standard_normal(t.shape)
    return buffer, array


def seconds_of(call: Call) -> float:
    """How long a call takes on one thread, and on all: the geometric mean of the best of some rounds each."""
    every, times = threads.get_num_threads(), []
    for n in {1, every}:
        threads.set_num_threads(n)
        try:
            call()
            start = time.perf_counter()
            call()
            count = max(1, min(1000, int(SECONDS / max(time.perf_counter() - start, 1e-7))))
            rounds = []
            for _ in range(ROUNDS):
                start = time.perf_counter()
                for _ in range(count):
                    call()
                rounds.append((time.perf_counter() - start) / count)
            times.append(min(rounds))
        finally:
            threads.set_num_threads(every)
    return math.prod(times) ** (1 / len(times))


def main(names: Iterable[Any], contender: Any, seconds: float, out: str | None) -> int:
    """Search for all contractions of workloads, and write the table into the folder `out`."""
    graphs = []
    for w in names:
        arrays = w.inputs(np.random.default_rng(1))
        with contender.mode(w.training):
            graphs += graphs_of(contender.prepare(w, arrays))
    found = tune(graphs, seconds)
    if out:
        os.makedirs(out, exist_ok=True)
        with open(os.path.join(out, "tuned.py"), "w", encoding="utf-8") as f:
            f.write(text_of(found, compiler.host_level().machine.generation))
    return 0
