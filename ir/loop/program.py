"""A program: the kernels of one graph, and the steps that launch them. What a backend turns into an executable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from ingot.ir.graph import Location
from ingot.ir.loop.ir import Kernel
from ingot.ir.size import Symbol
from ingot.ir.struct import value_type
from ingot.ir.types import Dim, TensorType

__all__ = ["Ref", "Launch", "Repeat", "Branch", "While", "Copy", "Step", "Program", "decided", "launches", "nested", "refs", "slots"]


@value_type
class Ref:
    """An address: argument slot `arg` (or, where None, the arena) plus `offset` bytes, plus stride * loop variable
    for each enclosing Repeat named in `strides`. `value`: the slot itself holds the number (a scalar input)."""

    arg: int | None
    offset: Dim = 0
    strides: tuple[tuple[str, Dim], ...] = ()
    value: bool = False


@value_type
class Launch:
    """Run a kernel: `bufs` match kernel.buffers, `params` match kernel.params."""

    kernel: str
    bufs: tuple[Ref, ...]
    params: tuple[Dim, ...]


@value_type
class Copy:
    """memmove of `nbytes`."""

    dst: Ref
    src: Ref
    nbytes: Dim


@value_type
class Repeat:
    """for var in 0 .. count: steps (the body of a scan)."""

    var: str
    count: Dim
    steps: tuple[Step, ...]


@value_type
class Branch:
    """Where the byte at `flag` is not 0: `steps`; where it is: `otherwise`."""

    flag: Ref
    steps: tuple[Step, ...]
    otherwise: tuple[Step, ...]


@value_type
class While:
    """`test`, and while the byte at `flag` is not 0 then: `steps`, and `test` again, unless a check has failed."""

    test: tuple[Step, ...]
    flag: Ref
    steps: tuple[Step, ...]


Step = Launch | Copy | Repeat | Branch | While


def nested(step: Step) -> tuple[tuple[Step, ...], ...]:
    """The lists of steps within a step."""
    if isinstance(step, Repeat):
        return (step.steps,)
    if isinstance(step, Branch):
        return step.steps, step.otherwise
    return (step.test, step.steps) if isinstance(step, While) else ()


def launches(steps: Sequence[Step]) -> Iterator[Launch]:
    """The launches among steps, those in loops and branches included."""
    for s in steps:
        if isinstance(s, Launch):
            yield s
        for inside in nested(s):
            yield from launches(inside)


def refs(step: Step) -> tuple[Ref, ...]:
    """The addresses in a step, without those of the steps within it."""
    if isinstance(step, Launch):
        return step.bufs
    if isinstance(step, Copy):
        return step.dst, step.src
    return () if isinstance(step, Repeat) else (step.flag,)


def slots(steps: Sequence[Step]) -> set[int]:
    """The argument slots that steps touch."""
    found = {r.arg for s in steps for r in refs(s) if r.arg is not None}
    return found.union(*(slots(inside) for s in steps for inside in nested(s)))


def decided(steps: tuple[Step, ...]) -> bool:
    """Whether values decide which of these steps run, or how often."""
    return any(isinstance(s, (Branch, While)) or any(map(decided, nested(s))) for s in steps)


@value_type
class Program:
    """Argument slots: the graph's inputs, then its outputs, then the values of `symbols`; 8 bytes each: an address, or
    a number (in the low bytes): a scalar input's value, a symbol's extent as an i64.
    `aliases[output] = inputs`: this output may be given the own buffer of one of these inputs (in place).
    `kept`: bytes of the last output, which is none of the graph's: what follows from steady inputs alone, kept from call to call. Its first
    byte says whether it is there already (not 0), and its second is 1. `once`: inputs that nothing reads but what fills it.
    `checks[code]`: message and location of what failed, for the codes (from 1) that the entry returns.

    Numbers in steps, and `arena_bytes`, may be sizes with symbols in them: formulas that the entry calculates from the
    slots of the symbols. Kernels hold no symbols; they have parameters, whose values a launch gives. Where a size of
    `sizes()` does not fit into an i64, the sums and products it is made of included, nothing may be run: the entry
    refuses it. All that a kernel calculates of its parameters fits then as well.
    """

    name: str
    in_types: tuple[TensorType, ...]
    out_types: tuple[TensorType, ...]
    scalars: frozenset[int]
    kernels: dict[str, Kernel]
    steps: tuple[Step, ...]
    arena_bytes: Dim
    aliases: Mapping[int, tuple[int, ...]] = MappingProxyType({})
    checks: Mapping[int, tuple[str, Location | None]] = MappingProxyType({})
    symbols: tuple[Symbol, ...] = ()
    kept: int = 0
    once: tuple[int, ...] = ()

    def sizes(self) -> Iterator[Dim]:
        """Every number that is calculated before a call: bytes of inputs, outputs and arena, and what stands in steps."""
        yield from (t.nbytes for t in (*self.in_types, *self.out_types))
        yield self.arena_bytes
        yield from _sizes(self.steps)


def _sizes(steps: tuple[Step, ...]) -> Iterator[Dim]:
    for s in steps:
        for r in refs(s):
            yield r.offset
            yield from (stride for _, stride in r.strides)
        yield from s.params if isinstance(s, Launch) else (s.nbytes,) if isinstance(s, Copy) else ()
        yield from (s.count,) if isinstance(s, Repeat) else ()
        for steps in nested(s):
            yield from _sizes(steps)
