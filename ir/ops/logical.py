"""Elementwise comparisons, logic and bits, selection and conversion."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from ingot.ir.builder import Expr
from ingot.ir.dtypes import ALL, REAL, Bool, DType, Float, Half, Int, UInt, bool_, by_name, by_numpy
from ingot.ir.facts import SIMPLE, Elementwise, Foldable, OverComplex
from ingot.ir.op import NO_GRAD, OPS, Op, register
from ingot.ir.ops import scalars as s
from ingot.ir.ops.batching import elementwise_batch
from ingot.ir.ops.family import broadcast_named, elementwise, need_dtype, need_same, partials_jvp, partials_vjp, quiet
from ingot.ir.ops.samples import Combinations, Domain, floats
from ingot.ir.public import Binary
from ingot.ir.types import TensorType, tensor_type

Integers = Int | UInt
close_ints = floats(-2, 2)  # so that equal values occur


def _plain(name: str, dtypes: Collection[DType], doc: str, ref: Callable, scalar: Callable, arity: int, result: DType | None = None,
           samples: Domain | tuple[Domain, ...] = close_ints, commutative: bool = False, public: Binary | None = None,
           over_complex: OverComplex = OverComplex.NONE) -> Op:  # fmt: skip
    return elementwise(
        name, dtypes, doc=doc, ref=ref, scalar=scalar, partials=NO_GRAD, arity=arity, result=result, samples=samples,
        cost=SIMPLE, foldable=Foldable.ALWAYS, commutative=commutative, public=public, over_complex=over_complex,
    )  # fmt: skip


def _compare(name: str, sign: str, ref: Callable, aliases: tuple[str, ...] = (), commutative: bool = False) -> Op:
    over_complex = OverComplex.PLAIN if commutative else OverComplex.NONE  # complex numbers have no order
    public = Binary("compare", f"input {sign} other.", aliases=aliases, tensors="first")
    return _plain(name, REAL, f"a {sign} b, as bool.", ref, lambda e, a, b: getattr(e, name)(a, b), 2, bool_, commutative=commutative,
                  public=public, over_complex=over_complex)  # fmt: skip


def _combine(name: str, dtypes: Collection[DType], doc: str, ref: Callable, instruction: str, public: Binary) -> Op:
    return _plain(name, dtypes, doc, ref, lambda e, a, b: getattr(e, instruction)(a, b), 2, commutative=True, public=public)


def _logic(doc: str) -> Binary:
    return Binary("logic", doc, tensors="both")


def _bits(doc: str, bools: str) -> Binary:
    return Binary("bits", doc, bools=bools)


eq = _compare("eq", "==", np.equal, commutative=True)
ne = _compare("ne", "!=", np.not_equal, ("not_equal",), commutative=True)
lt = _compare("lt", "<", np.less, ("less",))
le = _compare("le", "<=", np.less_equal, ("less_equal",))
gt = _compare("gt", ">", np.greater, ("greater",))
ge = _compare("ge", ">=", np.greater_equal, ("greater_equal",))

isnan = _plain("isnan", Float, "Whether x is NaN.", np.isnan, s.is_nan, 1, bool_)
isinf = _plain("isinf", Float, "Whether x is an infinity.", np.isinf, s.is_inf, 1, bool_)
isfinite = _plain("isfinite", Float, "Whether x is neither NaN nor an infinity.", np.isfinite, s.is_finite, 1, bool_)

logical_not = _plain("logical_not", Bool, "not x.", np.logical_not, lambda e, x: e.not_(x), 1)
logical_and = _combine("logical_and", Bool, "a and b.", np.logical_and, "and_", _logic("Both are true (not zero)."))
logical_or = _combine("logical_or", Bool, "a or b.", np.logical_or, "or_", _logic("At least one is true (not zero)."))
logical_xor = _combine("logical_xor", Bool, "a differs from b.", np.logical_xor, "xor", _logic("Exactly one is true (not zero)."))

bitwise_not = _plain("bitwise_not", Integers | Bool, "Every bit inverted.", np.invert, lambda e, x: e.not_(x), 1)
bitwise_and = _combine("bitwise_and", Integers | Bool, "Bits set in both.", np.bitwise_and, "and_",
                       _bits("Bitwise and; of bools, logical and.", "logical_and"))  # fmt: skip
bitwise_or = _combine("bitwise_or", Integers | Bool, "Bits set in either.", np.bitwise_or, "or_",
                       _bits("Bitwise or; of bools, logical or.", "logical_or"))  # fmt: skip
bitwise_xor = _combine("bitwise_xor", Integers | Bool, "Bits set in one of them.", np.bitwise_xor, "xor",
                       _bits("Bitwise exclusive or; of bools, logical exclusive or.", "logical_xor"))  # fmt: skip


def _shift(ref: Callable) -> Callable:
    """NumPy's shift with every count outside [0, bits) as `bits`, as the instruction has it."""

    def shift(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        bits = a.dtype.itemsize * 8
        return ref(a, np.where((b < 0) | (b > bits), np.array(bits, b.dtype), b))

    return shift


def _bit_shift(side: str, doc: str) -> Binary:
    return Binary("shift", doc, name=f"bitwise_{side}_shift")


_shifts = (floats(-100, 100), floats(0, 9))
shift_left = _plain("shift_left", Integers, "a shifted left by b bits; 0 when b is no bit position.", _shift(np.left_shift),
                    lambda e, a, b: e.shl(a, b), 2, samples=_shifts,
                    public=_bit_shift("left", "The bits of `input` moved left by `other`."))  # fmt: skip
shift_right = _plain("shift_right", Integers, "a shifted right by b bits, keeping its sign; 0 or -1 when b is no bit position.",
                     _shift(np.right_shift), lambda e, a, b: e.shr(a, b), 2, samples=_shifts,
                     public=_bit_shift("right", "The bits of `input` moved right by `other`, the sign kept."))  # fmt: skip


# -- select ----------------------------------------------------------------------------------------------------------


def _select_infer(types: tuple[TensorType, ...]) -> tuple[TensorType, ...]:
    if len(types) != 3:
        raise TypeError(f"select: takes 3 inputs, got {len(types)}")
    need_dtype("select", types[0], Bool, "the condition")
    return (tensor_type(need_same("select", types[1:]), broadcast_named("select", types)),)


def _select_partials(c: Expr, a: Expr, b: Expr, y: Expr) -> list:
    return [None, c, lambda t: OPS["select"](c, 0.0, t)]


select = register(
    Op(
        "select", "a where the condition holds, else b.", (), _select_infer, lambda c, a, b: np.where(c, a, b),
        vjp=partials_vjp(_select_partials), jvp=partials_jvp(_select_partials), batch=elementwise_batch("select"),
        lowering=Elementwise(lambda e, c, a, b: e.select(c, a, b), SIMPLE, raw=True), foldable=Foldable.ALWAYS,
        over_complex=OverComplex.PLAIN,
        samples=Combinations(tuple((bool_, d, d) for d in sorted(ALL, key=lambda d: d.name != "f32")), (Domain(),) * 3),
    )
)  # fmt: skip


# -- cast ------------------------------------------------------------------------------------------------------------


def _cast_infer(types: tuple[TensorType, ...], dtype: DType) -> tuple[TensorType, ...]:
    if len(types) != 1:
        raise TypeError(f"cast: takes 1 input, got {len(types)}")
    return (types[0].with_dtype(dtype),)


def convert(x: np.ndarray, dtype: DType) -> np.ndarray:
    """`x` as `dtype`: floats truncate towards 0 and saturate, NaN gives 0; integers wrap; halves go through float32."""
    source = by_numpy(x.dtype)
    if source is dtype:
        return x
    if source in Half:
        x = x.astype(np.float32)
    if dtype.kind == "b":
        return x != 0
    if source.kind == "c" and dtype.kind != "c":
        return convert(x.real, dtype)
    if dtype.kind in "iu" and source.kind == "f":
        info, shape = np.iinfo(dtype.numpy), x.shape
        x = np.atleast_1d(np.trunc(np.where(np.isnan(x), 0, x)).astype(np.float64))
        high = x >= float(info.max)  # 2**63 - 1 rounds up as a float: at or above it, the greatest integer
        low = x <= float(info.min)
        out = np.where(high | low, 0, x).astype(dtype.numpy)
        out[high], out[low] = info.max, info.min
        return out.reshape(shape)
    if dtype in Half:
        x = x.astype(np.float32)
    return x.astype(dtype.numpy)


def _float_only(x: Expr, dtype: DType) -> bool:
    return x.dtype.kind in "fc" and dtype.kind in "fc"


def _cast_vjp(cts: Sequence[Expr], ins: Sequence[Expr], outs: Sequence[Expr], dtype: DType) -> list[Expr | None]:
    return [cts[0].cast(ins[0].dtype) if _float_only(ins[0], dtype) else None]


def _cast_jvp(tangents: Sequence[Expr], ins: Sequence[Expr], outs: Sequence[Expr], dtype: DType) -> list[Expr]:
    return [tangents[0].cast(dtype) if tangents[0] is not None and _float_only(ins[0], dtype) else outs[0].full(0)]


cast = register(
    Op(
        "cast", "Value conversion: to bool x != 0; float to integer truncates and saturates, NaN gives 0; integers wrap; a complex number "
        "loses its imaginary part in a real dtype.",
        ("dtype",), _cast_infer, quiet(convert), vjp=_cast_vjp, jvp=_cast_jvp, batch=elementwise_batch("cast"),
        lowering=Elementwise(s.convert, SIMPLE, raw=True), foldable=Foldable.ALWAYS, over_complex=OverComplex.PLAIN,
        samples=Combinations(tuple((d,) for d in ALL), (floats(-200, 200),), tuple((d,) for d in ALL)),
    )
)  # fmt: skip


def _bitcast_infer(types: tuple[TensorType, ...], dtype: DType) -> tuple[TensorType, ...]:
    if len(types) != 1:
        raise TypeError(f"bitcast: takes 1 input, got {len(types)}")
    if dtype.itemsize != types[0].dtype.itemsize or (dtype.kind == "b") != (types[0].dtype.kind == "b"):
        raise TypeError(f"bitcast: {types[0].dtype.name} and {dtype.name} differ in width")
    return (types[0].with_dtype(dtype),)


bitcast = register(
    Op(
        "bitcast", "The same bits as another dtype of the same width.", ("dtype",), _bitcast_infer,
        lambda x, dtype: np.ascontiguousarray(x).view(dtype.numpy).reshape(x.shape), vjp=NO_GRAD, jvp=NO_GRAD,
        batch=elementwise_batch("bitcast"),
        lowering=Elementwise(lambda e, x, dtype: e.bitcast(x, dtype), SIMPLE, raw=True), foldable=Foldable.ALWAYS,
        samples=Combinations(
            tuple((d,) for d in REAL), (Domain(),), tuple((by_name(n),) for n in ("u32", "f32", "i64", "f64", "i16", "f16", "u8"))
        ),
    )
)  # fmt: skip

