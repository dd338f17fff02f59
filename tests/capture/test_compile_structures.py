"""ingot.compile: what arguments and results may be made of."""

import gc
import weakref
from collections import OrderedDict, namedtuple
from dataclasses import dataclass, field, fields
from typing import Any

import pytest

import ingot
from ingot import nn

Pair = namedtuple("Pair", "a b")


@dataclass
class Output:
    logits: ingot.Tensor
    loss: ingot.Tensor | None = None
    states: tuple = ()
    extra: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    x: ingot.Tensor
    scale: float = 2.0
    inner: object = None


@dataclass
class Config:
    width: int = 2


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 2)

    def forward(self, x, labels=None):
        h = self.fc(x)
        return Output(h, None if labels is None else (h - labels).pow(2).mean(), (h, Pair(x, h * 2)), {"n": 3})


def test_dataclasses_as_results():
    m = Net()
    c = ingot.compile(m)
    x = ingot.ones(1, 2)
    for _ in range(3):
        out, want = c(x, labels=ingot.zeros(1, 2)), m(x, labels=ingot.zeros(1, 2))
        assert type(out) is Output and type(out.states[1]) is Pair and out.extra == {"n": 3}
        assert ingot.allclose(out.loss, want.loss) and ingot.allclose(out.states[1].b, want.states[1].b)
        out.loss.backward()
    assert c(x).loss is None and c.stats["traces"] == 2
    assert m.fc.weight.grad is not None


def test_dataclasses_as_arguments():
    f = ingot.compile(lambda b, c: b.x * b.scale * c.width + (0 if b.inner is None else b.inner.logits))
    c = Config()
    for i in range(4):  # a new object each time
        assert f(Batch(ingot.ones(2), scale=float(i)), c).tolist() == [2 * i] * 2
    assert f.stats["traces"] == 1
    assert f(Batch(ingot.ones(2), inner=Output(ingot.ones(2))), c).tolist() == [5, 5]
    with pytest.raises(ingot.CaptureError, match="decide a branch"):
        ingot.compile(lambda b: b.x if b.x.sum() > 0 else 0)(Batch(ingot.ones(2)))
    g = ingot.compile(lambda b: b.x)
    g(Batch(ingot.ones(2))), g(Batch(ingot.ones(3)))
    assert list(g.recompiles) == ["b.x.shape[0] is 3, it was 2: run-time size from now on"]


def test_dicts_and_ordered_dicts():
    f = ingot.compile(lambda d: OrderedDict(b=d["x"] * 2, a=[d["x"], {"c": d["k"]}]))
    out = f({"x": ingot.ones(2), "k": 5})
    assert list(out) == ["b", "a"] and type(out) is OrderedDict and out["a"][1] == {"c": 5}


def pop(d):
    return d.pop("x") * 2


def assign(d):
    d["x"] = d["x"] * 2
    return d["x"]


def append(d):
    d["list"].append(d["x"])
    return d["x"]


def attribute(d):
    d["out"].logits = d["x"] * 3
    return d["x"]


def number(d):
    d["k"] += 1
    return d["x"]


@pytest.mark.parametrize("f", [pop, assign, append, attribute, number], ids=lambda f: f.__name__)
def test_what_is_given_is_not_changed(f):
    d = {"x": ingot.ones(2), "list": [], "out": Output(ingot.ones(1)), "k": 1}
    with pytest.raises(ingot.CaptureError, match="that it is given|of what it is given"):
        ingot.compile(f)(d)
    assert list(d) == ["x", "list", "out", "k"] and d["k"] == 1 and not d["list"] and d["out"].logits.tolist() == [1]


def test_tensors_that_are_given_may_be_written():
    def f(d):
        d["x"] += 1
        return d["x"] * 2

    d = {"x": ingot.ones(2)}
    x = d["x"]
    assert ingot.compile(f)(d).tolist() == [4, 4] and x.tolist() == [2, 2]


def test_an_artifact_has_no_dataclasses(tmp_path):
    with pytest.raises(TypeError, match="tensors in tuples, lists and dicts, not Output"):
        ingot.export(Net().eval(), (ingot.ones(1, 2),), tmp_path / "net.ingot")


def test_a_dict_that_is_a_dataclass_goes_in_and_out():
    @dataclass
    class Output(OrderedDict):
        loss: Any = None
        logits: Any = None
        extra: Any = None

        def __post_init__(self):
            for f in fields(self):
                value = getattr(self, f.name)
                if value is not None:
                    self[f.name] = value

    f = ingot.compile(lambda x, o: Output(logits=x + o.logits, extra=(x * 2, 3)))
    given = Output(logits=ingot.ones(2))
    for _ in range(3):
        out = f(ingot.ones(2), given)
        assert type(out) is Output and list(out) == ["logits", "extra"] and out.loss is None
        assert out.logits.tolist() == out["logits"].tolist() == [2, 2] and out.extra[0].tolist() == [2, 2] and out.extra[1] == 3


def test_arguments_that_share_memory_and_are_read_are_as_others():
    f = ingot.compile(lambda pair, y: pair[0] * 2 + pair[1] - y)
    for i in range(6):
        x = ingot.arange(8.0) + i
        a, b = x.chunk(2)
        assert f((a, b), x[2:6]).tolist() == (a * 2 + b - x[2:6]).tolist()
        assert f((a, x[4:]), ingot.ones(4)).tolist() == (a * 2 + x[4:] - 1).tolist()
    assert f.stats["traces"] == 1


def test_arguments_that_share_memory_and_are_written_show_it():
    def f(a, b):
        a.add_(1)
        return a + b * 2

    compiled = ingot.compile(f)
    for i in range(3):
        for apart in (True, False, False):
            found = []
            for g in (f, compiled):
                x = ingot.arange(8.0) + i
                a, b = x[:4], (x + 0)[2:6] if apart else x[2:6]
                for _ in range(2):
                    found.append((g(a, b).tolist(), a.tolist(), b.tolist(), x.tolist()))
            assert found[:2] == found[2:]


def test_nested_results_go_when_they_are_let_go_of():
    """Nothing in them waits for the garbage collector: their memory serves the next call."""
    f = ingot.compile(lambda x: {"pair": (x + 1, [x * 2]), "sorted": ingot.sort(x)})
    x = ingot.arange(4.0)
    f(x)
    gc.collect()
    gc.disable()
    try:
        out = f(x)
        refs = [weakref.ref(t) for t in (out["pair"][0], out["pair"][1][0], out["sorted"].values)]
        del out
        assert [r() for r in refs] == [None] * 3
    finally:
        gc.enable()
