"""What families of ops share: dtype checks, shapes, exact references, and rules derived once for all members."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np

from ingot.ir.builder import Expr
from ingot.ir.dtypes import ALL, REAL, Bool, Complex, DType, Float, Half, Int, Number, UInt, bool_, by_numpy, f32, f64
from ingot.ir.facts import Cost, Elementwise, Foldable, Kept, Nonzero, OverComplex
from ingot.ir.op import OPS, Op, Rule, register
from ingot.ir.ops.batching import elementwise_batch
from ingot.ir.ops.samples import Combinations, Domain
from ingot.ir.public import Binary, Unary
from ingot.ir.size import ShapeError, Size, Undecided, at_most, equal
from ingot.ir.types import Dim, Shape, TensorType, broadcast_shapes, shape_text, tensor_type

__all__ = [
    "elementwise", "declare", "need_alike", "need_axes", "need_axis", "need_dtype", "need_equal", "need_same", "need_within", "static",
    "widen", "narrow",
]  # fmt: skip

Any_ = frozenset(ALL)
_CLASSES = ((Float, "a floating-point dtype"), (Bool, "bool"), (Number, "a number dtype"), (Number | Complex, "a number dtype"),
            (Float | Complex, "a floating-point dtype"), (frozenset(REAL), "a dtype with an order"), (Int | UInt, "an integer dtype"),
            (Int | UInt | Bool, "an integer dtype or bool"), (Any_, "any dtype"))  # fmt: skip


# -- checks ----------------------------------------------------------------------------------------------------------


def class_text(dtypes: Collection[DType]) -> str:
    """How messages name a set of dtypes."""
    for known, text in _CLASSES:
        if known == dtypes:
            return text
    return " or ".join(sorted(d.name for d in dtypes))


def need_dtype(name: str, type: TensorType, dtypes: Collection[DType], what: str = "its input") -> None:
    """TypeError unless `type` has one of `dtypes`."""
    if type.dtype not in dtypes:
        raise TypeError(f"{name}: {what} must have {class_text(dtypes)}, got {type}")


def need_same(name: str, types: Sequence[TensorType]) -> DType:
    """The one dtype of all `types`; TypeError if they differ."""
    if any(t.dtype is not types[0].dtype for t in types):
        raise TypeError(f"{name}: all inputs must have one dtype, got {' and '.join(map(str, types))}")
    return types[0].dtype


def need_axis(name: str, axis: int, rank: int) -> None:
    """ShapeError unless `axis` is in [0, rank)."""
    if not isinstance(axis, int) or not 0 <= axis < rank:
        raise ShapeError(f"{name}: axis {axis} is out of range for rank {rank}")


def need_axes(name: str, axes: tuple[int, ...], rank: int) -> None:
    """ShapeError unless `axes` is sorted, without repeats, in [0, rank)."""
    for a in axes:
        need_axis(name, a, rank)
    if any(a >= b for a, b in zip(axes, axes[1:])):
        raise ShapeError(f"{name}: axes must be in rising order without repeats, got {axes}")


def need_shape(name: str, shape: Shape) -> None:
    """ShapeError unless every dim is at least 0."""
    for d in shape:
        if isinstance(d, Size):
            if at_most(0, d) is not True:
                raise Undecided(f"{name}: {d} may be less than 0 in {shape_text(shape)}", 0, d)
        elif (isinstance(d, bool) or not isinstance(d, (int, np.integer)) or d < 0):
            raise ShapeError(f"{name}: {d!r} is no extent in {shape_text(shape)}")


def static(name: str, dim: Dim, what: str) -> int:
    """`dim` as an integer; ShapeError if it is known only at run time."""
    if isinstance(dim, Size):
        raise ShapeError(f"{name}: {what} must be known, it is {dim}")
    return dim


def need_within(low: Dim, high: Dim, message: Callable[[], str]) -> None:
    """ShapeError unless `low` <= `high`, whatever the symbols are."""
    fits = at_most(low, high)
    if not fits:
        raise ShapeError(message()) if fits is False else Undecided(message(), low, high)


def need_equal(a: Dim, b: Dim, message: Callable[[], str]) -> None:
    """ShapeError unless two sizes are equal, whatever the symbols are."""
    same = equal(a, b)
    if not same:
        raise ShapeError(message()) if same is False else Undecided(message(), a, b, equal=True)


def need_alike(a: Shape, b: Shape, message: Callable[[], str]) -> None:
    """ShapeError unless two shapes are one, whatever the symbols are."""
    if a == b:
        return
    if len(a) != len(b):
        raise ShapeError(message())
    for x, y in zip(a, b):
        need_equal(x, y, message)


# -- references ------------------------------------------------------------------------------------------------------


def widen(x: np.ndarray, precise: bool = False) -> np.ndarray:
    """Half arrays as float32; with `precise`, all floats as float64, complex numbers as complex128: what a reference computes in."""
    d = by_numpy(x.dtype)
    if precise and d in Complex:
        return x.astype(np.complex128)
    if precise and d in Float:
        return x.astype(np.float32).astype(np.float64) if d in Half else x.astype(np.float64)
    return x.astype(np.float32) if d in Half else x


def narrow(x: Any, dtype: DType) -> np.ndarray:
    """`x` rounded to `dtype`, halves by way of float32, as the code generators do."""
    x = np.asarray(x)
    with np.errstate(over="ignore"):
        if dtype in Half and x.dtype != dtype.numpy:
            x = x.astype(np.float32)
        return x.astype(dtype.numpy, copy=False)


def quiet(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` without NumPy's floating-point warnings: NaN and infinity are ordinary results here."""

    def ref(*args: Any) -> Any:
        with np.errstate(all="ignore"):
            return fn(*args)

    ref.__name__ = getattr(fn, "__name__", "ref")
    return ref


# -- declarations ----------------------------------------------------------------------------------------------------


def declare(name: str, *, doc: str, infer: Callable, ref: Callable, attrs: tuple[str, ...] = (), **more: Any) -> Op:
    """Register an op whose rules and facts are spelled out. `infer` may return one TensorType or a tuple."""

    def infer_tuple(types: tuple[TensorType, ...], *a: Any) -> tuple[TensorType, ...]:
        out = infer(types, *a)
        return out if isinstance(out, tuple) else (out,)

    return register(Op(name, doc, attrs, infer_tuple, quiet(ref), **more))


def linear_jvp(name: str, linear: int | None = None) -> Callable:
    """The JVP of an op linear in its first `linear` inputs (default: all): the op on their tangents, the other inputs as they are."""

    def jvp(tangents: Sequence[Expr | None], ins: Sequence[Expr], outs: Sequence[Expr], *attrs: Any) -> list[Expr]:
        n = len(ins) if linear is None else linear
        full = [t if t is not None else x.full(0) for t, x in zip(tangents[:n], ins[:n])]
        op = OPS[name]
        return [op(*full, *ins[n:], **dict(zip(op.attr_names, attrs)))]

    return jvp


def bilinear_jvp(name: str) -> Callable:
    """The JVP of an op linear in each of its two inputs: the op on one's tangent and the other, both ways, added."""

    def jvp(tangents: Sequence[Expr | None], ins: Sequence[Expr], outs: Sequence[Expr], *attrs: Any) -> list[Expr]:
        op = OPS[name]
        named = dict(zip(op.attr_names, attrs))
        pairs = ((tangents[0], ins[1]), (ins[0], tangents[1]))
        terms = [op(a, b, **named) for a, b in pairs if a is not None and b is not None]
        return [terms[0] + terms[1] if len(terms) == 2 else terms[0]]

    return jvp


def scale(t: Expr, partial: Any) -> Expr:
    """The tangent or cotangent `t` through a partial derivative: an Expr, a number, a mask (bool Expr), or a function of t."""
    if isinstance(partial, Expr):
        return OPS["select"](partial, t, 0.0) if partial.dtype is bool_ else t * partial
    if callable(partial):
        return partial(t)
    if partial == 1:
        return t
    if partial == -1:
        return -t
    return t.full(0.0) if partial == 0 else t * partial


def partials_vjp(partials: Callable) -> Callable:
    def vjp(cts: Sequence[Expr], ins: Sequence[Expr], outs: Sequence[Expr], *attrs: Any) -> list[Expr | None]:
        ct = cts[0]
        return [
            None if p is None or x.dtype.kind not in "fc" else scale(ct, p).sum_to(x.shape)
            for p, x in zip(partials(*ins, outs[0], *attrs), ins)
        ]

    return vjp


def partials_jvp(partials: Callable) -> Callable:
    def jvp(tangents: Sequence[Expr | None], ins: Sequence[Expr], outs: Sequence[Expr], *attrs: Any) -> list[Expr]:
        y, total = outs[0], None
        for t, p in zip(tangents, partials(*ins, y, *attrs)):
            if t is not None and p is not None:
                term = scale(t, p)
                total = term if total is None else total + term
        return [(y.full(0) if total is None else total).broadcast(y.shape)]

    return jvp


def elementwise(
    name: str,
    dtypes: Collection[DType],
    *,
    doc: str,
    ref: Callable,
    scalar: Callable,
    partials: Callable | Rule,
    cost: Cost,
    foldable: Foldable,
    commutative: bool = False,
    public: Unary | Binary | None = None,
    samples: Domain | tuple[Domain, ...] = Domain(),  # noqa: B008 (frozen)
    arity: int = 1,
    result: DType | None = None,
    attrs: tuple[str, ...] = (),
    sample_attrs: Iterable[tuple[Any, ...]] = ((),),
    precise: bool = False,
    source: str = "",
    check: Nonzero | None = None,
    over_complex: OverComplex = OverComplex.NONE,
    kept: Kept = Kept.READ,
) -> Op:
    """Declare an op that maps elements to elements, its inputs broadcast together and of one dtype out of `dtypes`.

    ref(*arrays, *attrs)     in NumPy; half inputs come as float32 (and, if `precise`, every float as float64), the
                             result is rounded once
    scalar(e, *xs, *attrs)   the same over a scalar Emitter; half inputs come as f32
    partials(*ins, y, *attrs) the derivative by each input: an Expr, a number, a mask (bool Expr: the cotangent passes
                             there), a function of the cotangent, or None; JVP and VJP follow from it
    result                   dtype of the result, if not that of the inputs
    cost, foldable, check    see ir/facts.py; kept too, and over_complex, with which complex dtypes are among `dtypes`
    public                   see ir/public.py
    """
    dtypes = frozenset(dtypes) if over_complex is OverComplex.NONE else Complex.union(dtypes)
    domains = samples if isinstance(samples, tuple) else (samples,) * arity

    def infer(types: tuple[TensorType, ...], *a: Any) -> tuple[TensorType, ...]:
        if len(types) != arity:
            raise TypeError(f"{name}: takes {arity} inputs, got {len(types)}")
        d = need_same(name, types)
        need_dtype(name, types[0], dtypes)
        return (tensor_type(result or d, broadcast_named(name, types)),)

    def reference(*args: Any) -> np.ndarray:
        arrays, a = args[:arity], args[arity:]
        d = by_numpy(arrays[0].dtype)
        out = ref(*(widen(x, precise) for x in arrays), *a)
        if precise and d in Half and result is None:
            out = np.asarray(out).astype(np.float32)
        return narrow(out, result or d)

    order = [d for d in (f32, f64, *ALL) if d in dtypes]
    rows = tuple((d,) * arity for d in dict.fromkeys(order))
    vjp, jvp = (partials, partials) if isinstance(partials, Rule) else (partials_vjp(partials), partials_jvp(partials))
    return register(
        Op(
            name, doc, attrs, infer, quiet(reference),
            vjp=vjp, jvp=jvp, batch=elementwise_batch(name), source=source, samples=Combinations(rows, domains, tuple(sample_attrs)),
            lowering=Elementwise(scalar, cost, check=check), foldable=foldable, commutative=commutative, public=public,
            over_complex=over_complex, can_fail=check is not None, kept=kept,
        )
    )  # fmt: skip


def broadcast_named(name: str, types: Sequence[TensorType]) -> Shape:
    """The broadcast shape of `types`; the ShapeError names the op."""
    try:
        return broadcast_shapes(*(t.shape for t in types))
    except ShapeError as e:
        raise ShapeError(f"{name}: {e}") from None
