"""Dtypes of results: promotion between tensors, 0-d tensors and numbers, and what in-place operations refuse."""

from __future__ import annotations

import pytest

import ingot

DTYPES = ("bool", "uint8", "int8", "int32", "int64", "float16", "bfloat16", "float32", "float64")
X = {d: ingot.ones(2, dtype=getattr(ingot, d)) for d in DTYPES}
Z = {d: x[0].clone() for d, x in X.items()}

PAIRS = [
    ("bool", "int8", "int8"), ("uint8", "int8", "int16"), ("uint8", "int32", "int32"), ("int32", "int64", "int64"),
    ("int64", "float16", "float16"), ("float16", "bfloat16", "float32"), ("float16", "float32", "float32"),
    ("float32", "float64", "float64"),
    ("bool", "float16", "float16"),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b", "want"), PAIRS)
def test_tensors(a: str, b: str, want: str) -> None:
    for left, right in ((a, b), (b, a)):
        assert (X[left] + X[right]).dtype is getattr(ingot, want)
        assert ingot.promote_types(getattr(ingot, left), getattr(ingot, right)) is getattr(ingot, want)
        assert ingot.where(X["bool"], X[left], X[right]).dtype is getattr(ingot, want)
    assert (X[a] < X[b]).dtype is ingot.bool


@pytest.mark.parametrize(
    ("x", "number", "want"),
    [
        ("bool", True, "bool"), ("bool", 1, "int64"), ("bool", 1.0, "float32"), ("uint8", 1, "uint8"), ("int8", 1.5, "float32"),
        ("float16", 1, "float16"), ("float16", 1.5, "float16"), ("float64", 1.5, "float64"), ("int64", True, "int64"),
    ],
)  # fmt: skip
def test_numbers_count_by_kind(x: str, number: float, want: str) -> None:
    assert (X[x] * number).dtype is getattr(ingot, want)
    assert (number * X[x]).dtype is getattr(ingot, want)


def test_rank_0_tensors_count_by_kind() -> None:
    assert (X["float16"] + Z["float64"]).dtype is ingot.float16
    assert (X["int64"] + Z["float16"]).dtype is ingot.float16
    assert (X["int8"] + Z["int64"]).dtype is ingot.int8
    assert (Z["int8"] + Z["int64"]).dtype is ingot.int64
    assert (Z["float16"] + 1.5).dtype is ingot.float16
    assert (X["bool"] + Z["int8"]).dtype is ingot.int8


def test_division_and_reductions() -> None:
    assert (X["int64"] / X["int64"]).dtype is ingot.float32
    assert (X["int64"] // X["int64"]).dtype is ingot.int64
    assert X["uint8"].sum().dtype is ingot.int64 and X["bool"].prod().dtype is ingot.int64
    assert X["float16"].sum().dtype is ingot.float16 and X["bool"].any().dtype is ingot.bool
    with pytest.raises(RuntimeError, match="could not infer output dtype"):
        X["int64"].mean()


def test_the_default_dtype_is_followed() -> None:
    try:
        ingot.set_default_dtype(ingot.float64)
        assert (X["int64"] * 1.5).dtype is ingot.float64
        assert ingot.exp(X["int32"]).dtype is ingot.float64
        assert ingot.zeros(2).dtype is ingot.float64
    finally:
        ingot.set_default_dtype(ingot.float32)
    assert ingot.exp(X["int32"]).dtype is ingot.float32


@pytest.mark.parametrize(("x", "other"), [("int64", 1.5), ("bool", 1), ("int32", X["float32"]), ("bool", X["uint8"])])
def test_in_place_results_must_fit(x: str, other) -> None:
    with pytest.raises(RuntimeError, match="can't be cast to the desired output type"):
        X[x].clone().add_(other)


def test_in_place_keeps_dtype_and_shape() -> None:
    x = X["int8"].clone()
    assert x.mul_(X["int64"] * 3).dtype is ingot.int8 and x.tolist() == [3, 3]
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        x.add_(ingot.ones(3, 2, dtype=ingot.int8))


def test_integers_wrap_around_and_compare_exactly() -> None:
    u = ingot.tensor([1, 255], dtype=ingot.uint8)
    assert (u + 300).tolist() == [45, 43]
    assert (u == -1).tolist() == [False, False]
    assert (ingot.tensor([5], dtype=ingot.int32) < 2**40).tolist() == [True]
    with pytest.raises(RuntimeError, match="overflow"):
        u.clamp(max=300)


def test_out() -> None:
    out = ingot.empty(2)
    assert ingot.add(X["int64"], 1, out=out) is out and out.tolist() == [2, 2]
    with pytest.raises(RuntimeError, match="can't be cast"):
        ingot.exp(X["float32"], out=ingot.empty(2, dtype=ingot.int64))
    values, indices = ingot.empty(1), ingot.empty(1, dtype=ingot.int64)
    ingot.max(ingot.tensor([[1.0, 3.0]]), 1, out=(values, indices))
    assert (values.item(), indices.item()) == (3.0, 1)


def test_a_float_beside_integers_is_truncated_where_the_dtype_is_fixed() -> None:
    x = ingot.zeros(3, dtype=ingot.int64)
    assert ingot.scatter(x, 0, ingot.tensor([1]), 2.5).tolist() == [0, 2, 0]
    x[2] = 1.75
    assert x.fill_(-1.5).tolist() == [-1, -1, -1]
