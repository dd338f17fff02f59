"""What a thread records for a GPU, and how values come there and back.

An operation runs where its operands are: the recorder of the thread hands it to that of the GPU (`Recorder.on`). What is made of numbers
alone is in no memory yet: where the host has recorded it and it is wanted on a GPU, it is recorded there anew, and nothing is copied.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any
from weakref import ref

import numpy as np

from ingot.ir.graph import Location
from ingot.ir.precision import BEFORE_CHANGE
from ingot.runtime import array as arrays
from ingot.runtime import memory, plans
from ingot.runtime.array import HOST, MADE, META, Array, again, host, ready
from ingot.runtime.cuda.device import Device
from ingot.runtime.cuda.device import device as device_of
from ingot.runtime.numbers import rank0
from ingot.runtime.recorder import Recorder, here
from ingot.runtime.tape import Signature, apart

__all__ = ["Elsewhere", "moved", "note_made"]


class Elsewhere(Recorder):
    """The recorder of one thread for one GPU."""

    def __init__(self, device: int):
        self.device = device
        self.gpu: Device = device_of(device)
        super().__init__()

    def emit(self, sig: Signature, arrays: Any, loc: Location | None) -> list[Array]:
        if sig.mixed:
            arrays = [a if a.type.device is not None else self.adopted(a) for a in arrays]
        return super().emit(sig, arrays, loc)

    def input(self, a: Array) -> int | None:
        b: Any = a.buffer
        if b is not None and b.pool is None or b is not None and b.pool.shared and b.shared:
            here.recorder.run_soon = True  # before others write to it
        return super().input(a)

    def adopted(self, a: Array) -> Array:
        """A value of the host's as an operand here: a number, or what was made of numbers. RuntimeError for any other."""
        if a.source is HOST and a.buffer is None:
            return a
        source = a.source
        if isinstance(source, Recorder):
            nodes = made_of_numbers(source, a, source.asked_for)
            if nodes is not None:
                return self.record_again(source, nodes, a.value)
        elif a.value is MADE:
            return self.copied(a)
        if a.type.shape:
            raise RuntimeError(apart(f"cuda:{self.device}", "cpu"))
        if a.type.dtype.kind == "c":
            return self.copied(a)
        return host(rank0(a.type.dtype), arrays.to_numpy(a).astype(np.float64 if a.type.dtype.kind == "f" else a.type.dtype.numpy).item())

    def record_again(self, source: Recorder, nodes: Sequence[int], value: int) -> Array:
        """A value of another recorder, of which `nodes` make it, the last one first; recorded here."""
        made: dict[int, Array] = {}
        with self.lock:
            for n in reversed(nodes):
                op, attrs, ins = source.nodes[n]
                given = [made[i] if i >= 0 else source.inputs[-1 - i] for i in ins]
                ids: list[Any] = []
                for g in given:
                    k = g.value if g.source is self else self.input_index.get(g)
                    ids.append(self.input(g) if k is None else k)
                if n in source.checks:
                    self.checks.append(len(self.nodes))
                self.nodes.append((op, attrs, tuple(ids)))
                self.locs.append(source.locs[n])
                self.firsts.append(len(self.types))
                for i in source.outputs_of(n):
                    a = made[i] = Array(source.types[i].on(self.device), None, len(self.types), self)
                    self.types.append(a.type)
                    self.handles.append(ref(a))
        return made[value]

    def copied(self, a: Array) -> Array:
        """A value of the host's, copied."""
        buffer = ready(a)
        out = self.allocate(a.type.nbytes)
        out.write(buffer.address, a.type.nbytes)  # type: ignore[attr-defined]
        return Array(a.type.on(self.device), out, None, None)

    def allocate(self, nbytes: int) -> memory.Buffer:
        return self.gpu.pool.allocate(nbytes, self.gpu.stream())

    def call(self, plan: plans.Plan, slots: list[Any], live: Sequence[int]) -> None:
        stream = self.gpu.stream()
        for k in plan.reads:
            b: Any = self.inputs[k].buffer
            if b is not None and b.stream is not stream:
                b.used_on(stream)
        run: Any = plan.run
        if run.__self__.exe.can_fail:
            there = _remembered(self)
            run(*slots, explain=lambda error: there._explained(error, tuple(live)))
        else:
            run(*slots)

    def _explained(self, error: Exception, live: tuple[int, ...]) -> Exception:
        from ingot.runtime.failures import explained

        return explained(error, self.graph(live)[0], None)


def _finish() -> None:
    """Have what this thread has recorded for GPUs computed."""
    for rec in (here.recorder.others or {}).values():
        rec.flush()


BEFORE_CHANGE.append(_finish)


def _remembered(rec: Elsewhere) -> Any:
    """What was recorded, without what it was recorded of: to say later which line has failed."""
    there = copy.copy(rec)
    there.inputs = [Array(a.type, None, None, None) for a in rec.inputs]
    there.input_index, there.handles = {}, []
    return there


def made_of_numbers(rec: Recorder, a: Array, but: set[int]) -> list[int] | None:
    """The nodes that make a pending value, the last one first, where they do so of numbers alone and of none of the values `but`."""
    nodes, values = rec.needed([a.value])
    if any(i in but if i >= 0 else rec.inputs[-1 - i].source is not HOST for i in values):
        return None
    return nodes


def note_made(rec: Recorder, alive: Sequence[tuple[int, Array]]) -> None:
    """Remember of values that have run which were made of numbers alone, and for no user."""
    for i, a in alive:
        if i not in rec.asked_for:
            values = rec.needed([i])[1]
            if not any(k in rec.asked_for if k >= 0 else rec.inputs[-1 - k].type.shape != () for k in values):
                a.value = MADE


def moved(rec: Recorder, a: Array, device: int | None) -> Array:
    """The value of `a` in the memory of a GPU, or of the host. What is pending runs, unless it is made of numbers alone."""
    t = a.type
    if t.device == device:
        return a
    if a.source is META:
        raise again(META)
    if device is None:
        there: Any = ready(a)
        buffer = memory.allocate(t.nbytes)
        there.read(buffer.address, t.nbytes)
        return Array(t.on(None), buffer, None, None)
    target: Any = rec.on(device)
    if t.device is None:
        if a.source is rec:
            nodes = made_of_numbers(rec, a, set())
            if nodes is not None:
                return target.record_again(rec, nodes, a.value)
        return target.copied(a)
    source: Any = ready(a)
    gpu, other = target.gpu, device_of(t.device)
    gpu.reach(other)
    out = target.allocate(t.nbytes)
    stream = gpu.stream()
    with other.marked() as event:  # what makes it comes first
        stream.wait(event)
    gpu.driver.cuMemcpyPeerAsync(out.address, gpu.context, source.address, other.context, t.nbytes, stream.handle)
    source.used_on(stream)
    return Array(t.on(device), out, None, None)
