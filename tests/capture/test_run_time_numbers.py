"""What functions may do with sizes and numbers that change, with one compilation for all: each beside eager, two traces in all."""

import math
import pickle
from math import ceil, sqrt

import numpy as np
import pytest

import ingot
from ingot.capture.stand_ins import measured
from ingot.nn import functional as F


def matrix(n, m=6):
    return ingot.arange(n * m).reshape(n, m).float() / 7


def half(n):
    return int(n / 2)


SIZES = {
    "sqrt": lambda x: x / math.sqrt(x.shape[0]) + sqrt(x.shape[0]) * x.shape[0] ** -0.5,
    "logarithms": lambda x: x * math.log(x.shape[0]) - math.log2(x.size(0)) + math.pow(x.shape[0], 0.3) + math.log(x.shape[0], 3.0),
    "powers of floats": lambda x: x * 0.9 ** x.shape[0] + (-0.5) ** len(x) - (1 - 0.5 ** (x.shape[0] / 2)) ** len(x),
    "int of a quotient": lambda x: x[: half(x.shape[0])],
    "int of a product": lambda x: x[: int(x.shape[0] * 0.75)] * int(x.shape[0]),
    "float": lambda x: x.sum() / float(x.shape[0]),
    "rounded": lambda x: x[: round(x.shape[0] / 4)] + round(x.shape[0] / 2) + math.floor(x.shape[0] / 3),
    "ceil": lambda x: F.pad(x, (0, 0, 0, ceil(x.shape[0] / 4 + 1) * 4 - x.shape[0])),
    "negative": lambda x: x + int((3 - x.shape[0]) / 2) + math.ceil(-x.shape[0] / 2) + round(-x.shape[0] / 4),
    "smallest and largest": lambda x: x[: min(x.shape[0], 100)] + max(x.shape) + sum(x.shape) + math.prod(x.shape),
    "a tensor of sizes": lambda x: ingot.tensor([[x.shape[0], 2.5], [1, x.shape[0] / 2]]) + ingot.tensor(x.shape[0]),
    "ranges": lambda x: ingot.arange(x.shape[0], 2 * x.shape[0]) + ingot.arange(0, x.shape[0] * 2, 2),
    "made": lambda x: ingot.zeros(x.shape[0], 6) + ingot.full((x.shape[0], 1), 2.0) + x.new_ones(len(x), 1) + ingot.eye(x.shape[0])[:, :1],
    "masks": lambda x: ingot.tril(ingot.ones(x.shape[0], x.shape[0])) @ x + ingot.full((len(x), len(x)), -1.0).triu(1)[:, :6].sum(),
    "repeat and expand": lambda x: x[0].repeat(x.shape[0], 1) + x[:1].expand(x.shape[0], -1) + x[:1].expand_as(x),
    "views": lambda x: x.view(-1, 2, 3).transpose(0, 1).reshape(2, -1).unflatten(1, (-1, 3)),
    "windows": lambda x: F.max_pool1d(x.t(), 2).sum() + F.avg_pool1d(x.t(), 3, stride=2, padding=1) + F.max_pool1d(x.t(), 3, 2, 1),
    "nearest": lambda x: F.interpolate(x[None, None], scale_factor=2.5) + F.interpolate(x[None, None], (int(x.shape[0] * 2.5), 15)),
    "nearest-exact": lambda x: F.interpolate(x[None], scale_factor=0.5, mode="nearest-exact"),
    "linear": lambda x: F.interpolate(x.t()[None], x.shape[0] + 3, mode="linear", align_corners=True),
    "bilinear": lambda x: F.interpolate(x[None, None], (2 * x.shape[0] - 1, 5), mode="bilinear"),
    "bicubic": lambda x: F.interpolate(x[None, None], (x.shape[0] + 2, 4), mode="bicubic"),
    "layer_norm": lambda x: F.layer_norm(x.t(), (x.shape[0],)),
    "diagonal": lambda x: ingot.diagonal(x @ x.t()),
    "median": lambda x: x.median(0)[0],
    "parts": lambda x: x.split([x.shape[0] - 1, 1])[0] + sum(p.sum() for p in x.split(2, 1)) + x.unbind(1)[0][1:, None],
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes(name):
    f = SIZES[name]
    compiled = ingot.compile(f)
    for n in (8, 9, 7, 11, 13, 10, 22):
        np.testing.assert_allclose(compiled(matrix(n)).numpy(), f(matrix(n)).numpy(), rtol=2e-5, atol=2e-5)
    assert compiled.stats["traces"] == 2, compiled.recompiles


ARGUMENTS = {
    "slice": (lambda x, i: x[i : i + 2], (4, 5, 7, 12, 1)),
    "from the end": (lambda x, i: x[-i:].sum(), (4, 5, 7, 12, 1)),
    "index": (lambda x, i: x[i] + x[:, 1][i], (4, 5, 7, 12, 1)),
    "narrow": (lambda x, i: x.narrow(0, i, 3), (4, 5, 7, 12, 1)),
    "power": (lambda x, i: (x - 3) ** i, (4, 5, 3, 2, 1)),
    "float power": (lambda x, a: (x + 1) ** a + x.clamp(min=a, max=a + 1), (0.5, 1.5, 2.5, 0.25)),
    "slope": (lambda x, a: F.leaky_relu(x - 3, a) + ingot.add(x, x, alpha=a), (0.5, 0.1, 0.2, 0.3)),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments(name):
    f, values = ARGUMENTS[name]
    compiled = ingot.compile(f)
    for v in values:
        np.testing.assert_allclose(compiled(matrix(20), v).numpy(), f(matrix(20), v).numpy(), rtol=1e-4, atol=1e-4)
    assert compiled.stats["traces"] <= 2, compiled.recompiles


class Settings:
    scale, step = 1.0, 1
    table = {"k": 1, "s": 0.5}
    items = [1.0, 2.0]


SETTINGS = Settings()
SETTINGS.pair = (1.0, (2.0, "x"))
by_name = {"a": {"rate": 0.5}}


def of_class(i):
    Settings.scale, Settings.step = i / 4, i


def of_dicts(i):
    Settings.table["k"], Settings.table["s"] = i, i / 4
    by_name["a"]["rate"] = i / 8


def of_lists(i):
    Settings.items[0] = i / 4


def of_tuples(i):
    SETTINGS.pair = (i / 4, (i / 2, "x"))


PLACES = {
    "a class": (of_class, lambda x: x * SETTINGS.scale * 0.5 * (1 + math.cos(math.pi * Settings.step / 100)) * min(1, Settings.step / 10)),
    "dicts": (of_dicts, lambda x: x * Settings.table["k"] + Settings.table["s"] + by_name["a"]["rate"]),
    "lists": (of_lists, lambda x: x * SETTINGS.items[0] + SETTINGS.items[1]),
    "tuples": (of_tuples, lambda x: x * SETTINGS.pair[0] + SETTINGS.pair[1][0] * len(SETTINGS.pair[1][1])),
}


@pytest.mark.parametrize("name", PLACES)
def test_numbers_that_python_keeps(name):
    change, f = PLACES[name]
    compiled = ingot.compile(f)
    for i in range(1, 8):
        change(i)
        np.testing.assert_allclose(compiled(matrix(2)).numpy(), f(matrix(2)).numpy(), rtol=1e-5)
    assert compiled.stats["traces"] <= 2, compiled.recompiles
    assert not any(hasattr(n, "known") for n in (Settings.step, Settings.items[0], SETTINGS.pair[1][0]))


def test_stand_ins_are_taken_out_again():
    assert math.sqrt is sqrt and "int" not in globals() and len.__module__ == "builtins" and ceil is math.ceil


def test_a_module_that_asks_for_the_class_int_sees_the_class_int():
    asking = {}
    exec("def kind(n): return type(n) is int\ndef f(x): return x[: int(x.shape[0] / 1)] * 2 if kind(3) else x", asking)
    f = ingot.compile(asking["f"])
    for n in (2, 3, 4):
        assert f(ingot.ones(n)).tolist() == [2.0] * n


def test_counters_in_tuples_and_lists_that_the_function_assigns():
    state = {"seen": (0, "x"), "n": [0]}

    @ingot.compile
    def f(x):
        state["n"][0] += x.shape[0]
        return x * state["n"][0] * state["seen"][0]

    want = 0
    for n in (2, 3, 4, 2):
        state["seen"] = (n, "x")
        want += n
        assert f(ingot.ones(n)).tolist() == [float(want * n)] * n
        assert state["n"] == [want]


def test_sizes_that_a_layer_fixes_are_found_by_its_derivative():
    """64 * (n / 4) ** 2 is 3136 says nothing of n: where the gradient needs it to be, n is a number."""
    conv, dense = ingot.nn.Conv2d(1, 4, 3, padding=1), ingot.nn.Linear(4 * 3 * 3, 2)

    def step(x):
        y = dense(F.max_pool2d(conv(x), 4).flatten(1))
        return ingot.autograd.grad(y.pow(2).sum(), [conv.weight, dense.weight])

    f = ingot.compile(step, dynamic=True)
    for b in (2, 3, 5):
        x = ingot.arange(b * 144).reshape(b, 1, 12, 12) / 100
        for a, e in zip(f(x), step(x)):
            np.testing.assert_allclose(a.numpy(), e.numpy(), rtol=1e-4, atol=1e-4)
    assert f.stats["traces"] == 1


def test_what_stands_in_is_the_plain_one_to_others():
    """Another thread may call, keep and pickle it while a function is traced."""
    with measured():
        assert pickle.loads(pickle.dumps(math.sqrt)) is math.sqrt and pickle.loads(pickle.dumps(len)) is len
        assert (math.log(8, 2), math.hypot(3, 4, 12), len("ab")) == (3.0, 13.0, 2)
        for wrong in (lambda: math.sqrt("a"), lambda: math.sqrt(x=1), lambda: len(1)):
            with pytest.raises(TypeError):
                wrong()
        kept = pickle.dumps(math.sqrt)
    assert pickle.loads(kept) is math.sqrt and type(math.sqrt) is type(len)


class Adam(ingot.optim.Optimizer):
    """As people write them: the steps are counted by an int in the state."""

    def __init__(self, params):
        super().__init__(params, dict(lr=0.1, betas=(0.9, 0.99)))

    @ingot.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if len(state) == 0:
                    state.update(step=0, first=ingot.zeros_like(p), second=ingot.zeros_like(p))
                state["step"] += 1
                b1, b2 = group["betas"]
                state["first"].mul_(b1).add_(p.grad, alpha=1 - b1)
                state["second"].mul_(b2).addcmul_(p.grad, p.grad, value=1 - b2)
                c1, c2 = 1 - b1 ** state["step"], 1 - b2 ** state["step"]
                p.addcdiv_(state["first"], (state["second"].sqrt() / math.sqrt(c2)).add_(1e-8), value=-group["lr"] / c1)


def test_an_optimizer_that_counts_its_steps_in_its_state_is_compiled_thrice_at_most():
    def trained(compiled):
        ingot.manual_seed(0)
        model = ingot.nn.Linear(4, 3)
        opt = Adam(list(model.parameters()))

        def step(x):
            opt.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            opt.step()
            return loss

        run = ingot.compile(step) if compiled else step
        losses = [run(ingot.ones(2, 4) * (k + 1)).item() for k in range(6)]
        opt.state[model.weight]["step"] = 2  # the user's own, between two calls
        losses += [run(ingot.ones(2, 4)).item() for _ in range(3)]
        if compiled:
            assert run.recompiles.total() == 2, run.recompiles
        return losses, [state["step"] for state in opt.state.values()], [p.tolist() for p in model.parameters()]

    eager, compiled = trained(False), trained(True)
    assert eager[1] == compiled[1] == [5, 9]
    np.testing.assert_allclose(compiled[0], eager[0], rtol=1e-5)
    for a, b in zip(compiled[2], eager[2]):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
