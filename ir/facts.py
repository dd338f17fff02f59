"""Facts that an op's declaration states beside its rules: how it is lowered and what an element costs, where constants fold.

Passes, lowering and backends ask these; none of them keeps a list of op names.

Facts are never changed. They are structs, which cost little to define, since every start of Python does.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from ingot.ir.loop.folds import Fold
from ingot.ir.struct import struct

__all__ = [
    "Lowering", "Nonzero", "Elementwise", "View", "Reads", "Reduction", "Contraction", "Window", "OwnKernels", "Control", "ByParts",
    "Inline", "Cost", "FREE", "SIMPLE", "DIVISION", "GATHER", "FUNCTION", "ONCE", "Foldable", "Kept", "OverComplex",
]  # fmt: skip


# -- what an element costs -------------------------------------------------------------------------------------------


@struct
class Cost:
    """The cost of one element.

    instructions: about how many; None: it is never computed a second time where it is read, but loaded
    keep: what several passes over a row need is worth a row of scratch
    """

    instructions: int | None
    keep: bool = False


FREE = Cost(0)
SIMPLE = Cost(1)
DIVISION = Cost(1, keep=True)  # one instruction that takes long
GATHER = Cost(8)
FUNCTION = Cost(20, keep=True)  # an elementary function
ONCE = Cost(None)


# -- how it is lowered -----------------------------------------------------------------------------------------------


class Lowering:
    """One of the kinds below. Its elements are made once, unless the kind says what one costs."""

    cost: Cost = ONCE
    graphs = 0  # how many of the op's first attributes are graphs


@struct
class Nonzero:
    """An operand that is checked: where it is 0, and its dtype is of `kinds`, the call fails with `message`."""

    operand: int
    kinds: str
    message: str


@struct
class Elementwise(Lowering):
    """An element from one element of each (broadcast) input: a member of a loop nest.

    scalar(e, *scalars, *attrs) -> scalar    emits one element over ir/instructions.Emitter. Inputs of half dtypes come as f32,
                                             and the result is rounded once; `raw`: they come as they are
    check: what must hold of the operands; None: nothing
    """

    scalar: Callable[..., Any]
    cost: Cost
    raw: bool = False
    check: Nonzero | None = None


class Reads(Enum):
    """How the elements of a view's first input are read."""

    SAME = auto()  # in their row-major order: in memory the view is its input
    ONCE = auto()  # each at most once
    REPEATED = auto()  # as operands of elementwise ops are: aligned at the last dim, repeated along dims of extent 1
    OTHERWISE = auto()  # as inputs or their values decide, or not at all


@struct
class View(Lowering):
    """An element is one of an input, or follows from its place: computed where it is read, unless it is dear (see Cost.keep).

    element(p, node, point, mask) -> scalar    emits the element at `point` of the result from those of the inputs,
                                               `p.at(input, point, mask)`; p: ir/lower/elements.Elements, with the writer `p.w`; where
                                               mask (None: no mask) is false, loads read nothing and the element is not used
    reads    see above
    stays    cheap enough that a loop over its reader computes it in every step, rather than load it from a buffer
    """

    element: Callable[..., Any]
    cost: Cost
    reads: Reads = Reads.OTHERWISE
    stays: bool = False


@struct
class Reduction(Lowering):
    """A fold over some dims: may end a loop nest, and others may follow in it."""

    fold: Fold


@struct
class Contraction(Lowering):
    """Sums of products: register tiles, or a small loop at each point.

    form(node) -> Form    what it computes, see ir/ops/form.py
    """

    form: Callable[[Any], Any]


@struct
class Window(Lowering):
    """A fold over a window of the input: a small loop at each point.

    extents(node) -> extents                          of the window
    place(w, node, point, tap) -> point, mask         which element of the input a place in the window reads for a point of the
                                                      result; mask: where there is one (None: everywhere)
    """

    fold: Fold
    extents: Callable[[Any], tuple[int, ...]]
    place: Callable[..., tuple[Any, Any]]


@struct
class OwnKernels(Lowering):
    """Kernels of its own, which share nothing with other nodes.

    kind: how they are scheduled and written, by its name in the lowering's table: each target has its own
    whole: it reads its operands from memory, not element by element as something makes them
    fold: what a running fold folds with
    """

    kind: str
    whole: bool = False
    fold: Fold | None = None


@struct
class Control(Lowering):
    """Steps around those of graphs, its first attributes. It reads its operands from memory.

    kind: how they are put together, by its name in ir/lower/nesting.py
    takes(types, *attrs) -> types of the inputs of each graph, where those of the op are `types`
    """

    kind: str
    graphs: int
    takes: Callable[..., tuple[tuple[Any, ...], ...]]


@struct
class ByParts(Lowering):
    """It has a complex input or output: the pass `parts` puts operations on real and imaginary parts in its place."""


@struct
class Inline(Lowering):
    """The nodes of a graph, its first attribute, in its place."""

    graphs = 1


# -- constants -------------------------------------------------------------------------------------------------------


class Foldable(Enum):
    """Whether the op's reference may be applied to constants while compiling: only where NumPy's bits are the same everywhere."""

    ALWAYS = auto()  # exact or correctly rounded on every dtype
    INTEGERS = auto()  # on integers and bools; not on floats, whose bits differ by CPU or by the order of a sum
    NEVER = auto()


# -- what backward needs ---------------------------------------------------------------------------------------------


class Kept(Enum):
    """Which tensors a program must not write in place between an op and its backward. They are torch's, which are not always what the
    VJP here reads: values never change, so that it finds what it reads in any case."""

    READ = auto()  # those that the VJP reads
    OPERANDS = auto()  # of the inputs those that it reads, all where it reads a result; no result
    RESULTS = auto()  # the results, and no input
    BOTH = auto()  # those that the VJP reads, and the results
    NOTHING = auto()  # torch keeps values that no tensor of the program has


# -- complex values --------------------------------------------------------------------------------------------------


class OverComplex(Enum):
    """Whether an op takes complex values; its rule on their parts stands in ir/ops/parts.py then.

    A gradient is the conjugate of Wirtinger's derivative, as in torch: the direction of steepest ascent of a real loss.
    """

    NONE = auto()  # it refuses them
    PLAIN = auto()  # its VJP holds as it stands: it is linear with real factors, or the rule says what conjugates
    CONJUGATE = auto()  # its VJP multiplies by derivatives by complex values, which are conjugated
