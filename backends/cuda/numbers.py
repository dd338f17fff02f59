"""Which buffers of kernels are numbers: scalar inputs, which a launch passes by value."""

from __future__ import annotations

from ingot.ir.loop.program import Branch, Launch, Program, Repeat, Step, While, launches
from ingot.ir.struct import replace

__all__ = ["by_value", "told_apart"]


def by_value(program: Program) -> dict[str, tuple[bool, ...]]:
    """For each kernel, which of its buffers are scalar inputs. ValueError where two launches of it differ in that: see `told_apart`."""
    found: dict[str, tuple[bool, ...]] = {}
    for s in launches(program.steps):
        here = _numbers(s)
        if found.setdefault(s.kernel, here) != here:
            raise ValueError(f"{program.name}: {s.kernel} is launched with a number and with an address in one place")
    return found


def told_apart(program: Program) -> Program:
    """The program with a kernel more for each way in which one is launched: with a number in a place, and with an address."""
    ways: dict[str, list[tuple[bool, ...]]] = {}
    for s in launches(program.steps):
        known = ways.setdefault(s.kernel, [])
        if _numbers(s) not in known:
            known.append(_numbers(s))
    if all(len(known) == 1 for known in ways.values()):
        return program
    kernels = dict(program.kernels)
    for name, known in ways.items():
        for k in range(1, len(known)):
            kernels[f"{name}_{k}"] = replace(kernels[name], name=f"{name}_{k}")

    def told(s: Step) -> Step:
        if isinstance(s, Launch):
            k = ways[s.kernel].index(_numbers(s))
            return replace(s, kernel=f"{s.kernel}_{k}") if k else s
        if isinstance(s, Repeat):
            return replace(s, steps=tuple(map(told, s.steps)))
        if isinstance(s, Branch):
            return replace(s, steps=tuple(map(told, s.steps)), otherwise=tuple(map(told, s.otherwise)))
        if isinstance(s, While):
            return replace(s, test=tuple(map(told, s.test)), steps=tuple(map(told, s.steps)))
        return s

    return replace(program, kernels=kernels, steps=tuple(map(told, program.steps)))


def _numbers(s: Launch) -> tuple[bool, ...]:
    return tuple(b.value for b in s.bufs)
