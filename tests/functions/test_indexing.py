"""Indexing against NumPy: random indices, reading and assigning."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ingot

SHAPE = (3, 4, 2)


@st.composite
def basic(draw, n: int):
    """An int, slice or None for a dim of extent n."""
    kind = draw(st.sampled_from(("int", "slice", "slice", "none")))
    if kind == "int":
        return draw(st.integers(-n, n - 1))
    if kind == "none":
        return None
    end = st.none() | st.integers(-n - 1, n + 1)
    return slice(draw(end), draw(end), draw(st.none() | st.integers(1, 3)))


@st.composite
def keys(draw):
    """A tuple of basic indices, an ellipsis somewhere, and perhaps index arrays or a mask in place of one of them."""
    out: list = []
    d = 0
    while d < len(SHAPE) and draw(st.booleans()):
        item = draw(basic(SHAPE[d]))
        d += item is not None
        out.append(item)
    if draw(st.booleans()):
        out.append(Ellipsis)
    if d < len(SHAPE) and Ellipsis not in out and draw(st.booleans()):
        n = SHAPE[d]
        kind = draw(st.sampled_from(("array", "matrix", "mask", "list", "empty")))
        if kind == "mask":
            out.append(np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))))
        elif kind == "empty":
            out.append(np.zeros(0, np.int64))
        else:
            values = draw(st.lists(st.integers(-n, n - 1), min_size=4, max_size=4))
            out.append(values if kind == "list" else np.array(values).reshape((2, 2) if kind == "matrix" else 4))
    return tuple(out)


def places(key: tuple) -> np.ndarray:
    """Which elements of the flattened array an index picks: ints, slices and None first, then the array, as in torch."""
    is_array = [isinstance(k, (list, np.ndarray)) for k in key]
    view = np.arange(24).reshape(SHAPE)[tuple(slice(None) if array else k for k, array in zip(key, is_array))]
    if not any(is_array):
        return view
    at = is_array.index(True)
    before = sum(not isinstance(k, int) for k in key[:at])
    return view[(slice(None),) * before + (key[at],)]


def tensors(key: tuple) -> tuple:
    return tuple(ingot.tensor(k) if isinstance(k, np.ndarray) else k for k in key)


@settings(max_examples=150, deadline=None)
@given(keys())
def test_reading(key: tuple) -> None:
    a = np.arange(24.0, dtype=np.float32).reshape(SHAPE)
    got = ingot.tensor(a)[tensors(key)]
    want = a.reshape(-1)[places(key)]
    assert tuple(got.shape) == want.shape
    np.testing.assert_array_equal(got.numpy(), want)


@settings(max_examples=150, deadline=None)
@given(keys(), st.booleans())
def test_assigning(key: tuple, scalar: bool) -> None:
    a = np.arange(24.0, dtype=np.float32).reshape(SHAPE)
    x = ingot.tensor(a)
    shape = tuple(x[tensors(key)].shape)
    value = np.float32(-1.5) if scalar else -np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    x[tensors(key)] = float(value) if scalar else ingot.tensor(value)
    a.reshape(-1)[places(key)] = value
    np.testing.assert_array_equal(x.numpy(), a)


def test_several_index_tensors() -> None:
    a = np.arange(120).reshape(2, 3, 4, 5)
    x = ingot.tensor(a)
    i, j = [0, 1], [2, 0]
    for key in ((i, j), (slice(None), i, j), (i, slice(None), j), (slice(None), i, slice(None), j), (Ellipsis, i, j), (i, None, j)):
        np.testing.assert_array_equal(x[key].numpy(), a[key])
    np.testing.assert_array_equal(x[ingot.tensor(i)[:, None], ingot.tensor(j)].numpy(), a[np.array(i)[:, None], np.array(j)])


def test_masks() -> None:
    a = np.arange(12).reshape(3, 4)
    x = ingot.tensor(a)
    assert x[x > 5].tolist() == a[a > 5].tolist()
    x[x > 5] = 0
    assert x.tolist() == np.where(a > 5, 0, a).tolist()
    x[ingot.tensor([True, False, True])] = ingot.tensor([9, 8, 7, 6])
    assert x.tolist() == [[9, 8, 7, 6], [4, 5, 0, 0], [9, 8, 7, 6]]
    x[x == 9] += 1
    assert x[:, 0].tolist() == [10, 4, 10]


def test_gradients_through_indexing() -> None:
    x = ingot.arange(6.0).reshape(2, 3).clone().requires_grad_()
    y = x * 1
    y[0] = y[1] * 2
    y[:, [0, 0]].sum().backward()
    assert x.grad.tolist() == [[0, 0, 0], [6, 0, 0]]


@pytest.mark.parametrize(
    ("key", "error", "text"),
    [
        (5, IndexError, "index 5 is out of bounds for dimension 0 with size 3"), ((0, 0, 0, 0), IndexError, "too many indices"),
        (slice(None, None, -1), ValueError, "step must be greater than zero"), (1.5, IndexError, "only integers, slices"),
        ("a", TypeError, "str"),
        ([7], IndexError, "index 7 is out of bounds"), (([0, 1], [0, 1, 2]), IndexError, "shape mismatch"),
        (np.array([True]), IndexError, "The shape of the mask"), (np.array([0.5]), IndexError, "must be long, int, byte or bool"),
    ],
)  # fmt: skip
def test_errors(key, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        ingot.zeros(SHAPE)[key]
    with pytest.raises(error, match=text):
        ingot.zeros(SHAPE)[key] = 1


def test_an_index_tensor_out_of_range_fails_when_the_value_is_needed() -> None:
    y = ingot.zeros(3)[ingot.tensor([1, 3])]
    with pytest.raises(IndexError):
        y.tolist()


def test_masked_scatter_names_both_dtypes() -> None:
    with pytest.raises(RuntimeError, match="gotFloat and Double"):  # torch's words
        ingot.masked_scatter(ingot.zeros(2), ingot.zeros(2) == 0, ingot.zeros(2).double())
