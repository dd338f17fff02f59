"""A program's steps, one at a time: how long each kernel of a graph takes, what it moves and computes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ingot.runtime import compiler, memory, threads
from ingot.runtime.executable import Executable

if TYPE_CHECKING:
    from ingot.backends.built import Part
    from ingot.ir.graph import Graph
    from ingot.ir.loop.program import Program, Step
    from ingot.ir.lower import Stage
    from ingot.ir.lower.emitting import Emitted

__all__ = ["KernelTime", "kernel_times"]


class KernelTime(NamedTuple):
    """A kernel, or a loop of kernels: the least time of several runs, the bytes of the values that it reads and writes, its operations."""

    name: str
    seconds: float
    nbytes: int
    operations: int


def kernel_times(graph: Graph, rounds: int = 5) -> list[KernelTime]:
    """Run a graph of known sizes step by step, on inputs of ones, `rounds` times. ValueError for sizes that are not known.

    Each step is code of its own, of the kernels that the graph has; values between steps are where the graph has them.
    """
    from ingot.backends import backend
    from ingot.ir.struct import replace

    if graph.symbols:
        raise ValueError(f"@{graph.name} has sizes that are known only when it runs")
    cpu, level = backend("cpu"), compiler.host_level()
    sizes: dict[Any, list[int]] = {}  # of the buffers of a launch, by kernel and parameters

    def look(stage: Stage, value: Any) -> None:
        if stage.name == "emit":
            sizes.update(_sizes(value))

    program = cpu.lower(graph, level, look)
    known: dict[bytes, bytes] = {}

    def keep(parts: Sequence[Part], make: Any) -> list[bytes]:
        new = [p for p in parts if p.name not in known]
        known.update(zip((p.name for p in new), make(new, 1)))
        return [known[p.name] for p in parts]

    if not threads.pool_loaded():
        threads.start_pool(compiler.pool_code())
    steps = []
    for step in program.steps:
        names = dict.fromkeys(_launched(step))
        part = replace(program, steps=(step,), kernels={n: program.kernels[n] for n in names}, aliases={}, checks={})
        built = cpu.build(part, level, keep)
        steps.append((step, tuple(names), Executable(built.code, built.manifest)))
    slots, held = _slots(program)
    table = threads.pool_table()
    arena = memory.allocate(max([e.peak_bytes() for _, _, e in steps] + [64]))
    packed = [e._pack(*slots) for _, _, e in steps]
    best = [float("inf")] * len(steps)
    for _ in range(rounds + 1):  # the first fills what lies between steps
        for k, (_, _, e) in enumerate(steps):
            begin = time.perf_counter()
            e._entry(packed[k], table.address, arena.address)
            best[k] = min(best[k], time.perf_counter() - begin)
    del held
    return [KernelTime(*_named(step, names), seconds, *_work(program, step, sizes)) for (step, names, _), seconds in zip(steps, best)]


def _sizes(emitted: Emitted) -> Iterator[tuple[Any, list[int]]]:
    from ingot.ir.lower.emitting import Call

    for c in emitted.calls:
        if isinstance(c, Call):
            yield (c.kernel, c.params), [v.type.nbytes for v in c.values]
        else:
            for body in c.bodies:
                yield from _sizes(body)


def _launched(step: Step) -> list[str]:
    from ingot.ir.loop.program import Launch, nested

    if isinstance(step, Launch):
        return [step.kernel]
    return [n for steps in nested(step) for s in steps for n in _launched(s)]


def _named(step: Step, names: tuple[str, ...]) -> tuple[str]:
    kind = type(step).__name__.lower()
    plain = [n.partition("_")[2] for n in names]
    return (plain[0] if kind == "launch" else f"{kind} of {', '.join(plain)}" if plain else kind,)


def _slots(program: Program) -> tuple[list[Any], list[Any]]:
    """What a call is given: ones for inputs, memory for results; and what holds them."""
    slots: list[Any] = []
    held = []
    for k, t in enumerate((*program.in_types, *program.out_types)):
        if k in program.scalars:
            slots.append(1)
            continue
        buffer = memory.allocate(t.nbytes)
        held.append(buffer)
        array = buffer.array(t.dtype.numpy, t.shape)
        array[...] = np.ones((), array.dtype) if t.dtype.kind in "fcb" else 0
        slots.append(buffer.address)
    return slots, held


def _work(program: Program, step: Step, sizes: dict[Any, list[int]]) -> tuple[int, int]:
    """Bytes that a step reads and writes, each address once; and its operations."""
    from ingot.ir.loop.program import Copy, Launch, Repeat, nested
    from ingot.ir.loop.work import operations, touched

    if isinstance(step, Launch):
        kernel = program.kernels[step.kernel]
        return touched(kernel, step.params, sizes[step.kernel, step.params]), operations(kernel, step.params)
    if isinstance(step, Copy):
        return 2 * step.nbytes, 0  # type: ignore[operator, return-value]
    found = [_work(program, s, sizes) for steps in nested(step) for s in steps]
    times = step.count if isinstance(step, Repeat) else 1
    return times * sum(n for n, _ in found), times * sum(n for _, n in found)  # type: ignore[return-value]
