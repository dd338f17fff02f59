"""Sample inputs for the tests that are generated from op declarations.

A declaration carries `samples`: for an elementwise op the interval each input is drawn from (`floats(-20, 20)`, or a
tuple of one per input); for any other op a function that makes a list of `case(...)`: no start of Python pays for them. `cases` turns
either into arrays.

    for arrays, attrs in cases(OPS["tanh"], np.random.default_rng(0)):
        expected = OPS["tanh"].ref(*arrays, *attrs)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ingot.ir.dtypes import DType, by_name, by_numpy
from ingot.ir.op import Op
from ingot.ir.struct import value_type
from ingot.ir.types import tensor_type

__all__ = ["Domain", "Spec", "Case", "floats", "ints", "case", "cases", "grad_cases", "types_of"]

Sample = tuple[list[np.ndarray], tuple[Any, ...]]


@value_type
class Domain:
    """Where values are drawn from: [lo, hi], never within `gap` of zero. `special`: NaN, infinities, zeros, extremes too.

    divides: it divides, so that no integer is 0
    """

    lo: float = -5.0
    hi: float = 5.0
    gap: float = 0.0
    special: bool = True
    divides: bool = False

    def draw(self, rng: np.random.Generator, dtype: DType, shape: tuple[int, ...]) -> np.ndarray:
        if dtype.kind == "b":
            return rng.integers(0, 2, shape).astype(np.bool_)
        if dtype.kind == "c":  # the parts as real numbers are drawn, in every quadrant
            out = np.empty(shape, dtype.numpy)
            for part in (out.real, out.imag):
                part[...] = self.draw(rng, dtype.to_real(), shape) * rng.choice((-1, 1), shape)
            return out
        if dtype.kind == "f":
            x = rng.uniform(self.lo, self.hi, shape)
            x = np.where(np.abs(x) < self.gap, np.where(x < 0, -self.gap, self.gap) + x, x)
            return x.astype(np.float32 if dtype.bits == 16 else dtype.numpy).astype(dtype.numpy)
        info = np.iinfo(dtype.numpy)
        lo, hi = max(info.min, int(np.ceil(self.lo))), min(info.max, int(np.floor(self.hi)))
        n = rng.integers(lo, hi, shape, endpoint=True, dtype=np.int64 if info.min < 0 else np.uint64)
        return np.where((n == 0) & (self.gap > 0), max(lo, 1), n).astype(dtype.numpy)

    def specials(self, dtype: DType) -> np.ndarray:
        """The values every implementation gets wrong first."""
        if dtype.kind == "b":
            return np.array([False, True])
        if dtype.kind == "c":
            return np.array([1, -1, 1j, -1j, 2.5 - 0.5j, -3 - 1e-3j, 1e-3 + 1e-6j], dtype.numpy)
        if dtype.kind == "f":
            tiny = {"f64": 5e-324, "f32": 1e-45, "f16": 6e-8, "bf16": 1e-40}[dtype.name]
            big = {"f64": 1.7e308, "f32": 3.4e38, "f16": 65504.0, "bf16": 3.3e38}[dtype.name]
            some = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -3.0, tiny, -tiny, big, -big, 1e-3]
            return np.array(some, np.float64).astype(dtype.numpy)
        info = np.iinfo(dtype.numpy)
        first = 5 if self.divides else 0
        values = [info.min or first, info.min + 1, info.max, first, 1, 2, 3, max(info.min, -1) or first, max(info.min, -2) or first]
        return np.array(values, dtype.numpy)


def floats(lo: float, hi: float, gap: float = 0.0, special: bool = True) -> Domain:
    """Values in [lo, hi], at least `gap` from zero, and (unless `special` is false) NaN, infinities, zeros, denormals."""
    return Domain(lo, hi, gap, special)


def ints(lo: int, hi: int) -> Domain:
    """Integers in [lo, hi]."""
    return Domain(lo, hi, special=False)


@value_type
class Spec:
    """One input of a case: dtype, shape, and where its values come from (`Domain`, an array's worth of values, or
    "distinct": a shuffled arange, so that there are no ties)."""

    dtype: DType
    shape: tuple[int, ...]
    values: Any = Domain()

    def draw(self, rng: np.random.Generator, dtype: DType | None = None) -> np.ndarray:
        dtype = dtype or self.dtype
        if isinstance(self.values, Domain):
            return self.values.draw(rng, dtype, self.shape)
        if isinstance(self.values, str):
            n = int(np.prod(self.shape))
            return (rng.permutation(n) * 0.25 - n / 8).reshape(self.shape).astype(dtype.numpy)
        return np.asarray(self.values).astype(dtype.numpy).reshape(self.shape)


@value_type
class Case:
    """One sample of an op: inputs and attributes. `grad`: also used for finite differences (in float64)."""

    ins: tuple[Spec, ...]
    attrs: dict[str, Any]
    grad: bool = True


def case(*ins: tuple[Any, ...], grad: bool = True, **attrs: Any) -> Case:
    """`case(("f32", (2, 3)), ("i64", (2, 1), ints(0, 2)), axis=1)`."""
    return Case(tuple(Spec(by_name(i[0]), *i[1:]) for i in ins), attrs, grad)


def types_of(arrays: Sequence[np.ndarray]) -> tuple:
    """The TensorTypes of arrays."""
    return tuple(tensor_type(by_numpy(a.dtype), a.shape) for a in arrays)


_SHAPES = {  # for elementwise ops, by number of inputs: broadcasting, extents 0 and 1, rank 0
    1: (((3, 5),), ((),), ((0, 2),), ((1, 17),)),
    2: (((3, 5), (3, 5)), ((), (4,)), ((2, 1, 3), (4, 1)), ((0, 3), (1, 3)), ((1,), (1, 1))),
    3: (((3, 5), (3, 5), (3, 5)), ((2, 1), (3,), ()), ((0, 1), (2,), (1, 2))),
}


def cases(op: Op, rng: np.random.Generator) -> list[Sample]:
    """Every sample of `op`, drawn with `rng`: (arrays, attrs) with attrs in declared order."""
    if isinstance(op.samples, Combinations):
        return list(_elementwise(op, rng))
    return [([s.draw(rng) for s in c.ins], op.attr_tuple(c.attrs)) for c in op.samples()]


@value_type
class Combinations:
    """The samples of an elementwise op: a row of dtypes and a domain per input, and the attributes to try."""

    dtypes: tuple[tuple[DType, ...], ...]
    domains: tuple[Domain, ...]
    attrs: tuple[tuple[Any, ...], ...] = ((),)


def _elementwise(op: Op, rng: np.random.Generator) -> Iterator[Sample]:
    s: Combinations = op.samples
    for attrs in s.attrs:
        shapes = _SHAPES[len(s.domains)]  # all of them for the first dtypes, one for the others
        for dtypes in s.dtypes:
            if _result(op, dtypes, attrs) is not None:
                for shape in shapes:
                    yield [d.draw(rng, t, sh) for d, t, sh in zip(s.domains, dtypes, shape)], attrs
                if any(d.special for d in s.domains):
                    yield _specials(s.domains, dtypes), attrs
                shapes = shapes[:1]


def _specials(domains: tuple[Domain, ...], dtypes: tuple[DType, ...]) -> list[np.ndarray]:
    """Every special value of each input against every one of the others."""
    values = [d.specials(t) for d, t in zip(domains, dtypes)]
    n = len(values)
    return [v.reshape((1,) * i + (-1,) + (1,) * (n - 1 - i)) for i, v in enumerate(values)]


def _result(op: Op, dtypes: Sequence[DType], attrs: tuple[Any, ...]) -> DType | None:
    """The dtype that an elementwise op makes of `dtypes`; None if it does not take them."""
    try:
        return op.infer(tuple(tensor_type(d, ()) for d in dtypes), *attrs)[0].dtype
    except TypeError:
        return None


def grad_cases(op: Op, rng: np.random.Generator) -> list[Sample]:
    """Samples at which finite differences are meaningful: small, in float64 or complex128, away from kinks and ties."""
    precise = {"f": by_name("f64"), "c": by_name("c128")}
    if isinstance(op.samples, Combinations):
        out = []
        for attrs in op.samples.attrs:
            for dtypes in dict.fromkeys(tuple(precise.get(t.kind, t) for t in row) for row in op.samples.dtypes):
                if any(t.kind in precise for t in dtypes) and _result(op, dtypes, attrs) in precise.values():
                    for shapes in _SHAPES[len(dtypes)][:3]:
                        out.append(([d.draw(rng, t, s) for d, t, s in zip(op.samples.domains, dtypes, shapes)], attrs))
        return out
    return [
        ([s.draw(rng, precise.get(s.dtype.kind)) for s in c.ins], op.attr_tuple(c.attrs))
        for c in op.samples()
        if c.grad and any(s.dtype.kind in precise for s in c.ins)
    ]
