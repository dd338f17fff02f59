"""What a tiled contraction is, before any decision: its sizes, its dtype, and how A lies in memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.graph import Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Coef, Div, Dyn, Index, Mod, Var
from ingot.ir.loop.points import Point
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.depthwise.kind import is_depthwise, is_depthwise_gradient
from ingot.ir.lower.elements import Elements
from ingot.ir.lower.group import Group, Order
from ingot.ir.lower.tiles.phases import form_in_phases
from ingot.ir.lower.writer import Scalar
from ingot.ir.lower.written_load import written_load
from ingot.ir.ops.form import Dims, form_of
from ingot.ir.types import Dim

__all__ = ["Apart", "Copied", "InPlace", "Right", "Shape", "apart", "coefficient", "copied", "in_place", "is_tiled", "order_of",
           "right_of", "shape_of"]  # fmt: skip

MIN_WORK = 1 << 12  # multiplications from which on tiles are worth their packing
FEWEST_STEPS = 16  # of a convolution with less than 4 columns


class Shape(NamedTuple):
    """Sizes over all dims of a kind. `b_batch`: of the batch dims that B depends on. `dtype`: of the accumulators."""

    dtype: DType
    batch: Dim
    b_batch: Dim
    m: Dim
    n: Dim
    k: Dim


def shape_of(node: Node) -> Shape:
    """The sizes of a contraction."""
    f = form_of(node)
    dtype = dtypes.f64 if node.outputs[0].type.dtype is dtypes.f64 else dtypes.f32
    b_batch = math.prod(f.batch[d] for d in f.b_batch)
    return Shape(dtype, math.prod(f.batch), b_batch, math.prod(f.m), math.prod(f.n), math.prod(f.k))


def is_tiled(node: Node, packed_once: bool = False) -> bool:
    """Whether a contraction becomes register tiles (else a small loop at each point). `packed_once`: B follows from steady inputs."""
    if node.outputs[0].type.dtype.kind not in "fiu":
        return False
    _, *sizes = shape_of(node)
    batch, _, m, n, k = map(assumed, sizes)
    if is_depthwise_gradient(node):  # a kernel of its own, for all channels
        return batch * m * n * k >= MIN_WORK
    kind = node.outputs[0].type.dtype.kind
    few = 1 if packed_once and kind in "iu" else 4
    # lanes that are no columns cost less than the comparisons of windows that are gone through result by result
    f = form_of(node)
    narrow = 1 if kind == "f" and f.overlapping and k >= FEWEST_STEPS and not is_depthwise(node) else 4
    # what is written decides where there is but one step, and columns may lie apart
    together = bool(f.dims) and len(f.batch) + len(f.m) + len(f.n) - 1 in f.dims[-1]
    return m >= few and n >= narrow and k >= (1 if together else 2) and m * n * k >= MIN_WORK


def order_of(group: Group, factor: Value) -> Order | None:
    """In which order the dims of a factor lie; of one that has no memory, those of all that it may be made of, where they are the same."""
    if factor in group.in_memory:
        return group.orders.get(factor)
    orders = {order for v, order in group.orders.items() if v not in group.outputs and len(order) == factor.type.rank}
    return orders.pop() if len(orders) == 1 else None


class Copied(NamedTuple):
    """A copy of A: its shape, its elements, and where the element of (batch, m, k) lies in it."""

    shape: Dims
    at: Callable[[Elements, Point], Scalar]
    where: Callable[[Point, Point, Point], Point]


def copied(group: Group, order: Order | None = None) -> Copied:
    """The copy of A where it is not read in place: its value, set into zeros, in an order of its dims (None: that it lies in); or as the
    form counts."""
    f = form_in_phases(group.nodes[0])
    if f.zeros is not None or order is not None:
        lies = order_of(group, f.left) if order is None else order
        if lies is None:
            return Copied(f.left_shape, f.among_zeros, f.at_left)
        forth, back = lies, tuple(lies.index(d) for d in range(len(lies)))

        def among_zeros(p: Elements, point: Point) -> Scalar:
            return f.among_zeros(p, tuple(point[d] for d in back))

        def where(q: Point, m: Point, k: Point) -> Point:
            point = f.at_left(q, m, k)
            return tuple(point[d] for d in forth)

        return Copied(tuple(f.left_shape[d] for d in forth), among_zeros, where)
    nb, nm = len(f.batch), len(f.m)

    def at(p: Elements, point: Point) -> Scalar:
        return f.a(p, point[:nb], point[nb : nb + nm], point[nb + nm :])

    return Copied((*f.batch, *f.m, *f.k), at, lambda q, m, k: (*q, *m, *k))


class Apart(NamedTuple):
    """A value in memory whose channels lie apart: where an element lies, a sum of variables v0 … of its dims; what is from a channel to
    the next; how many elements of each spatial dim are read, and zeros in front of them and in all."""

    where: Index
    channels: Coef
    sizes: tuple[int, ...]
    low: tuple[int, ...]
    extent: tuple[int, ...]


def apart(group: Group) -> Apart | None:
    """How A's value lies where its channels, the second dim, lie apart and the last dim together, all of known extents; else None."""
    f = form_in_phases(group.nodes[0])
    shape, zeros = f.left.type.shape, f.zeros
    if not f.overlapping or f.left in group.orders or len(shape) != len(f.m) + 2 or f.left not in group.in_memory:
        return None
    low, extent = (zeros.low, zeros.extent) if zeros else ((0,) * len(f.m), shape[2:])
    known = tuple(d for d in (*shape[1:], *low, *extent) if isinstance(d, int))
    if len(known) != 1 + 3 * len(f.m) or zeros and any(g != 1 for g in zeros.gap):
        return None
    below, spatial = known[1 + len(f.m) : 1 + 2 * len(f.m)], known[1 : 1 + len(f.m)]
    all_of = known[1 + 2 * len(f.m) :]
    sizes = tuple(min(d, e - lo) for d, e, lo in zip(spatial, all_of, below))
    found = written_load(group, {"v": shape}, lambda elements, point: elements.at(f.left, point), ones=True)
    if found is None or found.rest or found.element.dtype is not shape_of(group.nodes[0]).dtype or min(*sizes, *below, 0) < 0:
        return None
    index, channels = found.load.index, coefficient(found.load.index, "v1")
    if any(not isinstance(atom, Var) for atom, _ in index.terms) or coefficient(index, f"v{len(shape) - 1}") != 1 or channels == 1:
        return None
    return Apart(index, channels, sizes, below, all_of) if min(sizes) > 0 else None


class InPlace(NamedTuple):
    """plain: A's elements are loads of the right dtype at affine offsets. `apart`: elements between two steps of k, where the
    last dim of m is contiguous; 0 where it is not."""

    plain: bool
    apart: int = 0


def in_place(group: Group) -> InPlace:
    """How A lies in memory, found by writing the load of one element."""
    node = group.nodes[0]
    f = form_of(node)
    if f.zeros is not None:
        return InPlace(False)
    found = written_load(group, {"q": f.batch, "m": f.m, "k": f.k}, f.a, ones=True)
    if found is None or found.rest or found.element.dtype is not shape_of(node).dtype:
        return InPlace(False)
    index = found.load.index
    if any(isinstance(atom, (Div, Mod, Dyn)) for atom, _ in index.terms):
        return InPlace(False)
    if not f.m or not f.k:
        return InPlace(True)
    step_m, step_k = (ix.coefficient(index, f"{name}{len(dims) - 1}") for name, dims in (("m", f.m), ("k", f.k)))
    return InPlace(True, step_k if step_m == 1 and isinstance(step_k, int) else 0)


class Right(NamedTuple):
    """B where its elements are loads of the right dtype: the value in memory, and where an element lies in it, a sum of variables
    q0 …, k0 …, n0 … of the dims. `columns`, `steps`: from a column, and from a step of k, to the next one; 0 where that is not always
    as far, or there is but one."""

    value: Value
    where: Index
    columns: Coef
    steps: Coef


def coefficient(index: Index, name: str) -> Coef:
    """What a variable is multiplied with in a sum of variables."""
    return next((c for atom, c in index.terms if isinstance(atom, Var) and atom.name == name), 0)


def right_of(group: Group) -> Right | None:
    """How B lies in memory, found by writing the load of one element; None where it is made otherwise."""
    node = group.nodes[0]
    f = form_of(node)
    if f.zeros is not None or f.overlapping:
        return None
    found = written_load(group, {"q": f.batch, "k": f.k, "n": f.n}, f.b)
    if found is None or found.rest or found.element.dtype is not shape_of(node).dtype:
        return None
    index = found.load.index
    if any(not isinstance(atom, Var) for atom, _ in index.terms):
        return None

    def apart(name: str, dims: Dims) -> Coef:
        wide = [(coefficient(index, f"{name}{j}"), d) for j, d in enumerate(dims) if d != 1]
        in_a_row = all(outer == d * inner for (outer, _), (inner, d) in pairwise(wide))
        return wide[-1][0] if wide and in_a_row else 0

    (value,) = found.values
    return Right(value, index, apart("n", f.n), apart("k", f.k))
