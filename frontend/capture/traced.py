"""What tracing gives: a value that says what a call computes, where its inputs come from and what becomes of its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import ref

from ingot._tensor.extents import Guard
from ingot._tensor.reals import Formula
from ingot.capture.recipes import Recipe, Result
from ingot.capture.shapes import Fit
from ingot.capture.sources import Source
from ingot.capture.writes import History, Write
from ingot.ir.graph import Graph
from ingot.ir.struct import frozen, struct
from ingot.ir.types import TensorType
from ingot.runtime.array import Array
from ingot.runtime.storage import Storage
from ingot.runtime.tape import Edge

if TYPE_CHECKING:
    from ingot.capture.backward import Destination

__all__ = ["Backward", "Fresh", "Traced"]


@frozen
@struct
class Fresh:
    """A Storage that a call makes, of output `out`."""

    out: int
    history: History


@frozen
@struct
class Backward:
    """The backward of a compiled call.

    graph: inputs are the values in `reads` (("in", k): input k of the forward; ("out", k): its output k), then one
    cotangent per entry of `roots`; outputs are the gradients of `edges[i]` for i in `grads`
    """

    graph: Graph
    reads: tuple[tuple[str, int], ...]
    roots: tuple[int, ...]  # the forward's outputs that can have cotangents
    edges: tuple[Destination, ...]  # where gradients go
    grads: tuple[int, ...]
    through: tuple[frozenset[int], ...]  # by root, the nodes of the function's own tape that saved something and that it goes through
    ends: tuple[frozenset[int], ...]  # by root, those of `edges` that it gets to


@frozen
@struct
class Traced:
    """One traced signature of a function. Nothing is compiled for it, and nothing in it knows a machine.

    graph: what a call computes; its inputs come from `sources`, one each
    recipes, result: how tensors are made of the outputs, and what is returned of them
    fresh: Storages that a call makes for results that share memory
    early: recipes that must be made before anything is written
    writes: what a call changes, in this order, when the graph has run
    refresh: tensors that follow a Storage whose value is written and whose history stays; others read both when they are asked
    freed: outputs whose history was freed inside: the edges that say so
    backward: what gradients of the call are computed by, None where it has none
    fit: where sizes are symbols, what argument leaves must be like, and what the symbols are in a call
    measured: symbols that the graph computes, which output holds each, and what is said where it is negative (None: it may be)
    late: relations of them that the trace depends on, each with the user's line
    device: the number of the GPU that it is computed on; None where the values are the host's. in_devices, out_devices: of each input and
        output, where it is before and after the call
    """

    name: str
    graph: Graph
    sources: tuple[Source, ...]
    recipes: tuple[Recipe, ...]
    result: Result
    fresh: tuple[Fresh, ...]
    early: tuple[Recipe, ...]
    writes: tuple[Write, ...]
    refresh: tuple[tuple[ref[Any], Storage], ...]
    freed: Mapping[int, Edge]
    backward: Backward | None
    fit: Fit | None
    measured: Mapping[str, tuple[int, str | None]]
    late: Sequence[tuple[Guard | Formula, str]]
    device: int | None
    in_devices: tuple[int | None, ...]
    out_devices: tuple[int | None, ...]

    @property
    def distinct(self) -> bool:
        """Whether it writes to arguments, which must not share memory then."""
        return any(w.distinct for w in self.writes)

    @property
    def in_types(self) -> tuple[TensorType, ...]:
        """The types of the inputs, where they are."""
        return tuple([t.on(d) for t, d in zip(self.graph.in_types, self.in_devices)])

    def gather(self, leaves: Sequence[Any], sizes: Mapping[str, int]) -> list[Array]:
        """The values of the inputs, for a call with these argument leaves, in which symbols have the values `sizes`."""
        return [source.gather(leaves, t, sizes) for source, t in zip(self.sources, self.in_types)]
