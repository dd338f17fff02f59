"""What users say about sizes: dynamic=, Dim, mark_dynamic and mark_static."""

import pytest

import ingot
from ingot import Dim, nn


def calls(f, *shapes):
    for s in shapes:
        x = ingot.ones(*s)
        assert f(x).tolist() == f.__wrapped__(x).tolist()
    return f.stats["traces"]


def test_dynamic_true_asks_no_second_size():
    assert calls(ingot.compile(lambda x: x * 2, dynamic=True), (5, 3), (7, 4), (9, 2)) == 1
    assert calls(ingot.compile(lambda x: x * x.shape[0], dynamic=True), (1, 3), (1, 4), (2, 4), (3, 4)) == 2


def test_dynamic_false_compiles_each_size():
    assert calls(ingot.compile(lambda x: x * 2, dynamic=False), (5,), (7,), (9,), (7,)) == 3
    f = ingot.compile(lambda x, n: x * n, dynamic=False)
    assert [f(ingot.ones(1), n).item() for n in (1, 2, 3)] == [1, 2, 3] and f.stats["traces"] == 3


def test_dims_by_name():
    f = ingot.compile(lambda x, y: x @ y, dynamic={"x": {0: Dim("B", max=8)}, "y": None})
    for n in (2, 3, 8, 1):
        assert f(ingot.ones(n, 3), ingot.ones(3, 2)).shape == (n, 2)
    assert f.stats["traces"] == 1
    (entry,) = next(iter(f._entries.values()))
    assert list(map(str, entry.call.traced.graph.in_types)) == ["f32[B,3]", "f32[3,2]"]
    with pytest.raises(ValueError, match=r"x.shape\[0\] is 9, which Dim\('B', min=1, max=8\) cannot be"):
        f(ingot.ones(9, 3), ingot.ones(3, 2))
    g = ingot.compile(lambda x, y: x + y, dynamic=({0: Dim("N")}, [Dim("N")]))
    for n in (4, 5):
        assert g(ingot.ones(n), ingot.ones(n)).tolist() == [2] * n
    with pytest.raises(ValueError, match=r"y.shape\[0\] is 3, where N was 4 elsewhere"):
        g(ingot.ones(4), ingot.ones(3))


def test_other_dims_are_static_where_some_are_declared():
    f = ingot.compile(lambda x: x * 2, dynamic={"x": {0: Dim("B")}})
    assert calls(f, (2, 3), (3, 3), (4, 3), (4, 5), (7, 5)) == 2


def test_sizes_that_follow_from_others():
    half = Dim("half", max=32)
    f = ingot.compile(lambda x, y: x.reshape(-1, 2).sum(1) + y, dynamic={"x": {0: 2 * half}, "y": {0: half}})
    for n in (3, 5, 1):
        assert f(ingot.ones(2 * n), ingot.ones(n)).tolist() == [3] * n
    assert f.stats["traces"] == 1
    with pytest.raises(ValueError, match=r"x.shape\[0\] is 5, which Dim\('2\*half'\) cannot be"):
        f(ingot.ones(5), ingot.ones(2))
    g = ingot.compile(lambda x: x[:-1] + x[1:], dynamic={"x": [Dim("n", min=2) * 2 + 1]})
    for n in (5, 7, 11):
        assert g(ingot.ones(n)).tolist() == [2] * (n - 1)
    assert g.stats["traces"] == 1


def test_nested_arguments_and_hints():
    f = ingot.compile(lambda d, *xs: d["a"][0] + d["b"] + xs[0], dynamic={"d": {"a": [{0: Dim.DYNAMIC}], "b": {0: Dim.AUTO}}})
    with pytest.raises(ValueError, match="nam"):
        ingot.compile(lambda x: x, dynamic={"y": {0: Dim("B")}})
    for n in (3, 4, 5):
        f({"a": [ingot.ones(n)], "b": ingot.ones(n)}, ingot.ones(1))
    assert f.stats["traces"] <= 2


def test_what_was_declared_and_is_needed_as_a_number_is_an_error():
    f = ingot.compile(lambda x: [x[i] for i in range(x.shape[0])], dynamic={"x": {0: Dim("B")}})
    with pytest.raises(ingot.CaptureError, match=r"x.shape\[0\] was declared to be dynamic \(B\), but .*plain int.*test_dims.py"):
        f(ingot.ones(3))


def test_forms_that_do_not_fit():
    for spec, words in (
        ({"x": {2: Dim("B")}}, "dim 2 of x"), ({"x": [Dim("B")]}, "1 dims for x"), ({"x": {0: "B"}}, "is a Dim"),
        ({"x": {0: 7}}, "says 7"), ({"x": 3}, "by dim"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            ingot.compile(lambda x: x, dynamic=spec)(ingot.ones(2, 3))
    with pytest.raises(ValueError, match="dict"):
        ingot.compile(lambda x: x, dynamic=7)
    with pytest.raises(TypeError, match="identifier"):
        Dim("1x")
    with pytest.raises(ValueError, match="no size"):
        Dim("x", min=5, max=4)


def test_marks():
    f = ingot.compile(lambda x: x * 2)
    x = ingot.ones(5, 3)
    ingot.mark_dynamic(x, 0)
    f(x)
    assert calls(f, (6, 3), (1, 3)) == 1
    g = ingot.compile(lambda x: x * 2)
    for n in (2, 3, 4):
        y = ingot.ones(n, 3)
        ingot.mark_static(y)
        g(y)
    assert g.stats["traces"] == 3
    with pytest.raises(IndexError):
        ingot.mark_dynamic(x, 2)
    z = ingot.ones(5)
    ingot.mark_dynamic(z, 0, min=2, max=6)
    h = ingot.compile(lambda x: x + 1)
    h(z)
    assert calls(h, (3,), (6,)) == 1 and calls(h, (7,)) == 2


def test_modules_take_them_too():
    m = nn.Linear(3, 2)
    c = ingot.compile(m, dynamic={"input": {0: Dim("B", min=0)}})
    for n in (4, 2, 0, 9):
        assert c(ingot.ones(n, 3)).shape == (n, 2)
    assert c.stats["traces"] == 1
