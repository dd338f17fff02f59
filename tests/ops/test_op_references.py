"""References against definitions written out in plain Python, and against known values."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from ingot.ir.dtypes import ALL, Half, bf16, by_name, by_numpy, f16, f32, i8, i32, u8
from ingot.ir.op import OPS
from ingot.ir.ops.creation import philox
from ingot.ir.ops.samples import cases
from ingot.ir.types import tensor_type


def drawn(name: str, *dtypes: str) -> list:
    """The samples of `name`, those of some dtypes only."""
    found = cases(OPS[name], np.random.default_rng(9))
    return [(a, attrs) for a, attrs in found if not dtypes or a[0].dtype.name in dtypes]


def agree(name: str, ins: list, attrs: tuple, want: np.ndarray, rtol: float = 1e-5) -> None:
    with np.errstate(all="ignore"):
        got = OPS[name].ref(*ins, *attrs)
    inexact = got.dtype.kind == "f"
    np.testing.assert_allclose(got, want, rtol=rtol if inexact else 0, atol=1e-5 if inexact else 0, err_msg=name)


@pytest.mark.parametrize("name, fn", [("remainder", lambda a, b: a % b), ("floor_divide", lambda a, b: a // b), ("fmod", math.fmod),
                                      ("atan2", math.atan2), ("copysign", math.copysign), ("pow", math.pow)])  # fmt: skip
def test_binary_functions_are_pythons(name, fn):
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-9, 9, 200), rng.uniform(-3, 3, 200)
    a = np.abs(a) if name == "pow" else a
    np.testing.assert_allclose(OPS[name].ref(a, b), [fn(float(x), float(y)) for x, y in zip(a, b)], rtol=1e-14)


def test_integer_division_has_pythons_signs_and_never_traps():
    values = np.array([-128, -127, -7, -1, 0, 1, 3, 127], np.int8)
    a, b = np.meshgrid(values, values[values != 0])
    q, r, t = (OPS[n].ref(a, b) for n in ("floor_divide", "remainder", "fmod"))
    for x, y, qi, ri, ti in zip(a.flat, b.flat, q.flat, r.flat, t.flat):
        x, y = int(x), int(y)
        assert qi == (x // y + 128) % 256 - 128 and ri == x % y and ti == math.fmod(x, y)


@pytest.mark.parametrize("name", ["floor_divide", "remainder", "fmod"])
def test_an_integer_divided_by_zero_is_an_error(name):
    a = np.arange(4, dtype=np.int32)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        OPS[name].ref(a, np.array([1, 2, 0, 3], np.int32))
    assert OPS[name].may_fail([tensor_type(i32, (4,))] * 2) and not OPS[name].may_fail([tensor_type(f32, (4,))] * 2)


def test_integer_powers_wrap():
    for d in (i8, i32, u8):
        bits = d.bits
        a, b = np.meshgrid(np.array([0, 1, 2, 3, 7, 100], d.numpy), np.array([0, 1, 2, 5, 31, 64, 127], d.numpy))
        want = [(int(x) ** int(y)) % 2**bits for x, y in zip(a.flat, b.flat)]
        np.testing.assert_array_equal([int(v) % 2**bits for v in OPS["pow"].ref(a, b).flat], want)
        for n in (0, 1, 5, 31):
            got = [int(v) % 2**bits for v in OPS["integer_pow"].ref(a, n).flat]
            np.testing.assert_array_equal(got, [int(x) ** n % 2**bits for x in a.flat])
    minus = np.array([2, 1, -1, -1, 0], np.int32)
    np.testing.assert_array_equal(OPS["pow"].ref(minus, np.array([-1, -3, -3, -2, -1], np.int32)), [0, 1, -1, 1, 0])


def test_shifts_by_any_count():
    a, b = np.array([1, -128, 127, -1], np.int8)[:, None], np.array([0, 1, 7, 8, 100, -1], np.int8)
    np.testing.assert_array_equal(OPS["shift_left"].ref(a, b)[0], [1, 2, -128, 0, 0, 0])
    np.testing.assert_array_equal(OPS["shift_right"].ref(a, b)[1], [-128, -64, -1, -1, -1, -1])


def test_cast_saturates_and_goes_through_f32():
    x = np.array([np.nan, np.inf, -np.inf, 1e20, -1e20, -1.9, 2.9, 255.5, 300.0])
    np.testing.assert_array_equal(OPS["cast"].ref(x, by_name("u8")), [0, 255, 0, 255, 0, 0, 2, 255, 255])
    np.testing.assert_array_equal(OPS["cast"].ref(x, by_name("i8")), [0, 127, -128, 127, -128, -1, 2, 127, 127])
    for d in ("i64", "u64", "i32"):
        info = np.iinfo(by_name(d).numpy)
        np.testing.assert_array_equal(OPS["cast"].ref(x.astype(np.float32), by_name(d))[:5], [0, info.max, info.min, info.max, info.min])
    np.testing.assert_array_equal(OPS["cast"].ref(x, by_name("bool")), [True] * 9)
    assert OPS["cast"].ref(np.array(300), by_name("u8")) == 44
    tie = np.array(1 + 2.0**-11 + 2.0**-40)  # above the middle of two halves, but not in f32
    assert OPS["cast"].ref(tie, f16) == 1.0
    assert OPS["cast"].ref(np.array(-0.0), by_name("bool")) == False  # noqa: E712


def test_halves_are_rounded_once():
    x = np.array([1.0, 0.3, 100.0], np.float32).astype(f16.numpy)
    wide = x.astype(np.float32)
    np.testing.assert_array_equal(OPS["mul"].ref(x, x), (wide * wide).astype(np.float16))
    total = np.full(4096, 1.0, np.float32).astype(bf16.numpy)
    assert float(OPS["reduce_sum"].ref(total, (0,))[0]) == 4096.0  # in bf16 it would stop at 256


@pytest.mark.parametrize("name, points", [
    ("erf", [(0.0, 0.0), (0.5, 0.5204998778130465), (-2.0, -0.9953222650189527), (math.inf, 1.0)]),
    ("erfc", [(3.0, 2.209049699858544e-05), (-1.0, 1.842700792949715), (math.inf, 0.0)]),
    ("lgamma", [(0.5, 0.5723649429247001), (10.0, 12.801827480081469), (-0.5, 1.2655121234846454), (0.0, math.inf), (-3.0, math.inf),
                (-math.inf, math.inf)]),
    ("digamma", [(1.0, -0.5772156649015329), (0.5, -1.9635100260214235), (-0.5, 0.03648997397857652), (10.0, 2.251752589066721),
                 (0.0, -math.inf), (-0.0, math.inf), (-2.0, math.nan), (math.inf, math.inf)]),
    ("sigmoid", [(0.0, 0.5), (800.0, 1.0), (-800.0, 0.0), (2.0, 0.8807970779778823)]),
    ("sign", [(math.nan, 0.0), (-0.0, 0.0), (-3.0, -1.0)]),
    ("round", [(0.5, 0.0), (1.5, 2.0), (-2.5, -2.0)]),
])  # fmt: skip
def test_known_values(name, points):
    x, y = np.array(points).T
    np.testing.assert_allclose(OPS[name].ref(x), y, rtol=1e-13, atol=1e-13)


def test_philox_known_answers():
    """The vectors of the authors' own test (kat_vectors of Random123), and the layout of random_bits."""
    assert [hex(w) for w in philox(np.zeros(1, np.uint64), 0)[0]] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]
    bits = OPS["random_bits"].ref(np.array(5), np.array(7), (3, 5))
    assert bits.dtype == np.uint32
    for i, w in enumerate(bits.flat):
        assert w == philox(np.array([7 + i // 4], np.uint64), 5)[0, i % 4]
    later = OPS["random_bits"].ref(np.array(5), np.array(8), (11,))
    np.testing.assert_array_equal(bits.reshape(-1)[4:], later)


def test_iota():
    np.testing.assert_array_equal(OPS["iota"].ref(f32, (2, 3), 1), [[0, 1, 2], [0, 1, 2]])


# -- structured ops, by loops over every element ---------------------------------------------------------------------


def test_dot_by_einsum():
    letters = "abcdefgh"
    for (a, b), (batch, contract) in drawn("dot", "float32", "float64", "int32"):
        sa, names = list(letters[: a.ndim]), iter("ijklmnop")
        sb = [""] * b.ndim
        for da, db in ((batch[0], batch[1]), (contract[0], contract[1])):
            for i, j in zip(da, db):
                sb[j] = sa[i]
        sb = [c or next(names) for c in sb]
        out = [sa[i] for i in batch[0]] + [c for i, c in enumerate(sa) if i not in batch[0] + contract[0]]
        out += [c for j, c in enumerate(sb) if j not in batch[1] + contract[1]]
        agree("dot", [a, b], (batch, contract), np.einsum(f"{''.join(sa)},{''.join(sb)}->{''.join(out)}", a, b))


def conv_terms(x_shape, w_shape, out_shape, stride, padding, dilation, groups):
    """Every (output, input, weight) index triple of a convolution."""
    n, c = x_shape[:2]
    per = c // groups
    for y in product(*map(range, out_shape)):
        group = y[1] // (w_shape[0] // groups)
        for k in product(range(per), *map(range, w_shape[2:])):
            at = [p * s - lo + i * d for p, s, (lo, _), i, d in zip(y[2:], stride, padding, k[1:], dilation)]
            if all(0 <= p < size for p, size in zip(at, x_shape[2:])):
                yield y, (y[0], group * per + k[0], *at), (y[1], *k)


@pytest.mark.parametrize("name", ["conv", "conv_input_grad", "conv_weight_grad"])
def test_convolutions_by_definition(name):
    for ins, attrs in drawn(name, "float32"):
        a, b = ins
        geometry = attrs if name == "conv" else attrs[1:]
        (got,) = (OPS[name].ref(a, b, *attrs),)
        x_shape = a.shape if name != "conv_input_grad" else attrs[0]
        w_shape = b.shape if name != "conv_weight_grad" else attrs[0]
        y_shape = {"conv": got.shape, "conv_input_grad": a.shape, "conv_weight_grad": b.shape}[name]
        want = np.zeros(got.shape)
        for y, x, w in conv_terms(x_shape, w_shape, y_shape, *geometry):
            if name == "conv":
                want[y] += float(a[x]) * float(b[w])
            elif name == "conv_input_grad":
                want[x] += float(a[y]) * float(b[w])
            else:
                want[w] += float(a[x]) * float(b[y])
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_windows_by_definition():
    for (x,), attrs in drawn("window_max", "float32", "uint8", "int32"):
        window, stride, padding, dilation = attrs
        lead = x.ndim - len(window)
        best, place, total = (OPS[n].ref(x, *attrs) for n in ("window_max", "window_argmax", "window_sum"))
        for y in product(*map(range, best.shape)):
            inside = []
            for k in product(*map(range, window)):
                at = tuple(p * s - lo + i * d for p, s, (lo, _), i, d in zip(y[lead:], stride, padding, k, dilation))
                if all(0 <= p < n for p, n in zip(at, x.shape[lead:])):
                    inside.append((x[y[:lead] + at], int(np.ravel_multi_index(at, x.shape[lead:]))))
            nan = [v for v in inside if v[0] != v[0]]
            value, where = nan[0] if nan else max(inside, key=lambda v: v[0])
            np.testing.assert_equal(best[y], value)
            assert place[y] == where
            if not nan and np.isfinite(float(value)) and all(np.isfinite(float(v)) for v, _ in inside):
                np.testing.assert_allclose(total[y], np.array([v for v, _ in inside]).sum(dtype=total.dtype), rtol=1e-5, atol=1e-6)


def test_window_grads_are_transposes():
    for (g,), (shape, *geometry) in drawn("window_sum_grad", "float32"):
        x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        left = float((OPS["window_sum"].ref(x, *geometry).astype(np.float64) * g).sum())
        right = float((OPS["window_sum_grad"].ref(g, shape, *geometry).astype(np.float64) * x).sum())
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-4)
    g, place = np.array([[[1.0], [2.0], [4.0]]]), np.array([[[5], [0], [5]]])
    np.testing.assert_array_equal(OPS["window_scatter"].ref(g, place, (2, 3)), [[[2, 0, 0], [0, 0, 5]]])


COMBINE = {"set": lambda a, b: b, "add": lambda a, b: a + b, "mul": lambda a, b: a * b, "min": np.minimum, "max": np.maximum}


def test_gather_and_scatter_by_definition():
    for (x, index), (axis,) in drawn("gather"):
        want = np.empty(index.shape, x.dtype)
        for p in product(*map(range, index.shape)):
            want[p] = x[p[:axis] + (int(index[p]),) + p[axis + 1 :]]
        np.testing.assert_array_equal(OPS["gather"].ref(x, index, axis), want)
    for (x, index, src), (axis, mode) in drawn("scatter"):
        half = by_numpy(x.dtype) in Half  # combined in f32, rounded once
        want, src_wide = (v.astype(np.float32) if half else v.copy() for v in (x, src))
        with np.errstate(all="ignore"):
            for p in product(*map(range, index.shape)):
                q = p[:axis] + (int(index[p]),) + p[axis + 1 :]
                want[q] = COMBINE[mode](want[q], src_wide[p])
            want = want.astype(x.dtype)
        got = OPS["scatter"].ref(x, index, src, axis, mode)
        np.testing.assert_allclose(got.astype(np.complex128), want.astype(np.complex128), rtol=1e-6)


def places(shape, indices, axes):
    """(position in the result, position in x) of x[..., i0, i1, ...]"""
    indices = np.broadcast_arrays(*indices)
    common = indices[0].shape
    rest = [i for i in range(len(shape)) if i not in axes]
    at = axes[0] if axes[-1] - axes[0] == len(axes) - 1 else 0
    for s in product(*map(range, common)):
        for r in product(*(range(shape[i]) for i in rest)):
            p = [0] * len(shape)
            for i, v in zip(rest, r):
                p[i] = v
            for a, index in zip(axes, indices):
                p[a] = int(index[s])
            yield (*r[:at], *s, *r[at:]), tuple(p)


def test_index_get_and_put_by_definition():
    for (x, *indices), (axes,) in drawn("index_get"):
        got = OPS["index_get"].ref(x, *indices, axes)
        for y, p in places(x.shape, indices, axes):
            assert got[y] == x[p]
    for (x, src, *indices), (axes, mode) in drawn("index_put"):
        if len(indices) == 1:  # with one index the order of writes to one place is that of the index
            want = x.copy()
            for y, p in places(x.shape, indices, axes):
                want[p] = COMBINE[mode](want[p], src[y])
            np.testing.assert_allclose(
                OPS["index_put"].ref(x, src, *indices, axes, mode).astype(np.complex128), want.astype(np.complex128), rtol=2e-3
            )


def test_cumulative_by_definition():
    for name, fn in (("cumsum", np.add), ("cumprod", np.multiply)):
        for (x,), (axis, reverse) in drawn(name, "float32", "int64", "uint8"):
            if x.size:
                lines = np.moveaxis(x, axis, -1)
                lines = lines[..., ::-1] if reverse else lines
                want = fn.accumulate(lines, axis=-1, dtype=np.float64 if x.dtype.kind == "f" else x.dtype)
                want = want[..., ::-1] if reverse else want
                agree(name, [x], (axis, reverse), np.moveaxis(want, -1, axis))
    values, index = OPS["cummax"].ref(np.array([1.0, 1.0, np.nan, 3.0, np.nan]), 0)
    np.testing.assert_array_equal(values, [1, 1, np.nan, np.nan, np.nan])
    assert index.tolist() == [0, 1, 2, 2, 4]


def test_sort_is_stable_and_puts_nan_above_all():
    x = np.array([1.0, np.nan, 3.0, 1.0, -np.inf, np.nan])
    values, index = OPS["sort"].ref(x, 0, False)
    assert index.tolist() == [4, 0, 3, 2, 1, 5]
    values, index = OPS["sort"].ref(x, 0, True)
    assert index.tolist() == [1, 5, 2, 0, 3, 4]
    np.testing.assert_array_equal(values, x[index])


def test_argmax_takes_the_first_and_nan_wins():
    assert OPS["argmax"].ref(np.array([1, 5, 5]), 0).tolist() == [1]
    assert OPS["argmax"].ref(np.array([1, np.nan, 5, np.nan]), 0).tolist() == [1]
    assert OPS["argmin"].ref(np.array([[1, np.nan], [0, 2]]), 1).tolist() == [[1], [0]]


def test_pad_slice_and_reverse_by_lists():
    x = np.array([1, 2, 3])
    assert OPS["pad"].ref(x, np.array(0), (1,), (2,), (1,)).tolist() == [0, 1, 0, 2, 0, 3, 0, 0]
    assert OPS["slice"].ref(np.arange(10), (1,), (9,), (3,)).tolist() == [1, 4, 7]
    assert OPS["reverse"].ref(x, (0,)).tolist() == [3, 2, 1]


def test_every_dtype_occurs():
    """Each dtype is drawn for some op of every kind that takes it."""
    seen = {a.dtype for op in OPS.values() for arrays, _ in cases(op, np.random.default_rng(0)) for a in arrays}
    assert {d.numpy for d in ALL} <= seen
