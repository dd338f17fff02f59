"""A program: the kernels of one graph, and the steps that launch them. What a backend turns into an executable."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ingot.ir.graph import Location
from ingot.ir.loop.ir import Kernel
from ingot.ir.struct import value_type
from ingot.ir.types import TensorType

__all__ = ["Ref", "Launch", "Repeat", "Copy", "Step", "Program"]


@value_type
class Ref:
    """An address: argument slot `arg` (or, where None, the arena) plus `offset` bytes, plus stride * loop variable
    for each enclosing Repeat named in `strides`. `value`: the slot itself holds the number (a scalar input)."""

    arg: int | None
    offset: int = 0
    strides: tuple[tuple[str, int], ...] = ()
    value: bool = False


@value_type
class Launch:
    """Run a kernel: `bufs` match kernel.buffers, `params` match kernel.params."""

    kernel: str
    bufs: tuple[Ref, ...]
    params: tuple[int, ...]


@value_type
class Copy:
    """memmove of `nbytes`."""

    dst: Ref
    src: Ref
    nbytes: int


@value_type
class Repeat:
    """for var in 0 .. count: steps (the body of a scan)."""

    var: str
    count: int
    steps: tuple[Step, ...]


Step = Launch | Copy | Repeat


@value_type
class Program:
    """Argument slots: the graph's inputs, then its outputs; 8 bytes each: an address, or a scalar input's value
    (in the low bytes). `aliases[output] = inputs`: this output may be given the own buffer of one of these
    inputs (in place).
    `checks[code]`: message and location of what failed, for the codes (from 1) that the entry returns."""

    name: str
    in_types: tuple[TensorType, ...]
    out_types: tuple[TensorType, ...]
    scalars: frozenset[int]
    kernels: dict[str, Kernel]
    steps: tuple[Step, ...]
    arena_bytes: int
    aliases: Mapping[int, tuple[int, ...]] = MappingProxyType({})
    checks: Mapping[int, tuple[str, Location | None]] = MappingProxyType({})
