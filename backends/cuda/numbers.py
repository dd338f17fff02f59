"""Which buffers of kernels are numbers: scalar inputs, which a launch passes by value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ingot.ir.loop.program import Launch, Program, Step, nested

__all__ = ["by_value", "launches"]


def launches(steps: Sequence[Step]) -> Iterator[Launch]:
    """The launches among steps, those within others included."""
    for s in steps:
        if isinstance(s, Launch):
            yield s
        for inside in nested(s):
            yield from launches(inside)


def by_value(program: Program) -> dict[str, tuple[bool, ...]]:
    """For each kernel, which of its buffers are scalar inputs. ValueError where two launches of a kernel differ in that."""
    found: dict[str, tuple[bool, ...]] = {}
    for s in launches(program.steps):
        here = tuple(b.value for b in s.bufs)
        if found.setdefault(s.kernel, here) != here:
            raise ValueError(f"{program.name}: {s.kernel} is launched with a number and with an address in one place")
    return found
